#include "models.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

void model_set_init(model_set *set)
{
    *set = (model_set){.threads = 1, .max_open = 2};
    pthread_mutex_init(&set->lock, NULL);
    pthread_cond_init(&set->opened, NULL);
}

static bool shares_tokens(const model_set *set, const model *m)
{
    for (unsigned i = 0; i < set->n; i++)
        if (set->items[i] != m && set->items[i]->tokens == m->tokens)
            return true;
    return false;
}

/* The lock is held. What is answered is the caller's alone, for destroy() without the lock. */
static model *take_out(model_set *set, model *m)
{
    unsigned at = 0;
    while (set->items[at] != m)
        at++;
    if (shares_tokens(set, m))
        m->tokens = NULL;
    memmove(set->items + at, set->items + at + 1, (--set->n - at) * sizeof *set->items);
    return m;
}

static void destroy(model *m)
{
    if (!m)
        return;
    onnx_session_close(m->session);
    wordpiece_destroy(m->tokens);
    free(m);
}

void model_set_dispose(model_set *set)
{
    while (set->n > 0)
        destroy(take_out(set, set->items[set->n - 1]));
    pthread_mutex_destroy(&set->lock);
    pthread_cond_destroy(&set->opened);
}

/* The lock is held, here and below. */
static model *find(const model_set *set, mt_slice org, mt_slice name)
{
    for (unsigned i = 0; i < set->n; i++) {
        model *m = set->items[i];
        if (!m->gone && mt_slice_eq(name, mt_str(m->name)) && mt_slice_eq(org, mt_str(m->org)))
            return m;
    }
    return NULL;
}

static wordpiece *known_tokens(const model_set *set, const char *digest)
{
    for (unsigned i = 0; *digest && i < set->n; i++)
        if (!strcmp(set->items[i]->vocabulary, digest))
            return set->items[i]->tokens;
    return NULL;
}

/* What makes room for one more model of an organization, or NULL. */
static model *least_wanted(const model_set *set)
{
    model *found = NULL;
    unsigned n = 0;
    for (unsigned i = 0; i < set->n; i++) {
        model *m = set->items[i];
        n += m->org[0] != 0;
        if (m->org[0] && !m->refs && (!found || m->used < found->used))
            found = m;
    }
    return n < MODELS_OF_ORGS ? NULL : found;
}

static model *locked_ref(model_set *set, model *m)
{
    if (m)
        m->refs++;
    pthread_mutex_unlock(&set->lock);
    return m;
}

model *model_get(model_set *set, mt_slice org, mt_slice name)
{
    pthread_mutex_lock(&set->lock);
    return locked_ref(set, find(set, org, name));
}

model *model_at(model_set *set, unsigned index)
{
    model *found = NULL;
    pthread_mutex_lock(&set->lock);
    for (unsigned i = 0; i < set->n && !found; i++)
        if (!set->items[i]->org[0] && !index--)
            found = set->items[i];
    return locked_ref(set, found);
}

void model_put(model_set *set, model *m)
{
    pthread_mutex_lock(&set->lock);
    model *out = !--m->refs && m->gone ? take_out(set, m) : NULL;
    pthread_mutex_unlock(&set->lock);
    destroy(out);
}

void model_forget(model_set *set, model *m)
{
    pthread_mutex_lock(&set->lock);
    m->gone = true;
    pthread_mutex_unlock(&set->lock);
}

static uint32_t room_for_text(const model *m)
{
    size_t prefix = wordpiece_count(m->tokens, m->prefix, strlen(m->prefix));
    return prefix < m->window ? m->window - (uint32_t)prefix : 0;
}

/* Takes over m unless its name is known by now; *out is for destroy(). What makes room goes after m has come: the two may share a tokenizer. */
static mt_status locked_insert(model_set *set, model *m, model **out)
{
    *out = m;
    if (find(set, mt_str(m->org), mt_str(m->name)))
        return MT_OK;
    if (set->n == MODELS_MAX)
        return MT_TOO_LARGE;
    m->max_tokens = room_for_text(m);
    *out = m->org[0] ? least_wanted(set) : NULL;
    set->items[set->n++] = m;
    if (*out)
        take_out(set, *out);
    return MT_OK;
}

mt_status model_add(model_set *set, const model *description, const char *vocab, char reason[WORDPIECE_REASON])
{
    mt_status status = MT_OK;
    model *m = malloc(sizeof *m), *out = m;
    if (!m)
        return MT_NO_MEMORY;
    *m = *description;
    m->tokens = NULL;
    pthread_mutex_lock(&set->lock);
    if (!(m->tokens = known_tokens(set, m->vocabulary))) {
        pthread_mutex_unlock(&set->lock);
        status = wordpiece_load(&m->tokens, vocab, reason);
        pthread_mutex_lock(&set->lock);
    }
    if (status == MT_OK)
        status = locked_insert(set, m, &out);
    if (status == MT_TOO_LARGE && m->tokens)
        snprintf(reason, WORDPIECE_REASON, "There are more than %d models.", MODELS_MAX);
    if (out == m && m->tokens && shares_tokens(set, m))
        m->tokens = NULL;
    pthread_mutex_unlock(&set->lock);
    destroy(out);
    return status;
}

/* --- sessions --- */

static unsigned count_open(const model_set *set)
{
    unsigned open = 0;
    for (unsigned i = 0; i < set->n; i++)
        open += set->items[i]->session != NULL;
    return open;
}

static model *least_used_idle(const model_set *set)
{
    model *found = NULL;
    for (unsigned i = 0; i < set->n; i++) {
        model *m = set->items[i];
        if (m->session && !m->users && (!found || m->used < found->used))
            found = m;
    }
    return found;
}

/* Closes what is idle beyond `keep` sessions; the lock is held, and given up while one is closed. */
static void close_idle(model_set *set, unsigned keep)
{
    model *m;
    while (count_open(set) > keep && (m = least_used_idle(set))) {
        onnx_session *session = m->session;
        m->session = NULL;
        pthread_mutex_unlock(&set->lock);
        onnx_session_close(session);
        malloc_trim(0);
        pthread_mutex_lock(&set->lock);
    }
}

/* Whether the model knows the last word of its vocabulary: one that belongs to another model would show only with that word. */
static mt_status probe(const model *m, onnx_session *session, char *reason)
{
    const int64_t ids[] = {wordpiece_cls(m->tokens), (int64_t)wordpiece_vocab_size(m->tokens) - 1, wordpiece_sep(m->tokens)}, mask[] = {1, 1, 1}, types[] = {0, 0, 0};
    const onnx_batch in = {.ids = ids, .mask = mask, .types = types, .rows = 1, .length = 3};
    char why[ONNX_REASON] = "";
    float *out = malloc(onnx_session_dim(session) * sizeof *out);
    mt_status status = out ? onnx_session_run(session, &in, out, why) : MT_NO_MEMORY;
    free(out);
    if (status != MT_OK)
        snprintf(reason, ONNX_REASON, "The model %s does not run with its vocabulary of %zu words: %.60s", m->name, wordpiece_vocab_size(m->tokens), why);
    return status == MT_OK || status == MT_NO_MEMORY ? status : MT_UNSUPPORTED;
}

/* The lock is held, and given up while the file is read. */
static mt_status open_session(model_set *set, model *m, char *reason)
{
    const onnx_options options = {.library = set->library, .model = m->path, .head = m->head, .threads = set->threads};
    onnx_session *session;
    m->opening = true;
    close_idle(set, set->max_open - 1);
    pthread_mutex_unlock(&set->lock);
    mt_status status = onnx_session_open(&session, &options, reason);
    if (status == MT_OK && onnx_session_dim(session) != m->dimensions) {
        snprintf(reason, ONNX_REASON, "The model %s makes %zu numbers a text; its manifest says %u.", m->name, onnx_session_dim(session), m->dimensions);
        onnx_session_close(session);
        status = MT_UNSUPPORTED;
    }
    if (status == MT_OK && (status = probe(m, session, reason)) != MT_OK)
        onnx_session_close(session);
    malloc_trim(0);              /* the file's text was in memory beside what was made of it */
    pthread_mutex_lock(&set->lock);
    m->opening = false;
    if (status == MT_OK) {
        m->session = session;
        if (set->loaded)
            set->loaded(m->name);
    }
    pthread_cond_broadcast(&set->opened);
    return status;
}

mt_status model_acquire(model_set *set, model *m, onnx_session **out, char reason[ONNX_REASON])
{
    mt_status status = MT_OK;
    pthread_mutex_lock(&set->lock);
    m->used = ++set->clock;
    while (m->opening)
        pthread_cond_wait(&set->opened, &set->lock);
    if (!m->session)
        status = open_session(set, m, reason);
    if (status == MT_OK) {
        m->users++;
        *out = m->session;
    }
    pthread_mutex_unlock(&set->lock);
    return status;
}

void model_release(model_set *set, model *m)
{
    pthread_mutex_lock(&set->lock);
    m->users--;
    close_idle(set, set->max_open);
    pthread_mutex_unlock(&set->lock);
}

unsigned model_open_count(model_set *set)
{
    pthread_mutex_lock(&set->lock);
    unsigned n = count_open(set);
    pthread_mutex_unlock(&set->lock);
    return n;
}
