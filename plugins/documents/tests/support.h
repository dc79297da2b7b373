/* What the tests of this folder share: reading the Debian FAQ and checking the invariants of a doc_text. */
#ifndef DOCUMENTS_TESTS_SUPPORT_H
#define DOCUMENTS_TESTS_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "readers.h"
#include "text/utf8.h"

#define FAQ "/usr/share/doc/debian/FAQ/"

/* The output of a command, malloc'ed, or NULL when it printed nothing. */
static inline char *read_command(const char *command, size_t *len)
{
    FILE *f = popen(command, "r");
    size_t cap = 4 << 20;
    char *p = malloc(cap);
    *len = f ? fread(p, 1, cap, f) : 0;
    if (f)
        pclose(f);
    if (*len > 0)
        return p;
    free(p);
    return NULL;
}

static inline void check_doc(const doc_text *d)
{
    assert_non_null(d->text);
    assert_non_null(d->title);
    assert_true(mt_utf8_valid(d->text, d->len, NULL));
    assert_int_equal(strlen(d->text), d->len);
    assert_int_equal(mt_utf8_count(d->text, d->len), d->len_cp);
    assert_true(d->n_sections > 0 || d->len == 0);
    size_t at = 0, cp = 0;
    for (size_t i = 0; i < d->n_sections; i++) {
        const doc_section *s = &d->sections[i];
        assert_int_equal(s->start, at);
        assert_int_equal(s->start_cp, cp);
        assert_true(s->body >= s->start && s->end >= s->body);
        assert_true(mt_utf8_valid(s->path, strlen(s->path), NULL));
        assert_int_equal(mt_utf8_count(d->text + s->start, s->end - s->start), s->end_cp - s->start_cp);
        at = s->end;
        cp = s->end_cp;
    }
    assert_int_equal(at, d->len);
}

static inline double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

#endif
