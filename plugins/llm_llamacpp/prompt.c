/* Messages to tokens, in the model's own template. */
#include "engine_internal.h"

#include <stdio.h>
#include <stdlib.h>

enum { MAX_MESSAGES = 1024 };

typedef struct token_list {
    int32_t *p;
    size_t n, cap;
} token_list;

static mt_status tokenize(const engine *e, token_list *t, const char *p, size_t n, bool first, bool control)
{
    if (n > 1u << 24)
        return MT_INVALID;
    if (t->n + n + 8 > t->cap) {
        size_t cap = (t->n + n + 8) * 2;
        int32_t *more = realloc(t->p, cap * sizeof *more);
        if (!more)
            return MT_NO_MEMORY;
        t->p = more;
        t->cap = cap;
    }
    int32_t got = e->api->llama_tokenize(e->vocab, p, (int32_t)n, t->p + t->n, (int32_t)(t->cap - t->n), first, control);
    if (got < 0)
        return MT_INVALID;
    t->n += (size_t)got;
    return MT_OK;
}

/* The template around place holders (\x02NUMBER\x03), so that only what the template says can be a control token. */
static char *render(const engine *e, const engine_message *m, size_t n, int32_t *len)
{
    struct llama_chat_message *chat = calloc(n, sizeof *chat);
    char (*holders)[24] = calloc(n, sizeof *holders), *text = NULL;
    const char *template = e->api->llama_model_chat_template(e->model, NULL);
    for (size_t i = 0; chat && holders && i < n; i++) {
        snprintf(holders[i], sizeof holders[i], "\x02%zu\x03", i);
        bool assistant = mt_slice_eq(m[i].role, MT_SLICE("assistant")), system = mt_slice_eq(m[i].role, MT_SLICE("system"));
        chat[i] = (struct llama_chat_message){assistant ? "assistant" : system ? "system" : "user", holders[i]};
    }
    if (chat && holders) {
        *len = e->api->llama_chat_apply_template(template, chat, n, true, NULL, 0);
        if (!template || *len < 0)  /* none, or of no family that llama.cpp knows: the most common one */
            *len = e->api->llama_chat_apply_template(template = "chatml", chat, n, true, NULL, 0);
        if (*len > 0 && (text = malloc((size_t)*len + 1)))
            *len = e->api->llama_chat_apply_template(template, chat, n, true, text, *len + 1);
    }
    free(holders);
    free(chat);
    return text;
}

static mt_status tokenize_all(const engine *e, const engine_message *m, size_t n, const char *p, size_t len, token_list *t)
{
    const char *end = p + len;
    bool first = true;
    while (p < end) {
        const char *holder = memchr(p, '\x02', (size_t)(end - p));
        MT_TRY(tokenize(e, t, p, (size_t)((holder ? holder : end) - p), first, true));
        first = false;
        if (!holder)
            break;
        char *after;
        unsigned long i = strtoul(holder + 1, &after, 10);
        if (i >= n || after >= end || *after != '\x03')
            return MT_INTERNAL;
        MT_TRY(tokenize(e, t, m[i].content.p, m[i].content.len, false, false));
        p = after + 1;
    }
    return t->n ? MT_OK : MT_INVALID;
}

mt_status engine_tokenize(engine *e, const engine_message *m, size_t n, int32_t **tokens, size_t *n_tokens)
{
    token_list t = {0};
    int32_t len = 0;
    if (!n || n > MAX_MESSAGES)
        return MT_INVALID;
    pthread_rwlock_rdlock(&e->loaded);
    char *text = e->model ? render(e, m, n, &len) : NULL;
    mt_status s = !e->model ? MT_UNAVAILABLE : !text ? MT_NO_MEMORY : tokenize_all(e, m, n, text, (size_t)len, &t);
    pthread_rwlock_unlock(&e->loaded);
    free(text);
    if (s != MT_OK) {
        free(t.p);
        t = (token_list){0};
    }
    *tokens = t.p;
    *n_tokens = t.n;
    return s;
}

bool engine_count(engine *e, mt_slice text, uint32_t *tokens)
{
    /* A load holds the lock for as long as it takes; an estimate is better than waiting. */
    if (pthread_rwlock_tryrdlock(&e->loaded))
        return false;
    bool known = e->vocab && text.len < INT32_MAX;
    int32_t n = known ? e->api->llama_tokenize(e->vocab, text.p, (int32_t)text.len, NULL, 0, false, false) : 0;
    *tokens = n < 0 ? (uint32_t)-n : (uint32_t)n;
    pthread_rwlock_unlock(&e->loaded);
    return known;
}
