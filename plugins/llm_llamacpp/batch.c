#include "engine_internal.h"

#include <math.h>
#include <stdlib.h>

static size_t shared_prefix(const place *p, const job *j)
{
    size_t n = 0, most = p->n < j->r.n_tokens - 1 ? p->n : j->r.n_tokens - 1;   /* the last is decoded always: its logits are needed */
    if (p->owner != j->item.owner)
        return 0;
    while (n < most && p->tokens[n] == j->r.tokens[n])
        n++;
    return n;
}

place *batch_best_place(engine *e, const job *j)
{
    place *best = NULL;
    size_t most = 0;
    for (unsigned i = 0; i < e->o.sequences; i++) {
        place *p = &e->places[i];
        if (p->j)
            continue;
        size_t n = e->o.reuse_prefix ? shared_prefix(p, j) : 0;
        if (!best || n > most || (n == most && p->used_us < best->used_us)) {
            best = p;
            most = n;
        }
    }
    return best;
}

int64_t batch_reading_us(engine *e, const job *j)
{
    size_t known = 0, writers = 0;
    for (unsigned i = 0; i < e->o.sequences && e->o.reuse_prefix; i++) {
        size_t n = shared_prefix(&e->places[i], j);
        known = n > known ? n : known;
    }
    size_t own = j->r.n_tokens - known, all = own;
    for (unsigned i = 0; i < e->o.sequences; i++) {
        const job *other = e->places[i].j;
        size_t left = other && !other->writing ? other->r.n_tokens - other->at : 0;
        all += left < own ? left : own;     /* who reads, reads in equal shares */
        writers += other && other->writing;
    }
    size_t decodes = all / (BATCH - writers) + 1;
    return (int64_t)(e->token_us * (double)(all + decodes * writers));
}

/* Copying a whole sequence costs about what decoding some dozen tokens does. */
enum { WORTH_A_COPY = 64 };

/* Brings what another sequence remembers of the prompt into this one, when that saves enough. */
static void borrow_prefix(engine *e, place *p, const job *j)
{
    llama_memory_t memory = e->api->llama_get_memory(e->ctx);
    size_t have = shared_prefix(p, j);
    place *from = NULL;
    for (unsigned i = 0; i < e->o.sequences; i++) {
        size_t n = shared_prefix(&e->places[i], j);
        if (n >= have + WORTH_A_COPY) {
            have = n;
            from = &e->places[i];
        }
    }
    if (!from)
        return;
    e->api->llama_memory_seq_rm(memory, (int32_t)(p - e->places), -1, -1);
    e->api->llama_memory_seq_cp(memory, (int32_t)(from - e->places), (int32_t)(p - e->places), -1, -1);
    memcpy(p->tokens, from->tokens, from->n * sizeof *p->tokens);
    p->n = from->n;
    p->owner = from->owner;
}

static struct llama_sampler *make_sampler(engine *e, const job_request *r)
{
    const llama_api *a = e->api;
    struct llama_sampler *chain = a->llama_sampler_chain_init(a->llama_sampler_chain_default_params());
    if (r->grammar) {
        struct llama_sampler *g = a->llama_sampler_init_grammar(e->vocab, r->grammar, "root");
        if (!g) {
            a->llama_sampler_free(chain);
            return NULL;
        }
        a->llama_sampler_chain_add(chain, g);
    }
    if (r->temperature <= 0) {
        a->llama_sampler_chain_add(chain, a->llama_sampler_init_greedy());
        return chain;
    }
    a->llama_sampler_chain_add(chain, a->llama_sampler_init_top_k(40));
    a->llama_sampler_chain_add(chain, a->llama_sampler_init_top_p((float)r->top_p, 1));
    a->llama_sampler_chain_add(chain, a->llama_sampler_init_temp((float)r->temperature));
    a->llama_sampler_chain_add(chain, a->llama_sampler_init_dist(r->seed));
    return chain;
}

mt_status batch_seat(engine *e, place *p, job *j)
{
    int32_t sequence = (int32_t)(p - e->places);
    llama_memory_t memory = e->api->llama_get_memory(e->ctx);
    if (!(j->sampler = make_sampler(e, &j->r)))
        return MT_INTERNAL;
    if (e->o.reuse_prefix)
        borrow_prefix(e, p, j);
    size_t keep = e->o.reuse_prefix ? shared_prefix(p, j) : 0;
    /* A memory that cannot forget a part (a recurrent one) forgets all. */
    if (!keep || !e->api->llama_memory_seq_rm(memory, sequence, (int32_t)keep, -1)) {
        e->api->llama_memory_seq_rm(memory, sequence, -1, -1);
        keep = 0;
    }
    p->j = j;
    p->n = j->at = keep;
    p->owner = j->item.owner;
    j->counts.cached = (uint32_t)keep;
    return MT_OK;
}

void batch_leave(engine *e, place *p, mt_status status)
{
    job *j = p->j;
    p->j = NULL;
    p->used_us = engine_now_us();
    e->api->llama_sampler_free(j->sampler);
    engine_end(e, j, status);
}

static int32_t add(engine *e, place *p, int32_t token, bool logits)
{
    struct llama_batch *b = &e->batch;
    int32_t row = b->n_tokens++;
    b->token[row] = token;
    b->pos[row] = (int32_t)p->n;
    b->n_seq_id[row] = 1;
    b->seq_id[row][0] = (int32_t)(p - e->places);
    b->logits[row] = logits;
    p->tokens[p->n++] = token;
    return row;
}

static void add_prompt(engine *e, place *p, unsigned share)
{
    job *j = p->j;
    for (; share && j->at < j->r.n_tokens; share--) {
        bool last = j->at + 1 == j->r.n_tokens;
        int32_t row = add(e, p, j->r.tokens[j->at++], last);
        if (last) {
            j->row = row;
            j->writing = true;
        }
    }
}

static void fill(engine *e)
{
    unsigned reading = 0;
    e->batch.n_tokens = 0;
    for (unsigned i = 0; i < e->o.sequences; i++) {
        job *j = e->places[i].j;
        if (!j)
            continue;
        j->row = -1;
        if (j->writing)
            j->row = add(e, &e->places[i], j->next, true);
        else
            reading++;
    }
    for (unsigned i = 0; i < e->o.sequences && reading; i++) {
        job *j = e->places[i].j;
        if (j && !j->writing)
            add_prompt(e, &e->places[i], (BATCH - (unsigned)e->batch.n_tokens) / reading--);
    }
}

/* What a token gains that the prompt has anywhere, after the last token of the answer, and after its last two: a small model that is told to keep
 * to a text wanders off without it. Found by trying; a model that is sure of another word still writes it. */
#define HELD_ONE 1.0f
#define HELD_TWO 2.5f
#define HELD_THREE 5.0f

static void hold_to_prompt(engine *e, const place *p, const float *logits)
{
    const int32_t *t = p->tokens;
    size_t n = p->j->r.n_tokens, last = p->n - 1;
    for (size_t i = 0; i < n; i++)
        e->candidates[t[i]].logit = logits[t[i]] + HELD_ONE;
    for (size_t i = 1; i < n && p->n > n; i++)
        if (t[i - 1] == t[last])
            e->candidates[t[i]].logit = logits[t[i]] + HELD_TWO;
    for (size_t i = 2; i < n && p->n > n + 1; i++)
        if (t[i - 1] == t[last] && t[i - 2] == t[last - 1])
            e->candidates[t[i]].logit = logits[t[i]] + HELD_THREE;
}

/* The token chosen; false when the grammar left none. */
static bool sample(engine *e, const place *p, int32_t *token)
{
    job *j = p->j;
    const float *logits = e->api->llama_get_logits_ith(e->ctx, j->row);
    int32_t n = e->api->llama_vocab_n_tokens(e->vocab);
    for (int32_t i = 0; logits && i < n; i++)
        e->candidates[i] = (struct llama_token_data){i, logits[i], 0};
    if (logits && j->r.grounded)
        hold_to_prompt(e, p, logits);
    struct llama_token_data_array all = {e->candidates, (size_t)n, -1, false};
    if (!logits)
        return false;
    e->api->llama_sampler_apply(j->sampler, &all);
    if (all.selected < 0 || !isfinite(all.data[all.selected].logit))
        return false;
    *token = all.data[all.selected].id;
    e->api->llama_sampler_accept(j->sampler, *token);
    return true;
}

/* Gives what is ready to the holder; the lock is held for the copy only. */
static mt_status deliver(engine *e, job *j)
{
    pthread_mutex_lock(&e->lock);
    size_t before = j->out_len;
    mt_status s = text_out_take(&j->r.text, &j->out, &j->out_len);
    bool news = j->out_len > before;
    pthread_mutex_unlock(&e->lock);
    if (news)
        e->o.raise(j->r.signal);
    return s;
}

static void finish(engine *e, place *p, bool by_length)
{
    text_out_end(&p->j->r.text);
    mt_status s = deliver(e, p->j);
    pthread_mutex_lock(&e->lock);
    p->j->counts.by_length = by_length;
    pthread_mutex_unlock(&e->lock);
    batch_leave(e, p, s);
}

static void write_token(engine *e, place *p)
{
    job *j = p->j;
    char piece[512];
    int32_t token;
    if (!sample(e, p, &token)) {
        batch_leave(e, p, MT_INTERNAL);
        return;
    }
    pthread_mutex_lock(&e->lock);
    if (!j->counts.output++) {
        j->counts.first_us = engine_now_us() - j->submitted_us;
        engine_note(&e->reading_us, (double)(j->counts.first_us - j->counts.waited_us));
    }
    pthread_mutex_unlock(&e->lock);
    if (e->api->llama_vocab_is_eog(e->vocab, token)) {
        finish(e, p, false);
        return;
    }
    int32_t n = e->api->llama_token_to_piece(e->vocab, token, piece, sizeof piece, 0, false);
    mt_status s = text_out_put(&j->r.text, piece, n > 0 ? (size_t)n : 0);
    if (s == MT_OK)
        s = deliver(e, j);
    j->next = token;
    if (s != MT_OK)
        batch_leave(e, p, s);
    else if (j->r.text.stopped)
        finish(e, p, false);
    else if (j->counts.output >= j->r.max_tokens || p->n + 1 > e->context)
        finish(e, p, true);
}

/* Below that a decode is mostly what it costs to go through the weights. */
enum { MUCH_TO_READ = 64 };

void batch_step(engine *e)
{
    fill(e);
    int64_t begun = engine_now_us();
    int32_t failed = e->batch.n_tokens ? e->api->llama_decode(e->ctx, e->batch) : 0;
    if (!failed && e->batch.n_tokens >= MUCH_TO_READ)
        engine_note(&e->token_us, (double)(engine_now_us() - begun) / e->batch.n_tokens);
    for (unsigned i = 0; i < e->o.sequences; i++) {
        place *p = &e->places[i];
        if (!p->j)
            continue;
        if (failed) {
            p->n = 0;           /* what the sequence holds now is not known: begin anew */
            e->api->llama_memory_seq_rm(e->api->llama_get_memory(e->ctx), (int32_t)i, -1, -1);
            batch_leave(e, p, MT_INTERNAL);
        } else if (p->j->row >= 0) {
            write_token(e, p);
        }
    }
}
