/* cmocka, and a tiny GGUF: the llama architecture with random weights and a vocabulary of bytes, about 300 kB. */
#ifndef LLM_TESTS_SUPPORT_H
#define LLM_TESTS_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct bytes {
    unsigned char *p;
    size_t n, cap;
} bytes;

static inline void put(bytes *b, const void *p, size_t n)
{
    if (b->n + n > b->cap)
        b->p = realloc(b->p, b->cap = (b->n + n) * 2);
    memcpy(b->p + b->n, p, n);
    b->n += n;
}

static inline void put_u32(bytes *b, uint32_t v) { put(b, &v, 4); }
static inline void put_u64(bytes *b, uint64_t v) { put(b, &v, 8); }
static inline void put_text(bytes *b, const char *s) { put_u64(b, strlen(s)); put(b, s, strlen(s)); }
static inline void key_u32(bytes *b, const char *k, uint32_t v) { put_text(b, k); put_u32(b, 4); put_u32(b, v); }
static inline void key_text(bytes *b, const char *k, const char *v) { put_text(b, k); put_u32(b, 8); put_text(b, v); }

enum { TINY_VOCAB = 259, TINY_EMBD = 64, TINY_FF = 128, TINY_LAYERS = 2, TINY_TENSORS = 2 + 1 + TINY_LAYERS * 9 };

static inline void tiny_vocab(bytes *b)
{
    char token[16];
    put_text(b, "tokenizer.ggml.tokens"); put_u32(b, 9); put_u32(b, 8); put_u64(b, TINY_VOCAB);
    put_text(b, "<unk>"); put_text(b, "<s>"); put_text(b, "</s>");
    for (int i = 0; i < 256; i++) {
        snprintf(token, sizeof token, "<0x%02X>", i);
        put_text(b, token);
    }
    put_text(b, "tokenizer.ggml.scores"); put_u32(b, 9); put_u32(b, 6); put_u64(b, TINY_VOCAB);
    for (int i = 0; i < TINY_VOCAB; i++)
        put_u32(b, 0);
    put_text(b, "tokenizer.ggml.token_type"); put_u32(b, 9); put_u32(b, 5); put_u64(b, TINY_VOCAB);
    for (int i = 0; i < TINY_VOCAB; i++)
        put_u32(b, i == 0 ? 2 : i < 3 ? 3 : 6);
}

static inline void tiny_tensor(bytes *b, const char *name, uint64_t x, uint64_t y, uint64_t *at)
{
    put_text(b, name);
    put_u32(b, y ? 2 : 1);
    put_u64(b, x);
    if (y)
        put_u64(b, y);
    put_u32(b, 0);
    put_u64(b, *at);
    *at += x * (y ? y : 1) * 4;
}

static inline uint64_t tiny_tensors(bytes *b)
{
    static const struct { const char *name; int x, y; } layer[9] = {
        {"attn_norm", TINY_EMBD, 0}, {"attn_q", TINY_EMBD, TINY_EMBD}, {"attn_k", TINY_EMBD, TINY_EMBD}, {"attn_v", TINY_EMBD, TINY_EMBD},
        {"attn_output", TINY_EMBD, TINY_EMBD}, {"ffn_norm", TINY_EMBD, 0}, {"ffn_gate", TINY_EMBD, TINY_FF}, {"ffn_up", TINY_EMBD, TINY_FF},
        {"ffn_down", TINY_FF, TINY_EMBD}};
    uint64_t at = 0;
    char name[64];
    tiny_tensor(b, "token_embd.weight", TINY_EMBD, TINY_VOCAB, &at);
    tiny_tensor(b, "output.weight", TINY_EMBD, TINY_VOCAB, &at);
    tiny_tensor(b, "output_norm.weight", TINY_EMBD, 0, &at);
    for (int l = 0; l < TINY_LAYERS; l++)
        for (int i = 0; i < 9; i++) {
            snprintf(name, sizeof name, "blk.%d.%s.weight", l, layer[i].name);
            tiny_tensor(b, name, (uint64_t)layer[i].x, (uint64_t)layer[i].y, &at);
        }
    return at;
}

static inline bytes tiny_gguf(void)
{
    bytes b = {0};
    float epsilon = 1e-5f;
    uint32_t seed = 7;
    put(&b, "GGUF", 4); put_u32(&b, 3); put_u64(&b, TINY_TENSORS); put_u64(&b, 15);
    key_text(&b, "general.architecture", "llama");
    key_u32(&b, "llama.context_length", 512);
    key_u32(&b, "llama.embedding_length", TINY_EMBD);
    key_u32(&b, "llama.block_count", TINY_LAYERS);
    key_u32(&b, "llama.feed_forward_length", TINY_FF);
    key_u32(&b, "llama.attention.head_count", 4);
    key_u32(&b, "llama.rope.dimension_count", TINY_EMBD / 4);
    put_text(&b, "llama.attention.layer_norm_rms_epsilon"); put_u32(&b, 6); put(&b, &epsilon, 4);
    key_text(&b, "tokenizer.ggml.model", "llama");
    key_u32(&b, "tokenizer.ggml.bos_token_id", 1);
    key_u32(&b, "tokenizer.ggml.eos_token_id", 2);
    key_u32(&b, "tokenizer.ggml.unknown_token_id", 0);
    tiny_vocab(&b);
    uint64_t data = tiny_tensors(&b);
    while (b.n % 32)
        put(&b, "", 1);
    for (uint64_t i = 0; i < data / 4; i++) {
        seed = seed * 1664525 + 1013904223;
        float v = ((float)(seed >> 8) / 16777216.0f - 0.5f) * 0.6f;
        put(&b, &v, 4);
    }
    return b;
}

static char tiny_path[] = "/tmp/mortise-tiny-XXXXXX.gguf";

static inline int make_tiny(void **state)
{
    bytes b = tiny_gguf();
    int fd = mkstemps(tiny_path, 5);
    bool written = write(fd, b.p, b.n) == (ssize_t)b.n;
    close(fd);
    free(b.p);
    return written ? 0 : -1;
}

static inline int remove_tiny(void **state)
{
    return unlink(tiny_path);
}

#endif
