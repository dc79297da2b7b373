/* The graph against the exact scan on clustered vectors: recall with and without filters, through removals, renewals and files; searches and changes
   at the same time as linking and renewal. */
#include <string.h>
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

#include "index_file.h"
#include "index_parts.h"
#include "index_renew.h"

enum { DIM = 64, CENTRES = 40, K = 10 };

static char folder[] = "/tmp/mortise-graph-XXXXXX", path[64], reason[INDEX_REASON];
static unsigned seed = 3;
static float centres[CENTRES][DIM];

static int make_folder(void **state)
{
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

static float gauss(void)
{
    float u = (float)(rand_r(&seed) % 100000 + 1) / 100001, v = (float)(rand_r(&seed) % 100000) / 100000;
    return sqrtf(-2 * logf(u)) * cosf(6.2831853f * v);
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

static uint32_t number_of(index_id id)
{
    uint32_t i;
    memcpy(&i, id.b + 4, sizeof i);
    return i;
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

static void start(index_place *p, uint32_t rows)
{
    const index_meta meta = {.model = "graph", .dim = DIM};
    for (size_t i = 0; i < CENTRES * DIM; i++)
        centres[i / DIM][i % DIM] = gauss();
    *p = (index_place){.path = path};
    pthread_rwlock_init(&p->lock, NULL);
    assert_int_equal(index_create(&p->index, &meta), MT_OK);
    assert_int_equal(index_save(p->index, path, reason), MT_OK);
    for (uint32_t i = 0; i < rows; i += 1000)
        change(p->index, i, 1000, 0, 0);
}

static void finish(index_place *p)
{
    index_close(p->index);
    pthread_rwlock_destroy(&p->lock);
}

/* The share of the exact scan's hits that a search finds. All hits of a search are rows that count. */
static double recall_with(vector_index *x, size_t effort, const index_id *only, size_t n_only)
{
    size_t good = 0, all = 0;
    graph *none = graph_create(DIM), *real = x->graph;
    for (int i = 0; i < 100; i++) {
        float q[DIM];
        index_hit want[K], got[K];
        size_t wanted, found;
        make_vector(q);
        x->graph = none;
        assert_int_equal(index_search(x, &(index_query){.vector = q, .k = K, .only = only, .n_only = n_only}, want, &wanted), MT_OK);
        x->graph = real;
        assert_int_equal(index_search(x, &(index_query){.vector = q, .k = K, .effort = effort, .only = only, .n_only = n_only}, got, &found), MT_OK);
        assert_int_equal(found, wanted);
        for (size_t g = 0; g < found; g++)
            for (size_t w = 0; w < wanted; w++)
                good += !memcmp(&got[g].id, &want[w].id, sizeof got[g].id);
        all += wanted;
    }
    graph_close(none);
    return (double)good / (double)all;
}

static double recall(vector_index *x, const index_id *only, size_t n_only)
{
    return recall_with(x, 0, only, n_only);
}

static void test_recall(void **state)
{
    uint32_t rows = getenv("MORTISE_TEST_SMALL") ? 8000 : 20000;
    index_place p;
    index_id *only = malloc(rows * sizeof *only);
    start(&p, rows);
    assert_true(index_wants_link(p.index));
    assert_int_equal(index_link(&p), MT_OK);
    assert_int_equal(graph_linked(p.index->graph), rows);
    assert_true(graph_pays(p.index->graph, &(graph_aim){.k = K, .wanted = rows}));
    double plain = recall(p.index, NULL, 0);
    for (uint32_t i = 0; i < rows / 500; i++)
        only[i] = id_of(i * 500);
    double few = recall(p.index, only, rows / 500);
    for (uint32_t i = 0; i < rows * 4 / 5; i++)
        only[i] = id_of(i);
    double most = recall(p.index, only, rows * 4 / 5);
    print_message("recall@10: all %.3f, 1 in 500 %.3f, 4 in 5 %.3f\n", plain, few, most);
    assert_true(plain >= 0.97 && few >= 0.999 && most >= 0.97);
    double hasty = recall_with(p.index, 1, NULL, 0), thorough = recall_with(p.index, 300, NULL, 0);
    print_message("recall@10: least effort %.3f, four times the usual %.3f\n", hasty, thorough);
    assert_true(hasty > 0.5 && hasty < plain && thorough >= 0.99);
    change(p.index, rows, 400, 0, 0);               /* searched at once, though no link leads there */
    assert_true(recall(p.index, NULL, 0) >= 0.97);
    free(only);
    finish(&p);
}

/* A third of the rows go; what is left is found as before, also after the file was written anew without them and read again. */
static void test_removals_and_files(void **state)
{
    uint32_t rows = getenv("MORTISE_TEST_SMALL") ? 12000 : 21000;
    index_place p;
    start(&p, rows);
    assert_int_equal(index_link(&p), MT_OK);
    assert_int_equal(index_renew(&p, reason), MT_OK);
    assert_int_equal(graph_linked(p.index->graph), rows);
    change(p.index, rows, 1000, rows / 3, rows / 3);
    assert_true(recall(p.index, NULL, 0) >= 0.97);
    assert_true(index_wants_renewal(p.index));
    assert_int_equal(index_renew(&p, reason), MT_OK);
    assert_int_equal(index_garbage(p.index), 0);
    assert_int_equal(index_count(p.index), rows - rows / 3 + 1000);
    assert_int_equal(graph_linked(p.index->graph), rows - rows / 3);
    double less = recall(p.index, NULL, 0);
    change(p.index, rows + 1000, 2000, 0, 0);
    assert_int_equal(index_link(&p), MT_OK);        /* onto a mapped graph */
    double more = recall(p.index, NULL, 0);
    index_close(p.index);
    assert_int_equal(index_open(&p.index, path, reason), MT_OK);
    assert_int_equal(index_verify(p.index, reason), MT_OK);
    double again = recall(p.index, NULL, 0);
    print_message("recall@10: a third removed %.3f, added to %.3f, opened again %.3f\n", less, more, again);
    assert_true(less >= 0.97 && more >= 0.97 && again >= 0.97);
    finish(&p);
}

/* A renewal carries over what changed while the file was written: the log behind the snapshot. */
static void change_meanwhile(void *arg)
{
    index_place *p = arg;
    static int calls;
    if (calls++ == 0)
        change(p->index, 100000, 300, 0, 200);
}

static void test_catch_up(void **state)
{
    index_place p;
    vector_index *fresh;
    char other[80];
    start(&p, 17000);
    snprintf(other, sizeof other, "%s.new", path);
    uint64_t from = p.index->file_end;
    assert_int_equal(index_write(p.index, other, change_meanwhile, &p, reason), MT_OK);
    assert_int_equal(index_open(&fresh, other, reason), MT_OK);
    assert_int_equal(index_count(fresh), 17000);
    assert_int_equal(index_catch_up(fresh, other, path, from, p.index->file_end, reason), MT_OK);
    assert_int_equal(index_count(fresh), 17100);
    assert_int_equal(index_get_meta(fresh)->version, index_get_meta(p.index)->version);
    index_close(fresh);
    assert_int_equal(index_open(&fresh, other, reason), MT_OK);
    assert_int_equal(index_count(fresh), 17100);
    index_close(fresh);
    unlink(other);
    finish(&p);
}

/* Linking ends where room was made, however many rows there are by then: the upper layers have room for the rows that were counted. */
static void test_no_further_than_reserved(void **state)
{
    index_place p;
    start(&p, 6000);
    const scan_rows rows[PARTS] = {p.index->parts[0].rows, p.index->parts[1].rows};
    for (size_t room = 1; room < 6000; room += 1 + room / 7) {
        assert_true(graph_reserve(p.index->graph, room));
        while (graph_linked(p.index->graph) < room)
            assert_true(graph_link(p.index->graph, rows));
        assert_int_equal(graph_linked(p.index->graph), room);
    }
    finish(&p);
}

/* Any byte of the graph changed: refused when the file is opened, by its checksum. */
static void test_damaged_graph(void **state)
{
    index_place p;
    start(&p, 6000);
    assert_int_equal(index_link(&p), MT_OK);
    assert_int_equal(index_renew(&p, reason), MT_OK);
    assert_int_equal(graph_linked(p.index->graph), 6000);
    size_t size = graph_size(p.index->graph);
    uint64_t end = p.index->file_end;
    finish(&p);
    off_t first = (off_t)((end - size) & ~(uint64_t)4095);
    for (int i = 0; i < 40; i++) {
        off_t at = i < 8 ? first + i * 4 : first + (off_t)(rand_r(&seed) % size);
        int fd = open(path, O_RDWR);
        unsigned char b;
        assert_int_equal(pread(fd, &b, 1, at), 1);
        b ^= 0x5A;
        assert_int_equal(pwrite(fd, &b, 1, at), 1);
        assert_int_equal(index_open(&p.index, path, reason), MT_INVALID);
        b ^= 0x5A;
        assert_int_equal(pwrite(fd, &b, 1, at), 1);
        close(fd);
    }
    assert_int_equal(index_open(&p.index, path, reason), MT_OK);
    index_close(p.index);
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
        for (size_t h = 0; h < found; h++) {
            c->wrong += number_of(hits[h].id) >= 100000;
            for (size_t other = 0; other < h; other++)      /* a row is found once, also one that is being linked */
                c->wrong += !memcmp(&hits[h].id, &hits[other].id, sizeof hits[h].id);
        }
        c->searches++;
    }
    return NULL;
}

static void *keep_on(void *arg)
{
    crowd *c = arg;
    char why[INDEX_REASON];
    while (!c->done)
        c->wrong += index_link(c->p) != MT_OK || index_renew(c->p, why) != MT_OK;
    return NULL;
}

static void test_together(void **state)
{
    index_place p;
    pthread_t threads[3];
    start(&p, 7000);
    crowd c = {.p = &p};
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, i < 2 ? search_on : keep_on, &c), 0);
    for (uint32_t i = 0; i < 40; i++) {
        pthread_rwlock_wrlock(&p.lock);
        change(p.index, 20000 + i * 100, 100, i * 50, 50);
        pthread_rwlock_unlock(&p.lock);
        for (int seen = c.searches; c.searches == seen;)
            sched_yield();
    }
    c.done = true;
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(c.wrong, 0);
    assert_int_equal(index_link(&p), MT_OK);
    assert_int_equal(index_count(p.index), 7000 + 40 * 100 - 40 * 50);
    assert_true(recall(p.index, NULL, 0) >= 0.97);
    p.stop = true;
    change(p.index, 50000, 1, 0, 0);
    assert_int_equal(index_link(&p), MT_CANCELLED);
    finish(&p);
}

int main(void)
{
    const char *checker = getenv("MORTISE_TEST_SMALL");
    if (checker && strcmp(checker, "valgrind") == 0) {
        puts("SKIP: building graphs takes a quarter of an hour under valgrind; the address sanitizer sees them");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recall),        cmocka_unit_test(test_removals_and_files), cmocka_unit_test(test_catch_up),
        cmocka_unit_test(test_no_further_than_reserved),
        cmocka_unit_test(test_damaged_graph), cmocka_unit_test(test_together),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
