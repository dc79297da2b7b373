#include "spaces.h"

#include <stdio.h>
#include <stdlib.h>

enum { PATH_SIZE = 4200, MAX_OPEN = 1024 };

static void drop(mt_place *p)
{
    space *x = (space *)p;
    text_close(x->index);
    pthread_rwlock_destroy(&x->lock);
    pthread_mutex_destroy(&x->writer);
    free(x);
}

void spaces_destroy(mt_places *s)
{
    mt_places_destroy(s, drop);
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

static bool try_lock(mt_place *p)
{
    space *x = (space *)p;
    if (pthread_mutex_trylock(&x->writer))
        return false;
    if (!pthread_rwlock_trywrlock(&x->lock))
        return true;
    pthread_mutex_unlock(&x->writer);
    return false;
}

void spaces_close_idle(mt_places *s)
{
    space *x = (space *)mt_places_take_idle(s, MAX_OPEN, try_lock);
    if (!x)
        return;
    text_close(x->index);
    x->index = NULL;
    space_publish(x);
    space_unlock(x);
}

static mt_place *make(void *arg, const char *key)
{
    const mt_slice *data = arg;
    size_t size = data->len + strlen(key) + sizeof "/indexes/.txt";
    space *x = size < PATH_SIZE ? calloc(1, sizeof *x + size + strlen(key) + 1) : NULL;
    if (!x)
        return NULL;
    snprintf(x->path, size, "%.*s/indexes/%s.txt", (int)data->len, data->p, key);
    x->place.key = strcpy(x->path + size, key);
    pthread_mutex_init(&x->writer, NULL);
    pthread_rwlock_init(&x->lock, NULL);
    atomic_store(&x->version, -1);
    return &x->place;
}

space *spaces_get(mt_places *s, mt_slice data, mt_slice org, mt_slice workspace)
{
    char key[80];
    uint8_t ignored[16];
    if (!mt_place_parse_id(workspace, ignored))
        return NULL;
    snprintf(key, sizeof key, "%.*s/%.*s", (int)org.len, org.p ? org.p : "", (int)workspace.len, workspace.p);
    return (space *)mt_places_get(s, key, make, &data);
}
