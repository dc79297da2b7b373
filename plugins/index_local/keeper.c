#include "keeper.h"

#include <stdlib.h>
#include <sys/resource.h>

#include <mortise/json.h>

#include "index_file.h"

struct keeper {
    pthread_mutex_t lock;
    space *first, *last;         /* the line */
    pthread_cond_t work;
    pthread_t thread;
    bool runs, stop;             /* stop: it shall end */
};

keeper *keeper_create(void)
{
    keeper *k = calloc(1, sizeof *k);
    if (!k)
        return NULL;
    pthread_mutex_init(&k->lock, NULL);
    pthread_cond_init(&k->work, NULL);
    return k;
}

void keeper_ask(keeper *k, space *x)
{
    pthread_mutex_lock(&k->lock);
    if (!x->then) {
        *(k->first ? &k->last->then : &k->first) = x;
        k->last = x->then = x;
        pthread_cond_signal(&k->work);
    }
    pthread_mutex_unlock(&k->lock);
}

/* Reads all of a file that was opened. Nobody unmaps it meanwhile, so changes and searches go on. False: it was damaged and is gone. */
static bool verify(space *x)
{
    char reason[INDEX_REASON];
    pthread_rwlock_rdlock(&x->at.lock);
    vector_index *index = x->at.index;
    pthread_rwlock_unlock(&x->at.lock);
    if (!index)
        return false;
    if (x->verified || index_verify(index, reason) == MT_OK)
        return x->verified = true;
    space_log_rebuild(x, reason);
    return false;
}

static void keep(space *x)
{
    char reason[INDEX_REASON] = "Out of memory.";
    mt_status status = MT_OK;
    pthread_mutex_lock(&x->keeping);
    bool whole = verify(x), there = x->at.index != NULL;
    for (bool more = whole; more && status == MT_OK;) {
        pthread_rwlock_rdlock(&x->at.lock);
        bool link = index_wants_link(x->at.index), renew = index_wants_renewal(x->at.index);
        pthread_rwlock_unlock(&x->at.lock);
        if (link)
            status = index_link(&x->at);
        else if (renew)
            status = index_renew(&x->at, reason);
        more = link || renew;
    }
    pthread_mutex_unlock(&x->keeping);
    if (there && !whole)
        space_drop(x);
    if (status != MT_OK && status != MT_CANCELLED) {
        const mt_field fields[] = {{MT_SLICE("file"), mt_str(x->path)}, {MT_SLICE("reason"), mt_str(reason)}};
        mt_log(2, "index.keep", fields, 2);
    }
}

static void *run(void *arg)
{
    keeper *k = arg;
    setpriority(PRIO_PROCESS, 0, 10);             /* of this thread alone, on Linux */
    pthread_mutex_lock(&k->lock);
    while (!k->stop) {
        space *x = k->first;
        if (!x) {
            pthread_cond_wait(&k->work, &k->lock);
            continue;
        }
        k->first = x->then == x ? NULL : x->then;
        x->then = NULL;
        pthread_mutex_unlock(&k->lock);
        keep(x);
        pthread_mutex_lock(&k->lock);
    }
    pthread_mutex_unlock(&k->lock);
    return NULL;
}

mt_status keeper_start(keeper *k)
{
    k->runs = pthread_create(&k->thread, NULL, run, k) == 0;
    return k->runs ? MT_OK : MT_NO_MEMORY;
}

void keeper_destroy(keeper *k)
{
    pthread_mutex_lock(&k->lock);
    k->stop = true;
    pthread_cond_signal(&k->work);
    pthread_mutex_unlock(&k->lock);
    if (k->runs)
        pthread_join(k->thread, NULL);
    pthread_cond_destroy(&k->work);
    pthread_mutex_destroy(&k->lock);
    free(k);
}
