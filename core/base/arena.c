#include "base/arena.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1 /* gcc defines it, clang does not */
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define POISON(p, n)   __asan_poison_memory_region((p), (n))
#define UNPOISON(p, n) __asan_unpoison_memory_region((p), (n))
#else
#define POISON(p, n)   ((void)0)
#define UNPOISON(p, n) ((void)0)
#endif

#define ARENA_DEFAULT_LIMIT ((size_t)64 << 20)
#define BLOCK_FIRST         ((size_t)4096)
#define BLOCK_LARGEST       ((size_t)65536)

struct mti_arena_block {
    mti_arena_block *next; /* the block that was filled before this one */
    size_t used, size;     /* of bytes[] */
    _Alignas(16) unsigned char bytes[];
};

struct mti_defer {
    mti_defer *next;
    void (*fn)(void *);
    void *arg;
};

static size_t round16(size_t n)
{
    return (n + 15) & ~(size_t)15;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SPARES = 0 }; /* every block is fresh, so that its misuse is seen */
#else
enum { SPARES = 64 };
#endif

/* First blocks that a thread has freed. Most arenas live as long as a request and never need
 * another, and malloc takes its slow way for blocks of this size. */
typedef struct spares {
    mti_arena_block *list;
    unsigned n;
    bool closed; /* the thread is ending */
} spares;

static _Thread_local spares spare;
static pthread_key_t spare_key;
static pthread_once_t spare_once = PTHREAD_ONCE_INIT;

static void spares_free(void *arg)
{
    spares *s = arg;
    s->closed = true;
    while (s->list) {
        mti_arena_block *block = s->list;
        s->list = block->next;
        free(block);
    }
}

static void spares_prepare(void)
{
    if (pthread_key_create(&spare_key, spares_free))
        abort();
}

static bool spare_put(mti_arena_block *block)
{
    if (block->size != BLOCK_FIRST || spare.n + 1 > SPARES || spare.closed)
        return false;
    if (!spare.n) {
        pthread_once(&spare_once, spares_prepare);
        pthread_setspecific(spare_key, &spare);
    }
    block->next = spare.list;
    spare.list = block;
    spare.n++;
    return true;
}

static mti_arena_block *spare_take(size_t size)
{
    mti_arena_block *block = spare.list;
    if (size != BLOCK_FIRST || !block)
        return NULL;
    spare.list = block->next;
    spare.n--;
    return block;
}

static mti_arena_block *block_create(size_t size)
{
    mti_arena_block *block = spare_take(size);
    if (!block)
        block = malloc(sizeof *block + size);
    if (!block)
        return NULL;
    *block = (mti_arena_block){.size = size};
    POISON(block->bytes, size);
    return block;
}

static void block_destroy(mti_arena_block *block)
{
    UNPOISON(block->bytes, block->size);
    if (!spare_put(block))
        free(block);
}

/* A block with room for n bytes. One that n fills alone goes behind the head, whose rest stays in
 * use. */
static mti_arena_block *arena_add_block(mti_arena *a, size_t n)
{
    size_t size = a->head ? a->head->size * 2 : BLOCK_FIRST;
    if (size > BLOCK_LARGEST)
        size = BLOCK_LARGEST;
    bool alone = n > size / 2;
    mti_arena_block *block = block_create(alone ? n : size);
    if (!block)
        return NULL;
    mti_arena_block **link = alone && a->head ? &a->head->next : &a->head;
    block->next = *link;
    *link = block;
    return block;
}

static void arena_run_defers(mti_arena *a)
{
    while (a->defers) {
        mti_defer *d = a->defers;
        a->defers = d->next;
        d->fn(d->arg);
    }
}

void mti_arena_init(mti_arena *a, size_t limit)
{
    *a = (mti_arena){.limit = limit ? limit : ARENA_DEFAULT_LIMIT};
}

void mti_arena_reset(mti_arena *a)
{
    arena_run_defers(a);
    while (a->head && (a->head->next || a->head->size > BLOCK_LARGEST)) {
        mti_arena_block *next = a->head->next;
        block_destroy(a->head);
        a->head = next;
    }
    if (a->head) {
        a->head->used = 0;
        POISON(a->head->bytes, a->head->size);
    }
    a->used = 0;
}

void mti_arena_dispose(mti_arena *a)
{
    mti_arena_reset(a);
    if (a->head)
        block_destroy(a->head);
    a->head = NULL;
}

static void *arena_take(mti_arena *a, size_t n)
{
    size_t room = round16(n ? n : 1);
    mti_arena_block *block = a->head;
    if (n > SIZE_MAX / 2)
        return NULL;
    if (!block || block->size - block->used < room)
        block = arena_add_block(a, room);
    if (!block)
        return NULL;
    unsigned char *p = block->bytes + block->used;
    block->used += room;
    a->used += n;
    UNPOISON(p, n ? n : 1);
    return memset(p, 0, n ? n : 1);
}

void *mti_arena_try_alloc(mti_arena *a, size_t n)
{
    return n > a->limit || a->limit - n < a->used ? NULL : arena_take(a, n);
}

/* Over the limit it still answers: one call that was greedy must not end the process. */
void *mti_arena_alloc(mti_arena *a, size_t n)
{
    void *p = arena_take(a, n);
    if (!p) {
        fprintf(stderr, "arena: %zu bytes wanted, %zu used: out of memory\n", n, a->used);
        abort();
    }
    return p;
}

char *mti_arena_strndup(mti_arena *a, const char *p, size_t n)
{
    char *copy = mti_arena_alloc(a, n + 1);
    if (n)
        memcpy(copy, p, n);
    return copy;
}

mt_slice mti_arena_slice(mti_arena *a, mt_slice s)
{
    return (mt_slice){mti_arena_strndup(a, s.p, s.len), s.len};
}

char *mti_arena_printf(mti_arena *a, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *s = mti_arena_alloc(a, n < 0 ? 1 : (size_t)n + 1);
    if (n > 0)
        vsnprintf(s, (size_t)n + 1, fmt, again);
    va_end(again);
    return s;
}

void mti_arena_defer(mti_arena *a, void (*fn)(void *), void *arg)
{
    mti_defer *d = mti_arena_alloc(a, sizeof *d);
    *d = (mti_defer){.next = a->defers, .fn = fn, .arg = arg};
    a->defers = d;
}

bool mti_arena_undefer(mti_arena *a, void (*fn)(void *), void *arg)
{
    for (mti_defer **link = &a->defers; *link; link = &(*link)->next) {
        if ((*link)->fn == fn && (*link)->arg == arg) {
            *link = (*link)->next;
            return true;
        }
    }
    return false;
}
