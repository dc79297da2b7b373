/*
 * The offload pool. Each owner has a queue; threads take one piece from the owner at the front and
 * move that owner to the back, so an owner with a thousand pieces delays another's single piece by
 * at most one round. A piece lives on the waiting fiber's stack, which is why the fiber outlives a
 * piece that has started.
 */
#include "loop/internal.h"
#include "loop/offload.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define OWNER_MAX_QUEUED 4096
#define BUCKETS          256

typedef struct owner owner;

typedef struct piece {
    void (*fn)(void *arg);
    void *arg;
    mti_fiber *fiber;
    mti_loop *loop;
    owner *owner; /* NULL once taken by a thread */
    struct piece *next, *prev;
    uint32_t tag;
    atomic_bool cancelled;
    bool delivered; /* the loop has its end; loop's thread only */
} piece;

struct owner {
    uint64_t key;
    owner *chain; /* hash bucket, or the free list */
    owner *next;  /* ring of owners with work */
    piece *head, *tail;
    unsigned queued;
};

struct mti_offload {
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t work;
    owner *buckets[BUCKETS];
    owner *free;
    owner *front, *back;
    unsigned idle, threads;
    bool stop;
    pthread_t ids[];
};

static _Thread_local piece *running;

static owner **owner_slot(mti_offload *o, uint64_t key)
{
    owner **at = &o->buckets[(key * 0x9e3779b97f4a7c15u) >> 56];
    while (*at && (*at)->key != key)
        at = &(*at)->chain;
    return at;
}

static owner *owner_take(mti_offload *o, uint64_t key)
{
    owner **at = owner_slot(o, key);
    if (*at)
        return *at;
    owner *w = o->free;
    if (w)
        o->free = w->chain;
    else if (!(w = malloc(sizeof(*w))))
        mti_loop_die("out of memory");
    *w = (owner){.key = key};
    *at = w;
    return w;
}

static void ring_push(mti_offload *o, owner *w)
{
    w->next = NULL;
    if (o->back)
        o->back->next = w;
    else
        o->front = w;
    o->back = w;
}

static owner *ring_pop(mti_offload *o)
{
    owner *w = o->front;
    o->front = w->next;
    if (!o->front)
        o->back = NULL;
    return w;
}

static void ring_remove(mti_offload *o, owner *w)
{
    owner *before = NULL;
    for (owner *at = o->front; at != w; at = at->next)
        before = at;
    if (before)
        before->next = w->next;
    else
        o->front = w->next;
    if (o->back == w)
        o->back = before;
}

static void owner_free(mti_offload *o, owner *w)
{
    *owner_slot(o, w->key) = w->chain;
    w->chain = o->free;
    o->free = w;
}

static void piece_link(owner *w, piece *p)
{
    p->owner = w;
    p->next = NULL;
    p->prev = w->tail;
    if (w->tail)
        w->tail->next = p;
    else
        w->head = p;
    w->tail = p;
    w->queued++;
}

static void piece_unlink(piece *p)
{
    owner *w = p->owner;
    if (p->prev)
        p->prev->next = p->next;
    else
        w->head = p->next;
    if (p->next)
        p->next->prev = p->prev;
    else
        w->tail = p->prev;
    w->queued--;
    p->owner = NULL;
}

static piece *take_piece(mti_offload *o)
{
    owner *w = ring_pop(o);
    piece *p = w->head;
    piece_unlink(p);
    if (w->head)
        ring_push(o, w);
    else
        owner_free(o, w);
    return p;
}

static void on_piece_done(void *arg)
{
    piece *p = arg;
    p->delivered = true;
    mti_fiber_resume(p->fiber, MT_OK);
}

static void piece_run(piece *p)
{
    running = p;
    mti_tag_self = p->tag;
    p->fn(p->arg);
    mti_tag_self = 0;
    running = NULL;
    mti_loop_post(p->loop, on_piece_done, p);
}

/* Below the loops: where cores are scarce, a short request goes before somebody's heavy work. Linux knows a niceness a thread. */
enum { NICENESS = 10 };

static void *thread_main(void *arg)
{
    mti_offload *o = arg;
    mti_altstack alt;
    setpriority(PRIO_PROCESS, (id_t)gettid(), NICENESS);
    mti_altstack_install(&alt);
    pthread_mutex_lock(&o->lock);
    while (o->front || !o->stop) {
        if (!o->front) {
            o->idle++;
            pthread_cond_wait(&o->work, &o->lock);
            o->idle--;
            continue;
        }
        piece *p = take_piece(o);
        pthread_mutex_unlock(&o->lock);
        piece_run(p);
        pthread_mutex_lock(&o->lock);
    }
    pthread_mutex_unlock(&o->lock);
    mti_altstack_remove(&alt);
    return NULL;
}

mti_offload *mti_offload_create(unsigned threads)
{
    if (!threads)
        threads = 1;
    mti_offload *o = calloc(1, sizeof(*o) + threads * sizeof(o->ids[0]));
    if (!o)
        mti_loop_die("out of memory");
    pthread_mutex_init(&o->lock, NULL);
    pthread_cond_init(&o->work, NULL);
    o->threads = threads;
    for (unsigned i = 0; i < threads; i++)
        if (pthread_create(&o->ids[i], NULL, thread_main, o) != 0)
            mti_loop_die("no thread for the offload pool");
    return o;
}

void mti_offload_destroy(mti_offload *o)
{
    if (!o)
        return;
    pthread_mutex_lock(&o->lock);
    if (o->front)
        mti_loop_die("an offload pool is destroyed while work is queued");
    o->stop = true;
    pthread_cond_broadcast(&o->work);
    pthread_mutex_unlock(&o->lock);
    for (unsigned i = 0; i < o->threads; i++)
        pthread_join(o->ids[i], NULL);
    while (o->free) {
        owner *w = o->free;
        o->free = w->chain;
        free(w);
    }
    pthread_cond_destroy(&o->work);
    pthread_mutex_destroy(&o->lock);
    free(o);
}

static mt_status enqueue(mti_offload *o, uint64_t key, piece *p)
{
    pthread_mutex_lock(&o->lock);
    owner *w = owner_take(o, key);
    bool room = w->queued < OWNER_MAX_QUEUED;
    if (room) {
        if (!w->head)
            ring_push(o, w);
        piece_link(w, p);
        if (o->idle)
            pthread_cond_signal(&o->work);
    }
    pthread_mutex_unlock(&o->lock);
    return room ? MT_OK : MT_LIMITED;
}

/* Takes a piece back that no thread has started; false when one has. */
static bool withdraw(mti_offload *o, piece *p)
{
    pthread_mutex_lock(&o->lock);
    owner *w = p->owner;
    if (w) {
        piece_unlink(p);
        if (!w->head) {
            ring_remove(o, w);
            owner_free(o, w);
        }
    }
    pthread_mutex_unlock(&o->lock);
    return w != NULL;
}

mt_status mti_offload_run(mti_offload *o, uint64_t owner, void (*fn)(void *arg), void *arg)
{
    mti_fiber *f = mti_fiber_current();
    if (!f)
        mti_loop_die("a suspending function is called outside a fiber");
    if (f->cancelled && !f->shields)
        return MT_CANCELLED;
    piece p = {.fn = fn, .arg = arg, .fiber = f, .loop = f->loop, .tag = f->tag};
    MT_TRY(enqueue(o, owner, &p));
    if (mti_fiber_suspend() == MT_OK)
        return MT_OK;
    if (withdraw(o, &p))
        return MT_CANCELLED;
    atomic_store(&p.cancelled, true);
    mti_fiber_shield(true);
    while (!p.delivered)
        mti_fiber_suspend();
    mti_fiber_shield(false);
    return MT_CANCELLED;
}

mti_fiber *mti_offload_fiber(void)
{
    return running ? running->fiber : NULL;
}

bool mti_offload_cancelled(void)
{
    return running && atomic_load_explicit(&running->cancelled, memory_order_relaxed);
}
