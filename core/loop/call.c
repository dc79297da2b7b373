#include "loop/call.h"

#include "base/names.h"
#include "base/ident.h"

#define CALL_ARENA_LIMIT (64u << 20)

void mti_call_init(mt_call *c, mti_loop *l)
{
    memset(c, 0, sizeof(*c));
    mti_arena_init(&c->arena, CALL_ARENA_LIMIT);
    c->fiber = mti_fiber_current();
    if (c->fiber) {
        c->outer = mti_fiber_data();
        mti_fiber_set_data(c);
    }
    c->loop = l;
    c->started_us = mti_mono_us();
    c->operation = "";
}

void mti_call_dispose(mt_call *c)
{
    mti_arena_dispose(&c->arena);
    if (c->fiber && mti_fiber_current() == c->fiber)
        mti_fiber_set_data(c->outer);
}

int64_t mti_call_left_ms(const mt_call *c)
{
    if (!c->deadline_us)
        return INT64_MAX;
    int64_t left = c->deadline_us - mti_mono_us();
    if (left <= 0)
        return 0;
    return left < 1000 ? 1 : left / 1000;
}

static const char *list[8192] = {""};
static mti_names operations = {.list = list, .max = sizeof list / sizeof *list, .count = 1, .lock = PTHREAD_MUTEX_INITIALIZER};

unsigned mti_operation_number(const char *name)
{
    int id = mti_names_id(&operations, name);
    return id < 0 ? 0 : (unsigned)id;
}

unsigned mti_operation_count(void)
{
    return mti_names_count(&operations);
}

const char *mti_operation_name(unsigned number)
{
    return mti_names_get(&operations, (int)number);
}
