/* The index against a plain list that does the same, through save, append, open and every kind of damage to the file. */
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

#include "vector_index.h"
#include "index_file.h"

#define DIM 24
#define IDS 400

static char folder[] = "/tmp/mortise-index-XXXXXX";
static char path[64], reason[INDEX_REASON];
static const index_meta meta = {.model = "test-model", .dim = DIM, .workspace = {{1, 2, 3}}, .version = 0};

/* What the index should hold: vector i of id i, or nothing. */
typedef struct model {
    bool there[IDS];
    float v[IDS][DIM];
    uint64_t version;
} model;

static int make_folder(void **state)
{
    if (!mkdtemp(folder))
        return 1;
    snprintf(path, sizeof path, "%s/x.index", folder);
    return 0;
}

static int remove_folder(void **state)
{
    unlink(path);
    return rmdir(folder);
}

static index_id id_of(unsigned i)
{
    index_id id = {{0}};
    memcpy(id.b + 6, &i, sizeof i);
    return id;
}

static void random_vector(float *v, unsigned *seed)
{
    for (int i = 0; i < DIM; i++)
        v[i] = (float)(int)(rand_r(seed) % 2001 - 1000) + 0.5f;
}

static void change_both(vector_index *x, model *m, unsigned *seed, bool to_file)
{
    index_id remove[20], add[20];
    float v[20][DIM];
    index_change c = {.version = ++m->version, .remove = remove, .add = add, .vectors = v[0]};
    for (c.removes = 0; c.removes < (size_t)rand_r(seed) % 20; c.removes++) {
        unsigned i = rand_r(seed) % IDS;
        remove[c.removes] = id_of(i);
        m->there[i] = false;
    }
    for (c.adds = 0; c.adds < (size_t)rand_r(seed) % 20; c.adds++) {
        unsigned i = rand_r(seed) % IDS;
        add[c.adds] = id_of(i);
        random_vector(v[c.adds], seed);
        memcpy(m->v[i], v[c.adds], sizeof m->v[i]);
        m->there[i] = true;
    }
    assert_int_equal(to_file ? index_append(x, path, &c, reason) : index_apply(x, &c, reason), MT_OK);
}

static void check_equal(vector_index *x, const model *m)
{
    static index_hit hits[IDS * 2];
    size_t found, count = 0;
    float q[DIM] = {1};
    bool seen[IDS] = {false};
    for (int i = 0; i < IDS; i++)
        count += m->there[i];
    assert_int_equal(index_count(x), count);
    assert_int_equal(index_get_meta(x)->version, m->version);
    assert_int_equal(index_search(x, &(index_query){.vector = q, .k = IDS * 2}, hits, &found), MT_OK);
    assert_int_equal(found, count);
    for (size_t h = 0; h < found; h++) {
        unsigned i;
        memcpy(&i, hits[h].id.b + 6, sizeof i);
        assert_true(i < IDS && m->there[i] && !seen[i]);
        seen[i] = true;
        double sum = 0;
        for (int j = 0; j < DIM; j++)
            sum += (double)m->v[i][j] * m->v[i][j];
        assert_true(fabs((double)hits[h].score - (double)m->v[i][0] / sqrt(sum)) < 1e-5);
    }
}

static void test_random_changes(void **state)
{
    unsigned seed = 4;
    static model m;
    vector_index *x;
    m = (model){0};
    assert_int_equal(index_create(&x, &meta), MT_OK);
    for (int round = 0; round < 300; round++) {
        change_both(x, &m, &seed, false);
        if (round % 10 == 0)
            check_equal(x, &m);
        if (round % 40 == 39) { /* to disk and back */
            assert_int_equal(index_save(x, path, reason), MT_OK);
            if (round % 80 == 79) {
                index_close(x);
                assert_int_equal(index_open(&x, path, reason), MT_OK);
                assert_int_equal(index_garbage(x), 0);
                assert_int_equal(index_verify(x, reason), MT_OK);
                assert_string_equal(index_get_meta(x)->model, "test-model");
            }
        }
    }
    check_equal(x, &m);
    index_close(x);
}

/* Saved, then only appended to: opening shows exactly what memory shows. */
static void test_append_and_open(void **state)
{
    unsigned seed = 8;
    static model m;
    vector_index *x, *y;
    m = (model){0};
    assert_int_equal(index_create(&x, &meta), MT_OK);
    change_both(x, &m, &seed, false);
    assert_int_equal(index_save(x, path, reason), MT_OK);
    for (int round = 0; round < 30; round++) {
        change_both(x, &m, &seed, true);
        assert_int_equal(index_open(&y, path, reason), MT_OK);
        check_equal(y, &m);
        index_close(y);
    }
    index_close(x);
}

static void test_only(void **state)
{
    unsigned seed = 5;
    static model m;
    vector_index *x;
    m = (model){0};
    assert_int_equal(index_create(&x, &meta), MT_OK);
    for (int i = 0; i < 20; i++)
        change_both(x, &m, &seed, false);
    index_id only[IDS];
    index_hit hits[IDS];
    size_t found, want = 0;
    for (unsigned i = 0; i < IDS; i++)
        only[i] = id_of(i * 2); /* half of them unknown */
    for (unsigned i = 0; i < IDS; i += 2)
        want += m.there[i];
    float q[DIM] = {1};
    assert_int_equal(index_search(x, &(index_query){.vector = q, .k = IDS, .only = only, .n_only = IDS}, hits, &found), MT_OK);
    assert_int_equal(found, want);
    assert_int_equal(index_search(x, &(index_query){.vector = q, .k = IDS, .only = only, .n_only = 0}, hits, &found), MT_OK);
    assert_int_equal(found, 0);
    index_close(x);
}

static void test_refusals(void **state)
{
    vector_index *x;
    index_meta bad = meta;
    bad.dim = 0;
    assert_int_equal(index_create(&x, &bad), MT_INVALID);
    assert_int_equal(index_create(&x, &meta), MT_OK);
    index_id ids[2] = {id_of(1), id_of(2)};
    float v[2][DIM] = {{1}, {0}};
    index_change c = {.version = 1, .add = ids, .vectors = v[0], .adds = 2};
    assert_int_equal(index_apply(x, &c, reason), MT_INVALID);
    assert_int_equal(index_count(x), 0); /* all or nothing */
    v[1][0] = 1;
    assert_int_equal(index_apply(x, &c, reason), MT_OK);
    assert_int_equal(index_apply(x, &c, reason), MT_CONFLICT);
    c.version = 2;
    assert_int_equal(index_save(x, path, reason), MT_OK);
    unlink(path);
    assert_int_equal(index_append(x, path, &c, reason), MT_NOT_FOUND);
    vector_index *other;
    bad = meta;
    bad.workspace.b[0] = 99;
    assert_int_equal(index_create(&other, &bad), MT_OK);
    assert_int_equal(index_save(other, path, reason), MT_OK);
    assert_int_equal(index_append(x, path, &c, reason), MT_CONFLICT); /* another workspace's file */
    index_close(other);
    assert_int_equal(index_save(x, path, reason), MT_OK);
    assert_int_equal(index_apply(x, &c, reason), MT_OK);
    c.version = 3;
    assert_int_equal(index_append(x, path, &c, reason), MT_CONFLICT); /* the file lacks version 2 */
    assert_int_equal(index_save(x, "/nonexistent/x", reason), MT_INTERNAL);
    assert_int_equal(index_open(&other, "/nonexistent/x", reason), MT_NOT_FOUND);
    assert_int_equal(index_open(&other, "/tmp", reason), MT_INVALID);
    index_close(x);
}

static mt_status add_one(vector_index *x, uint64_t version)
{
    index_id id = id_of((unsigned)version);
    float v[DIM] = {1, (float)version};
    return index_append(x, path, &(index_change){.version = version, .add = &id, .vectors = v, .adds = 1}, reason);
}

static void reopen(vector_index **x, uint64_t version)
{
    index_close(*x);
    assert_int_equal(index_open(x, path, reason), MT_OK);
    assert_int_equal(index_get_meta(*x)->version, version);
    assert_int_equal(index_count(*x), version);
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
    vector_index *x, *y;
    struct stat before, after;
    char other[sizeof path + 8];
    snprintf(other, sizeof other, "%s.other", path);
    assert_int_equal(index_create(&x, &meta), MT_OK);
    assert_int_equal(index_save(x, path, reason), MT_OK);
    assert_int_equal(stat(path, &before), 0);
    assert_int_equal(index_open(&y, path, reason), MT_OK);
    assert_int_equal(add_one(y, 1), MT_OK);
    assert_int_equal(index_save(y, other, reason), MT_OK);
    write_over(path, other);
    assert_int_equal(stat(path, &after), 0);
    assert_true(after.st_ino == before.st_ino && after.st_size > before.st_size);
    assert_int_equal(add_one(x, 1), MT_PRECONDITION);
    assert_int_equal(stat(path, &before), 0);
    assert_int_equal(before.st_size, after.st_size);
    reopen(&x, 1);
    index_close(x);
    index_close(y);
    unlink(other);
}

/* Two hosts at one file, as while one takes the other's place: nothing that one wrote is written over, and the other hears of it. */
static void test_two_append(void **state)
{
    vector_index *x, *y;
    assert_int_equal(index_create(&x, &meta), MT_OK);
    assert_int_equal(index_save(x, path, reason), MT_OK);
    assert_int_equal(index_open(&y, path, reason), MT_OK);
    assert_int_equal(add_one(x, 1), MT_OK);
    assert_int_equal(add_one(y, 1), MT_PRECONDITION);
    assert_int_equal(index_count(y), 0);
    reopen(&y, 1);
    assert_int_equal(add_one(y, 2), MT_OK);
    assert_int_equal(add_one(y, 3), MT_OK);
    assert_int_equal(add_one(x, 2), MT_PRECONDITION);
    reopen(&x, 3);
    assert_int_equal(index_save(x, path, reason), MT_OK); /* another file of the same name */
    assert_int_equal(add_one(y, 4), MT_PRECONDITION);
    assert_int_equal(add_one(x, 4), MT_OK);
    reopen(&y, 4);
    assert_int_equal(add_one(y, 5), MT_OK);
    index_close(x);
    index_close(y);
}

static char *read_file(size_t *n)
{
    static char p[1 << 20];
    FILE *f = fopen(path, "rb");
    *n = fread(p, 1, sizeof p, f);
    fclose(f);
    return p;
}

static void write_file(const char *p, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_int_equal(fwrite(p, 1, n, f), n);
    fclose(f);
}

/* A file with a base and three log records; states[i] is what it holds after i of them, ends[i] its length then. */
static void make_file(model states[4], size_t ends[4])
{
    unsigned seed = 6;
    model *m = calloc(1, sizeof *m);
    vector_index *x;
    struct stat st;
    assert_int_equal(index_create(&x, &meta), MT_OK);
    change_both(x, m, &seed, false);
    assert_int_equal(index_save(x, path, reason), MT_OK);
    for (int i = 0; i < 4; i++) {
        if (i > 0)
            change_both(x, m, &seed, true);
        states[i] = *m;
        assert_int_equal(stat(path, &st), 0);
        ends[i] = (size_t)st.st_size;
    }
    index_close(x);
    free(m);
}

static void test_cut_at_every_length(void **state)
{
    static model states[4];
    size_t ends[4], n;
    make_file(states, ends);
    char *p = read_file(&n);
    for (size_t cut = 0; cut <= n; cut++) {
        vector_index *x;
        write_file(p, cut);
        mt_status status = index_open(&x, path, reason);
        if (cut < ends[0]) {
            assert_int_equal(status, MT_INVALID);
            assert_null(x);
            continue;
        }
        int whole = cut >= ends[3] ? 3 : cut >= ends[2] ? 2 : cut >= ends[1] ? 1 : 0;
        assert_int_equal(status, MT_OK);
        check_equal(x, &states[whole]);
        if (cut % 97 == 0) { /* appending goes on behind the last whole record */
            unsigned seed = 1;
            model *m = malloc(sizeof *m);
            *m = states[whole];
            change_both(x, m, &seed, true);
            index_close(x);
            assert_int_equal(index_open(&x, path, reason), MT_OK);
            check_equal(x, m);
            free(m);
        }
        index_close(x);
    }
}

/* Bytes changed anywhere: refused, or opened and searched without a crash; the header, the ids and the log never lie. */
static void test_damage(void **state)
{
    static model states[4];
    size_t ends[4], n;
    make_file(states, ends);
    char *p = read_file(&n), *q = malloc(n + 64);
    unsigned seed = 2;
    index_hit hits[10];
    float query[DIM] = {1};
    for (int round = getenv("MORTISE_TEST_SMALL") ? 7500 : 0; round < 8000; round++) {
        memcpy(q, p, n);
        size_t at = rand_r(&seed) % n, len = n;
        for (int i = rand_r(&seed) % 4; i >= 0; i--)
            q[(at + (size_t)i * 3) % n] ^= (char)(1 + rand_r(&seed) % 255);
        if (round % 5 == 0)
            len = rand_r(&seed) % n;
        write_file(q, len);
        vector_index *x;
        size_t found;
        mt_status status = index_open(&x, path, reason);
        assert_true(status == MT_OK || status == MT_INVALID);
        if (status != MT_OK)
            continue;
        assert_true(index_get_meta(x)->version >= states[0].version && index_get_meta(x)->version <= states[3].version);
        assert_int_equal(index_search(x, &(index_query){.vector = query, .k = 10}, hits, &found), MT_OK);
        bool base_changed = memcmp(q, p, ends[0]) != 0;
        assert_int_equal(index_verify(x, reason), base_changed ? MT_INVALID : MT_OK);
        index_close(x);
    }
    free(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_changes), cmocka_unit_test(test_append_and_open), cmocka_unit_test(test_two_append), cmocka_unit_test(test_an_inode_comes_again),
        cmocka_unit_test(test_only),           cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_cut_at_every_length), cmocka_unit_test(test_damage),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
