/* The parent's side: real files through the real process, and processes that misbehave. */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

#include "extract.h"
#include "extract_wire.h"

static double wall_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static extract_job job_of(char kind, const char *p, size_t n)
{
    return (extract_job){.kind = kind, .data = {p, n}, .memory_mib = 1024, .cpu_seconds = 20, .wall_seconds = 60, .pages = 100};
}

static mt_status run(const char *program, extract_job *j, doc_text *d, char reason[DOC_REASON])
{
    mt_status s = extract_run(program, j, d, reason);
    if (s == MT_OK)
        check_doc(d);
    else
        assert_true(!d->text && (s == MT_CANCELLED || reason[0]));
    return s;
}

static void test_same_as_in_process(void **state)
{
    size_t n;
    char reason[DOC_REASON], *p = read_command("zcat " FAQ "debian-faq.en.txt.gz", &n);
    doc_text here, there;
    assert_non_null(p);
    extract_job j = job_of('t', p, n);
    assert_int_equal(doc_text_from_plain(&here, p, n, reason), MT_OK);
    assert_int_equal(run(EXTRACT_PROGRAM, &j, &there, reason), MT_OK);
    assert_true(j.ran && j.layers & EXTRACT_USER);
    assert_string_equal(here.text, there.text);
    assert_string_equal(here.title, there.title);
    assert_int_equal(here.len_cp, there.len_cp);
    assert_int_equal(here.n_sections, there.n_sections);
    for (size_t i = 0; i < here.n_sections; i++) {
        assert_string_equal(here.sections[i].path, there.sections[i].path);
        assert_int_equal(here.sections[i].level, there.sections[i].level);
        assert_int_equal(here.sections[i].body, there.sections[i].body);
        assert_int_equal(here.sections[i].end_cp, there.sections[i].end_cp);
    }
    doc_text_dispose(&here);
    doc_text_dispose(&there);
    free(p);
}

static void test_pdf(void **state)
{
    size_t n;
    char reason[DOC_REASON], *p = read_command("zcat " FAQ "debian-faq.en.pdf.gz", &n);
    doc_text d;
    assert_non_null(p);
    extract_job j = job_of('p', p, n);
    assert_int_equal(run(EXTRACT_PROGRAM, &j, &d, reason), MT_OK);
    assert_int_equal(d.n_pages, 73);
    const char *at = strstr(d.text, "Definitions and overview\n1.1\n\n");
    assert_non_null(at);
    assert_int_equal(doc_page_at(&d, 0), 1);
    size_t deep = 0;
    for (size_t i = 0; i < d.n_sections; i++)
        deep += !strcmp(d.sections[i].path, "Getting and installing Debian GNU/Linux > 2.1 What is the latest version of Debian?");
    assert_int_equal(deep, 1);
    assert_true(d.n_sections > 150);
    assert_int_equal(doc_page_at(&d, (size_t)(at - d.text)), 9);
    assert_int_equal(doc_page_at(&d, d.len), 73);
    doc_text_dispose(&d);
    j.pages = 72;
    assert_int_equal(run(EXTRACT_PROGRAM, &j, &d, reason), MT_TOO_LARGE);
    assert_non_null(strstr(reason, "more than 72 pages"));
    free(p);
}

/* A gigabyte of one line, more than any upload. */
static void test_huge_file(void **state)
{
    size_t n = 1u << 30;
    char reason[DOC_REASON], *p = malloc(n);
    doc_text d;
    assert_non_null(p);
    memset(p, 'a', n);
    extract_job j = job_of('t', p, n);
    assert_int_equal(run(EXTRACT_PROGRAM, &j, &d, reason), MT_TOO_LARGE);
    assert_non_null(strstr(reason, "longer than 64 MiB"));
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* these know no bound of memory: sandbox.c */
    j = job_of('t', p, EXTRACT_FILE_MAX - 100);
    j.memory_mib = 140;
    assert_int_equal(run(EXTRACT_PROGRAM, &j, &d, reason), MT_TOO_LARGE);
    assert_non_null(strstr(reason, "140 MiB"));
#endif
    free(p);
}

static void test_processor_time(void **state)
{
    size_t n = 1 << 20;
    char reason[DOC_REASON], *p = malloc(n);
    doc_text d;
    for (size_t i = 0; i < n; i++)
        p[i] = "<div>"[i % 5];
    extract_job j = job_of('h', p, n);
    j.cpu_seconds = 1;
    assert_int_equal(run(EXTRACT_PROGRAM, &j, &d, reason), MT_TOO_LARGE);
    assert_non_null(strstr(reason, "more than 1 seconds"));
    free(p);
}

static const char *script(const char *text)
{
    static char path[] = "/tmp/mortise-test-extract-XXXXXX";
    strcpy(path + sizeof path - 7, "XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && fchmod(fd, 0755) == 0);
    close(fd);
    return path;
}

static bool always(void *user)
{
    return ++*(int *)user > 3;
}

static void test_bad_processes(void **state)
{
    static const struct { const char *text; mt_status want; const char *word; } table[] = {
        {"#!/bin/sh\nexit 3\n", MT_INVALID, "damaged"},
        {"#!/bin/sh\nkill -SEGV $$\n", MT_INVALID, "damaged"},
        {"#!/bin/sh\nkill -KILL $$\n", MT_UNAVAILABLE, "memory"},
        {"#!/bin/sh\nwhile :; do echo nonsense; done\n", MT_INVALID, "damaged"},
        {"#!/bin/sh\nsleep 100 & sleep 100\n", MT_TOO_LARGE, "longer than 1 seconds"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char reason[DOC_REASON];
        doc_text d;
        extract_job j = job_of('t', "x", 1);
        j.wall_seconds = 1;
        const char *program = script(table[i].text);
        assert_int_equal(run(program, &j, &d, reason), table[i].want);
        assert_non_null(strstr(reason, table[i].word));
        assert_true(!j.ran);
        unlink(program);
    }
    char reason[DOC_REASON];
    doc_text d;
    extract_job j = job_of('t', "x", 1);
    assert_int_equal(run("/nowhere/mortise-extract", &j, &d, reason), MT_UNAVAILABLE);
    assert_non_null(strstr(reason, "/nowhere"));
}

static void test_cancel(void **state)
{
    char reason[DOC_REASON];
    doc_text d;
    int asked = 0;
    extract_job j = job_of('t', "x", 1);
    j.cancelled = always;
    j.user = &asked;
    const char *program = script("#!/bin/sh\nsleep 100\n");
    double start = wall_seconds();
    assert_int_equal(run(program, &j, &d, reason), MT_CANCELLED);
    assert_true(wall_seconds() - start < 10);
    unlink(program);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_as_in_process), cmocka_unit_test(test_pdf), cmocka_unit_test(test_huge_file),
        cmocka_unit_test(test_processor_time), cmocka_unit_test(test_bad_processes), cmocka_unit_test(test_cancel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
