/* Which files belong to a plugin, their digest, copies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "package/package.h"

static char base[] = "/tmp/mortise-package-XXXXXX";
static mti_error error;

static const char *in(const char *name)
{
    static char path[8][256];
    static unsigned at;
    snprintf(path[++at % 8], 256, "%s/%s", base, name);
    return path[at % 8];
}

static void put(const char *name, const char *text, int mode)
{
    unlink(in(name));
    int fd = open(in(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && fchmod(fd, (mode_t)mode) == 0);
    close(fd);
}

static int setup(void **state)
{
    static const char *const folders[] = {"", "a", "a/sql", "a/policies", "a/files", "a/files/deep", "a/CMakeFiles", "a/tests"};
    if (base[strlen(base) - 1] == 'X' && !mkdtemp(base))
        return -1;
    for (size_t i = 1; i < sizeof folders / sizeof *folders; i++)
        mkdir(in(folders[i]), 0755);
    put("a/plugin.json", "{}", 0644);
    put("a/a.so", "code", 0755);
    put("a/sql/001_a.sql", "SELECT 1;", 0644);
    put("a/files/deep/model.bin", "data", 0644);
    put("a/files/helper", "run", 0755);
    put("a/CMakeFiles/junk", "junk", 0644);
    put("a/tests/t.c", "junk", 0644);
    put("a/a.c", "junk", 0644);
    put("a/.hidden", "junk", 0644);
    error = (mti_error){0};
    return 0;
}

static int teardown(void **state)
{
    return mti_package_remove(in("a"), NULL) == MT_OK && mti_package_remove(in("b"), NULL) == MT_OK ? 0 : -1;
}

static int remove_all(void **state)
{
    return rmdir(base);
}

static void test_owns(void **state)
{
    static const char *const own[] = {"plugin.json", "api.json", "queries.sql", "README.md", "LICENSE", "x.so", "sql/001_a.sql", "policies/p.lua", "policies/p.test.json", "files/a", "files/a/b.bin"};
    static const char *const foreign[] = {"", "plugin.json/", "x.c", "../plugin.json", "sql/../x.so", "/plugin.json", "sql//1.sql", "sql/a/1.sql", "sql/1.txt", "policies/.lua", ".so", "files", "files/.ssh", "files/..",
                                          "files/a\\b", "files/a b", "files/a\nb", "tests/x.so", "files/a/b/c/d/e/f/g", "./plugin.json", "files/-rf", "files/\xc3\xa4"};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (!mti_package_owns(own[i]))
            fail_msg("%s", own[i]);
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        if (mti_package_owns(foreign[i]))
            fail_msg("%s", foreign[i]);
}

static void digest(const char *dir, char out[65])
{
    if (mti_package_digest(in(dir), out, &error) != MT_OK)
        fail_msg("%s", error.detail);
}

static void test_digest(void **state)
{
    char first[65], other[65];
    digest("a", first);
    put("a/CMakeFiles/junk", "other junk", 0644);
    put("a/.hidden", "other", 0644);
    digest("a", other);
    assert_string_equal(first, other);
    static const struct { const char *name, *text; int mode; } changes[] = {{"a/a.so", "cod3", 0755}, {"a/a.so", "code", 0644}, {"a/sql/001_a.sql", "SELECT 2;", 0644}, {"a/README.md", "x", 0644}};
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        put(changes[i].name, changes[i].text, changes[i].mode);
        digest("a", other);
        assert_string_not_equal(first, other);
        memcpy(first, other, sizeof first);
    }
    unlink(in("a/plugin.json"));
    assert_int_equal(mti_package_digest(in("a"), other, &error), MT_NOT_FOUND);
    assert_string_equal(error.code, "no_plugin");
    assert_int_equal(mti_package_digest(in("nothing"), other, &error), MT_NOT_FOUND);
}

static void test_copy(void **state)
{
    char from[65], to[65];
    struct stat st;
    digest("a", from);
    assert_int_equal(mti_package_copy(in("a"), in("b"), &error), MT_OK);
    digest("b", to);
    assert_string_equal(from, to);
    assert_int_equal(stat(in("b/a.so"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0555);
    assert_int_equal(stat(in("b/sql/001_a.sql"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0444);
    assert_int_not_equal(stat(in("b/a.c"), &st), 0);
    assert_int_not_equal(stat(in("b/tests"), &st), 0);
    assert_int_equal(mti_package_copy(in("a"), in("b"), &error), MT_INTERNAL); /* it is there */
}

static void test_copy_file(void **state)
{
    struct stat before, after;
    put("a/old", "old", 0600);
    int held = open(in("a/old"), O_RDONLY);
    fstat(held, &before);
    assert_int_equal(mti_package_copy_file(in("a/a.so"), in("a/old"), 0555, &error), MT_OK);
    stat(in("a/old"), &after);
    assert_int_not_equal(before.st_ino, after.st_ino); /* whoever has the old one mapped keeps it */
    assert_int_equal(after.st_size, 4);
    close(held);
    assert_int_equal(mti_package_copy_file(in("a/none"), in("a/new"), 0555, &error), MT_NOT_FOUND);
    assert_int_not_equal(stat(in("a/new"), &after), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_owns), TEST(test_digest), TEST(test_copy), TEST(test_copy_file)};
    return cmocka_run_group_tests(tests, NULL, remove_all);
}
