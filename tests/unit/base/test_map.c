#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/map.c"

/* The reference vector of SipHash-1-3: key 00..0f, message 00..0e. */
static void test_hash_is_siphash(void **state)
{
    uint64_t key[2] = {0x0706050403020100u, 0x0f0e0d0c0b0a0908u};
    unsigned char message[15];
    for (size_t i = 0; i < sizeof message; i++)
        message[i] = (unsigned char)i;
    assert_true(siphash13(key, message, 0) == 0xabac0158050fc4dcu);
    assert_true(siphash13(key, message, 15) == 0xd320d86d2a519956u);
}

/* Against a plain table, through many puts and removes. */
static void test_agrees_with_a_table(void **state)
{
    enum { KEYS = 500 };
    uintptr_t table[KEYS] = {0};
    size_t count = 0;
    mti_map *m = mti_map_create();
    srand(7);
    for (uintptr_t step = 1; step < 50000; step++) {
        char key[16];
        size_t k = (size_t)rand() % KEYS;
        snprintf(key, sizeof key, "key-%zu", k);
        void *before = (void *)table[k];
        if (rand() % 2) {
            count += before == NULL;
            table[k] = step;
            assert_ptr_equal(mti_map_put(m, mt_str(key), (void *)step), before);
        } else {
            count -= before != NULL;
            table[k] = 0;
            assert_ptr_equal(mti_map_remove(m, mt_str(key)), before);
        }
        assert_int_equal(mti_map_count(m), count);
    }
    for (size_t k = 0; k < KEYS; k++) {
        char key[16];
        snprintf(key, sizeof key, "key-%zu", k);
        assert_ptr_equal(mti_map_get(m, mt_str(key)), (void *)table[k]);
    }
    mti_map_destroy(m);
}

static void test_iterates_over_each_once(void **state)
{
    mti_map *m = mti_map_create();
    for (uintptr_t i = 1; i <= 100; i++)
        mti_map_put(m, (mt_slice){(char *)&i, sizeof i}, (void *)i);
    size_t pos = 0, seen = 0;
    uintptr_t sum = 0;
    mt_slice key;
    void *val;
    while (mti_map_next(m, &pos, &key, &val)) {
        assert_memory_equal(key.p, &val, sizeof val);
        sum += (uintptr_t)val;
        seen++;
    }
    assert_int_equal(seen, 100);
    assert_int_equal(sum, 5050);
    mti_map_destroy(m);
}

static void test_keys_are_bytes(void **state)
{
    mti_map *m = mti_map_create();
    mti_map_put(m, (mt_slice){0}, "empty");
    mti_map_put(m, (mt_slice){"a\0b", 3}, "three");
    mti_map_put(m, (mt_slice){"a", 1}, "one");
    assert_string_equal(mti_map_get(m, (mt_slice){"", 0}), "empty");
    assert_string_equal(mti_map_get(m, (mt_slice){"a\0b", 3}), "three");
    assert_string_equal(mti_map_get(m, MT_SLICE("a")), "one");
    assert_null(mti_map_get(m, MT_SLICE("b")));
    mti_map_destroy(m);
    mti_map_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hash_is_siphash),
        cmocka_unit_test(test_agrees_with_a_table),
        cmocka_unit_test(test_iterates_over_each_once),
        cmocka_unit_test(test_keys_are_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
