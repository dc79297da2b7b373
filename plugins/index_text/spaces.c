#include "spaces.h"

#include <stdio.h>
#include <stdlib.h>

enum { PATH_SIZE = 4200, PLACES = 4096, MAX_OPEN = 1024 };

struct spaces {
    pthread_mutex_t lock;        /* the lists */
    space *places[PLACES];
    space *newest, *oldest;      /* of those that may be open */
    size_t open;                 /* how many are in that order */
};

spaces *spaces_create(void)
{
    spaces *s = calloc(1, sizeof *s);
    if (s)
        pthread_mutex_init(&s->lock, NULL);
    return s;
}

void spaces_destroy(spaces *s)
{
    for (size_t i = 0; i < PLACES; i++)
        for (space *x = s->places[i], *next; x; x = next) {
            next = x->next;
            text_close(x->index);
            pthread_rwlock_destroy(&x->lock);
            pthread_mutex_destroy(&x->writer);
            free(x);
        }
    pthread_mutex_destroy(&s->lock);
    free(s);
}

void space_lock(space *x)
{
    pthread_mutex_lock(&x->writer);
    pthread_rwlock_wrlock(&x->lock);
}

void space_unlock(space *x)
{
    pthread_rwlock_unlock(&x->lock);
    pthread_mutex_unlock(&x->writer);
}

void space_publish(space *x)
{
    atomic_store(&x->version, x->index ? (int64_t)(text_get_meta(x->index)->version >> SPACE_STEP_BITS) : -1);
}

static void forget_use(spaces *s, space *x)
{
    if (!x->newer && s->newest != x)
        return;
    *(x->newer ? &x->newer->older : &s->newest) = x->older;
    *(x->older ? &x->older->newer : &s->oldest) = x->newer;
    x->newer = x->older = NULL;
    s->open--;
}

static void note_use(spaces *s, space *x)
{
    forget_use(s, x);
    x->older = s->newest;
    *(s->newest ? &s->newest->newer : &s->oldest) = x;
    s->newest = x;
    s->open++;
}

static bool try_lock(space *x)
{
    if (pthread_mutex_trylock(&x->writer))
        return false;
    if (!pthread_rwlock_trywrlock(&x->lock))
        return true;
    pthread_mutex_unlock(&x->writer);
    return false;
}

void spaces_close_idle(spaces *s)
{
    pthread_mutex_lock(&s->lock);
    space *x = s->open > MAX_OPEN ? s->oldest : NULL;
    bool idle = x && try_lock(x);
    if (idle)
        forget_use(s, x);
    else if (x)
        note_use(s, x);
    pthread_mutex_unlock(&s->lock);
    if (!idle)
        return;
    text_close(x->index);
    x->index = NULL;
    space_publish(x);
    space_unlock(x);
}

bool space_parse_id(mt_slice text, text_id *out)
{
    size_t n = 0;
    if (text.len != 36)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        char ch = text.p[i];
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        int v = ch >= '0' && ch <= '9' ? ch - '0' : ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : -1;
        if (dash ? ch != '-' : v < 0)
            return false;
        if (dash)
            continue;
        out->b[n / 2] = (uint8_t)(n % 2 ? out->b[n / 2] << 4 | v : v);
        n++;
    }
    return true;
}

static uint32_t place_of(const char *key)
{
    uint32_t h = 2166136261u;
    for (const char *p = key; *p; p++)
        h = (h ^ (unsigned char)*p) * 16777619u;
    return h % PLACES;
}

static space *make_space(mt_slice data, const char *key)
{
    size_t size = data.len + strlen(key) + sizeof "/indexes/.txt";
    space *x = size < PATH_SIZE ? calloc(1, sizeof *x + size + strlen(key) + 1) : NULL;
    if (!x)
        return NULL;
    snprintf(x->path, size, "%.*s/indexes/%s.txt", (int)data.len, data.p, key);
    x->key = strcpy(x->path + size, key);
    pthread_mutex_init(&x->writer, NULL);
    pthread_rwlock_init(&x->lock, NULL);
    atomic_store(&x->version, -1);
    return x;
}

space *spaces_get(spaces *s, mt_slice data, mt_slice org, mt_slice workspace)
{
    char key[80];
    text_id ignored;
    if (!space_parse_id(workspace, &ignored))
        return NULL;
    snprintf(key, sizeof key, "%.*s/%.*s", (int)org.len, org.p ? org.p : "", (int)workspace.len, workspace.p);
    pthread_mutex_lock(&s->lock);
    space **place = &s->places[place_of(key)], *x = *place;
    while (x && strcmp(x->key, key))
        x = x->next;
    if (!x && (x = make_space(data, key))) {
        x->next = *place;
        *place = x;
    }
    if (x)
        note_use(s, x);
    pthread_mutex_unlock(&s->lock);
    return x;
}
