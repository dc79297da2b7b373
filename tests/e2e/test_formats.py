"""Files of every kind through the real server: what they say, on which page, under which heading; and hostile ones, each with its reason."""
import gzip
import io
import os
import zipfile
import zlib

import pytest

FAQ = "/usr/share/doc/debian/FAQ/debian-faq.en."
W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def pdf(*pages, encrypt=b"", kids=None):
    """A PDF with a line of text a page."""
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", b"", b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    refs = []
    for text in pages:
        stream = b"BT /F1 12 Tf 72 700 Td (" + text.encode() + b") Tj ET" if text else b"0 0 100 100 re f"
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream))
        objects.append(b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents %d 0 R /Resources << /Font << /F1 3 0 R >> >> >>" % len(objects))
        refs.append(b"%d 0 R" % len(objects))
    objects[1] = b"<< /Type /Pages /Count %d /Kids [%s] >>" % (kids or len(refs), b" ".join(refs))
    out, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % at for at in offsets)
    return out + b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<< /Size %d /Root 1 0 R %s >>\nstartxref\n%d\n%%%%EOF\n" % (
        len(objects) + 1, table, len(objects) + 1, encrypt, len(out))


# The standard handler, revision 2, with a user password that is not the empty one.
LOCKED = b"/Encrypt << /Filter /Standard /V 1 /R 2 /P -4 /O <%s> /U <%s> >> /ID [<00><00>]" % (b"11" * 32, b"22" * 32)


def paragraph(text, style=None):
    return f'<w:p>{f"<w:pPr><w:pStyle w:val=%s/></w:pPr>" % chr(34).join(["", style, ""]) if style else ""}<w:r><w:t>{text}</w:t></w:r></w:p>'


def docx(body, more=(), head=""):
    """A .docx with these paragraphs; `more` are further parts."""
    parts = {"word/document.xml": f"<?xml version='1.0'?>{head}<w:document {W}><w:body>{body}</w:body></w:document>",
             "word/styles.xml": f"<w:styles {W}><w:style w:styleId='berschrift1'><w:name w:val='heading 1'/></w:style>"
                                f"<w:style w:styleId='berschrift2'><w:name w:val='heading 2'/></w:style></w:styles>", **dict(more)}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    return out.getvalue()


REPORT = docx(paragraph("Harbour", "berschrift1") + paragraph("The harbour of Omis freezes once in a hundred years.") +
              paragraph("Fees", "berschrift2") +
              "<w:tbl><w:tr><w:tc>" + paragraph("Boat") + "</w:tc><w:tc>" + paragraph("Fee") + "</w:tc></w:tr><w:tr><w:tc>" + paragraph("Trabakul") +
              "</w:tc><w:tc>" + paragraph("40 kuna") + "</w:tc></w:tr></w:tbl>")
TABLE = "name;crop;yield\nKlara;lavender;12\n\"Jure; the elder\";olives;90\n".encode()


def put(tenant, name, data, kind="application/octet-stream"):
    return tenant.api.upload(tenant.workspace, (name, data, kind))[0]["document"]


def failed(tenant, name, data):
    document = put(tenant, name, data)
    assert document["status"] == "failed" and document["chunk_count"] == 0, document
    return document["reason"]


def chunks(tenant, document):
    return sorted(tenant.api.pages(f"/workspaces/{tenant.workspace}/documents/{document['id']}/chunks", limit=200), key=lambda c: c["number"])


def text_of(tenant, document):
    return tenant.api.call("GET", f"/workspaces/{tenant.workspace}/documents/{document['id']}/text").data["text"]


def best(tenant, query):
    return tenant.api.search(tenant.workspace, query)[0]


def test_pdf_has_pages(tenant):
    document = put(tenant, "otters.pdf", pdf("Otters sleep holding hands.", "The northern otter eats urchins.", "", "Kelp forests recover slowly."))
    assert document["status"] == "indexed", document
    assert {c["page"] for c in chunks(tenant, document)} <= {1, 2, 4} and chunks(tenant, document)[0]["page"] == 1
    text = text_of(tenant, document)
    assert "eats urchins" in text and "\f" not in text
    assert best(tenant, "How do otters sleep?")["document_id"] == document["id"]


def test_faq_pdf(tenant):
    with gzip.open(FAQ + "pdf.gz") as file:
        document = put(tenant, "debian-faq.pdf", file.read())
    assert document["status"] == "indexed", document
    found = chunks(tenant, document)
    pages = [c["page"] for c in found]
    assert pages == sorted(pages) and pages[0] == 1 and pages[-1] >= 70
    text = text_of(tenant, document)
    for chunk in found:
        assert text[chunk["start_char"]:chunk["end_char"]] == chunk["text"]
    hurd = next(c for c in found if "porting effort is Debian GNU/Hurd" in " ".join(c["text"].split()))
    assert best(tenant, "What is the oldest porting effort of Debian?")["document_id"] == document["id"]
    assert hurd["section"].startswith("Definitions and overview > "), hurd
    assert hurd["page"] == faq_page(b"porting effort is Debian GNU/Hurd"), hurd


def faq_page(words):
    """The page by another way: pdftotext of one page at a time."""
    import subprocess
    data = gzip.open(FAQ + "pdf.gz").read()
    for page in range(1, 80):
        out = subprocess.run(["pdftotext", "-f", str(page), "-l", str(page), "-", "-"], input=data, capture_output=True, check=True).stdout
        if words in b" ".join(out.split()):
            return page
    raise AssertionError(words)


def test_docx_has_sections(tenant):
    document = put(tenant, "harbour.docx", REPORT)
    assert document["status"] == "indexed", document
    assert {c["section"] for c in chunks(tenant, document)} == {"Harbour", "Harbour > Fees"}
    assert {c["page"] for c in chunks(tenant, document)} == {None}
    assert "Boat | Fee\nTrabakul | 40 kuna" in text_of(tenant, document)
    assert best(tenant, "What does a trabakul pay?")["section"] == "Harbour > Fees"


@pytest.mark.parametrize("name, data", [("farm.csv", TABLE), ("farm.tsv", TABLE.replace(b";", b"\t").replace(b"Jure\t", b"Jure;") + b"Tab\tX\t1\n"),
                                        ("farm16.csv", TABLE.decode().encode("utf-16") + b"\n\0")])
def test_csv_rows_are_understood_alone(tenant, name, data):
    document = put(tenant, name, data)
    assert document["status"] == "indexed", document
    assert "name: Jure; the elder\ncrop: olives\nyield: 90" in text_of(tenant, document)
    assert "yield: 90" in best(tenant, "How much did Jure harvest?")["text"]


@pytest.mark.parametrize("kind, data", [("application/pdf", pdf("The type tells what it is: a heron.")), ("text/csv", b"bird,legs\nheron,2\nstork,2\n"),
    ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", docx(paragraph("A heron stands.")))])
def test_the_type_alone_is_enough(tenant, kind, data):
    document = put(tenant, "noname", data, kind)
    assert document["status"] == "indexed" and "heron" in text_of(tenant, document), document


def bomb(megabytes):
    return docx(paragraph("x") + " " * (megabytes << 20))


def page_bomb():
    """A page whose content is half a megabyte that inflates to half a gigabyte of drawing."""
    packer = zlib.compressobj(9)
    piece = b"BT /F1 12 Tf 72 700 Td (bomb) Tj ET\n" * 30000
    stream = b"".join(packer.compress(piece) for _ in range(500)) + packer.flush()
    return pdf("X").replace(b"BT /F1 12 Tf 72 700 Td (X) Tj ET", stream).replace(b"<< /Length 32 >>", b"<< /Filter /FlateDecode /Length %d >>" % len(stream))


PLAIN = pdf("A plain page about nothing.")
HOSTILE = [
    ("cut.pdf", PLAIN[:150], "damaged"),
    ("count.pdf", pdf("The ladder is long.", kids=2000000000), "damaged"),
    ("bomb.pdf", page_bomb(), "seconds|MiB"),
    ("locked.pdf", pdf("Secret", encrypt=LOCKED), "password"),
    ("image.pdf", pdf("", ""), "OCR"),
    ("no.pdf", b"This is no PDF at all.", "no PDF"),
    ("pdf.txt", PLAIN, ".pdf"),
    ("docx.txt", docx(paragraph("Under a false name.")), ".docx"),
    ("binary.txt", b"\0\1\2\3" * 900, "binary"),
    ("bomb.docx", bomb(250), "unpacks to more than"),
    ("nested.docx", docx("", {"inner.docx": bomb(1)}), "no text"),
    ("other.docx", docx("", {"a": "b"}).replace(b"word/document.xml", b"word/documint.xml"), "no .docx"),
    ("entity.docx", docx("<w:p><w:r><w:t>&x;</w:t></w:r></w:p>", head='<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]>'), "entities"),
    ("laughs.docx", docx("<w:p/>", head='<!DOCTYPE d [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;">]>'), "entities"),
    ("deep.docx", docx("<w:sdt>" * 500 + "</w:sdt>" * 500), "inside each other"),
    ("cut.docx", REPORT[:-30], "damaged"),
    ("old.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "password"),
    ("away.docx", docx("", {"_rels/.rels": '<Relationships><Relationship Type="x/officeDocument" Target="../../../etc/passwd"/></Relationships>'}), "no .docx"),
    ("wide.csv", b"a," * 1000000 + b"b\n", "columns"),
    ("deep.html", b"<div>" * 20000, "structure|deep|nested"),
]


@pytest.mark.parametrize("name, data, word", HOSTILE, ids=[h[0] for h in HOSTILE])
def test_hostile(tenant, name, data, word):
    reason = failed(tenant, name, data)
    assert any(w in reason for w in word.split("|")), reason


@pytest.mark.parametrize("name, data, word", [
    ("names.docx", docx(paragraph("The ladder leans."), {"../../tmp/mortise-escaped.txt": "out"}), "ladder"),
    ("deep.md", b"> " * 100000 + b"the ladder", "ladder"),
    ("invalid.txt", b"The ladder \xff\xfe is broken \xc3(", "ladder"),
])
def test_odd_but_readable(tenant, name, data, word):
    document = put(tenant, name, data)
    assert document["status"] == "indexed" and word in text_of(tenant, document), document
    assert not os.path.exists("/tmp/mortise-escaped.txt")


def test_one_that_fails_stops_no_other(tenant):
    items = tenant.api.upload(tenant.workspace, ("a.pdf", pdf("Good page A.")), ("b.pdf", b"%PDF-1.4 broken"), ("c.pdf", pdf("Good page C.")))
    assert [i["document"]["status"] for i in items] == ["indexed", "failed", "indexed"]
