/* The file of keys, and what is sealed with them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "secrets/keyring.h"

static char dir[] = "/tmp/keyring.XXXXXX", path[64];

static int make_folder(void **state)
{
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof path, "%s/secret.key", dir);
    return 0;
}

static int remove_folder(void **state)
{
    return rmdir(dir);
}

static int remove_file(void **state)
{
    unlink(path);
    return 0;
}

static void write_file(const char *text, mode_t mode)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    chmod(path, mode);
}

static mti_buf seal(mti_keyring *k, const char *belongs, const char *plain)
{
    mti_buf out;
    mti_error e = {0};
    mti_buf_init(&out, 1 << 16);
    assert_int_equal(mti_keyring_seal(k, mt_str(belongs), mt_str(plain), &out, &e), MT_OK);
    return out;
}

static mt_status try_open(mti_keyring *k, const char *belongs, mt_slice sealed, const char *plain, mti_error *e)
{
    mti_buf out;
    mti_buf_init(&out, 1 << 16);
    mt_status s = mti_keyring_open(k, mt_str(belongs), sealed, &out, e);
    if (s == MT_OK)
        assert_true(mt_slice_eq(mti_buf_slice(&out), mt_str(plain)));
    mti_buf_wipe(&out);
    return s;
}

static void what_is_sealed_is_opened_in_its_place_only(void **state)
{
    mti_error e = {0};
    mti_keyring *k = mti_keyring_create(path);
    mti_buf a = seal(k, "p\n\n/key", "s3cret"), b = seal(k, "p\n\n/key", "s3cret"), none = seal(k, "x", "");
    assert_null(strstr(a.p, "s3cret"));
    assert_string_not_equal(a.p, b.p); /* another nonce */
    assert_int_equal(try_open(k, "p\n\n/key", mti_buf_slice(&a), "s3cret", &e), MT_OK);
    assert_int_equal(try_open(k, "x", mti_buf_slice(&none), "", &e), MT_OK);
    assert_int_equal(try_open(k, "p\n\n/other", mti_buf_slice(&a), "", &e), MT_UNAVAILABLE);
    assert_string_equal(e.code, "secret_damaged");
    for (size_t i = 0; i < a.len; i++) { /* not one character may differ */
        char was = a.p[i];
        a.p[i] = was == 'A' ? 'B' : 'A';
        assert_int_equal(try_open(k, "p\n\n/key", mti_buf_slice(&a), "", &e), MT_UNAVAILABLE);
        assert_int_equal(try_open(k, "p\n\n/key", (mt_slice){b.p, i}, "", &e), MT_UNAVAILABLE);
        a.p[i] = was;
    }
    mti_buf_dispose(&a);
    mti_buf_dispose(&b);
    mti_buf_dispose(&none);
    mti_keyring_destroy(k);
}

static void the_file_is_its_owners(void **state)
{
    struct stat st;
    mti_keyring *k = mti_keyring_create(path);
    mti_buf a = seal(k, "x", "y");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    mti_buf_dispose(&a);
    mti_keyring_destroy(k);
}

static void *make(void *k)
{
    mti_buf *out = malloc(sizeof *out);
    *out = seal(k, "x", "y");
    return out;
}

static void several_that_make_it_at_once_have_one(void **state)
{
    enum { N = 8 };
    pthread_t threads[N];
    mti_keyring *k[N], *reader = mti_keyring_create(path);
    mti_error e = {0};
    for (int i = 0; i < N; i++) {
        k[i] = mti_keyring_create(path);
        pthread_create(&threads[i], NULL, make, k[i]);
    }
    for (int i = 0; i < N; i++) {
        mti_buf *sealed;
        pthread_join(threads[i], (void **)&sealed);
        assert_int_equal(try_open(reader, "x", mti_buf_slice(sealed), "y", &e), MT_OK);
        mti_buf_dispose(sealed);
        free(sealed);
        mti_keyring_destroy(k[i]);
    }
    mti_keyring_destroy(reader);
}

static void *rotate(void *arg)
{
    char id[MTI_KEY_ID + 1];
    mti_error e = {0};
    return mti_keyring_rotate(path, id, &e) == MT_OK ? NULL : path;
}

static void rotations_at_once_all_count(void **state)
{
    enum { N = 8 };
    pthread_t threads[N];
    char ids[64][MTI_KEY_ID + 1];
    unsigned n;
    mti_error e = {0};
    mti_keyring *k = mti_keyring_create(path);
    mti_buf first = seal(k, "x", "y");
    for (int i = 0; i < N; i++)
        pthread_create(&threads[i], NULL, rotate, NULL);
    for (int i = 0; i < N; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    assert_int_equal(mti_keyring_list(k, ids, &n, &e), MT_OK);
    assert_int_equal(n, N + 1);
    assert_int_equal(try_open(k, "x", mti_buf_slice(&first), "y", &e), MT_OK);
    mti_buf_dispose(&first);
    mti_keyring_destroy(k);
}

static void a_rotated_ring_opens_the_old_and_seals_anew(void **state)
{
    char id[MTI_KEY_ID + 1], ids[64][MTI_KEY_ID + 1];
    unsigned n;
    mti_error e = {0};
    mti_keyring *k = mti_keyring_create(path);
    mti_buf old = seal(k, "x", "y");
    assert_false(mti_keyring_is_old(k, mti_buf_slice(&old)));
    assert_int_equal(mti_keyring_rotate(path, id, &e), MT_OK);
    assert_true(mti_keyring_is_old(k, mti_buf_slice(&old)));
    assert_int_equal(try_open(k, "x", mti_buf_slice(&old), "y", &e), MT_OK);
    mti_buf new = seal(k, "x", "y");
    assert_memory_equal(new.p + 3, id, MTI_KEY_ID);
    assert_false(mti_keyring_is_old(k, mti_buf_slice(&new)));
    assert_int_equal(mti_keyring_list(k, ids, &n, &e), MT_OK);
    assert_int_equal(n, 2);
    assert_string_equal(ids[0], id);
    mti_buf_dispose(&old);
    mti_buf_dispose(&new);
    mti_keyring_destroy(k);
}

static void a_key_that_is_gone_is_named_and_comes_back(void **state)
{
    char aside[80];
    mti_error e = {0};
    mti_keyring *k = mti_keyring_create(path);
    mti_buf sealed = seal(k, "x", "y");
    snprintf(aside, sizeof aside, "%s.aside", path);
    assert_int_equal(rename(path, aside), 0);
    assert_int_equal(try_open(k, "x", mti_buf_slice(&sealed), "", &e), MT_UNAVAILABLE);
    assert_string_equal(e.code, "secret_key_missing");
    assert_non_null(strstr(e.detail, path));
    assert_int_equal(access(path, F_OK), -1); /* reading makes none */
    mti_buf other = seal(k, "x", "z");        /* another key */
    assert_int_equal(try_open(k, "x", mti_buf_slice(&sealed), "", &e), MT_UNAVAILABLE);
    assert_int_equal(rename(aside, path), 0);
    assert_int_equal(try_open(k, "x", mti_buf_slice(&sealed), "y", &e), MT_OK);
    mti_buf_dispose(&sealed);
    mti_buf_dispose(&other);
    mti_keyring_destroy(k);
}

static void refuse(const char *text, mode_t mode, const char *why)
{
    mti_buf out;
    mti_error e = {0};
    mti_keyring *k = mti_keyring_create(path);
    write_file(text, mode);
    mti_buf_init(&out, 4096);
    assert_int_equal(mti_keyring_seal(k, MT_SLICE("x"), MT_SLICE("y"), &out, &e), MT_UNAVAILABLE);
    assert_string_equal(e.code, "secret_key_unusable");
    assert_non_null(strstr(e.detail, why));
    char id[MTI_KEY_ID + 1];
    assert_int_equal(mti_keyring_rotate(path, id, &e), MT_UNAVAILABLE); /* what is there is not touched */
    mti_buf_dispose(&out);
    mti_keyring_destroy(k);
}

#define HEX "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static void a_file_that_is_none_is_refused(void **state)
{
    refuse("", 0600, "no key");
    refuse("# nothing\n", 0600, "no key");
    refuse("# a\n" HEX "\n" HEX "0\n", 0600, "line 3");
    refuse("hunter2\n", 0600, "line 1");
    refuse(HEX "\n", 0644, "chmod 600");
}

static void comments_and_line_ends_of_any_kind_do(void **state)
{
    mti_error e = {0};
    mti_keyring *k = mti_keyring_create(path);
    write_file("# why\r\n\r\n" HEX "\r\n", 0640);
    mti_buf a = seal(k, "x", "y");
    write_file(HEX, 0600);
    assert_int_equal(try_open(k, "x", mti_buf_slice(&a), "y", &e), MT_OK);
    mti_buf_dispose(&a);
    mti_keyring_destroy(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(what_is_sealed_is_opened_in_its_place_only, remove_file),
        cmocka_unit_test_teardown(the_file_is_its_owners, remove_file),
        cmocka_unit_test_teardown(several_that_make_it_at_once_have_one, remove_file),
        cmocka_unit_test_teardown(rotations_at_once_all_count, remove_file),
        cmocka_unit_test_teardown(a_rotated_ring_opens_the_old_and_seals_anew, remove_file),
        cmocka_unit_test_teardown(a_key_that_is_gone_is_named_and_comes_back, remove_file),
        cmocka_unit_test_teardown(a_file_that_is_none_is_refused, remove_file),
        cmocka_unit_test_teardown(comments_and_line_ends_of_any_kind_do, remove_file),
    };
    return cmocka_run_group_tests_name("keyring", tests, make_folder, remove_folder);
}
