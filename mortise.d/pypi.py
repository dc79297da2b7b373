"""Fetches one pinned file of a PyPI package from the index that pip is configured with; an interrupted download is resumed.

usage: pypi.py PACKAGE FILE SHA256 FOLDER     (run by the Python of the set-up's own virtual environment, which has pip)
"""
import hashlib
import html
import os
import re
import subprocess
import sys
import urllib.parse


def fail(message):
    sys.exit(f"mortise: {message}")


def index_url():
    """pip's index: from its environment or configuration, else the one that it has built in."""
    url = os.environ.get("PIP_INDEX_URL")
    if not url:
        asked = subprocess.run([sys.executable, "-m", "pip", "config", "get", "global.index-url"],
                               capture_output=True, text=True)
        url = asked.stdout.strip()
    if not url:
        from pip._internal.models.index import PyPI
        url = PyPI.simple_url
    return url.rstrip("/")


def curl(*arguments, **options):
    return subprocess.run(["curl", "-fL", "--retry", "3", "--connect-timeout", "30", *arguments], **options)


def find_file(package, name):
    """The address of the file in the package's page of links."""
    page_url = f"{index_url()}/{package}/"
    page = curl("-sS", "-H", "Accept: text/html", page_url, capture_output=True, text=True)
    if page.returncode:
        fail(f"cannot reach the Python package index for {package}: {page.stderr.strip()}\n"
             "mortise: check the network and pip's configuration, then run the same command again.")
    for link in re.findall(r'href="([^"]+)"', page.stdout):
        url = urllib.parse.urljoin(page_url, html.unescape(link))
        if urllib.parse.unquote(urllib.parse.urlsplit(url).path.rsplit("/", 1)[-1]) == name:
            return url.split("#")[0]
    fail(f"the Python package index has no file {name} of {package}.")


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def fetch(package, name, digest, folder):
    """The path of the verified file in folder. What an earlier try left is continued, not fetched again."""
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, name)
    if os.path.exists(path) and sha256(path) == digest:
        return path
    part = path + ".part"
    if not (os.path.exists(part) and sha256(part) == digest):
        progress = ["--progress-bar"] if sys.stderr.isatty() else ["-sS"]
        done = curl(*progress, "-C", "-", "-o", part, find_file(package, name), stdin=subprocess.DEVNULL)
        if done.returncode:
            fail(f"the download of {name} stopped; run the same command again to continue it.")
    if sha256(part) != digest:
        os.remove(part)
        fail(f"{name} is not the pinned file (sha256 differs); it was removed.")
    os.replace(part, path)
    return path


if __name__ == "__main__":
    print(fetch(*sys.argv[1:5]))
