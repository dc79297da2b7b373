/* What the loop's tests share: cmocka's headers and running a loop until nothing lives on it. */
#ifndef TEST_LOOP_SUPPORT_H
#define TEST_LOOP_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/ident.h"
#include "loop/fiber.h"

#ifdef __SANITIZE_THREAD__
#define UNDER_TSAN 1
#else
#define UNDER_TSAN 0
#endif

/* Steps l until no fiber lives; fails after ten seconds without an end. */
static inline void drain(mti_loop *l)
{
    int64_t end = mti_mono_us() + 10 * 1000000;
    while (mti_fiber_live(l)) {
        mti_loop_step(l, 50);
        assert_true(mti_mono_us() < end);
    }
}

static inline int create_loop(void **state)
{
    *state = mti_loop_create(0);
    return 0;
}

static inline int destroy_loop(void **state)
{
    mti_loop_destroy(*state);
    return 0;
}

#define LOOP_TEST(fn) cmocka_unit_test_setup_teardown(fn, create_loop, destroy_loop)

#endif
