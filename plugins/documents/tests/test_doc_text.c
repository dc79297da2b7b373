/* The three readers: tables of inputs with the text and the section paths they give, then hostile and random input. */
#include "support.h"

typedef mt_status (*reader)(doc_text *, const char *, size_t, char *);

typedef struct reading {
    const char *in, *text, *paths; /* text NULL: as it was; paths joined by '|' */
} reading;

static void check_table(reader read, const reading *table, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        doc_text d;
        char reason[DOC_REASON] = "", paths[1024] = "";
        mt_status status = read(&d, table[i].in, strlen(table[i].in), reason);
        assert_string_equal(reason, "");
        assert_int_equal(status, MT_OK);
        check_doc(&d);
        for (size_t s = 0; s < d.n_sections; s++)
            sprintf(paths + strlen(paths), "%s%s", s ? "|" : "", d.sections[s].path);
        assert_string_equal(d.text, table[i].text ? table[i].text : table[i].in);
        assert_string_equal(paths, table[i].paths);
        doc_text_dispose(&d);
    }
}

#define CHECK_TABLE(read, table) check_table(read, table, sizeof(table) / sizeof *(table))

static void test_html(void **state)
{
    static const reading table[] = {
        {"", "", ""},
        {"<p>One  two\n three</p><p>Four</p>", "One two three\n\nFour", ""},
        {"<title>T</title><style>x{}</style><script>alert(1)</script><nav>menu</nav>a &amp; b&nbsp;&eacute;&#x10D;", "a & b éč", ""},
        {"x<h1>A</h1><p>one</p><h2>B <em>b</em></h2>two<h2>C</h2><h1>D</h1>", "x\n\nA\n\none\n\nB b\n\ntwo\n\nC\n\nD",
         "|A|A > B b|A > C|D"},
        {"<ul><li>one<li><p>two</p><ol><li>x<li>y</ol></ul>end", "- one\n- two\n\n1. x\n2. y\n\nend", ""},
        {"<table><tr><th>a<th>b<tr><td><p>1</p><td>2 <br> 3</table>", "a | b\n1 | 2 3", ""},
        {"<pre>  int x;\n\n  y &lt; 1</pre>z", "  int x;\n\n  y < 1\n\nz", ""},
        {"a<br>b<br><br>c", "a\nb\n\nc", ""},
        {"<div class=\"navheader\">nav</div><div class='x toc'>toc</div><p hidden>h</p>ok", "ok", ""},
        {"<h2></h2><h3><br>Deep</h3>t", "Deep\n\nt", "Deep"},
        {"so\xC2\xAD" "ft zero\xE2\x80\x8B" "width", "soft zerowidth", ""},
        {"<meta charset=windows-1250>\xE8\xE6\x9E", "čćž", ""},
    };
    CHECK_TABLE(doc_text_from_html, table);
}

static void test_markdown(void **state)
{
    static const reading table[] = {
        {"", "", ""},
        {"# A\n\ntext [link](http://x) *em* `code`\nmore\n\nB\n-\nb\n", "A\n\ntext link em code more\n\nB\n\nb", "A|A > B"},
        {"## Deep\nx\n# Top #\ny", "Deep\n\nx\n\nTop\n\ny", "Deep|Top"},
        {"```c\nint  x;\n\n# no heading\n```\nafter", "int  x;\n\n# no heading\n\nafter", ""},
        {"- a\n- b\n  1. x\n  2. y\n\nend", "- a\n- b\n1. x\n2. y\n\nend", ""},
        {"| a | b |\n|---|---|\n| 1 | 2 |\n", "a | b\n1 | 2", ""},
        {"---\ntitle: x\n---\nbody", "body", ""},
        {"---\n\ntext\n\n---\n", "text", ""},
        {"&lt;b&gt; &#269; &unknown; ![alt](x.png)", "<b> č &unknown; alt", ""},
        {"<div>\nhtml <b>bold</b>\n</div>\n\nx<br>y", "html bold\n\nxy", ""},
    };
    CHECK_TABLE(doc_text_from_markdown, table);
}

static void test_plain(void **state)
{
    static const reading table[] = {
        {"", "", ""},
        {"\xEF\xBB\xBFone\r\ntwo\rthree", "one\ntwo\nthree", ""},
        {"Title\n=====\n\ntext\n\nSub\n---\nx\n", "Title\n=====\n\ntext\n\nSub\n---\nx\n", "Title|Title > Sub"},
        {"Chapter 1. Start\n\n1.1. First\n\ntext\n\n1.2 A long\ntitle?\n\nChapter 2. Next\n", NULL,
         "Chapter 1. Start|Chapter 1. Start > 1.1. First|Chapter 1. Start > 1.2 A long title?|Chapter 2. Next"},
        {"Contents\n\n1. A\n  1.1 B\n2. C\n3. D\n\n1. Do this now.\n\n2021 was good\n\n10.5 percent\n", NULL, ""},
        {"caf\xE9 \x80", "café €", ""},
    };
    CHECK_TABLE(doc_text_from_plain, table);
}

static void test_plain_encodings(void **state)
{
    doc_text d;
    char reason[DOC_REASON];
    assert_int_equal(doc_text_from_plain(&d, "\xFF\xFEh\0\x0D\x01", 6, reason), MT_OK);
    assert_string_equal(d.text, "hč");
    doc_text_dispose(&d);
    assert_int_equal(doc_text_from_plain(&d, "a\0b", 3, reason), MT_INVALID);
    assert_non_null(strstr(reason, "binary"));
    assert_int_equal(doc_text_from_plain(&d, "abc \x81\x8D", 6, reason), MT_INVALID);
    assert_non_null(strstr(reason, "byte 4"));
    assert_int_equal(doc_text_from_plain(&d, "\xEF\xBB\xBF\xFF", 4, reason), MT_INVALID);
    char *big = calloc(1, DOC_MAX_BYTES + 1);
    memset(big, 'a', DOC_MAX_BYTES + 1);
    assert_int_equal(doc_text_from_plain(&d, big, DOC_MAX_BYTES + 1, reason), MT_TOO_LARGE);
    assert_int_equal(doc_text_from_html(&d, big, DOC_MAX_BYTES, reason), MT_TOO_LARGE);
    free(big);
}

static void read_repeated(reader read, const char *unit, size_t bytes, mt_status want)
{
    char *p = malloc(bytes), reason[DOC_REASON] = "";
    doc_text d;
    for (size_t i = 0; i < bytes; i++)
        p[i] = unit[i % strlen(unit)];
    double start = cpu_seconds();
    mt_status status = read(&d, p, bytes, reason);
    double spent = cpu_seconds() - start;
    if (status != want && want != MT_DONE)
        print_error("unit=%s status=%d reason=%s\n", unit, status, reason);
    assert_true(want == MT_DONE || status == want);
    assert_true(status == MT_OK || *reason);
    if (status == MT_OK)
        check_doc(&d);
    assert_true(spent < 60);
    doc_text_dispose(&d);
    free(p);
}

/* MT_DONE here: accepted or refused, but in time and without a crash. */
static void test_hostile(void **state)
{
    read_repeated(doc_text_from_html, "<div>", 4096 * 5 - 100, MT_OK);
    read_repeated(doc_text_from_html, "<div>", 1 << 20, MT_TOO_LARGE);
    read_repeated(doc_text_from_html, "<b><p>", 200 << 10, MT_DONE);
    read_repeated(doc_text_from_html, "<table><td>", 200 << 10, MT_DONE);
    read_repeated(doc_text_from_html, "<a>", 100 << 10, MT_DONE);
    read_repeated(doc_text_from_html, "<x a=1 b=2 c=3>", 1 << 20, MT_TOO_LARGE);
    read_repeated(doc_text_from_html, "<h1>x</h1>", 1 << 20, MT_TOO_LARGE);
    read_repeated(doc_text_from_html, "&#x41;", 2 << 20, MT_OK);
    read_repeated(doc_text_from_markdown, "> ", 100 << 10, MT_DONE);
    read_repeated(doc_text_from_markdown, "[", 200 << 10, MT_DONE);
    read_repeated(doc_text_from_markdown, "*_", 200 << 10, MT_DONE);
    read_repeated(doc_text_from_markdown, "`", 1 << 20, MT_DONE);
    read_repeated(doc_text_from_markdown, "# x\n", 1 << 20, MT_TOO_LARGE);
    read_repeated(doc_text_from_markdown, "- ", 64 << 10, MT_DONE);
    read_repeated(doc_text_from_plain, "a", getenv("MORTISE_TEST_SMALL") ? 1 << 20 : 50 << 20, MT_OK);
    read_repeated(doc_text_from_plain, "\n", 8 << 20, MT_OK);
}

static void test_markdown_table_bomb(void **state)
{
    size_t columns = 3000, rows = 3000, n = 0;
    char *p = malloc(columns * 4 + rows * 2 + 64), reason[DOC_REASON];
    for (size_t i = 0; i < columns; i++)
        n += (size_t)sprintf(p + n, "|a");
    n += (size_t)sprintf(p + n, "\n");
    for (size_t i = 0; i < columns; i++)
        n += (size_t)sprintf(p + n, "|-");
    n += (size_t)sprintf(p + n, "\n");
    for (size_t i = 0; i < rows; i++)
        n += (size_t)sprintf(p + n, "|\n");
    doc_text d;
    mt_status status = doc_text_from_markdown(&d, p, n, reason);
    assert_true(status == MT_OK || status == MT_TOO_LARGE);
    doc_text_dispose(&d);
    free(p);
}

/* Bytes changed at random in a page that uses everything: never a crash, never a broken invariant. */
static void test_mutations(void **state)
{
    static const char seed_text[] =
        "<h1>A</h1><p>x &amp; y<ul><li>1<li>2</ul><table><tr><td>a<td>b</table><pre>\n q</pre>\n# H\n\n- a\n- b\n\n"
        "|a|b|\n|-|-|\n|1|2|\n\n```\ncode\n```\n1.2 Title\n\nTitle\n=====\n\xC4\x8D\xC4\x87";
    static const char bytes[] = "<>/&;#|-\n =\"'\xC4\xFF\x01 a1";
    static const reader readers[] = {doc_text_from_html, doc_text_from_markdown, doc_text_from_plain};
    unsigned seed = 3;
    for (int round = getenv("MORTISE_TEST_SMALL") ? 5500 : 0; round < 6000; round++) {
        char in[sizeof seed_text], reason[DOC_REASON] = "";
        memcpy(in, seed_text, sizeof in);
        for (int i = rand_r(&seed) % 12; i >= 0; i--)
            in[rand_r(&seed) % (sizeof in - 1)] = bytes[rand_r(&seed) % (sizeof bytes - 1)];
        doc_text d;
        mt_status status = readers[round % 3](&d, in, rand_r(&seed) % sizeof in, reason);
        if (status == MT_OK)
            check_doc(&d);
        else
            assert_true(*reason);
        doc_text_dispose(&d);
    }
}

static void test_debian_faq(void **state)
{
    if (access(FAQ "kernel.en.html", R_OK) != 0)
        skip(); /* the package debian-faq is not installed */
    size_t n;
    char *in = read_command("cat " FAQ "kernel.en.html", &n), reason[DOC_REASON];
    doc_text d;
    assert_int_equal(doc_text_from_html(&d, in, n, reason), MT_OK);
    check_doc(&d);
    assert_string_equal(d.title, "Chapter 10. Debian and the kernel");
    assert_int_equal(d.n_sections, 6);
    assert_string_equal(d.sections[5].path, "Chapter 10. Debian and the kernel > "
                                            "10.5. Where can I get more information about Linux packages for Debian?");
    assert_null(strstr(d.text, "Table of Contents"));
    doc_text_dispose(&d);
    free(in);
    in = read_command("zcat " FAQ "debian-faq.en.txt.gz", &n);
    assert_int_equal(doc_text_from_plain(&d, in, n, reason), MT_OK);
    check_doc(&d);
    size_t chapters = 0;
    for (size_t i = 0; i < d.n_sections; i++)
        chapters += strncmp(d.sections[i].path, "Chapter ", 8) == 0 && d.sections[i].level == 1;
    assert_int_equal(chapters, 16);
    assert_true(d.n_sections > 100);
    doc_text_dispose(&d);
    free(in);
}

/* Pages of a book with heads, feet and numbers, and what pdftohtml says of its outline. */
static void test_pages(void **state)
{
    static const char book[] = "The Book\n\n1 Rivers\n\nWater flows.\n\n7\n\f"
                               "The  Book\n\nIt goes on\n\n8\n\f"
                               "Mills\n\nto the mills.\n2.1\n\nOf  wheels & more\n\nThey turn.\n\n9\n\f"
                               "The Book\n\n1943\n\nThe year is text.\n\n10\n\f";
    static const char outline[] = "<page>text</page>\n<outline>\n<item page=\"1\">Rivers</item>\n<item page=\"3\">Mills</item>\n<outline>\n"
                                  "<item page=\"3\">2.1 Of wheels &amp; more</item>\n<item page=\"4\">Not there</item>\n<item page=\"99\">Rivers</item>\n"
                                  "<item>no page</item>\n<item page=\"1\">Rivers</item>\n</outline>\n</outline>\n</pdf2xml>";
    char reason[DOC_REASON];
    doc_text d;
    assert_int_equal(doc_text_from_pages(&d, book, sizeof book - 1, outline, sizeof outline - 1, 100, reason), MT_OK);
    check_doc(&d);
    assert_string_equal(d.text, "The Book\n\n1 Rivers\n\nWater flows.\n\nThe  Book\n\nIt goes on\nMills\n\nto the mills.\n2.1\n\nOf  wheels & more\n\n"
                                "They turn.\n\nThe Book\n\n1943\n\nThe year is text.");
    assert_int_equal(d.n_pages, 4);
    assert_int_equal(d.n_sections, 4);
    assert_string_equal(d.sections[0].path, "");
    assert_string_equal(d.sections[1].path, "1 Rivers");
    assert_string_equal(d.sections[2].path, "Mills");
    assert_string_equal(d.sections[3].path, "Mills > 2.1 Of wheels & more");
    doc_text_dispose(&d);
    assert_int_equal(doc_text_from_pages(&d, book, sizeof book - 1, NULL, 0, 3, reason), MT_TOO_LARGE);

    static const char headed[] = "The Book\nA\n\fThe Book\nB\n\fThe Book\nC\n\fThe Book\n\n1.2 Doors\n\nOpen.\f";
    assert_int_equal(doc_text_from_pages(&d, headed, sizeof headed - 1, NULL, 0, 100, reason), MT_OK);
    check_doc(&d);
    assert_string_equal(d.text, "A\nB\nC\n1.2 Doors\n\nOpen.");
    assert_int_equal(d.n_pages, 4);
    doc_text_dispose(&d);
}

/* An outline that is cut anywhere gives a document. */
static void test_cut_outlines(void **state)
{
    static const char outline[] = "<outline><item page=\"1\">A &amp; b</item><outline><item page=\"2\">C</item></outline></outline>";
    static const char pages[] = "A & b\n\nx\fC\n\ny";
    char reason[DOC_REASON];
    for (size_t n = 0; n < sizeof outline; n++) {
        doc_text d;
        char *cut = malloc(n ? n : 1);
        memcpy(cut, outline, n);
        assert_int_equal(doc_text_from_pages(&d, pages, sizeof pages - 1, cut, n, 9, reason), MT_OK);
        check_doc(&d);
        doc_text_dispose(&d);
        free(cut);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pages),          cmocka_unit_test(test_cut_outlines),
        cmocka_unit_test(test_html),           cmocka_unit_test(test_markdown),
        cmocka_unit_test(test_plain),          cmocka_unit_test(test_plain_encodings),
        cmocka_unit_test(test_hostile),        cmocka_unit_test(test_markdown_table_bomb),
        cmocka_unit_test(test_mutations),      cmocka_unit_test(test_debian_faq),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
