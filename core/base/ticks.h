/*
 * A cheap clock for hot paths: about 10 ns a read, where clock_gettime costs 50 on virtual
 * machines. A tick's length is learned by comparing with the monotonic clock since a base was
 * taken.
 */
#ifndef MTI_BASE_TICKS_H
#define MTI_BASE_TICKS_H

#include "base/ident.h"

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

typedef struct mti_ticks_base {
    uint64_t tick;
    int64_t mono_us;
} mti_ticks_base;

/* Counts at 1 GHz or faster (every x86-64 with a constant TSC), or in ns. Any thread. */
static inline uint64_t mti_ticks(void)
{
#if defined(__x86_64__)
    return __rdtsc();
#else
    return (uint64_t)mti_mono_us() * 1000;
#endif
}

static inline mti_ticks_base mti_ticks_start(void)
{
    return (mti_ticks_base){mti_ticks(), mti_mono_us()};
}

/* A span of ticks in microseconds; 0 in the base's first millisecond, when a tick's length is not
 * known yet. Any thread. */
static inline int64_t mti_ticks_us(const mti_ticks_base *base, uint64_t span)
{
    int64_t us = mti_mono_us() - base->mono_us;
    uint64_t ticks = mti_ticks() - base->tick;
    return us < 1000 || ticks == 0 ? 0 : (int64_t)((double)span * (double)us / (double)ticks);
}

#endif
