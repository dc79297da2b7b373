/* Chunks: exact ranges, nothing lost, never over the limit; on the Debian FAQ, on random texts and on one huge line. */
#include "support.h"

#include "chunker.h"

/* Four letters a token, every word at least one: the sum over words is the whole. */
static size_t count_words(void *user, const char *p, size_t n)
{
    size_t tokens = 0, run = 0;
    for (size_t i = 0; i <= n; i++) {
        if (i < n && p[i] != ' ' && (p[i] < '\t' || p[i] > '\r')) {
            run++;
        } else {
            tokens += (run + 3) / 4;
            run = 0;
        }
    }
    return tokens;
}

/* Not additive: white space counts too, and every call costs two. */
static size_t count_bytes(void *user, const char *p, size_t n)
{
    return n / 3 + 2;
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static void check_chunks(const doc_text *d, const chunk_list *l, const chunk_options *o)
{
    size_t at = 0, limit = o->max ? o->max : 254;
    for (size_t i = 0; i < l->n; i++) {
        const chunk *c = &l->items[i];
        const doc_section *s = &d->sections[c->section];
        assert_true(c->start < c->end && c->start >= s->start && c->end <= s->end);
        assert_false(is_space(d->text[c->start]) || is_space(d->text[c->end - 1]));
        assert_true(mt_utf8_valid(d->text + c->start, c->end - c->start, NULL));
        assert_int_equal(o->count(NULL, d->text + c->start, c->end - c->start), c->tokens);
        assert_true(c->tokens <= limit);
        for (; at < c->start; at++) { /* what no chunk holds: white space, or a heading that the next path repeats */
            size_t in = 0;
            while (d->sections[in].end <= at)
                in++;
            assert_true(is_space(d->text[at]) || (at < d->sections[in].body && in + 1 < d->n_sections &&
                                                  d->sections[in + 1].level > d->sections[in].level));
        }
        assert_true(i == 0 || (c->start > l->items[i - 1].start && c->end > l->items[i - 1].end));
        at = c->end;
    }
    for (; at < d->len; at++)
        assert_true(is_space(d->text[at]));
}

/* Slow and independent: each chunk's code point offsets are counted from the start of the text. */
static void check_code_points(const doc_text *d, const chunk_list *l)
{
    for (size_t i = 0; i < l->n; i++) {
        assert_int_equal(l->items[i].start_cp, mt_utf8_count(d->text, l->items[i].start));
        assert_int_equal(l->items[i].end_cp, mt_utf8_count(d->text, l->items[i].end));
    }
}

static void chunk_file(const char *command, bool html, size_t least)
{
    size_t n;
    char *in = read_command(command, &n), reason[DOC_REASON];
    doc_text d;
    assert_non_null(in);
    assert_int_equal((html ? doc_text_from_html : doc_text_from_plain)(&d, in, n, reason), MT_OK);
    for (size_t overlap = 0; overlap <= 40; overlap += 40) {
        chunk_options o = {.count = count_words, .overlap = overlap};
        chunk_list l;
        assert_int_equal(chunk_doc(&d, &o, &l), MT_OK);
        check_chunks(&d, &l, &o);
        check_code_points(&d, &l);
        assert_true(l.n >= least);
        chunk_list_dispose(&l);
        o.count = count_bytes;
        assert_int_equal(chunk_doc(&d, &o, &l), MT_OK);
        check_chunks(&d, &l, &o);
        chunk_list_dispose(&l);
    }
    doc_text_dispose(&d);
    free(in);
}

static void test_debian_faq(void **state)
{
    if (access(FAQ "kernel.en.html", R_OK) != 0)
        skip(); /* the package debian-faq is not installed */
    chunk_file("zcat " FAQ "debian-faq.en.txt.gz", false, 150);
    static const char *const pages[] = {"kernel", "basic-defs", "choosing", "compatibility", "contributing", "customizing",
                                        "faqinfo", "ftparchives", "pkg-basics", "pkgtools", "software", "support", "uptodate"};
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) {
        char command[128];
        snprintf(command, sizeof command, "cat " FAQ "%s.en.html", pages[i]);
        chunk_file(command, true, 3);
    }
}

static void test_structure(void **state)
{
    static const char in[] = "# A\n\n## B\n\nOne two. Three four.\n\n## C\n\nFive.\n";
    doc_text d;
    chunk_list l;
    char reason[DOC_REASON];
    chunk_options o = {.count = count_words};
    assert_int_equal(doc_text_from_markdown(&d, in, sizeof in - 1, reason), MT_OK);
    assert_int_equal(chunk_doc(&d, &o, &l), MT_OK);
    check_chunks(&d, &l, &o);
    assert_int_equal(l.n, 2); /* "A" alone is in both paths */
    assert_string_equal(d.sections[l.items[0].section].path, "A > B");
    assert_memory_equal(d.text + l.items[0].start, "B\n\nOne two. Three four.", 23);
    assert_int_equal(l.items[0].end - l.items[0].start, 23);
    chunk_list_dispose(&l);
    o.max = 4;
    assert_int_equal(chunk_doc(&d, &o, &l), MT_INVALID);
    doc_text_dispose(&d);
}

static void test_overlap(void **state)
{
    char in[4096] = "", reason[DOC_REASON];
    for (int i = 0; i < 40; i++)
        sprintf(in + strlen(in), "Sentence number %d has some words. ", i);
    doc_text d;
    chunk_list l;
    chunk_options o = {.count = count_words, .target = 60, .max = 80, .overlap = 20};
    assert_int_equal(doc_text_from_plain(&d, in, strlen(in), reason), MT_OK);
    assert_int_equal(chunk_doc(&d, &o, &l), MT_OK);
    assert_true(l.n > 3);
    for (size_t i = 1; i < l.n; i++) {
        assert_true(l.items[i].start < l.items[i - 1].end);
        assert_memory_equal(d.text + l.items[i].start, "Sentence", 8);
    }
    check_chunks(&d, &l, &o);
    check_code_points(&d, &l);
    chunk_list_dispose(&l);
    doc_text_dispose(&d);
}

static void test_random(void **state)
{
    static const char *const parts[] = {"word ", "a", ". ", "\n\n", "\n", "čć", "Long sentence of many words here ", "! ", "漢字",
                                        "# H\n\n", "## Sub\n\n", "x1.2 ", "e.g. "};
    unsigned seed = 11;
    for (int round = getenv("MORTISE_TEST_SMALL") ? 1300 : 0; round < 1500; round++) {
        char in[3000] = "", reason[DOC_REASON];
        for (int i = rand_r(&seed) % 150; i > 0; i--)
            strcat(in, parts[rand_r(&seed) % (sizeof parts / sizeof *parts)]);
        doc_text d;
        chunk_list l;
        chunk_options o = {.max = 8 + rand_r(&seed) % 60, .target = 1 + rand_r(&seed) % 60, .overlap = rand_r(&seed) % 20,
                           .count = round % 3 ? count_words : count_bytes};
        assert_int_equal((round % 2 ? doc_text_from_markdown : doc_text_from_plain)(&d, in, strlen(in), reason), MT_OK);
        assert_int_equal(chunk_doc(&d, &o, &l), MT_OK);
        check_chunks(&d, &l, &o);
        check_code_points(&d, &l);
        chunk_list_dispose(&l);
        doc_text_dispose(&d);
    }
}

static void chunk_line(const char *unit, size_t bytes)
{
    char *in = malloc(bytes), reason[DOC_REASON];
    for (size_t i = 0; i < bytes; i++)
        in[i] = unit[i % strlen(unit)];
    bytes = mt_utf8_floor(in, bytes - 1);
    doc_text d;
    chunk_list l;
    chunk_options o = {.count = count_words};
    assert_int_equal(doc_text_from_plain(&d, in, bytes, reason), MT_OK);
    double start = cpu_seconds();
    assert_int_equal(chunk_doc(&d, &o, &l), MT_OK);
    assert_true(cpu_seconds() - start < 30); /* quadratic would be days */
    check_chunks(&d, &l, &o);
    chunk_list_dispose(&l);
    doc_text_dispose(&d);
    free(in);
}

/* Under valgrind, which is 30 times slower, a smaller line tells the same of memory. */
static void test_one_line_of_50_mb(void **state)
{
    size_t bytes = getenv("MORTISE_TEST_SMALL") ? 1 << 20 : 50 << 20;
    chunk_line("x", bytes);
    chunk_line("word ", bytes);
    chunk_line("Some words here. ", bytes);
    chunk_line("漢", bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_debian_faq), cmocka_unit_test(test_structure), cmocka_unit_test(test_overlap),
        cmocka_unit_test(test_random),     cmocka_unit_test(test_one_line_of_50_mb),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
