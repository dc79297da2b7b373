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

static bool shares_tokens(const model_set *set, unsigned i)
{
    for (unsigned k = 0; k < i; k++)
        if (set->items[k]->tokens == set->items[i]->tokens)
            return true;
    return false;
}

void model_set_dispose(model_set *set)
{
    while (set->n > 0) {
        model *m = set->items[set->n - 1];
        onnx_session_close(m->session);
        if (!shares_tokens(set, set->n - 1))
            wordpiece_destroy(m->tokens);
        free(m);
        set->n--;
    }
    pthread_mutex_destroy(&set->lock);
    pthread_cond_destroy(&set->opened);
}

model *model_find(const model_set *set, mt_slice name)
{
    for (unsigned i = 0; i < set->n; i++)
        if (mt_slice_eq(name, mt_str(set->items[i]->name)))
            return set->items[i];
    return NULL;
}

static wordpiece *known_tokens(const model_set *set, const char *digest)
{
    for (unsigned i = 0; *digest && i < set->n; i++)
        if (!strcmp(set->items[i]->vocabulary, digest))
            return set->items[i]->tokens;
    return NULL;
}

static uint32_t room_for_text(const model *m)
{
    size_t prefix = wordpiece_count(m->tokens, m->prefix, strlen(m->prefix));
    return prefix < m->window ? m->window - (uint32_t)prefix : 0;
}

mt_status model_add(model_set *set, const model *description, const char *vocab, char reason[WORDPIECE_REASON])
{
    if (model_find(set, mt_str(description->name)))
        return MT_OK;
    if (set->n == MODELS_MAX) {
        snprintf(reason, WORDPIECE_REASON, "There are more than %d models.", MODELS_MAX);
        return MT_TOO_LARGE;
    }
    wordpiece *tokens = known_tokens(set, description->vocabulary);
    if (!tokens)
        MT_TRY(wordpiece_load(&tokens, vocab, reason));
    model *m = malloc(sizeof *m);
    if (!m) {
        if (!known_tokens(set, description->vocabulary))
            wordpiece_destroy(tokens);
        return MT_NO_MEMORY;
    }
    *m = *description;
    m->tokens = tokens;
    m->max_tokens = room_for_text(m);
    set->items[set->n++] = m;
    return MT_OK;
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
    malloc_trim(0);              /* the file's text was in memory beside what was made of it */
    pthread_mutex_lock(&set->lock);
    m->opening = false;
    if (status == MT_OK)
        m->session = session;
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
