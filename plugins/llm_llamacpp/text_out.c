#include "text_out.h"

#include <stdlib.h>

void text_out_dispose(text_out *t)
{
    for (size_t i = 0; i < t->n_stops; i++)
        free(t->stops[i]);
    free(t->p);
    *t = (text_out){0};
}

mt_status text_out_add_stop(text_out *t, mt_slice stop)
{
    if (!stop.len || t->n_stops == TEXT_OUT_STOPS || memchr(stop.p, 0, stop.len))
        return MT_INVALID;
    char *copy = strndup(stop.p, stop.len);
    if (!copy)
        return MT_NO_MEMORY;
    t->stops[t->n_stops++] = copy;
    return MT_OK;
}

/* How many bytes a character has by its first; 1 for what begins none. */
static size_t char_length(unsigned char c)
{
    return c >= 0xF0 && c < 0xF5 ? 4 : c >= 0xE0 && c < 0xF0 ? 3 : c >= 0xC2 && c < 0xE0 ? 2 : 1;
}

/* The bytes at the end of p that begin a character and do not end it. */
static size_t unfinished(const char *p, size_t n)
{
    for (size_t back = 1; back <= 3 && back <= n; back++) {
        unsigned char c = (unsigned char)p[n - back];
        if (c < 0x80)
            return 0;
        if (c >= 0xC0)
            return char_length(c) > back ? back : 0;
    }
    return 0;
}

/* The longest end of p that begins a stop string. */
static size_t held_for(const char *p, size_t n, const char *stop)
{
    size_t len = strlen(stop), most = n < len - 1 ? n : len - 1;
    while (most > 0 && memcmp(p + n - most, stop, most) != 0)
        most--;
    return most;
}

static bool find_stop(text_out *t)
{
    const char *first = NULL;
    for (size_t i = 0; i < t->n_stops; i++) {
        const char *at = memmem(t->p, t->len, t->stops[i], strlen(t->stops[i]));
        if (at && (!first || at < first))
            first = at;
    }
    if (!first)
        return false;
    t->len = t->ready = (size_t)(first - t->p);
    return t->stopped = true;
}

mt_status text_out_put(text_out *t, const char *p, size_t n)
{
    if (t->stopped)
        return MT_OK;
    if (t->len + n > t->cap) {
        size_t cap = (t->len + n) * 2;
        char *more = realloc(t->p, cap);
        if (!more)
            return MT_NO_MEMORY;
        t->p = more;
        t->cap = cap;
    }
    if (n)
        memcpy(t->p + t->len, p, n);
    t->len += n;
    if (t->n_stops && t->len && find_stop(t))
        return MT_OK;
    size_t held = 0;
    for (size_t i = 0; i < t->n_stops; i++) {
        size_t h = held_for(t->p, t->len, t->stops[i]);
        held = h > held ? h : held;
    }
    t->ready = t->len - held;
    if (t->ready)
        t->ready -= unfinished(t->p, t->ready);
    return MT_OK;
}

void text_out_end(text_out *t)
{
    t->ready = t->len ? t->len - unfinished(t->p, t->len) : 0;
    t->len = t->ready;
}

static bool is_char(const unsigned char *p, size_t n)
{
    size_t need = char_length(p[0]);
    if (need > n || (need == 1 && p[0] >= 0x80))
        return false;
    for (size_t i = 1; i < need; i++)
        if ((p[i] & 0xC0) != 0x80)
            return false;
    return !((p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xED && p[1] >= 0xA0) || (p[0] == 0xF0 && p[1] < 0x90) || (p[0] == 0xF4 && p[1] >= 0x90));
}

mt_status text_out_take(text_out *t, char **out, size_t *len)
{
    if (!t->ready)
        return MT_OK;
    char *to = realloc(*out, *len + t->ready * 3);
    if (!to)
        return MT_NO_MEMORY;
    *out = to;
    to += *len;
    for (size_t i = 0; i < t->ready;) {
        const unsigned char *p = (unsigned char *)t->p + i;
        bool good = is_char(p, t->ready - i);
        size_t n = good ? char_length(*p) : 3;
        memcpy(to, good ? (const char *)p : "\xEF\xBF\xBD", n);
        to += n;
        i += good ? n : 1;
    }
    *len = (size_t)(to - *out);
    memmove(t->p, t->p + t->ready, t->len - t->ready);
    t->len -= t->ready;
    t->ready = 0;
    return MT_OK;
}
