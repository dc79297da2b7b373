#include "places.h"

#include <pthread.h>
#include <stdlib.h>

enum { SLOTS = 4096 };

struct mt_places {
    pthread_mutex_t lock;
    mt_place *slots[SLOTS];
    mt_place *newest, *oldest;       /* of those in use */
    size_t used;
};

mt_places *mt_places_create(void)
{
    mt_places *l = calloc(1, sizeof *l);
    if (l)
        pthread_mutex_init(&l->lock, NULL);
    return l;
}

void mt_places_each(mt_places *l, void (*visit)(mt_place *p))
{
    pthread_mutex_lock(&l->lock);
    for (size_t i = 0; i < SLOTS; i++)
        for (mt_place *p = l->slots[i], *next; p; p = next) {
            next = p->next;
            visit(p);
        }
    pthread_mutex_unlock(&l->lock);
}

void mt_places_destroy(mt_places *l, void (*drop)(mt_place *p))
{
    mt_places_each(l, drop);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

static void forget_use(mt_places *l, mt_place *p)
{
    if (!p->newer && l->newest != p)
        return;
    *(p->newer ? &p->newer->older : &l->newest) = p->older;
    *(p->older ? &p->older->newer : &l->oldest) = p->newer;
    p->newer = p->older = NULL;
    l->used--;
}

static void note_use(mt_places *l, mt_place *p)
{
    forget_use(l, p);
    p->older = l->newest;
    *(l->newest ? &l->newest->newer : &l->oldest) = p;
    l->newest = p;
    l->used++;
}

static uint32_t slot_of(const char *key)
{
    uint32_t h = 2166136261u;        /* FNV-1a */
    for (const char *p = key; *p; p++)
        h = (h ^ (unsigned char)*p) * 16777619u;
    return h % SLOTS;
}

mt_place *mt_places_get(mt_places *l, const char *key, mt_place *(*make)(void *arg, const char *key), void *arg)
{
    pthread_mutex_lock(&l->lock);
    mt_place **slot = &l->slots[slot_of(key)], *p = *slot;
    while (p && strcmp(p->key, key))
        p = p->next;
    if (!p && (p = make(arg, key))) {
        p->next = *slot;
        *slot = p;
    }
    if (p)
        note_use(l, p);
    pthread_mutex_unlock(&l->lock);
    return p;
}

mt_place *mt_places_take_idle(mt_places *l, size_t most, bool (*try_lock)(mt_place *p))
{
    pthread_mutex_lock(&l->lock);
    mt_place *p = l->used > most ? l->oldest : NULL;
    bool idle = p && try_lock(p);
    if (idle)
        forget_use(l, p);
    else if (p)
        note_use(l, p);              /* it is at work: its turn comes again */
    pthread_mutex_unlock(&l->lock);
    return idle ? p : NULL;
}

bool mt_place_parse_id(mt_slice text, uint8_t id[16])
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
        id[n / 2] = (uint8_t)(n % 2 ? id[n / 2] << 4 | v : v);
        n++;
    }
    return true;
}
