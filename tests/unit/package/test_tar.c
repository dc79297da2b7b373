/* Package files: what is packed comes out again, the same files make the same bytes, and what is no package leaves nothing behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../../core/package/tar.c"

#include <fcntl.h>
#include <unistd.h>

static char base[] = "/tmp/mortise-tar-XXXXXX";
static char from[64], to[64];
static mti_error error;
static mti_buf tar, packed;

static void put(const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", from, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static int setup(void **state)
{
    if (base[strlen(base) - 1] == 'X' && !mkdtemp(base))
        return -1;
    snprintf(from, sizeof from, "%s/from", base);
    snprintf(to, sizeof to, "%s/to", base);
    mkdir(from, 0755);
    put("plugin.json", "{\"slug\":\"a\"}");
    put("a.so", "code");
    mti_buf_init(&tar, 64 << 20);
    mti_buf_init(&packed, 64 << 20);
    error = (mti_error){0};
    return 0;
}

static int teardown(void **state)
{
    mti_buf_dispose(&tar);
    mti_buf_dispose(&packed);
    return mti_package_remove(from, NULL) == MT_OK && mti_package_remove(to, NULL) == MT_OK ? 0 : -1;
}

static int remove_all(void **state)
{
    return rmdir(base);
}

static void entry(const char *name, char type, const char *text)
{
    put_header(&tar, name, strlen(text), type == '5', false);
    header *h = (header *)(tar.p + tar.len - BLOCK);
    h->type = type;
    snprintf(h->checksum, sizeof h->checksum, "%06o", sum_of(h));
    mti_buf_adds(&tar, text);
    put_padding(&tar, (BLOCK - strlen(text) % BLOCK) % BLOCK);
}

static mt_status unpack(void)
{
    mti_buf_clear(&packed);
    assert_int_equal(deflate_all(mti_buf_slice(&tar), &packed, &error), MT_OK);
    return mti_package_unpack(mti_buf_slice(&packed), to, &error);
}

static void refused(const char *why)
{
    struct stat st;
    if (unpack() != MT_INVALID || strcmp(error.code, "package_invalid") || !strstr(error.detail, why))
        fail_msg("%s: %s", why, error.detail);
    assert_int_not_equal(stat(to, &st), 0);
    mti_buf_clear(&tar);
}

static void test_there_and_back(void **state)
{
    mti_buf one, two;
    char before[65], after[65];
    assert_int_equal(mti_package_pack(from, "a-1.0.0", &one, &error), MT_OK);
    put("a.so", "code");                     /* another time stamp, the same bytes */
    assert_int_equal(mti_package_pack(from, "a-1.0.0", &two, &error), MT_OK);
    assert_int_equal(one.len, two.len);
    assert_memory_equal(one.p, two.p, one.len);
    assert_int_equal(mti_package_unpack(mti_buf_slice(&one), to, &error), MT_OK);
    mti_package_digest(from, before, &error);
    mti_package_digest(to, after, &error);
    assert_string_equal(before, after);
    mti_buf_dispose(&one);
    mti_buf_dispose(&two);
}

static void test_folders_of_others(void **state)
{
    entry("a/", '5', "");
    entry("a/sql/", '5', "");
    entry("a/plugin.json", '0', "{}");
    entry("a/sql/001_x.sql", 0, "SELECT 1;");
    put_padding(&tar, 2 * BLOCK);
    put_padding(&tar, 2 * BLOCK);            /* GNU tar fills ten kilobytes */
    assert_int_equal(unpack(), MT_OK);
}

static void test_wrong_entries(void **state)
{
    static const struct { const char *name; char type; const char *text, *why; } rows[] = {
        {"a/../../x.so", '0', "x", "belongs to no plugin"}, {"/a/x.so", '0', "x", "top folder"}, {"../x.so", '0', "x", "top folder"}, {"x.so", '0', "x", "outside"},
        {"b/x.so", '0', "x", "second top"}, {"a/x.so", '2', "", "plain files"}, {"a/x.so", '1', "", "plain files"}, {"a/x.so", '3', "", "plain files"},
        {"a/x.so", 'x', "1 path=y\n", "plain files"}, {"a/x.so", 'L', "long", "plain files"}, {"a/x.c", '0', "x", "belongs to no plugin"}, {"a/plugin.json", '0', "x", "twice"},
        {"a/files/x", '0', "x", "twice"}, {"a/files/x/y", '0', "x", "twice"}, {"a/sql", '5', "x", "size"}, {"", '0', "x", "outside"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        entry("a/plugin.json", '0', "{}");
        entry("a/files/x", '0', "1");
        entry(rows[i].name, rows[i].type, rows[i].text);
        put_padding(&tar, 2 * BLOCK);
        refused(rows[i].why);
    }
}

static void test_wrong_wholes(void **state)
{
    entry("a/a.so", '0', "x");
    put_padding(&tar, 2 * BLOCK);
    refused("plugin.json");
    entry("a/plugin.json", '0', "{}");
    refused("end is missing");
    entry("a/plugin.json", '0', "{}");
    put_padding(&tar, 2 * BLOCK);
    mti_buf_adds(&tar, "more");
    refused("end is missing");
    entry("a/plugin.json", '0', "{}");
    ((header *)tar.p)->name[0] = 'b';
    put_padding(&tar, 2 * BLOCK);
    refused("header");
    put_header(&tar, "a/plugin.json", 1 << 20, false, false);
    put_padding(&tar, 2 * BLOCK);
    refused("size");
    for (int i = 0; i < MTI_PACKAGE_FILES + 1; i++) {
        char name[32];
        snprintf(name, sizeof name, "a/files/%d", i);
        entry(name, '0', "x");
    }
    put_padding(&tar, 2 * BLOCK);
    refused("too many");
}

static void test_bomb(void **state)
{
    mti_buf_reserve(&tar, 32 << 20);
    memset(tar.p, 0, 32 << 20);
    tar.len = 32 << 20;
    refused("far more");
}

static void test_broken_gzip(void **state)
{
    entry("a/plugin.json", '0', "{}");
    put_padding(&tar, 2 * BLOCK);
    deflate_all(mti_buf_slice(&tar), &packed, &error);
    for (size_t n = 0; n < packed.len; n++)
        assert_int_equal(mti_package_unpack((mt_slice){packed.p, n}, to, &error), MT_INVALID);
    mti_buf_addc(&packed, 'x');
    assert_int_equal(mti_package_unpack(mti_buf_slice(&packed), to, &error), MT_INVALID);
    assert_non_null(strstr(error.detail, "follows"));
    assert_int_equal(mti_package_unpack(MT_SLICE("not at all"), to, &error), MT_INVALID);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_there_and_back), TEST(test_folders_of_others), TEST(test_wrong_entries),
                                       TEST(test_wrong_wholes), TEST(test_bomb), TEST(test_broken_gzip)};
    return cmocka_run_group_tests(tests, NULL, remove_all);
}
