/* The ring of a loop and who reads it; the table behind it is tried end to end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "../../../core/plugin/feed.c"
#include "../../../core/plugin/feed_reader.c"

static const mti_uuid here = {{1}}, there = {{2}}, room = {{3}};

static mti_event *put(mti_feed_loop *k, uint64_t tx, uint64_t id, mti_uuid org, const char *resource)
{
    mti_buf json;
    mti_buf_init(&json, 100);
    mti_event *e = mti_event_create(&json);
    e->key = (mti_feed_key){tx, id};
    e->org_id = org;
    snprintf(e->resource, sizeof e->resource, "%s", resource);
    ring_put(k, e);
    return e;
}

static void expect(mti_feed_reader *r, const mti_feed_loop *k, mti_event *e)
{
    mti_event *got = take_from_ring(r, k);
    assert_ptr_equal(got, e);
    if (got)
        mti_event_release(got);
}

static mti_feed_loop *ring_at(uint64_t tx)
{
    mti_feed_loop *k = calloc(1, sizeof *k);
    k->generation = 1;
    k->ready = true;
    k->floor = (mti_feed_key){tx, 0};
    return k;
}

static void ring_free(mti_feed_loop *k)
{
    ring_clear(k);
    free(k);
}

static void keys(void **state)
{
    static const char *const bad[] = {"", "-", "1", "1-", "-1", "1-2-3", "1-x", " 1-2", "1--2", "1234567890123456789-1"};
    mti_feed_key key;
    assert_true(mti_feed_key_parse(MT_SLICE("734-12"), &key));
    assert_true(key.tx == 734 && key.id == 12);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(mti_feed_key_parse(mt_str(bad[i]), &key));
    assert_true(mti_feed_before((mti_feed_key){1, 9}, (mti_feed_key){2, 1}));
    assert_false(mti_feed_before((mti_feed_key){2, 1}, (mti_feed_key){2, 1}));
}

static void each_hears_its_own(void **state)
{
    mti_feed_loop *k = ring_at(10);
    mti_feed_reader one = {.org_id = here, .key = {10, 0}}, other = {.org_id = there, .key = {10, 0}, .resource = "notes.note"},
                    bound = {.org_id = here, .workspace_id = room, .key = {10, 0}};
    mti_event *a = put(k, 10, 1, here, "notes.note"), *b = put(k, 11, 2, there, "agents.agent"), *c = put(k, 11, 3, there, "notes.note"),
              *d = put(k, 12, 4, here, "notes.note");
    d->workspace_id = room;
    assert_true(enter_ring(&one, k) && enter_ring(&other, k) && enter_ring(&bound, k));
    expect(&one, k, a);
    expect(&one, k, d);
    expect(&one, k, NULL);
    expect(&other, k, c);
    expect(&other, k, NULL);
    expect(&bound, k, d);
    assert_true(one.key.tx == 12 && other.key.tx == 12);
    assert_ptr_not_equal(b, c);
    ring_free(k);
}

static void only_what_comes_after_the_key(void **state)
{
    mti_feed_loop *k = ring_at(10);
    mti_feed_reader r = {.org_id = here, .key = {11, 2}}, older = {.org_id = here, .key = {9, 7}};
    put(k, 10, 3, here, "t");
    put(k, 11, 2, here, "t");
    mti_event *after = put(k, 11, 5, here, "t");
    assert_true(enter_ring(&r, k));
    expect(&r, k, after);
    expect(&r, k, NULL);
    assert_false(enter_ring(&older, k)); /* something before the ring's beginning may be missing */
    k->ready = false;
    assert_false(enter_ring(&r, k));
    assert_false(in_ring(&r, k));
    ring_free(k);
}

static void who_is_too_slow_falls_out_and_knows_where(void **state)
{
    mti_feed_loop *k = ring_at(1);
    mti_feed_reader slow = {.org_id = here, .key = {1, 0}}, quick = {.org_id = here, .key = {1, 0}};
    mti_event *first = put(k, 2, 1, here, "t");
    assert_true(enter_ring(&slow, k) && enter_ring(&quick, k));
    expect(&slow, k, first);
    for (uint64_t i = 2; i <= MTI_FEED_RING + 10; i++) {
        put(k, i + 1, i, here, "t");
        mti_event *e = take_from_ring(&quick, k);
        assert_non_null(e);
        mti_event_release(e);
    }
    assert_true(k->end - k->first == MTI_FEED_RING);
    assert_true(in_ring(&quick, k));
    assert_false(in_ring(&slow, k));
    assert_true(slow.key.tx == 2 && k->floor.tx == 11);
    assert_false(enter_ring(&slow, k));
    slow.key = k->floor; /* the table was read up to there */
    assert_true(enter_ring(&slow, k));
    expect(&slow, k, k->ring[k->first % MTI_FEED_RING].event);
    ring_free(k);
}

static void plugins_are_told_to_operators_only(void **state)
{
    mti_feed_loop *k = ring_at(1);
    mti_feed_reader operator = {.org_id = here, .key = {1, 0}, .plugins = true}, tenant = {.org_id = here, .key = {1, 0}},
                    filtered = {.org_id = here, .key = {1, 0}, .plugins = true, .resource = "t"};
    assert_true(enter_ring(&operator, k) && enter_ring(&tenant, k) && enter_ring(&filtered, k));
    mti_event *a = put(k, 2, 1, here, "t"), *p = put(k, 0, 0, (mti_uuid){{0}}, ""), *b = put(k, 3, 2, here, "t");
    k->ring[1].event->plugin = true;
    k->ring[1].key = a->key;
    expect(&operator, k, a);
    expect(&operator, k, p);
    assert_true(operator.key.tx == 2);
    expect(&operator, k, b);
    expect(&tenant, k, a);
    expect(&tenant, k, b);
    expect(&filtered, k, a);
    expect(&filtered, k, b);
    ring_free(k);
}

static void a_batch_of_few_organizations_is_told_apart(void **state)
{
    const mti_event *out[MAX_TOLD];
    batch *b = calloc(1, sizeof *b + 20 * sizeof *b->events);
    mti_feed_loop *k = ring_at(1);
    b->n = 20;
    for (unsigned i = 0; i < b->n; i++)
        b->events[i] = put(k, 2, i, i % 3 ? here : there, "t");
    assert_int_equal(distinct(b, out), 2);
    for (unsigned i = 0; i < b->n; i++)
        b->events[i]->org_id.b[5] = (uint8_t)i;
    assert_int_equal(distinct(b, out), 0); /* too many: everybody is woken */
    ring_free(k);
    free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys),
        cmocka_unit_test(each_hears_its_own),
        cmocka_unit_test(only_what_comes_after_the_key),
        cmocka_unit_test(who_is_too_slow_falls_out_and_knows_where),
        cmocka_unit_test(plugins_are_told_to_operators_only),
        cmocka_unit_test(a_batch_of_few_organizations_is_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
