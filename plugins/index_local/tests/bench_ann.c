/* bench_ann VECTORS QUERIES TRUTH FEW ROWS DIM FOLDER: the index as the plugin uses it, over the files of ann_vectors. Builds FOLDER/index-ROWS.idx
   when it is not there. Searches with the least effort that reaches the recall (ann_effort.h), as its
   peers do, and once as installed. Prints one JSON line. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "ann_effort.h"
#include "index_file.h"
#include "index_renew.h"

enum { K = 10, PAGE = 1000, KEPT = 500 };

static char reason[INDEX_REASON];

static double read_clock(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double now(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

static void must(mt_status status, const char *what)
{
    if (status == MT_OK)
        return;
    fprintf(stderr, "bench_ann: %s: %s\n", what, reason);
    exit(1);
}

static const void *map_file(const char *path, size_t *len)
{
    struct stat st;
    int fd = open(path, O_RDONLY);
    void *p = fd >= 0 && fstat(fd, &st) == 0 ? mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
    must(p == MAP_FAILED ? MT_INTERNAL : MT_OK, path);
    close(fd);
    *len = (size_t)st.st_size;
    return p;
}

static index_id id_of(uint32_t i)
{
    index_id id = {{0}};
    memcpy(id.b, &i, sizeof i);
    return id;
}

static uint32_t row_of(const index_hit *hit)
{
    uint32_t i;
    memcpy(&i, hit->id.b, sizeof i);
    return i;
}

static long resident_kib(void)
{
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    must(f && fscanf(f, "%*d %ld", &pages) == 1 ? MT_OK : MT_INTERNAL, "statm");
    fclose(f);
    return pages * 4;
}

static void append(index_place *at, const float *v, size_t first, size_t n, size_t dim)
{
    index_id ids[PAGE];
    for (size_t i = 0; i < n; i++)
        ids[i] = id_of((uint32_t)(first + i));
    uint64_t version = index_get_meta(at->index)->version + 1;
    must(index_append(at->index, at->path, &(index_change){.version = version, .add = ids, .vectors = v + first * dim, .adds = n}, reason), "append");
}

static void build(index_place *at, const float *v, size_t rows, uint32_t dim, double *add_s, double *link_s, double *save_s)
{
    index_meta meta = {.model = "bench", .dim = dim};
    double start = now();
    must(index_create(&at->index, &meta), "create");
    must(index_save(at->index, at->path, reason), "save");
    for (size_t i = 0; i < rows; i += PAGE)
        append(at, v, i, rows - i < PAGE ? rows - i : PAGE, dim);
    *add_s = now() - start;
    start = now();
    must(index_wants_link(at->index) ? index_link(at) : MT_OK, "link");
    *link_s = now() - start;
    start = now();
    must(index_renew(at, reason), "renew");
    *save_s = now() - start;
    index_close(at->index);
}

/* Removes a tenth of the rows, a page a change; rows a second. The file is left as it was. */
static double remove_some(index_place *at, size_t rows)
{
    index_id ids[PAGE];
    struct stat st;
    size_t gone = 0;
    must(stat(at->path, &st) == 0 ? MT_OK : MT_INTERNAL, at->path);
    double start = now();
    for (; gone + PAGE <= rows / 10; gone += PAGE) {
        for (size_t i = 0; i < PAGE; i++)
            ids[i] = id_of((uint32_t)(gone + i));
        uint64_t version = index_get_meta(at->index)->version + 1;
        must(index_append(at->index, at->path, &(index_change){.version = version, .remove = ids, .removes = PAGE}, reason), "remove");
    }
    double took = now() - start;
    index_close(at->index);
    must(truncate(at->path, st.st_size) == 0 ? MT_OK : MT_INTERNAL, at->path);
    return (double)gone / took;
}

typedef struct figures {
    double recall, qps, cpu_us; /* cpu_us: processor time of a query */
} figures;

typedef struct queries {
    const float *vectors;
    size_t first, step, n;
    const uint32_t *truth;
} queries;

/* With the rest of the question as `ask` has it; the rate over at least so many seconds. */
static figures measure(index_place *at, index_query ask, queries q, double seconds)
{
    index_hit hits[K];
    size_t found, good = 0, counted = (q.n - q.first + q.step - 1) / q.step, asked = 0, dim = index_get_meta(at->index)->dim;
    double start = now(), used = 0, took = 0;
    for (int round = 0; round == 0 || took < seconds; round++) {
        if (round == 1) {               /* the first warms up, and counts */
            start = now();
            used = read_clock(CLOCK_PROCESS_CPUTIME_ID);
        }
        for (size_t i = q.first; i < q.n; i += q.step) {
            ask.vector = q.vectors + i * dim;
            must(index_search(at->index, &ask, hits, &found), "search");
            for (size_t h = 0; round == 0 && h < found; h++)
                for (size_t t = 0; t < K; t++)
                    good += q.truth[i * K + t] == row_of(&hits[h]);
        }
        asked += round ? counted : 0;
        took = now() - start;
    }
    return (figures){(double)good / (double)(counted * K), (double)asked / took, (read_clock(CLOCK_PROCESS_CPUTIME_ID) - used) / (double)asked * 1e6};
}

/* Ours counts from the rows that are asked for; 0 would be the usual. */
static size_t effort_of(int ef)
{
    return ef > K ? (size_t)(ef - K) : 1;
}

/* The rule of ann_effort.h. */
static int tune(index_place *at, queries q)
{
    const int *ef = ann_efforts;
    while (ef[1] && measure(at, (index_query){.k = K, .effort = effort_of(*ef)}, q, 0).recall < ann_recall)
        ef++;
    return *ef;
}

int main(int argc, char **argv)
{
    if (argc != 8)
        return fprintf(stderr, "usage: bench_ann VECTORS QUERIES TRUTH FEW ROWS DIM FOLDER\n"), 2;
    size_t len, rows = (size_t)atol(argv[5]), dim = (size_t)atol(argv[6]), n_only = 0;
    const float *v = map_file(argv[1], &len), *vectors = map_file(argv[2], &len);
    size_t n = len / dim / sizeof *vectors;
    const uint32_t *truth = map_file(argv[3], &len), *few = map_file(argv[4], &len);
    char path[4096];
    snprintf(path, sizeof path, "%s/index-%zu.idx", argv[7], rows);
    index_place at = {.path = path};
    pthread_rwlock_init(&at.lock, NULL);
    double add = 0, link = 0, save = 0;
    if (access(path, F_OK) != 0)
        build(&at, v, rows, (uint32_t)dim, &add, &link, &save);
    long before = resident_kib();
    double start = now();
    must(index_open(&at.index, path, reason), "open");
    double opened = now() - start;
    must(index_verify(at.index, reason), "verify");
    double verified = now() - start;
    index_id *only = malloc((rows / KEPT + 1) * sizeof *only);
    for (size_t i = 0; i < rows; i += KEPT)
        only[n_only++] = id_of((uint32_t)i);
    const queries judged = {vectors, ANN_JUDGED, ANN_STEP, n, truth};
    int ef = tune(&at, (queries){vectors, ANN_TUNING, ANN_STEP, n, truth});
    figures tuned = measure(&at, (index_query){.k = K, .effort = effort_of(ef)}, judged, 2);
    figures usual = measure(&at, (index_query){.k = K}, judged, 2);
    long memory = resident_kib() - before;
    figures kept = measure(&at, (index_query){.k = K, .only = only, .n_only = n_only}, (queries){vectors, 0, 1, n < 100 ? n : 100, few}, 1);
    double removed = remove_some(&at, rows);
    printf("{\"engine\": \"index_local\", \"rows\": %zu, \"add_s\": %.2f, \"link_s\": %.2f, \"save_s\": %.2f, \"open_s\": %.4f, \"verify_s\": %.3f, "
           "\"ef\": %d, \"qps\": %.1f, \"cpu_us\": %.2f, \"recall\": %.4f, \"usual_qps\": %.1f, \"usual_recall\": %.4f, \"filter_qps\": %.1f, \"filter_recall\": %.4f, "
           "\"memory_mib\": %.1f, \"remove_per_s\": %.0f}\n",
           rows, add, link, save, opened, verified, ef, tuned.qps, tuned.cpu_us, tuned.recall, usual.qps, usual.recall, kept.qps, kept.recall, (double)memory / 1024, removed);
    free(only);
    return 0;
}
