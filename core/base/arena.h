/* Region allocation for one call: everything is released at once. Single-threaded. */
#ifndef MTI_BASE_ARENA_H
#define MTI_BASE_ARENA_H

#include <mortise/types.h>

typedef struct mti_arena_block mti_arena_block;
typedef struct mti_defer mti_defer;

typedef struct mti_arena {
    mti_arena_block *head;
    mti_defer *defers;   /* run in reverse order by reset and dispose */
    size_t used, limit;  /* bytes handed out, and the most there may be */
} mti_arena;

/* limit 0 means 64 MiB. Allocates nothing until first use. */
void mti_arena_init(mti_arena *a, size_t limit);
/* Runs the defers, frees all but the first block (kept for reuse). */
void mti_arena_reset(mti_arena *a);
void mti_arena_dispose(mti_arena *a);

/* Zeroed, aligned to 16. NULL when over the limit or out of memory. */
void *mti_arena_try_alloc(mti_arena *a, size_t n);
/* As above, but regardless of the limit, and aborts the process on out of memory; for sizes the caller bounds. */
void *mti_arena_alloc(mti_arena *a, size_t n);
/* Copies with a NUL behind it. */
char *mti_arena_strndup(mti_arena *a, const char *p, size_t n);
mt_slice mti_arena_slice(mti_arena *a, mt_slice s);
char *mti_arena_printf(mti_arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Runs fn(arg) when the arena is reset or disposed, last registered first. Acquire, then defer on the next line. */
void mti_arena_defer(mti_arena *a, void (*fn)(void *), void *arg);
/* Takes a defer back (its newest registration); false when it was not there. */
bool mti_arena_undefer(mti_arena *a, void (*fn)(void *), void *arg);

#endif
