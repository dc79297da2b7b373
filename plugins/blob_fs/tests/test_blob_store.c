#include "store.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#define ORG   MT_SLICE("00000000-0000-0000-0000-000000000001")
#define OTHER MT_SLICE("00000000-0000-0000-0000-000000000009")

static char base[64], root[80];

static int set_up(void **state)
{
    static blob_store s;
    snprintf(base, sizeof base, "/tmp/blob_fs_test_XXXXXX");
    assert_non_null(mkdtemp(base));
    snprintf(root, sizeof root, "%s/data/blobs", base);
    assert_int_equal(blob_store_open(&s, root), MT_OK);
    *state = &s;
    return 0;
}

static int tear_down(void **state)
{
    char command[128];
    blob_store_close(*state);
    snprintf(command, sizeof command, "rm -rf '%s'", base);
    return system(command);
}

static mt_status read_back(blob_store *s, mt_slice org, mt_slice name, char *to, size_t *n)
{
    int fd;
    MT_TRY(blob_store_open_blob(s, org, name, &fd, n));
    return blob_store_read(fd, to, *n);
}

static void test_round_trip(void **state)
{
    char name[BLOB_NAME], again[BLOB_NAME], back[64];
    size_t n;
    assert_int_equal(blob_store_put(*state, ORG, MT_SLICE("abc"), name), MT_OK);
    assert_memory_equal(name, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
                        BLOB_NAME);
    assert_int_equal(blob_store_put(*state, ORG, MT_SLICE("abc"), again), MT_OK);
    assert_memory_equal(name, again, BLOB_NAME);
    assert_int_equal(read_back(*state, ORG, (mt_slice){name, BLOB_NAME}, back, &n), MT_OK);
    assert_int_equal(n, 3);
    assert_memory_equal(back, "abc", 3);
    assert_int_equal(read_back(*state, OTHER, (mt_slice){name, BLOB_NAME}, back, &n), MT_NOT_FOUND);
    assert_int_equal(blob_store_remove(*state, OTHER, (mt_slice){name, BLOB_NAME}), MT_OK);
    assert_int_equal(read_back(*state, ORG, (mt_slice){name, BLOB_NAME}, back, &n), MT_OK);
    assert_int_equal(blob_store_remove(*state, ORG, (mt_slice){name, BLOB_NAME}), MT_OK);
    assert_int_equal(blob_store_remove(*state, ORG, (mt_slice){name, BLOB_NAME}), MT_OK);
    assert_int_equal(read_back(*state, ORG, (mt_slice){name, BLOB_NAME}, back, &n), MT_NOT_FOUND);
    assert_int_equal(blob_store_put(*state, ORG, (mt_slice){0}, name), MT_OK);
    assert_int_equal(read_back(*state, ORG, (mt_slice){name, BLOB_NAME}, back, &n), MT_OK);
    assert_int_equal(n, 0);
}

static void test_names_stay_inside(void **state)
{
    char back[8], name[BLOB_NAME];
    size_t n;
    static const char *const bad[] = {
        "",
        "ab",
        "../../../../../../../../../../../../etc/passwd0000000000000000000000",
        "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD",
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad0",
        "ba/../../../01cfea414140de5dae2223b00361a396177a9cb410ff61f20015"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(read_back(*state, ORG, mt_str(bad[i]), back, &n), MT_INVALID);
        assert_int_equal(blob_store_remove(*state, ORG, mt_str(bad[i])), MT_INVALID);
    }
    assert_int_equal(blob_store_put(*state, MT_SLICE(".."), MT_SLICE("x"), name), MT_INVALID);
    assert_int_equal(blob_store_put(*state, MT_SLICE("a/b"), MT_SLICE("x"), name), MT_INVALID);
}

static void test_one_host_only(void **state)
{
    blob_store second;
    assert_int_equal(blob_store_open(&second, root), MT_OK); /* of the same server */
    blob_store_close(&second);
    char lock[4200];
    snprintf(lock, sizeof lock, "%s/lock", root);
    FILE *other = fopen(lock, "w");
    assert_true(other && fputs("1", other) >= 0 && fclose(other) == 0);
    assert_int_equal(blob_store_open(&second, root), MT_CONFLICT);
    blob_store_close(*state);
    assert_int_equal(blob_store_open(&second, root), MT_OK);
    blob_store_close(&second);
}

static void test_unfinished_is_cleared(void **state)
{
    char path[128];
    snprintf(path, sizeof path, "%s/unfinished/1-1", root);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    blob_store_close(*state);
    assert_int_equal(blob_store_open(*state, root), MT_OK);
    assert_int_not_equal(access(path, F_OK), 0);
}

/* A file that lost its end (a crash of another kind of file system) is written again. */
static void test_short_file_is_replaced(void **state)
{
    char name[BLOB_NAME], path[256], back[16];
    size_t n;
    assert_int_equal(blob_store_put(*state, ORG, MT_SLICE("0123456789"), name), MT_OK);
    snprintf(path, sizeof path, "%s/%.36s/%.2s/%.62s", root, ORG.p, name, name + 2);
    assert_int_equal(truncate(path, 4), 0);
    assert_int_equal(blob_store_put(*state, ORG, MT_SLICE("0123456789"), name), MT_OK);
    assert_int_equal(read_back(*state, ORG, (mt_slice){name, BLOB_NAME}, back, &n), MT_OK);
    assert_int_equal(n, 10);
}

static void *put_many(void *arg)
{
    char text[32], name[BLOB_NAME];
    for (int i = 0; i < 20; i++) {
        snprintf(text, sizeof text, "text %d", i);
        if (blob_store_put(arg, ORG, mt_str(text), name) != MT_OK)
            return "failed";
    }
    return NULL;
}

static void test_threads(void **state)
{
    pthread_t threads[4];
    void *failed;
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, put_many, *state);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_names_stay_inside, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_host_only, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unfinished_is_cleared, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_short_file_is_replaced, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_threads, set_up, tear_down)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
