/* multipart/form-data: what browsers and curl send, what breaks it. Bodies are copied to blocks of
 * their exact size, so that a sanitizer sees a byte too many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "request/multipart.h"

#define TYPE             "multipart/form-data; boundary=XX"
#define PART(head, data) "--XX\r\n" head "\r\n\r\n" data "\r\n"
#define FILE_HEAD                                                                                  \
    "Content-Disposition: form-data; name=\"f\"; filename=\"a.txt\"\r\nContent-Type: text/plain"
#define FIELD "Content-Disposition: form-data; name=\"a\""
#define END   "--XX--\r\n"

static mti_multipart got;
static mti_error error;
static char *held;

static mt_status parse_slice(const char *type, mt_slice body)
{
    free(held);
    held = malloc(body.len ? body.len : 1);
    memcpy(held, body.p, body.len);
    error = (mti_error){0};
    return mti_multipart_parse(mt_str(type), (mt_slice){held, body.len}, &got, &error);
}

#define parse(type, literal) parse_slice(type, MT_SLICE(literal))

static int release(void **state)
{
    free(held);
    held = NULL;
    return 0;
}

static void assert_text(mt_slice s, const char *want)
{
    if (want ? !s.p || !mt_slice_eq(s, mt_str(want)) : s.p != NULL)
        fail_msg("\"%.*s\" is not \"%s\"", (int)s.len, s.p ? s.p : "", want ? want : "(null)");
}

static void test_well_formed(void **state)
{
    assert_int_equal(parse(TYPE, PART(FILE_HEAD, "hello\r\nworld") PART(FIELD, "1") END), MT_OK);
    assert_int_equal(got.n, 2);
    assert_text(got.parts[0].field, "f");
    assert_text(got.parts[0].file_name, "a.txt");
    assert_text(got.parts[0].type, "text/plain");
    assert_text(got.parts[0].data, "hello\r\nworld");
    assert_text(got.parts[1].field, "a");
    assert_text(got.parts[1].file_name, NULL);
    assert_text(got.parts[1].type, NULL);
    assert_text(got.parts[1].data, "1");
    assert_int_equal(parse(TYPE, PART(FIELD, "") "--XX--"), MT_OK);
    assert_int_equal(got.n, 1);
    assert_int_equal(got.parts[0].data.len, 0);
    assert_int_equal(parse(TYPE, PART(FIELD, "1") END "epilogue\r\n--XX\r\n"), MT_OK);
    assert_int_equal(got.n, 1);
    assert_int_equal(parse(TYPE, "--XX--\r\n"), MT_OK);
    assert_int_equal(got.n, 0);
}

static void test_empty_file(void **state)
{
    assert_int_equal(parse(TYPE, PART(FILE_HEAD, "") END), MT_OK);
    assert_int_equal(got.parts[0].data.len, 0);
    assert_non_null(got.parts[0].data.p);
    assert_int_equal(
        parse(TYPE, PART("Content-Disposition: form-data; name=\"f\"; filename=\"\"", "") END),
        MT_OK);
    assert_text(got.parts[0].file_name, "");
}

static void test_data_that_looks_like_a_boundary(void **state)
{
    static const char data[] =
        "\r\n--\r\n-- XX\r\n--X\n--XX\r--XX\r\n --XX--\r\n--Xx\0--XX--\r\n-\r\n\r\n\xff\xfe";
    char body[512];
    int head = snprintf(body, sizeof body, "--XX\r\n" FILE_HEAD "\r\n\r\n");
    memcpy(body + head, data, sizeof data);
    memcpy(body + head + sizeof data, "\r\n--XX--", 8);
    assert_int_equal(parse_slice(TYPE, (mt_slice){body, (size_t)head + sizeof data + 8}), MT_OK);
    assert_int_equal(got.n, 1);
    assert_int_equal(got.parts[0].data.len, sizeof data);
    assert_memory_equal(got.parts[0].data.p, data, sizeof data);
    /* the boundary at the start of a line ends the part, whatever follows it */
    assert_int_equal(parse(TYPE, PART(FIELD, "1\r\n--XXY") END), MT_INVALID);
}

static void test_names(void **state)
{
    static const struct {
        const char *head, *field, *file;
    } rows[] = {
        {"Content-Disposition: form-data; name=a", "a", NULL},
        {"content-disposition:form-data;name=a", "a", NULL},
        {"CONTENT-DISPOSITION: FORM-DATA; NAME=\"a\"", "a", NULL},
        {"Content-Disposition: form-data; filename=\"b\"; name=\"a\"", "a", "b"},
        {"Content-Disposition: form-data; name=\"a;b\"; filename=\"c=d; name=e\"", "a;b",
         "c=d; name=e"},
        {"Content-Disposition: form-data; name=\"\"", "", NULL},
        {"Content-Disposition: form-data; name=\"a\\\"b\"; filename=\"c\\\\\"", "a\\\"b", "c\\\\"},
        {"Content-Disposition: form-data; x=\"\\\"; name=q\"; name=\"a\"", "a", NULL},
        {"Content-Disposition: form-data; xname=\"q\"; name=\"a\"", "a", NULL},
        {"Content-Disposition: form-data; name=\"a\"; name=\"b\"", "a", NULL},
        {"Content-Disposition: form-data; filename*=UTF-8''q; name=a", "a", NULL},
        {"Content-Disposition: form-data; name=\"\xc3\xa9\"; filename=\"..\\\\..\\\\x\"",
         "\xc3\xa9", "..\\\\..\\\\x"},
        {"Content-Disposition: form-data;; ;name=a;", "a", NULL},
        {"Content-Disposition: form-data; name=a \r\nX-Other: name=\"q\"", "a", NULL},
        {"X-A: 1\r\nContent-Disposition: form-data; name=a", "a", NULL},
        {"Content-Disposition: form-data; name=\" a \"", " a ", NULL}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char body[512];
        int n = snprintf(body, sizeof body, "--XX\r\n%s\r\n\r\nv\r\n--XX--\r\n", rows[i].head);
        if (parse_slice(TYPE, (mt_slice){body, (size_t)n}) != MT_OK)
            fail_msg("%s: %s", rows[i].head, error.detail);
        assert_text(got.parts[0].field, rows[i].field);
        assert_text(got.parts[0].file_name, rows[i].file);
        assert_text(got.parts[0].data, "v");
    }
}

static void test_broken_bodies(void **state)
{
    static const char *const bodies[] = {"",
                                         "-",
                                         "--",
                                         "--X",
                                         "--XX",
                                         "--XX-",
                                         "--XX\r",
                                         "--XX\r\n",
                                         "\r\n--XX--",
                                         "preamble\r\n--XX--",
                                         "--XXa",
                                         "--XX\n" FIELD "\n\nv\n--XX--\n",
                                         "--XX\r\n\r\n",
                                         "--XX\r\n--XX--",
                                         "--XX\r\n" FIELD,
                                         "--XX\r\n" FIELD "\r\n",
                                         "--XX\r\n" FIELD "\r\n\r\n",
                                         "--XX\r\n" FIELD "\r\n\r\nv",
                                         "--XX\r\n" FIELD "\r\n\r\nv\r\n--X",
                                         "--XX\r\n" FIELD "\r\n\r\nv\r\n--XX",
                                         "--XX\r\n" FIELD "\r\n\r\nv\r\n--XX-",
                                         "--XX\r\n" FIELD "\r\n\r\nv\r\n--XX\r\n",
                                         "--XX\r\n" FIELD "\r\n\r\nv--XX--",
                                         PART("X: y", "v") END,
                                         PART("", "v") END,
                                         PART("Content-Disposition: attachment; name=a", "v") END,
                                         PART("Content-Disposition: form-data", "v") END,
                                         PART("Content-Disposition: form-data; filename=a", "v")
                                             END,
                                         PART("Content-Disposition: form-datax; name=a", "v") END,
                                         PART("Content-Disposition : form-data; name=a", "v") END,
                                         PART("Content-Disposition: form-data; name", "v") END,
                                         PART("Content-Disposition: form-data; \"name=a", "v") END};
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        mt_status s = parse_slice(TYPE, mt_str(bodies[i]));
        if (s != MT_INVALID || strcmp(error.code, "multipart_invalid") || !error.detail[0])
            fail_msg("status %d for %s", s, bodies[i]);
    }
    assert_int_equal(mti_multipart_parse(MT_SLICE(TYPE), (mt_slice){0}, &got, &error), MT_INVALID);
}

/* A body that is cut anywhere is refused, never taken for a shorter one. */
static void test_cut_anywhere(void **state)
{
    static const char body[] = PART(FILE_HEAD, "hello") PART(FIELD, "1\r\n--X") "--XX--";
    assert_int_equal(parse(TYPE, PART(FILE_HEAD, "hello") PART(FIELD, "1\r\n--X") "--XX--"), MT_OK);
    for (size_t n = 0; n + 1 < sizeof body; n++)
        assert_int_equal(parse_slice(TYPE, (mt_slice){body, n}), MT_INVALID);
}

static void test_content_types(void **state)
{
    static const struct {
        const char *type;
        bool ok;
    } rows[] = {{"multipart/form-data; boundary=XX", true},
                {"multipart/form-data; boundary=\"XX\"", true},
                {"multipart/form-data;BOUNDARY=XX", true},
                {"multipart/form-data; charset=utf-8; boundary=XX", true},
                {"multipart/form-data; boundary=XX; charset=utf-8", true},
                {"multipart/form-data; boundary=XX ", true},
                {"multipart/form-data; x=\"; boundary=YY\"; boundary=XX", true},
                {"", false},
                {"multipart/form-data", false},
                {"multipart/form-data; boundary", false},
                {"multipart/form-data; boundary=", false},
                {"multipart/form-data; boundary=\"\"", false},
                {"multipart/form-data; boundary=X", false},
                {"multipart/form-data; boundary=\"XX", true},
                {"multipart/form-data; boundary=\"X\\", false},
                {"multipart/form-data; "
                 "boundary=01234567890123456789012345678901234567890123456789012345678901234567890",
                 false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if ((parse(rows[i].type, PART(FIELD, "v") END) == MT_OK) != rows[i].ok)
            fail_msg("%s", rows[i].type);
    assert_int_equal(mti_multipart_parse((mt_slice){0}, MT_SLICE("--XX--"), &got, &error),
                     MT_INVALID);
    char body[300], longest[71], type[128];
    memset(longest, 'b', 70);
    longest[70] = 0;
    snprintf(type, sizeof type, "multipart/form-data; boundary=%s", longest);
    int n = snprintf(body, sizeof body, "--%s\r\n" FIELD "\r\n\r\nv\r\n--%s--", longest, longest);
    assert_int_equal(parse_slice(type, (mt_slice){body, (size_t)n}), MT_OK);
}

static size_t write_parts(char *out, int n)
{
    size_t len = 0;
    for (int i = 0; i < n; i++)
        len += (size_t)sprintf(
            out + len, "--XX\r\nContent-Disposition: form-data; name=\"a%d\"\r\n\r\n%d\r\n", i, i);
    return len + (size_t)sprintf(out + len, "--XX--");
}

static void test_many_parts(void **state)
{
    char body[8192];
    assert_int_equal(parse_slice(TYPE, (mt_slice){body, write_parts(body, 64)}), MT_OK);
    assert_int_equal(got.n, 64);
    assert_text(got.parts[63].field, "a63");
    assert_text(got.parts[63].data, "63");
    assert_int_equal(parse_slice(TYPE, (mt_slice){body, write_parts(body, 65)}), MT_TOO_LARGE);
    assert_string_equal(error.code, "too_many_parts");
}

static void test_huge_head(void **state)
{
    enum { BIG = 20000 };
    char *body = malloc(BIG + 200);
    for (int pad = 8100; pad <= 8200; pad++) {
        int head = sprintf(body, "--XX\r\n" FIELD "\r\nX: ");
        memset(body + head, 'x', (size_t)pad);
        int n = head + pad + sprintf(body + head + pad, "\r\n\r\nv\r\n--XX--");
        int length = head + pad - 6;
        assert_int_equal(parse_slice(TYPE, (mt_slice){body, (size_t)n}),
                         length > 8192 ? MT_INVALID : MT_OK);
    }
    int head = sprintf(body, "--XX\r\n");
    memset(body + head, '\r', BIG);
    assert_int_equal(parse_slice(TYPE, (mt_slice){body, (size_t)head + BIG}), MT_INVALID);
    free(body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_well_formed),
                                       cmocka_unit_test(test_empty_file),
                                       cmocka_unit_test(test_data_that_looks_like_a_boundary),
                                       cmocka_unit_test(test_names),
                                       cmocka_unit_test(test_broken_bodies),
                                       cmocka_unit_test(test_cut_anywhere),
                                       cmocka_unit_test(test_content_types),
                                       cmocka_unit_test(test_many_parts),
                                       cmocka_unit_test(test_huge_head)};
    return cmocka_run_group_tests(tests, NULL, release);
}
