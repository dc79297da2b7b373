#include "support.h"
#include "fair_queue.h"

static void test_owners_take_turns(void **state)
{
    fair_queue q = {.max = 10, .max_owner = 10};
    fair_item a[3] = {{.owner = 1}, {.owner = 1}, {.owner = 1}}, b = {.owner = 2}, c = {.owner = 3};
    for (int i = 0; i < 3; i++)
        assert_int_equal(fair_queue_put(&q, &a[i]), MT_OK);
    assert_int_equal(fair_queue_put(&q, &b), MT_OK);
    assert_int_equal(fair_queue_put(&q, &c), MT_OK);
    fair_item *order[] = {&a[0], &b, &c, &a[1], &a[2], NULL};
    for (int i = 0; i < 6; i++)
        assert_ptr_equal(fair_queue_take(&q), order[i]);
}

static void test_bounds(void **state)
{
    fair_queue q = {.max = 3, .max_owner = 2};
    fair_item a[3] = {{.owner = 1}, {.owner = 1}, {.owner = 1}}, b[2] = {{.owner = 2}, {.owner = 2}};
    assert_int_equal(fair_queue_put(&q, &a[0]), MT_OK);
    assert_int_equal(fair_queue_put(&q, &a[1]), MT_OK);
    assert_int_equal(fair_queue_put(&q, &a[2]), MT_LIMITED);
    assert_int_equal(fair_queue_put(&q, &b[0]), MT_OK);
    assert_int_equal(fair_queue_put(&q, &b[1]), MT_LIMITED);
    while (fair_queue_take(&q))
        ;
    assert_int_equal(q.n, 0);
}

static void test_leaving(void **state)
{
    fair_queue q = {.max = 9, .max_owner = 9};
    fair_item a[3] = {{.owner = 1}, {.owner = 1}, {.owner = 1}}, b = {.owner = 2}, stranger = {.owner = 1};
    for (int i = 0; i < 3; i++)
        fair_queue_put(&q, &a[i]);
    fair_queue_put(&q, &b);
    assert_false(fair_queue_remove(&q, &stranger));
    assert_true(fair_queue_remove(&q, &a[2]));      /* the last: the next put goes behind a[1] */
    assert_true(fair_queue_remove(&q, &b));         /* an owner's only one */
    assert_int_equal(fair_queue_put(&q, &a[2]), MT_OK);
    assert_true(fair_queue_remove(&q, &a[0]));
    assert_ptr_equal(fair_queue_take(&q), &a[1]);
    assert_ptr_equal(fair_queue_take(&q), &a[2]);
    assert_null(fair_queue_take(&q));
    assert_false(fair_queue_remove(&q, &a[1]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_owners_take_turns), cmocka_unit_test(test_bounds), cmocka_unit_test(test_leaving)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
