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

static void test_due_items_leave_out_of_turn(void **state)
{
    fair_queue q = {.max = 9, .max_owner = 9};
    fair_item a[2] = {{.owner = 1, .due_us = 50}, {.owner = 1, .due_us = 10}}, b = {.owner = 2, .due_us = 20};
    fair_queue_put(&q, &a[0]);
    fair_queue_put(&q, &a[1]);
    fair_queue_put(&q, &b);
    assert_null(fair_queue_take_due(&q, 9));
    fair_item *x = fair_queue_take_due(&q, 20), *y = fair_queue_take_due(&q, 20);
    assert_true((x == &a[1] && y == &b) || (x == &b && y == &a[1]));
    assert_null(fair_queue_take_due(&q, 20));
    assert_int_equal(q.n, 1);
    assert_ptr_equal(fair_queue_take(&q), &a[0]);
}

/* What is said to come before an item is what is taken before it. */
static void test_ahead(void **state)
{
    for (uint64_t owner = 1; owner <= 4; owner++) {
        fair_queue q = {.max = 99, .max_owner = 99};
        fair_item items[9] = {{.owner = 1}, {.owner = 1}, {.owner = 1}, {.owner = 1}, {.owner = 1}, {.owner = 2}, {.owner = 2}, {.owner = 3}}, mine = {.owner = owner};
        for (int i = 0; i < 8; i++)
            fair_queue_put(&q, &items[i]);
        unsigned said = fair_queue_ahead(&q, owner), seen = 0;
        fair_queue_put(&q, &mine);
        while (fair_queue_take(&q) != &mine)
            seen++;
        assert_int_equal(said, seen);
        while (fair_queue_take(&q))
            ;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_owners_take_turns), cmocka_unit_test(test_bounds), cmocka_unit_test(test_leaving),
                                       cmocka_unit_test(test_due_items_leave_out_of_turn), cmocka_unit_test(test_ahead)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
