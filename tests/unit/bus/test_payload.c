/* Payloads of emitters that were built against another SDK. */
#include "bus/catalogue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* A hook whose second field came later. */
typedef struct payload {
    uint32_t size;
    int64_t first, second;
} payload;

static const mti_hook_info hook = {.name = "test.grown", .size = sizeof(payload), .least = offsetof(payload, second)};

static void one_of_this_sdk_is_used_as_it_is(void **state)
{
    payload p = {.size = sizeof p, .first = 1, .second = 2}, room;
    assert_ptr_equal(mti_payload_begin(&hook, &p, &room), &p);
    mti_payload_end(&hook, &p, &p);
    assert_int_equal(p.first, 1);
}

static void an_older_one_is_filled_up_and_gets_its_part_back(void **state)
{
    payload room, *whole;
    struct { uint32_t size; int64_t first, beyond; } old = {.size = offsetof(payload, second), .first = 1, .beyond = 77};
    memset(&room, 0xff, sizeof room);
    whole = mti_payload_begin(&hook, &old, &room);
    assert_ptr_equal(whole, &room);
    assert_int_equal(whole->size, sizeof room);
    assert_int_equal(whole->first, 1);
    assert_int_equal(whole->second, 0);
    whole->first = 5;
    whole->second = 6;
    mti_payload_end(&hook, &old, whole);
    assert_int_equal(old.size, offsetof(payload, second));
    assert_int_equal(old.first, 5);
    assert_int_equal(old.beyond, 77);
}

static void a_newer_one_keeps_what_this_host_does_not_know(void **state)
{
    payload room, *whole;
    struct { payload known; int64_t third; } new = {{.size = sizeof new, .first = 1, .second = 2}, 3};
    whole = mti_payload_begin(&hook, &new, &room);
    assert_int_equal(whole->size, sizeof room);
    assert_int_equal(whole->second, 2);
    whole->second = 9;
    mti_payload_end(&hook, &new, whole);
    assert_int_equal(new.known.size, sizeof new);
    assert_int_equal(new.known.second, 9);
    assert_int_equal(new.third, 3);
}

static void one_shorter_than_any_sdks_is_refused(void **state)
{
    payload p = {.size = offsetof(payload, first)}, room;
    assert_null(mti_payload_begin(&hook, &p, &room));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_of_this_sdk_is_used_as_it_is), cmocka_unit_test(an_older_one_is_filled_up_and_gets_its_part_back),
        cmocka_unit_test(a_newer_one_keeps_what_this_host_does_not_know), cmocka_unit_test(one_shorter_than_any_sdks_is_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
