#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/ident.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void test_uuid_v7_increases(void **state)
{
    mti_uuid last = mti_uuid_v7();
    for (int i = 0; i < 20000; i++) {
        mti_uuid id = mti_uuid_v7();
        assert_true(memcmp(id.b, last.b, 16) > 0);
        assert_int_equal(id.b[6] >> 4, 7);
        assert_int_equal(id.b[8] >> 6, 2);
        last = id;
    }
    int64_t ms = 0;
    for (int i = 0; i < 6; i++)
        ms = ms << 8 | last.b[i];
    assert_true(llabs(ms - mti_now_us() / 1000) < 2000);
}

static void *make_id(void *out)
{
    *(mti_uuid *)out = mti_uuid_v7();
    return NULL;
}

/* A client's requests go to several loops, and its rows are listed in the order in which they were made. */
static void test_ids_of_threads_in_turn_increase(void **state)
{
    mti_uuid last = {{0}};
    for (int i = 0; i < 500; i++) {
        pthread_t thread;
        mti_uuid id;
        for (int64_t begun = mti_now_us(); mti_now_us() < begun + 2;)
            ;
        assert_int_equal(pthread_create(&thread, NULL, make_id, &id), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_true(memcmp(id.b, last.b, 16) > 0);
        last = id;
    }
}

/* The bytes for ids are drawn ahead: a child must not go on with its parent's. */
static void test_a_fork_draws_its_own_ids(void **state)
{
    int ends[2];
    mti_uuid child, parent;
    mti_uuid_v7();
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0) {
        child = mti_uuid_v7();
        _exit(write(ends[1], &child, sizeof child) != sizeof child);
    }
    parent = mti_uuid_v7();
    assert_int_equal(read(ends[0], &child, sizeof child), sizeof child);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_memory_not_equal(parent.b + 9, child.b + 9, 7);
    close(ends[0]);
    close(ends[1]);
}

static void test_hex_and_decimal(void **state)
{
    uint8_t bytes[256];
    char text[513], expected[513], number[21];
    for (int i = 0; i < 256; i++)
        snprintf(expected + 2 * i, 3, "%02x", bytes[i] = (uint8_t)i);
    for (size_t n = 0; n <= 256; n++) {
        mti_hex(bytes + 256 - n, n, text);
        assert_string_equal(text, expected + 512 - 2 * n);
    }
    static const uint64_t numbers[] = {0, 9, 10, 4294967296, INT64_MAX, UINT64_MAX};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        snprintf(expected, sizeof expected, "%llu", (unsigned long long)numbers[i]);
        assert_int_equal(mti_decimal(numbers[i], number), strlen(expected));
        assert_string_equal(number, expected);
    }
}

static void test_uuid_text(void **state)
{
    static const char text[] = "0190a6b2-7c1d-7def-8abc-0123456789ab";
    char out[37];
    mti_uuid id, upper;
    assert_true(mti_uuid_parse(mt_str(text), &id));
    mti_uuid_format(id, out);
    assert_string_equal(out, text);
    assert_true(mti_uuid_parse(MT_SLICE("0190A6B2-7C1D-7DEF-8ABC-0123456789AB"), &upper));
    assert_true(mti_uuid_eq(id, upper));
    static const char *const bad[] = {"",
                                      "0190a6b2-7c1d-7def-8abc-0123456789a",
                                      "0190a6b2-7c1d-7def-8abc-0123456789abc",
                                      "0190a6b2x7c1d-7def-8abc-0123456789ab",
                                      "0190a6b2-7c1d-7def-8abc-0123456789ag",
                                      "{190a6b2-7c1d-7def-8abc-0123456789a}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(mti_uuid_parse(mt_str(bad[i]), &id));
}

static void test_sha256(void **state)
{
    uint8_t digest[32];
    char hex[65];
    mti_sha256("abc", 3, digest);
    mti_hex(digest, 32, hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    mti_sha256(NULL, 0, digest);
    mti_hex(digest, 32, hex);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void test_base64url_round_trip(void **state)
{
    uint8_t data[100], back[100];
    char text[140];
    mti_random(data, sizeof data);
    for (size_t n = 0; n <= sizeof data; n++) {
        size_t len = mti_base64url(data, n, text);
        assert_int_equal(len, strlen(text));
        assert_int_equal(mti_base64url_decode((mt_slice){text, len}, back), n);
        assert_memory_equal(data, back, n);
    }
    assert_int_equal(mti_base64url("\xfb\xff", 2, text), 3);
    assert_string_equal(text, "-_8");
}

static void test_base64url_has_one_form(void **state)
{
    static const char *const bad[] = {"A", "AAAAA", "AA==", "A+AA", "A/AA", "AB", "AAB", "A AA"};
    uint8_t out[16];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(mti_base64url_decode(mt_str(bad[i]), out), -1);
}

static void test_equal_ct(void **state)
{
    assert_true(mti_equal_ct("abc", "abc", 3));
    assert_false(mti_equal_ct("abc", "abd", 3));
    assert_true(mti_equal_ct(NULL, NULL, 0));
}

static void test_times_agree_with_the_library(void **state)
{
    for (int64_t day = -800000; day < 2900000; day += 97) {
        int64_t seconds = day * 86400 + (day * 7919 % 86400 + 86400) % 86400;
        struct tm t;
        time_t tt = (time_t)seconds;
        if (!gmtime_r(&tt, &t) || t.tm_year + 1900 > 9999 || t.tm_year + 1900 < 0)
            continue;
        char expected[80], got[28];
        snprintf(expected, sizeof expected, "%04d-%02d-%02dT%02d:%02d:%02d.000007Z",
                 t.tm_year + 1900, t.tm_mon + 1, t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec);
        mti_time_rfc3339(seconds * 1000000 + 7, got);
        assert_string_equal(got, expected);
    }
}

static void test_times_out_of_range_are_clamped(void **state)
{
    char got[28];
    mti_time_rfc3339(INT64_MAX, got);
    assert_string_equal(got, "9999-12-31T23:59:59.999999Z");
    mti_time_rfc3339(INT64_MIN, got);
    assert_string_equal(got, "0000-01-01T00:00:00.000000Z");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_uuid_v7_increases),
        cmocka_unit_test(test_ids_of_threads_in_turn_increase),
        cmocka_unit_test(test_a_fork_draws_its_own_ids),
        cmocka_unit_test(test_hex_and_decimal),
        cmocka_unit_test(test_uuid_text),
        cmocka_unit_test(test_sha256),
        cmocka_unit_test(test_base64url_round_trip),
        cmocka_unit_test(test_base64url_has_one_form),
        cmocka_unit_test(test_equal_ct),
        cmocka_unit_test(test_times_agree_with_the_library),
        cmocka_unit_test(test_times_out_of_range_are_clamped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
