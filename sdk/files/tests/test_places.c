/* Found by key, closed in the order of use, refused when it is no id. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "places.h"

typedef struct thing {
    mt_place place;
    bool busy;
    char key[8];
} thing;

static size_t made, dropped;

static mt_place *make(void *arg, const char *key)
{
    thing *t = arg ? NULL : calloc(1, sizeof *t);
    if (!t)
        return NULL;
    t->place.key = strcpy(t->key, key);
    made++;
    return &t->place;
}

static void drop(mt_place *p)
{
    dropped++;
    free(p);
}

static bool try_lock(mt_place *p)
{
    return !((thing *)p)->busy;
}

static void test_each_is_made_once(void **state)
{
    mt_places *l = mt_places_create();
    made = dropped = 0;
    mt_place *a = mt_places_get(l, "a", make, NULL);
    assert_non_null(a);
    assert_ptr_not_equal(a, mt_places_get(l, "b", make, NULL));
    assert_ptr_equal(a, mt_places_get(l, "a", make, NULL));
    assert_null(mt_places_get(l, "c", make, l));
    assert_int_equal(made, 2);
    mt_places_destroy(l, drop);
    assert_int_equal(dropped, 2);
}

static void test_the_least_used_is_closed(void **state)
{
    mt_places *l = mt_places_create();
    mt_place *a = mt_places_get(l, "a", make, NULL), *b = mt_places_get(l, "b", make, NULL), *c = mt_places_get(l, "c", make, NULL);
    assert_null(mt_places_take_idle(l, 3, try_lock));
    mt_places_get(l, "a", make, NULL);                     /* now b, c, a */
    assert_ptr_equal(mt_places_take_idle(l, 2, try_lock), b);
    assert_null(mt_places_take_idle(l, 2, try_lock));      /* b no longer counts */
    mt_places_get(l, "b", make, NULL);                     /* c, a, b */
    ((thing *)c)->busy = true;
    assert_null(mt_places_take_idle(l, 2, try_lock));      /* c is at work and goes to the end: a, b, c */
    assert_ptr_equal(mt_places_take_idle(l, 2, try_lock), a);
    mt_places_destroy(l, drop);
}

static void test_ids(void **state)
{
    uint8_t id[16];
    assert_true(mt_place_parse_id(MT_SLICE("01890000-0000-7000-8000-00000000dead"), id));
    assert_int_equal(id[0], 0x01);
    assert_int_equal(id[15], 0xAD);
    static const char *const bad[] = {"", "01890000-0000-7000-8000-00000000dea", "01890000-0000-7000-8000-00000000deadd", "01890000-0000-7000-8000-00000000DEAD",
                                      "0189000-00000-7000-8000-00000000dead", "../../00-0000-7000-8000-00000000dead"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(mt_place_parse_id(mt_str(bad[i]), id));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_each_is_made_once), cmocka_unit_test(test_the_least_used_is_closed), cmocka_unit_test(test_ids)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
