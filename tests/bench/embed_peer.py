"""embed_peer.py MODEL THREADS < texts with a NUL behind each: what bench_embed prints, from sentence-transformers."""
import json
import sys
import time

import torch
from sentence_transformers import SentenceTransformer


def main():
    torch.set_num_threads(int(sys.argv[2]))
    model = SentenceTransformer(sys.argv[1], device="cpu")
    model.max_seq_length = 256
    texts = sys.stdin.buffer.read().decode().split("\0")[:-1]
    model.encode(texts[:64])
    wall, cpu = [], []
    for _ in range(3):
        start, used = time.monotonic(), time.process_time()
        model.encode(texts, batch_size=32, normalize_embeddings=True)
        wall.append(time.monotonic() - start)
        cpu.append(time.process_time() - used)
    print(json.dumps({"texts": len(texts), "texts_per_s": round(len(texts) / min(wall), 1),
                      "cpu_ms_per_text": round(min(cpu) / len(texts) * 1000, 3)}))


if __name__ == "__main__":
    main()
