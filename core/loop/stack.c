/*
 * Fiber stacks: a guard that no one can touch, the stack, and the fiber's struct on top. Freed ones
 * are kept in a pool; those that may have grown deep are given back to the system page by page,
 * except for their top.
 */
#include "loop/internal.h"

#include <sys/mman.h>

#include "loop/sanitize.h"

/* Wider than a page so that a frame with a large array cannot step over it. Only address space. */
#define GUARD_SIZE (64u * 1024)
#if MTI_ASAN || MTI_TSAN
#define STACK_SIZE (1024u * 1024) /* instrumented frames are several times larger */
#else
#define STACK_SIZE (256u * 1024)
#endif
#define MAP_SIZE   (GUARD_SIZE + STACK_SIZE)
#define KEEP_SIZE  (16u * 1024) /* of the top, when trimmed */
#define POOL_MAX   1024         /* more free stacks than this are unmapped */
#define POOL_WARM  128          /* more than this are trimmed */
#define TRIM_EVERY 64           /* uses, because depth between suspensions is not seen */

static mti_fiber *map_stack(void)
{
    char *map = mmap(NULL, MAP_SIZE, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (map == MAP_FAILED)
        return NULL;
    if (mprotect(map, GUARD_SIZE, PROT_NONE) != 0) {
        munmap(map, MAP_SIZE);
        return NULL;
    }
    size_t head = (sizeof(mti_fiber) + 63) / 64 * 64;
    mti_fiber *f = (mti_fiber *)(map + MAP_SIZE - head);
    f->map = map;
    f->valgrind_id = mti_valgrind_register(map + GUARD_SIZE, map + MAP_SIZE);
    return f;
}

static void unmap_stack(mti_fiber *f)
{
    mti_valgrind_deregister(f->valgrind_id);
    mti_asan_unpoison(f->map + GUARD_SIZE, STACK_SIZE);
    munmap(f->map, MAP_SIZE);
}

mti_fiber *mti_stack_take(mti_loop *l)
{
    mti_fibers *fs = &l->fibers;
    mti_fiber *f = fs->pool;
    if (!f) {
        f = map_stack();
    } else {
        fs->pool = f->next;
        fs->pooled--;
        mti_asan_unpoison(f->map + GUARD_SIZE, mti_stack_size(f));
    }
    if (f)
        f->low = (char *)f;
    return f;
}

void mti_stack_give(mti_loop *l, mti_fiber *f)
{
    mti_fibers *fs = &l->fibers;
    if (fs->pooled >= POOL_MAX) {
        unmap_stack(f);
        return;
    }
    char *keep = f->map + MAP_SIZE - KEEP_SIZE;
    if (f->low < keep || fs->pooled >= POOL_WARM || ++f->uses % TRIM_EVERY == 0)
        madvise(f->map + GUARD_SIZE, STACK_SIZE - KEEP_SIZE, MADV_DONTNEED);
    f->next = fs->pool;
    fs->pool = f;
    fs->pooled++;
}

void mti_stacks_dispose(mti_loop *l)
{
    while (l->fibers.pool) {
        mti_fiber *f = l->fibers.pool;
        l->fibers.pool = f->next;
        unmap_stack(f);
    }
}

void *mti_stack_bottom(const mti_fiber *f)
{
    return f->map + GUARD_SIZE;
}

size_t mti_stack_size(const mti_fiber *f)
{
    return (size_t)((const char *)f - (f->map + GUARD_SIZE));
}

bool mti_stack_overflowed(const mti_fiber *f, const void *address)
{
    const char *p = address;
    return p >= f->map && p < f->map + GUARD_SIZE;
}
