#include "embed.h"

#include <stdio.h>
#include <stdlib.h>

#define GROUP 1024 /* texts tokenized at a time: bounds the memory and is enough to find neighbours in length */

typedef struct group {
    int32_t *ids;      /* GROUP rows of `window` */
    uint32_t *lengths, *order;
    batch *batches;
    int64_t *in, *mask; /* one padded batch */
    float *vectors;
    size_t room;        /* ids that in and mask hold */
} group;

static size_t max_area(const embedder *e)
{
    size_t tokens = e->limits.tokens ? e->limits.tokens : 2048;
    return tokens > e->window ? tokens : e->window;
}

static bool group_init(group *g, const embedder *e, size_t n)
{
    size_t rows = n < GROUP ? n : GROUP, dim = onnx_session_dim(e->session);
    g->room = max_area(e);
    g->ids = malloc(rows * e->window * sizeof *g->ids);
    g->lengths = malloc(rows * sizeof *g->lengths);
    g->order = malloc(rows * sizeof *g->order);
    g->batches = malloc(rows * sizeof *g->batches);
    g->in = malloc(g->room * sizeof *g->in);
    g->mask = malloc(g->room * sizeof *g->mask);
    g->vectors = malloc(rows * dim * sizeof *g->vectors);
    return g->ids && g->lengths && g->order && g->batches && g->in && g->mask && g->vectors;
}

static void group_dispose(group *g)
{
    free(g->ids);
    free(g->lengths);
    free(g->order);
    free(g->batches);
    free(g->in);
    free(g->mask);
    free(g->vectors);
}

/* Writes [CLS] ids [SEP] to row; answers its length, and whether the text was cut. */
static uint32_t tokenize(const embedder *e, mt_slice text, int32_t *row, size_t *cut)
{
    size_t room = e->window - 2;
    size_t n = wordpiece_encode(e->tokens, text.p, text.len, row + 1, room, true);
    if (n > room) {
        n = room;
        *cut += 1;
    }
    row[0] = wordpiece_cls(e->tokens);
    row[n + 1] = wordpiece_sep(e->tokens);
    return (uint32_t)n + 2;
}

static mt_status run_batch(const embedder *e, group *g, const batch *b, float *out, char *reason)
{
    size_t dim = onnx_session_dim(e->session);
    for (size_t r = 0; r < b->rows; r++) {
        uint32_t text = g->order[b->first + r], length = g->lengths[text];
        for (size_t i = 0; i < b->length; i++) {
            g->in[r * b->length + i] = i < length ? g->ids[text * e->window + i] : wordpiece_pad(e->tokens);
            g->mask[r * b->length + i] = i < length;
        }
    }
    MT_TRY(onnx_session_run(e->session, g->in, g->mask, b->rows, b->length, g->vectors, reason));
    for (size_t r = 0; r < b->rows; r++)
        memcpy(out + g->order[b->first + r] * dim, g->vectors + r * dim, dim * sizeof *out);
    return MT_OK;
}

mt_status embed_texts(const embedder *e, const mt_slice *texts, size_t n, float *out, size_t *cut, bool (*stop)(void *), void *user,
                      char reason[ONNX_REASON])
{
    group g = {0};
    size_t were_cut = 0, dim = onnx_session_dim(e->session);
    mt_status status = MT_OK;
    if (e->window < 3) {
        snprintf(reason, ONNX_REASON, "A window of %zu tokens holds no text.", e->window);
        return MT_INVALID;
    }
    if (n > 0 && !group_init(&g, e, n)) {
        snprintf(reason, ONNX_REASON, "Out of memory.");
        status = MT_NO_MEMORY;
    }
    for (size_t at = 0; at < n && status == MT_OK; at += GROUP) {
        size_t rows = n - at < GROUP ? n - at : GROUP;
        for (size_t i = 0; i < rows; i++)
            g.lengths[i] = tokenize(e, texts[at + i], g.ids + i * e->window, &were_cut);
        size_t batches = batch_plan(g.lengths, rows, &e->limits, g.order, g.batches);
        for (size_t b = 0; b < batches && status == MT_OK; b++) {
            if (stop && stop(user))
                status = MT_CANCELLED;
            else
                status = run_batch(e, &g, &g.batches[b], out + at * dim, reason);
        }
    }
    group_dispose(&g);
    if (cut)
        *cut = were_cut;
    return status;
}
