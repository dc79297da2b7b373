#include "embed.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    GROUP = 1024,      /* texts tokenized at a time: bounds the memory and is enough to find neighbours in length */
    PREFIX_MAX = 64,
};

/* One piece of work: what is put before each text, and its memory. */
typedef struct work {
    const embedder *e;
    bool pairs;
    int32_t *head;       /* ids before each text: of the prefix, or of the query */
    size_t head_len, cut;
    int32_t *ids, *text; /* rows of `window`; one text's ids */
    uint32_t *lengths, *second, *order; /* second: where segment 1 begins */
    batch *batches;
    int64_t *in, *mask, *types; /* one padded batch */
    float *results;
} work;

static size_t max_area(const embedder *e)
{
    size_t tokens = e->limits.tokens ? e->limits.tokens : 2048;
    return tokens > e->window ? tokens : e->window;
}

static bool work_init(work *w, size_t n)
{
    size_t rows = n < GROUP ? n : GROUP, window = w->e->window, dim = onnx_session_dim(w->e->session), room = max_area(w->e);
    w->head = malloc(window * sizeof *w->head);
    w->ids = malloc(rows * window * sizeof *w->ids);
    w->text = malloc(window * sizeof *w->text);
    w->lengths = malloc(rows * sizeof *w->lengths);
    w->second = malloc(rows * sizeof *w->second);
    w->order = malloc(rows * sizeof *w->order);
    w->batches = malloc(rows * sizeof *w->batches);
    w->in = malloc(room * sizeof *w->in);
    w->mask = malloc(room * sizeof *w->mask);
    w->types = malloc(room * sizeof *w->types);
    w->results = malloc(rows * dim * sizeof *w->results);
    return w->head && w->ids && w->text && w->lengths && w->second && w->order && w->batches && w->in && w->mask && w->types && w->results;
}

static void work_dispose(work *w)
{
    free(w->head);
    free(w->ids);
    free(w->text);
    free(w->lengths);
    free(w->second);
    free(w->order);
    free(w->batches);
    free(w->in);
    free(w->mask);
    free(w->types);
    free(w->results);
}

static size_t min(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Of a pair that does not fit the longer side is cut, down to the length of the shorter one, then both. */
static void cut_pair(size_t room, size_t *a, size_t *b)
{
    if (*a + *b <= room)
        return;
    size_t half = room / 2;
    if (*a <= half)
        *b = room - *a;
    else if (*b <= half)
        *a = room - *b;
    else {
        bool odd_to_b = *a <= *b;
        *a = odd_to_b ? half : room - half;
        *b = room - *a;
    }
}

/* Writes [CLS] prefix text [SEP], or [CLS] query [SEP] text [SEP], to row i. */
static void tokenize(work *w, mt_slice text, size_t i)
{
    const embedder *e = w->e;
    int32_t *row = w->ids + i * e->window;
    size_t room = e->window - (w->pairs ? 3 : 2), head = w->head_len, at = 0;
    size_t n = wordpiece_encode(e->tokens, text.p, text.len, w->text, room, true);
    w->cut += head + n > room;
    n = min(n, room);
    if (w->pairs)
        cut_pair(room, &head, &n);
    else
        n = min(n, room - head);
    row[at++] = wordpiece_cls(e->tokens);
    memcpy(row + at, w->head, head * sizeof *row);
    at += head;
    if (w->pairs)
        row[at++] = wordpiece_sep(e->tokens);
    w->second[i] = w->pairs ? (uint32_t)at : UINT32_MAX;
    memcpy(row + at, w->text, n * sizeof *row);
    at += n;
    row[at++] = wordpiece_sep(e->tokens);
    w->lengths[i] = (uint32_t)at;
}

static mt_status run_batch(work *w, const batch *b, float *out, char *reason)
{
    const embedder *e = w->e;
    size_t dim = onnx_session_dim(e->session);
    for (size_t r = 0; r < b->rows; r++) {
        uint32_t text = w->order[b->first + r], length = w->lengths[text];
        for (size_t i = 0, at = r * b->length; i < b->length; i++, at++) {
            w->in[at] = i < length ? w->ids[text * e->window + i] : wordpiece_pad(e->tokens);
            w->mask[at] = i < length;
            w->types[at] = i >= w->second[text] && i < length;
        }
    }
    const onnx_batch in = {.ids = w->in, .mask = w->mask, .types = w->types, .rows = b->rows, .length = b->length};
    MT_TRY(onnx_session_run(e->session, &in, w->results, reason));
    for (size_t r = 0; r < b->rows; r++)
        memcpy(out + w->order[b->first + r] * dim, w->results + r * dim, dim * sizeof *out);
    return MT_OK;
}

static mt_status run_group(work *w, const mt_slice *texts, size_t rows, float *out, embed_watch watch, char *reason)
{
    for (size_t i = 0; i < rows; i++)
        tokenize(w, texts[i], i);
    size_t batches = batch_plan(w->lengths, rows, &w->e->limits, w->order, w->batches);
    for (size_t b = 0; b < batches; b++) {
        if (watch.stop && watch.stop(watch.user))
            return MT_CANCELLED;
        MT_TRY(run_batch(w, &w->batches[b], out, reason));
    }
    return MT_OK;
}

static mt_status run_all(work *w, mt_slice head, const mt_slice *texts, size_t n, float *out, embed_watch watch, char *reason)
{
    const embedder *e = w->e;
    size_t marks = w->pairs ? 3 : 2, dim = onnx_session_dim(e->session), room;
    mt_status status = MT_OK;
    if (e->window < marks + 1) {
        snprintf(reason, ONNX_REASON, "A window of %zu tokens holds no text.", e->window);
        return MT_INVALID;
    }
    if (n == 0)
        return MT_OK;
    if (!work_init(w, n)) {
        snprintf(reason, ONNX_REASON, "Out of memory.");
        work_dispose(w);
        return MT_NO_MEMORY;
    }
    room = e->window - marks;
    w->head_len = min(wordpiece_encode(e->tokens, head.p, head.len, w->head, room, true), w->pairs ? room : min(room, PREFIX_MAX));
    for (size_t at = 0; at < n && status == MT_OK; at += GROUP)
        status = run_group(w, texts + at, min(n - at, GROUP), out + at * dim, watch, reason);
    work_dispose(w);
    return status;
}

mt_status embed_texts(const embedder *e, const mt_slice *texts, size_t n, float *out, size_t *cut, embed_watch watch, char reason[ONNX_REASON])
{
    work w = {.e = e};
    mt_status status = run_all(&w, e->prefix, texts, n, out, watch, reason);
    if (cut)
        *cut = w.cut;
    return status;
}

mt_status rerank_texts(const embedder *e, mt_slice query, const mt_slice *texts, size_t n, float *out, embed_watch watch, char reason[ONNX_REASON])
{
    work w = {.e = e, .pairs = true};
    return run_all(&w, query, texts, n, out, watch, reason);
}
