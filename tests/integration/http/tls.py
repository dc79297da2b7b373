"""Certificates and TLS clients for the tests of core/http."""
import pathlib
import ssl
import subprocess


def certificate(folder, name="server", days=2):
    """A self-signed certificate and its key: two PEM files of this name in the folder."""
    folder = pathlib.Path(folder)
    pem, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", str(days), "-subj",
                    f"/CN={name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", pem], check=True, capture_output=True)
    return pem, key


def connect(probe, protocols=("h2",), newest=None, timeout=10):
    """A TLS connection that takes any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1 if newest else ssl.TLSVersion.TLSv1_2
    if newest:
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.maximum_version = newest
    if protocols:
        context.set_alpn_protocols(list(protocols))
    s = context.wrap_socket(probe.connect(timeout))
    s.settimeout(timeout)
    return s


def common_name(s):
    """Of the certificate that a connection was shown."""
    text = subprocess.run(["openssl", "x509", "-inform", "DER", "-noout", "-subject"], input=s.getpeercert(True), capture_output=True, check=True).stdout
    return text.decode().strip().rsplit(" ", 1)[1]
