/* What the sanitizers and valgrind must be told about stacks that change under a thread; nothing in
 * a plain build. */
#ifndef MTI_LOOP_SANITIZE_H
#define MTI_LOOP_SANITIZE_H

#include <stddef.h>

#ifdef __SANITIZE_ADDRESS__
#define MTI_ASAN 1
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#else
#define MTI_ASAN 0
#endif

#ifdef __SANITIZE_THREAD__
#define MTI_TSAN 1
#include <sanitizer/tsan_interface.h>
#else
#define MTI_TSAN 0
#endif

#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#define MTI_VALGRIND 1
#else
#define MTI_VALGRIND 0
#endif

static inline unsigned mti_valgrind_register(void *bottom, void *top)
{
#if MTI_VALGRIND
    return VALGRIND_STACK_REGISTER(bottom, top);
#else
    return 0;
#endif
}

static inline void mti_valgrind_deregister(unsigned id)
{
#if MTI_VALGRIND
    VALGRIND_STACK_DEREGISTER(id);
#endif
}

static inline void mti_asan_unpoison(void *p, size_t n)
{
#if MTI_ASAN
    __asan_unpoison_memory_region(p, n);
#endif
}

/* Before a switch to the stack [bottom, bottom + size). fake NULL: the current stack ends here. */
static inline void mti_asan_leave(void **fake, const void *bottom, size_t size)
{
#if MTI_ASAN
    __sanitizer_start_switch_fiber(fake, bottom, size);
#endif
}

/* After a switch, on the new stack; answers the stack that was left. */
static inline void mti_asan_enter(void *fake, void **bottom, size_t *size)
{
#if MTI_ASAN
    __sanitizer_finish_switch_fiber(fake, (const void **)bottom, size);
#endif
}

static inline void *mti_tsan_self(void)
{
#if MTI_TSAN
    return __tsan_get_current_fiber();
#else
    return NULL;
#endif
}

static inline void *mti_tsan_create(void)
{
#if MTI_TSAN
    return __tsan_create_fiber(0);
#else
    return NULL;
#endif
}

static inline void mti_tsan_destroy(void *fiber)
{
#if MTI_TSAN
    __tsan_destroy_fiber(fiber);
#endif
}

static inline void mti_tsan_switch(void *fiber)
{
#if MTI_TSAN
    __tsan_switch_to_fiber(fiber, 0);
#endif
}

#endif
