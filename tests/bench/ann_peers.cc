// ann_peers ENGINE VECTORS QUERIES TRUTH FEW ROWS DIM FOLDER: a bare engine (usearch, hnswlib, faiss) over the files of ann_vectors: built once into
// FOLDER, on every processor, opened, and searched by one thread with the least effort that reaches the recall (ann_effort.h). Prints one JSON line.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <faiss/IndexHNSW.h>
#include <faiss/index_io.h>
#include <faiss/impl/IDSelector.h>
#include <omp.h>

#include "hnswlib.h"
extern "C" {
#include "ann_effort.h"
#include "usearch.h"
}

namespace {

constexpr size_t K = 10, M = 16, EF_BUILD = 128, KEPT = 500;

// Calls work(row) for each row on all processors, the first row alone: an empty graph has no way in yet.
void on_all_processors(size_t rows, const std::function<void(size_t)> &work)
{
    std::atomic<size_t> next{1};
    std::vector<std::thread> threads;
    work(0);
    for (unsigned t = 0; t < std::thread::hardware_concurrency(); t++)
        threads.emplace_back([&] {
            for (size_t row; (row = next++) < rows;)
                work(row);
        });
    for (std::thread &t : threads)
        t.join();
}

struct Engine {
    virtual ~Engine() = default;
    virtual void build(const float *v, size_t rows, const std::string &path) = 0;
    virtual void open(const std::string &path, size_t rows) = 0;
    virtual void effort(int ef) = 0;
    virtual size_t search(const float *q, uint32_t *out) = 0;
    virtual size_t few(const float *q, uint32_t *out) = 0; // one row in KEPT
};

struct Hnswlib : Engine {
    explicit Hnswlib(size_t dim) : space(dim) {}
    void build(const float *v, size_t rows, const std::string &path) override
    {
        hnswlib::HierarchicalNSW<float> g(&space, rows, M, EF_BUILD);
        size_t dim = *static_cast<size_t *>(space.get_dist_func_param());
        on_all_processors(rows, [&](size_t i) { g.addPoint(v + i * dim, i); });
        g.saveIndex(path);
    }
    void open(const std::string &path, size_t) override { graph = std::make_unique<hnswlib::HierarchicalNSW<float>>(&space, path); }
    void effort(int ef) override { graph->setEf(ef); }
    size_t take(std::priority_queue<std::pair<float, hnswlib::labeltype>> &&found, uint32_t *out)
    {
        size_t n = found.size();
        for (size_t i = 0; i < n; i++, found.pop())
            out[i] = static_cast<uint32_t>(found.top().second);
        return n;
    }
    size_t search(const float *q, uint32_t *out) override { return take(graph->searchKnn(q, K), out); }
    size_t few(const float *q, uint32_t *out) override
    {
        struct Some : hnswlib::BaseFilterFunctor {
            bool operator()(hnswlib::labeltype id) override { return id % KEPT == 0; }
        } some;
        return take(graph->searchKnn(q, K, &some), out);
    }
    hnswlib::InnerProductSpace space;
    std::unique_ptr<hnswlib::HierarchicalNSW<float>> graph;
};

struct Usearch : Engine {
    explicit Usearch(size_t dim)
    {
        options.metric_kind = usearch_metric_cos_k;
        options.quantization = usearch_scalar_bf16_k;
        options.dimensions = dim;
        options.connectivity = M;
        options.expansion_add = EF_BUILD;
        options.expansion_search = 64;
        index = usearch_init(&options, &error);
        check();
    }
    ~Usearch() override { usearch_free(index, &error); }
    void check()
    {
        if (error)
            throw std::runtime_error(error);
    }
    void build(const float *v, size_t rows, const std::string &path) override
    {
        std::atomic<usearch_error_t> failed{nullptr};
        usearch_reserve(index, rows, &error);
        check();
        on_all_processors(rows, [&](size_t i) {
            usearch_error_t bad = nullptr;
            usearch_add(index, i, v + i * options.dimensions, usearch_scalar_f32_k, &bad);
            if (bad)
                failed = bad;
        });
        error = failed;
        check();
        usearch_save(index, path.c_str(), &error);
        check();
        usearch_free(index, &error);
        index = usearch_init(&options, &error);
        check();
    }
    void open(const std::string &path, size_t) override
    {
        usearch_view(index, path.c_str(), &error);
        check();
    }
    void effort(int ef) override { usearch_change_expansion_search(index, ef, &error); }
    size_t take(size_t n, const usearch_key_t *keys, uint32_t *out)
    {
        check();
        for (size_t i = 0; i < n; i++)
            out[i] = static_cast<uint32_t>(keys[i]);
        return n;
    }
    size_t search(const float *q, uint32_t *out) override
    {
        usearch_key_t keys[K];
        usearch_distance_t far[K];
        return take(usearch_search(index, q, usearch_scalar_f32_k, K, keys, far, &error), keys, out);
    }
    size_t few(const float *q, uint32_t *out) override
    {
        usearch_key_t keys[K];
        usearch_distance_t far[K];
        auto some = [](usearch_key_t key, void *) { return static_cast<int>(key % KEPT == 0); };
        return take(usearch_filtered_search(index, q, usearch_scalar_f32_k, K, some, nullptr, keys, far, &error), keys, out);
    }
    usearch_init_options_t options{};
    usearch_error_t error = nullptr;
    usearch_index_t index;
};

struct Faiss : Engine {
    explicit Faiss(size_t d) : dim(d) {}
    void build(const float *v, size_t rows, const std::string &path) override
    {
        faiss::IndexHNSWFlat g(static_cast<int>(dim), M, faiss::METRIC_INNER_PRODUCT);
        g.hnsw.efConstruction = EF_BUILD;
        omp_set_num_threads(omp_get_num_procs());
        g.add(static_cast<faiss::Index::idx_t>(rows), v);
        faiss::write_index(&g, path.c_str());
    }
    void open(const std::string &path, size_t rows) override
    {
        graph.reset(dynamic_cast<faiss::IndexHNSW *>(faiss::read_index(path.c_str())));
        for (size_t i = 0; i < rows; i += KEPT)
            kept.push_back(static_cast<faiss::Index::idx_t>(i));
    }
    void effort(int ef) override { graph->hnsw.efSearch = ef; }
    size_t run(const float *q, uint32_t *out, const faiss::SearchParameters *how)
    {
        faiss::Index::idx_t ids[K];
        float far[K];
        size_t n = 0;
        graph->search(1, q, K, far, ids, how);
        for (faiss::Index::idx_t id : ids)
            if (id >= 0)
                out[n++] = static_cast<uint32_t>(id);
        return n;
    }
    size_t search(const float *q, uint32_t *out) override { return run(q, out, nullptr); }
    size_t few(const float *q, uint32_t *out) override
    {
        faiss::IDSelectorBatch some(kept.size(), kept.data());
        faiss::SearchParametersHNSW how;
        how.efSearch = graph->hnsw.efSearch;
        how.sel = &some;
        return run(q, out, &how);
    }
    size_t dim;
    std::unique_ptr<faiss::IndexHNSW> graph;
    std::vector<faiss::Index::idx_t> kept;
};

double now(clockid_t clock = CLOCK_MONOTONIC)
{
    timespec t;
    clock_gettime(clock, &t);
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) / 1e9;
}

const void *map_file(const char *path, size_t &len)
{
    struct stat st;
    int fd = ::open(path, O_RDONLY);
    void *p = fd >= 0 && fstat(fd, &st) == 0 ? mmap(nullptr, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
    if (p == MAP_FAILED)
        throw std::runtime_error(path);
    ::close(fd);
    len = static_cast<size_t>(st.st_size);
    return p;
}

double resident_mib()
{
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%*d %ld", &pages) != 1)
        throw std::runtime_error("statm");
    fclose(f);
    return static_cast<double>(pages) * 4096 / (1 << 20);
}

struct Figures {
    double recall, qps, cpu_us; // cpu_us: processor time of a query
};

// Every step-th query from `first` on; the rate over at least so many seconds.
Figures measure(size_t first, size_t step, size_t queries, const uint32_t *truth, const std::function<size_t(size_t, uint32_t *)> &search, double seconds)
{
    uint32_t ids[K];
    size_t good = 0, counted = 0, asked = 0;
    for (size_t i = first; i < queries; i += step, counted++)
        for (size_t n = search(i, ids), h = 0; h < n; h++)
            for (size_t t = 0; t < K; t++)
                good += truth[i * K + t] == ids[h];
    double start = now(), used = now(CLOCK_PROCESS_CPUTIME_ID);
    for (; now() - start < seconds; asked += counted)
        for (size_t i = first; i < queries; i += step)
            search(i, ids);
    auto n = static_cast<double>(asked);
    return {static_cast<double>(good) / static_cast<double>(counted * K), n / (now() - start), (now(CLOCK_PROCESS_CPUTIME_ID) - used) / n * 1e6};
}

int run(char **argv)
{
    size_t len, rows = std::stoul(argv[6]), dim = std::stoul(argv[7]);
    std::string name = argv[1], path = std::string(argv[8]) + "/" + name + "-" + argv[6];
    auto *v = static_cast<const float *>(map_file(argv[2], len));
    auto *q = static_cast<const float *>(map_file(argv[3], len));
    size_t queries = len / dim / sizeof *q;
    auto *truth = static_cast<const uint32_t *>(map_file(argv[4], len)), *few = static_cast<const uint32_t *>(map_file(argv[5], len));
    std::unique_ptr<Engine> engine;
    if (name == "usearch")
        engine = std::make_unique<Usearch>(dim);
    else if (name == "hnswlib")
        engine = std::make_unique<Hnswlib>(dim);
    else
        engine = std::make_unique<Faiss>(dim);
    omp_set_num_threads(1);
    double start;
    if (access(path.c_str(), R_OK) != 0) {
        engine->build(v, rows, path + ".part");
        if (rename((path + ".part").c_str(), path.c_str()) != 0)
            throw std::runtime_error(path);
        execv("/proc/self/exe", argv); // what building left in memory shall not count
    }
    double before = resident_mib();
    start = now();
    engine->open(path, rows);
    double opened = now() - start;
    auto search = [&](size_t i, uint32_t *out) { return engine->search(q + i * dim, out); };
    int ef = 0;
    for (const int *effort = ann_efforts; *effort; effort++) {
        engine->effort(ef = *effort);
        if (measure(ANN_TUNING, ANN_STEP, queries, truth, search, 0).recall >= ann_recall)
            break;
    }
    Figures all = measure(ANN_JUDGED, ANN_STEP, queries, truth, search, 2);
    double memory = resident_mib() - before;
    Figures kept = measure(0, 1, queries < 100 ? queries : 100, few, [&](size_t i, uint32_t *out) { return engine->few(q + i * dim, out); }, 1);
    printf("{\"engine\": \"%s\", \"rows\": %zu, \"ef\": %d, \"open_s\": %.4f, \"qps\": %.1f, \"cpu_us\": %.2f, \"recall\": %.4f, \"filter_qps\": %.1f, \"filter_recall\": %.4f, "
           "\"memory_mib\": %.1f}\n",
           argv[1], rows, ef, opened, all.qps, all.cpu_us, all.recall, kept.qps, kept.recall, memory);
    return 0;
}

} // namespace

int main(int argc, char **argv)
{
    if (argc != 9)
        return fprintf(stderr, "usage: ann_peers ENGINE VECTORS QUERIES TRUTH FEW ROWS DIM FOLDER\n"), 2;
    try {
        return run(argv);
    } catch (const std::exception &e) {
        fprintf(stderr, "ann_peers: %s: %s\n", argv[1], e.what());
        return 1;
    }
}
