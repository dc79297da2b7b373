/* The index against a plain list of passages that does the same, through save, append, open, cut and damaged files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <fcntl.h>
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "blocks.h"
#include "text_file.h"

#define IDS 1500
#define WORDS 60
#define LONGEST 40

static char folder[] = "/tmp/mortise-text-XXXXXX";
static char path[64], reason[TEXT_REASON];
static const text_meta meta = {.workspace = {{1, 2, 3}}};
static const text_bm25 how = {1.2, 0.75};

/* What the index should hold: words of passage i, or none. Later ones come later. */
typedef struct model {
    int order[IDS];          /* 0: not there */
    int length[IDS], count[IDS][WORDS];
    int next;
    uint64_t version;
} model;

static int make_folder(void **state)
{
    if (!mkdtemp(folder))
        return 1;
    snprintf(path, sizeof path, "%s/x.txt", folder);
    return 0;
}

static int remove_folder(void **state)
{
    unlink(path);
    return rmdir(folder);
}

static text_id id_of(unsigned i)
{
    text_id id = {{0}};
    memcpy(id.b + 6, &i, sizeof i);
    return id;
}

static unsigned number_of(const text_id *id)
{
    unsigned i;
    memcpy(&i, id->b + 6, sizeof i);
    return i;
}

/* A passage of random words, low ones often, as text_analyze would give it. */
static void random_passage(model *m, unsigned i, unsigned *seed, text_terms *out)
{
    static char names[WORDS * 3];
    memset(m->count[i], 0, sizeof m->count[i]);
    m->length[i] = 1 + rand_r(seed) % LONGEST;
    for (int k = 0; k < m->length[i]; k++) {
        unsigned r = rand_r(seed) % (WORDS * WORDS);
        m->count[i][WORDS - 1 - (int)sqrt(r)]++;
    }
    m->order[i] = ++m->next;
    *out = (text_terms){.names = names, .length = (uint32_t)m->length[i], .items = malloc(WORDS * sizeof *out->items)};
    for (uint32_t w = 0; w < WORDS; w++) {
        char name[8];
        snprintf(name, sizeof name, "w%02u", w);
        memcpy(names + w * 3, name, 3);
        if (m->count[i][w])
            out->items[out->n++] = (text_term){w * 3, 3, (uint32_t)m->count[i][w], 0};
    }
}

static mt_status change_both(text_index *x, model *m, unsigned *seed, bool to_file, unsigned most)
{
    text_id remove[60], add[60];
    text_terms terms[60];
    text_change c = {.version = ++m->version, .remove = remove, .add = add, .terms = terms};
    for (c.removes = 0; c.removes < (size_t)rand_r(seed) % (most / 2 + 1); c.removes++) {
        unsigned i = rand_r(seed) % IDS;
        remove[c.removes] = id_of(i);
        m->order[i] = 0;
    }
    for (c.adds = 0; c.adds < (size_t)rand_r(seed) % most; c.adds++) {
        unsigned i = rand_r(seed) % IDS;
        add[c.adds] = id_of(i);
        random_passage(m, i, seed, &terms[c.adds]);
    }
    mt_status s = to_file ? text_append(x, path, &c, reason) : text_apply(x, &c, reason);
    for (size_t i = 0; i < c.adds; i++)
        free(terms[i].items);
    return s;
}

static size_t passages(const model *m)
{
    size_t n = 0;
    for (int i = 0; i < IDS; i++)
        n += m->order[i] > 0;
    return n;
}

/* BM25 of passage i by the book. */
static double book_score(const model *m, unsigned i, const int *words, int n, const int *df, double average)
{
    double score = 0, live = (double)passages(m);
    for (int k = 0; k < n; k++) {
        double tf = m->count[i][words[k]], idf = log(1 + (live - df[k] + 0.5) / (df[k] + 0.5));
        score += idf * tf * (how.k1 + 1) / (tf + how.k1 * (1 - how.b + how.b * m->length[i] / average));
    }
    return score;
}

/* The k best by scoring everything must be the k best of the index, with the scores in the same proportions. The index counts the tombstones of a word
 * in its document frequency, so this holds exactly on a freshly saved one. */
static void check_search(text_index *x, const model *m, unsigned *seed, size_t k, bool filtered)
{
    char names[12];
    text_term items[4];
    text_terms query = {.names = names, .items = items};
    int words[4], df[4] = {0};
    static text_hit hits[IDS];
    static text_id only[IDS];
    static bool allowed[IDS];
    size_t found, n_only = 0;
    double full = 0, average = 0, scores[IDS];
    for (query.n = 0; query.n < 4; query.n++) {
        words[query.n] = (int)((rand_r(seed) % (WORDS / 4)) * 4 + query.n); /* distinct */
        char name[8];
        snprintf(name, sizeof name, "w%02d", words[query.n]);
        memcpy(names + query.n * 3, name, 3);
        items[query.n] = (text_term){(uint32_t)query.n * 3, 3, 1, (uint32_t)query.n};
        query.words++;
    }
    for (unsigned i = 0; i < IDS; i++) {
        allowed[i] = !filtered || rand_r(seed) % 5 == 0;
        if (allowed[i])
            only[n_only++] = id_of(i);
        average += m->order[i] ? m->length[i] : 0;
        for (int w = 0; w < 4; w++)
            df[w] += m->order[i] && m->count[i][words[w]];
    }
    average /= (double)passages(m);
    for (int w = 0; w < 4; w++)
        full += log(1 + ((double)passages(m) - df[w] + 0.5) / (df[w] + 0.5)) * (how.k1 + 1);
    size_t matching = 0;
    for (unsigned i = 0; i < IDS; i++) {
        scores[i] = m->order[i] && allowed[i] ? book_score(m, i, words, 4, df, average) / full : 0;
        matching += scores[i] > 0;
    }
    assert_int_equal(text_search(x, &query, how, k, filtered ? only : NULL, n_only, hits, &found, NULL, NULL), MT_OK);
    assert_int_equal(found, matching < k ? matching : k);
    bool seen[IDS] = {false};
    for (size_t h = 0; h < found; h++) {
        unsigned i = number_of(&hits[h].id);
        assert_true(i < IDS && !seen[i] && scores[i] > 0);
        assert_true(fabs(scores[i] - (double)hits[h].score) < 1e-5);
        assert_true(h == 0 || hits[h].score <= hits[h - 1].score);
        seen[i] = true;
    }
    for (unsigned i = 0; i < IDS; i++)
        assert_true(seen[i] || !found || found < k || scores[i] <= (double)hits[found - 1].score + 1e-5);
}

static void check_members(text_index *x, const model *m)
{
    char names[WORDS * 3 + 1];
    text_term items[WORDS];
    text_terms query = {.names = names, .items = items, .words = WORDS};
    static text_hit hits[IDS * 2];
    size_t found;
    for (unsigned w = 0; w < WORDS; w++) {
        snprintf(names + w * 3, 4, "w%02u", w);
        items[query.n++] = (text_term){w * 3, 3, 1, w};
    }
    assert_int_equal(text_count(x), passages(m));
    assert_int_equal(text_get_meta(x)->version, m->version);
    assert_int_equal(text_search(x, &query, how, IDS * 2, NULL, 0, hits, &found, NULL, NULL), MT_OK);
    assert_int_equal(found, passages(m));
    for (size_t h = 0; h < found; h++)
        assert_true(m->order[number_of(&hits[h].id)]);
}

static text_index *reopen(text_index *x)
{
    text_close(x);
    assert_int_equal(text_open(&x, path, reason), MT_OK);
    return x;
}

static void test_blocks(void **state)
{
    unsigned seed = 9;
    for (int round = 0; round < 2000; round++) {
        block_rows in = {.n = 1 + rand_r(&seed) % BLOCK}, out;
        block_head h = {0};
        uint8_t bytes[2 * BLOCK * 4 + BLOCK_SLACK] = {0};
        int64_t row = rand_r(&seed) % 3 ? rand_r(&seed) % 1000 : -1, previous = row;
        for (uint32_t i = 0; i < in.n; i++) {
            row += 1 + rand_r(&seed) % (1u << rand_r(&seed) % 20);
            in.rows[i] = (uint32_t)row;
            in.counts[i] = 1 + rand_r(&seed) % (1u << rand_r(&seed) % 16);
        }
        size_t size = block_pack(&h, &in, previous, bytes);
        assert_true(size <= sizeof bytes - BLOCK_SLACK && h.last == in.rows[in.n - 1]);
        assert_true(block_unpack(&h, previous, bytes, size, &out));
        assert_int_equal(out.n, in.n);
        assert_memory_equal(out.rows, in.rows, in.n * sizeof *in.rows);
        assert_memory_equal(out.counts, in.counts, in.n * sizeof *in.counts);
        assert_false(block_unpack(&h, previous, bytes, size - 1, &out) && size > 0);
        h.last++;
        assert_false(block_unpack(&h, previous, bytes, size, &out));
    }
}

static void test_same_as_scoring_everything(void **state)
{
    static model m;
    unsigned seed = 11;
    text_index *x;
    m = (model){0};
    assert_int_equal(text_create(&x, &meta), MT_OK);
    for (int round = 0; round < 120; round++)
        assert_int_equal(change_both(x, &m, &seed, false, 50), MT_OK);
    check_members(x, &m);
    assert_int_equal(text_save(x, path, reason), MT_OK);
    x = reopen(x);
    assert_int_equal(text_garbage(x), 0);
    for (int i = 0; i < 300; i++)
        check_search(x, &m, &seed, (size_t[]){1, 10, 100, IDS}[i % 4], i % 3 == 2);
    for (int round = 0; round < 30; round++) { /* additions only: no tombstones, base and tail together */
        unsigned i = 0;
        while (i < IDS && m.order[i])
            i++;
        if (i == IDS)
            break;
        text_terms terms;
        text_id id = id_of(i);
        random_passage(&m, i, &seed, &terms);
        text_change c = {.version = ++m.version, .add = &id, .terms = &terms, .adds = 1};
        assert_int_equal(text_append(x, path, &c, reason), MT_OK);
        free(terms.items);
        for (int k = 0; k < 10; k++)
            check_search(x, &m, &seed, 10, k % 2);
    }
    text_close(x);
}

static void test_to_disk_and_back(void **state)
{
    static model m;
    unsigned seed = 5;
    text_index *x;
    m = (model){0};
    assert_int_equal(text_create(&x, &meta), MT_OK);
    assert_int_equal(text_save(x, path, reason), MT_OK);
    for (int round = 0; round < 150; round++) {
        assert_int_equal(change_both(x, &m, &seed, true, 20), MT_OK);
        if (round % 10 == 9)
            x = reopen(x);
        if (round % 37 == 36) {
            assert_int_equal(text_save(x, path, reason), MT_OK);
            check_members(x, &m);
            x = reopen(x);
            assert_int_equal(text_garbage(x), 0);
            check_search(x, &m, &seed, 10, false);
        }
        check_members(x, &m);
    }
    text_close(x);
}

static void test_refusals(void **state)
{
    text_index *x;
    char word[] = "kuca";
    text_term item = {0, 4, 1, 0};
    text_terms terms = {.names = word, .items = &item, .n = 1, .length = 1, .words = 1};
    text_id id = id_of(1);
    text_hit hit;
    size_t found;
    assert_int_equal(text_create(&x, &meta), MT_OK);
    text_change c = {.version = 0, .add = &id, .terms = &terms, .adds = 1};
    assert_int_equal(text_apply(x, &c, reason), MT_CONFLICT);
    c.version = 3;
    assert_int_equal(text_apply(x, &c, reason), MT_OK);
    assert_int_equal(text_append(x, path, &(text_change){.version = 4}, reason), MT_CONFLICT); /* memory is ahead of the file */
    assert_int_equal(text_search(x, &terms, how, 0, NULL, 0, &hit, &found, NULL, NULL), MT_INVALID);
    assert_int_equal(text_search(x, &(text_terms){0}, how, 1, NULL, 0, &hit, &found, NULL, NULL), MT_OK);
    assert_int_equal(found, 0);
    c.version = 4; /* the same id again: replaced */
    assert_int_equal(text_apply(x, &c, reason), MT_OK);
    assert_int_equal(text_count(x), 1);
    assert_int_equal(text_search(x, &terms, how, 1, NULL, 0, &hit, &found, NULL, NULL), MT_OK);
    assert_int_equal(found, 1);
    text_close(x);
}

static bool stop_at_once(void *user)
{
    return true;
}

static mt_status add_one(text_index *x, uint64_t version)
{
    char name[] = "word";
    text_id id = id_of((unsigned)version);
    text_term term = {0, 4, 1, 0};
    text_terms terms = {.names = name, .names_len = 4, .items = &term, .n = 1, .length = 1};
    return text_append(x, path, &(text_change){.version = version, .add = &id, .adds = 1, .terms = &terms}, reason);
}

static void reread(text_index **x, uint64_t version)
{
    text_close(*x);
    assert_int_equal(text_open(x, path, reason), MT_OK);
    assert_int_equal(text_get_meta(*x)->version, version);
    assert_int_equal(text_count(*x), version);
}

/* The bytes of one file in another: as a file that was made where a deleted one's inode was free. */
static void write_over(const char *to, const char *from)
{
    char bytes[1 << 16];
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    assert_true(in && out);
    size_t n = fread(bytes, 1, sizeof bytes, in);
    assert_true(feof(in) && fwrite(bytes, 1, n, out) == n && fclose(out) == 0 && fclose(in) == 0);
}

static void test_an_inode_comes_again(void **state)
{
    text_index *x, *y;
    struct stat before, after;
    char other[sizeof path + 8];
    snprintf(other, sizeof other, "%s.other", path);
    assert_int_equal(text_create(&x, &meta), MT_OK);
    assert_int_equal(text_save(x, path, reason), MT_OK);
    assert_int_equal(stat(path, &before), 0);
    assert_int_equal(text_open(&y, path, reason), MT_OK);
    assert_int_equal(add_one(y, 1), MT_OK);
    assert_int_equal(text_save(y, other, reason), MT_OK);
    write_over(path, other);
    assert_int_equal(stat(path, &after), 0);
    assert_true(after.st_ino == before.st_ino && after.st_size > before.st_size);
    assert_int_equal(add_one(x, 1), MT_PRECONDITION);
    assert_int_equal(stat(path, &before), 0);
    assert_int_equal(before.st_size, after.st_size);
    reread(&x, 1);
    text_close(x);
    text_close(y);
    unlink(other);
}

/* Two hosts at one file, as while one takes the other's place: nothing that one wrote is written over, and the other hears of it. */
static void test_two_append(void **state)
{
    text_index *x, *y;
    assert_int_equal(text_create(&x, &meta), MT_OK);
    assert_int_equal(text_save(x, path, reason), MT_OK);
    assert_int_equal(text_open(&y, path, reason), MT_OK);
    assert_int_equal(add_one(x, 1), MT_OK);
    assert_int_equal(add_one(y, 1), MT_PRECONDITION);
    assert_int_equal(text_count(y), 0);
    reread(&y, 1);
    assert_int_equal(add_one(y, 2), MT_OK);
    assert_int_equal(add_one(y, 3), MT_OK);
    assert_int_equal(add_one(x, 2), MT_PRECONDITION);
    reread(&x, 3);
    assert_int_equal(text_save(x, path, reason), MT_OK); /* another file of the same name */
    assert_int_equal(add_one(y, 4), MT_PRECONDITION);
    assert_int_equal(add_one(x, 4), MT_OK);
    reread(&y, 4);
    assert_int_equal(add_one(y, 5), MT_OK);
    text_close(x);
    text_close(y);
}

static void test_a_search_stops(void **state)
{
    static text_id ids[20000];
    text_terms *terms = calloc(20000, sizeof *terms);
    char word[] = "kuca";
    text_term item = {0, 4, 1, 0};
    text_index *x;
    text_hit hit;
    size_t found;
    for (unsigned i = 0; i < 20000; i++) {
        ids[i] = id_of(i);
        terms[i] = (text_terms){.names = word, .items = &item, .n = 1, .length = 1 + (19999 - i), .words = 1};
    }
    assert_int_equal(text_create(&x, &meta), MT_OK);
    assert_int_equal(text_apply(x, &(text_change){.version = 1, .add = ids, .terms = terms, .adds = 20000}, reason), MT_OK);
    assert_int_equal(text_search(x, terms, how, 1, NULL, 0, &hit, &found, stop_at_once, NULL), MT_CANCELLED);
    assert_int_equal(text_search(x, terms, how, 1, NULL, 0, &hit, &found, NULL, NULL), MT_OK);
    assert_int_equal(number_of(&hit.id), 19999);
    text_close(x);
    free(terms);
}

/* A file of a base and some records, and the version after each byte count where a record ends. */
static size_t make_file(model *m, uint64_t *ends, uint64_t *versions, size_t most)
{
    unsigned seed = 21;
    struct stat st;
    text_index *x;
    size_t n = 0;
    *m = (model){0};
    assert_int_equal(text_create(&x, &meta), MT_OK);
    assert_int_equal(change_both(x, m, &seed, false, 30), MT_OK);
    assert_int_equal(text_save(x, path, reason), MT_OK);
    for (; n < most; n++) {
        assert_int_equal(stat(path, &st), 0);
        ends[n] = (uint64_t)st.st_size;
        versions[n] = m->version;
        assert_int_equal(change_both(x, m, &seed, true, 4), MT_OK);
    }
    text_close(x);
    return n;
}

static char *read_whole(size_t *len)
{
    struct stat st;
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    char *p = malloc((size_t)st.st_size);
    *len = (size_t)read(fd, p, (size_t)st.st_size);
    close(fd);
    return p;
}

static void write_whole(const char *p, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0 && write(fd, p, n) == (ssize_t)n);
    close(fd);
}

/* What a crash may leave: the file cut at any byte of its log. It opens at the last whole version, and the next append takes the torn end's place. */
static void test_cut_at_every_byte(void **state)
{
    static model m;
    uint64_t ends[6], versions[6];
    size_t len, n = make_file(&m, ends, versions, 6);
    char *whole = read_whole(&len);
    for (size_t cut = ends[0]; cut <= len; cut++) {
        text_index *x;
        uint64_t version = m.version;
        for (size_t i = n; i-- > 0 && version == m.version;)
            if (cut >= ends[i] && cut < len)
                version = versions[i];
        write_whole(whole, cut);
        assert_int_equal(text_open(&x, path, reason), MT_OK);
        assert_int_equal(text_get_meta(x)->version, version);
        if (cut % 7 == 0) {
            assert_int_equal(text_append(x, path, &(text_change){.version = version + 1}, reason), MT_OK);
            x = reopen(x);
            assert_int_equal(text_get_meta(x)->version, version + 1);
        }
        text_close(x);
    }
    free(whole);
}

/* A flipped bit: in the base the file is refused, in the log it ends there. */
static void test_damage_is_seen(void **state)
{
    static model m;
    uint64_t ends[3], versions[3];
    size_t len;
    make_file(&m, ends, versions, 3);
    char *whole = read_whole(&len);
    for (size_t at = 0; at < len; at += 3) {
        text_index *x = NULL;
        whole[at] ^= 0x10;
        write_whole(whole, len);
        mt_status s = text_open(&x, path, reason);
        assert_int_equal(s, at < ends[0] ? MT_INVALID : MT_OK);
        assert_true(!x || text_get_meta(x)->version < m.version);
        text_close(x);
        whole[at] ^= 0x10;
    }
    write_whole(whole, 40);
    text_index *x;
    assert_int_equal(text_open(&x, path, reason), MT_INVALID);
    unlink(path);
    assert_int_equal(text_open(&x, path, reason), MT_NOT_FOUND);
    free(whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks),          cmocka_unit_test(test_same_as_scoring_everything), cmocka_unit_test(test_to_disk_and_back),
        cmocka_unit_test(test_refusals),        cmocka_unit_test(test_two_append), cmocka_unit_test(test_an_inode_comes_again), cmocka_unit_test(test_a_search_stops),             cmocka_unit_test(test_cut_at_every_byte),
        cmocka_unit_test(test_damage_is_seen),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
