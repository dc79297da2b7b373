"""Writes reference_vectors.tsv: texts and the vectors that sentence-transformers gives them.

usage: python make_reference_vectors.py MODEL_FOLDER > reference_vectors.tsv   (needs: pip install sentence-transformers)
"""
import sys

from sentence_transformers import SentenceTransformer

TEXTS = [
    "How do I install Debian from a USB stick?",
    "Debian",
    "Kako mogu instalirati Debian s USB ključa? Čaša vode, žuti šešir.",
    "The quick brown fox jumps over the lazy dog. " * 12,
    "The Debian archives also carry approximately 1000 software packages (in the non-free and contrib sections). " * 20,
    "!!! ??? \U0001f600 中文",
]


def main():
    model = SentenceTransformer(sys.argv[1], device="cpu")
    model.max_seq_length = 256
    for text, vector in zip(TEXTS, model.encode(TEXTS, normalize_embeddings=True)):
        print(text, " ".join(f"{x:.6f}" for x in vector), sep="\t")


if __name__ == "__main__":
    main()
