#include "base/names.h"

#include <stdlib.h>
#include <string.h>

static int find(const mti_names *n, const char *name)
{
    for (unsigned i = 0; i < n->count; i++)
        if (!strcmp(n->list[i], name))
            return (int)i;
    return -1;
}

int mti_names_find(mti_names *n, const char *name)
{
    pthread_mutex_lock(&n->lock);
    int id = find(n, name);
    pthread_mutex_unlock(&n->lock);
    return id;
}

int mti_names_id(mti_names *n, const char *name)
{
    pthread_mutex_lock(&n->lock);
    int id = find(n, name);
    if (id < 0 && n->count < n->max && (n->list[n->count] = strdup(name))) {
        id = (int)n->count;
        __atomic_store_n(&n->count, n->count + 1, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&n->lock);
    return id;
}

unsigned mti_names_count(const mti_names *n)
{
    return __atomic_load_n(&n->count, __ATOMIC_ACQUIRE);
}

const char *mti_names_get(const mti_names *n, int id)
{
    return id >= 0 && (unsigned)id < mti_names_count(n) ? n->list[id] : NULL;
}

void mti_names_dispose(mti_names *n)
{
    while (n->count)
        free((char *)n->list[--n->count]);
    pthread_mutex_destroy(&n->lock);
}
