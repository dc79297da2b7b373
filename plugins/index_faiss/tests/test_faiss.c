/* Every kind that FAISS builds, behind the same rows, files and searches as index_local: recall, filters, removals, renewal, files of another kind, searches
   while rows are added. */
#include <string.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "faiss_graph.h"
#include "index_file.h"
#include "index_parts.h"
#include "index_renew.h"

enum { DIM = 64, CENTRES = 40, K = 10, ROWS = 16000, FEW = ROWS / 500 };

static char folder[] = "/tmp/mortise-faiss-XXXXXX", path[64], reason[INDEX_REASON];
static unsigned seed = 3;
static float centres[CENTRES][DIM];

static float gauss(void)
{
    float u = (float)(rand_r(&seed) % 100000 + 1) / 100001, v = (float)(rand_r(&seed) % 100000) / 100000;
    return sqrtf(-2 * logf(u)) * cosf(6.2831853f * v);
}

static int make_folder(void **state)
{
    for (size_t i = 0; i < CENTRES * DIM; i++)
        centres[i / DIM][i % DIM] = gauss();
    if (!mkdtemp(folder))
        return 1;
    snprintf(path, sizeof path, "%s/x.idx", folder);
    return 0;
}

static int remove_folder(void **state)
{
    unlink(path);
    return rmdir(folder);
}

static void make_vector(float *v)
{
    size_t c = (size_t)rand_r(&seed) % CENTRES;
    for (size_t i = 0; i < DIM; i++)
        v[i] = centres[c][i] + 0.4f * gauss();
}

static index_id id_of(uint32_t i)
{
    index_id id = {{0}};
    memcpy(id.b + 4, &i, sizeof i);
    return id;
}

static void change(vector_index *x, uint32_t first, uint32_t adds, uint32_t gone, uint32_t removes)
{
    index_id *add = calloc(adds + 1, sizeof *add), *remove = calloc(removes + 1, sizeof *remove);
    float *v = malloc((adds + 1) * DIM * sizeof *v);
    for (uint32_t i = 0; i < adds; i++) {
        add[i] = id_of(first + i);
        make_vector(v + i * DIM);
    }
    for (uint32_t i = 0; i < removes; i++)
        remove[i] = id_of(gone + i);
    index_change c = {.version = index_get_meta(x)->version + 1, .add = add, .adds = adds, .vectors = v, .remove = remove, .removes = removes};
    assert_int_equal(index_append(x, path, &c, reason), MT_OK);
    free(add);
    free(remove);
    free(v);
}

/* The share of the exact scan's hits that a search finds. */
static double recall(vector_index *x, const index_id *only, size_t n_only)
{
    size_t good = 0, all = 0;
    graph *none = graph_create(DIM), *real = x->graph;
    for (int i = 0; i < 50; i++) {
        float q[DIM];
        index_hit want[K], got[K];
        size_t wanted, found;
        make_vector(q);
        x->graph = none;
        assert_int_equal(index_search(x, &(index_query){.vector = q, .k = K, .only = only, .n_only = n_only}, want, &wanted), MT_OK);
        x->graph = real;
        assert_int_equal(index_search(x, &(index_query){.vector = q, .k = K, .only = only, .n_only = n_only}, got, &found), MT_OK);
        assert_int_equal(found, wanted);
        for (size_t g = 0; g < found; g++)
            for (size_t w = 0; w < wanted; w++)
                good += !memcmp(&got[g].id, &want[w].id, sizeof got[g].id);
        all += wanted;
    }
    graph_close(none);
    return (double)good / (double)all;
}

static void reopen(index_place *p)
{
    index_close(p->index);
    assert_int_equal(index_open(&p->index, path, reason), MT_OK);
}

/* Asks for few hits of few rows too, so that FAISS has to answer for the rest. */
static void check_kind(const char *kind, double least)
{
    const index_meta meta = {.model = "faiss", .dim = DIM};
    index_place p = {.path = path};
    index_id only[FEW];
    assert_true(faiss_graph_choose(kind));
    pthread_rwlock_init(&p.lock, NULL);
    assert_int_equal(index_create(&p.index, &meta), MT_OK);
    assert_int_equal(index_save(p.index, path, reason), MT_OK);
    change(p.index, 0, ROWS, 0, 0);
    assert_int_equal(index_link(&p), MT_OK);
    assert_int_equal(graph_linked(p.index->graph), ROWS);
    assert_true(graph_pays(p.index->graph, &(graph_aim){.k = K, .wanted = ROWS}));
    double plain = recall(p.index, NULL, 0);
    for (uint32_t i = 0; i < FEW; i++)
        only[i] = id_of(i * 500);
    assert_true(recall(p.index, only, FEW) >= 0.999);
    change(p.index, ROWS, 100, 0, ROWS / 10);
    assert_int_equal(index_renew(&p, reason), MT_OK);
    assert_int_equal(graph_linked(p.index->graph), ROWS - ROWS / 10); /* a tenth gone: the same graph, its dead passed over */
    assert_int_equal(index_link(&p), MT_OK);
    double less = recall(p.index, NULL, 0);
    assert_int_equal(index_renew(&p, reason), MT_OK);
    reopen(&p);
    assert_int_equal(graph_linked(p.index->graph), ROWS - ROWS / 10 + 100);
    double again = recall(p.index, NULL, 0);
    change(p.index, 0, 0, ROWS / 10, ROWS / 4);
    assert_int_equal(index_renew(&p, reason), MT_OK);
    assert_int_equal(graph_linked(p.index->graph), 0);                /* a quarter gone: anew */
    assert_true(recall(p.index, NULL, 0) == 1);
    assert_int_equal(index_link(&p), MT_OK);
    double anew = recall(p.index, NULL, 0);
    print_message("%s: recall@10 %.3f, a tenth removed %.3f, opened again %.3f, built anew %.3f\n", kind, plain, less, again, anew);
    assert_true(plain >= least && less >= least && again >= least && anew >= least);
    assert_int_equal(index_renew(&p, reason), MT_OK);
    index_close(p.index);
    pthread_rwlock_destroy(&p.lock);
}

static void test_flat(void **state)
{
    check_kind("flat", 0.999);
}

static void test_hnsw(void **state)
{
    check_kind("hnsw", 0.95);
}

static void test_ivf(void **state)
{
    check_kind("ivf", 0.9);
}

static void test_ivfpq(void **state)
{
    check_kind("ivfpq", 0.9);
}

/* The file of test_ivfpq, read by another kind: the rows are there, the graph is not. */
static void test_another_kind(void **state)
{
    vector_index *x;
    assert_false(faiss_graph_choose("tree"));
    assert_true(faiss_graph_choose("hnsw"));
    assert_int_equal(index_open(&x, path, reason), MT_OK);
    assert_true(index_count(x) > ROWS / 2);
    assert_int_equal(graph_linked(x->graph), 0);
    index_close(x);
    assert_true(faiss_graph_choose("ivfpq"));
    assert_int_equal(index_open(&x, path, reason), MT_OK);
    assert_int_equal(graph_linked(x->graph), index_count(x));
    index_close(x);
}

/* Bytes that are no graph, and those of one cut short: refused without an exception getting out. */
static void test_damaged_bytes(void **state)
{
    char bytes[512];
    for (int round = 0; round < 200; round++) {
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (char)(round % 2 ? rand_r(&seed) % 256 : 0);
        if (round % 2)
            memset(bytes, 0, 24);
        assert_null(graph_open(DIM, 100, bytes, (size_t)rand_r(&seed) % sizeof bytes));
    }
}

typedef struct crowd {
    index_place *p;
    atomic_bool done;
    atomic_int searches, wrong;
} crowd;

static void *search_on(void *arg)
{
    crowd *c = arg;
    float q[DIM] = {0};
    for (unsigned i = 0; !c->done; i++) {
        index_hit hits[K];
        size_t found = 0;
        q[i % DIM] += 1;
        pthread_rwlock_rdlock(&c->p->lock);
        c->wrong += index_search(c->p->index, &(index_query){.vector = q, .k = K}, hits, &found) != MT_OK || found != K;
        pthread_rwlock_unlock(&c->p->lock);
        c->searches++;
    }
    return NULL;
}

static void test_together(void **state)
{
    const index_meta meta = {.model = "faiss", .dim = DIM};
    index_place p = {.path = path};
    crowd c = {.p = &p};
    pthread_t thread;
    assert_true(faiss_graph_choose("hnsw"));
    pthread_rwlock_init(&p.lock, NULL);
    assert_int_equal(index_create(&p.index, &meta), MT_OK);
    assert_int_equal(index_save(p.index, path, reason), MT_OK);
    change(p.index, 0, 7000, 0, 0);
    assert_int_equal(pthread_create(&thread, NULL, search_on, &c), 0);
    assert_int_equal(index_link(&p), MT_OK);
    assert_int_equal(index_renew(&p, reason), MT_OK);
    c.done = true;
    pthread_join(thread, NULL);
    assert_int_equal(c.wrong, 0);
    assert_true(c.searches > 0);
    index_close(p.index);
    pthread_rwlock_destroy(&p.lock);
}

int main(void)
{
    const char *checker = getenv("MORTISE_TEST_SMALL");
    if (checker && strcmp(checker, "valgrind") == 0) {
        puts("SKIP: building graphs takes a quarter of an hour under valgrind; the address sanitizer sees them");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flat),         cmocka_unit_test(test_hnsw),          cmocka_unit_test(test_ivf),     cmocka_unit_test(test_ivfpq),
        cmocka_unit_test(test_another_kind), cmocka_unit_test(test_damaged_bytes), cmocka_unit_test(test_together),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
