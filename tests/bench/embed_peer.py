"""embed_peer.py MODEL THREADS TEXTS: sentence-transformers over the texts of a file, each with a NUL behind it. Says that it is ready, then for each line of its
input embeds them all once and prints what bench_embed prints."""
import json
import sys
import time

import torch
from sentence_transformers import SentenceTransformer


def main():
    torch.set_num_threads(int(sys.argv[2]))
    model = SentenceTransformer(sys.argv[1], device="cpu", local_files_only=True)
    model.max_seq_length = 256
    with open(sys.argv[3], encoding="utf-8") as f:
        texts = f.read().split("\0")[:-1]
    model.encode(texts[:32], batch_size=32)
    print("ready", flush=True)
    for _ in sys.stdin:
        start, used = time.monotonic(), time.process_time()
        model.encode(texts, batch_size=32, normalize_embeddings=True, show_progress_bar=False)
        took, cpu = time.monotonic() - start, time.process_time() - used
        print(json.dumps({"texts": len(texts), "texts_per_s": round(len(texts) / took, 1), "cpu_ms_per_text": round(cpu / len(texts) * 1000, 3)}), flush=True)


if __name__ == "__main__":
    main()
