// ann_peers ENGINE VECTORS QUERIES TRUTH FEW ROWS DIM FOLDER: a bare engine (usearch, hnswlib, faiss) over the files of ann_vectors: built once into
// FOLDER, opened, and searched with the least effort that reaches a recall of .97. Prints one JSON line.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <faiss/IndexHNSW.h>
#include <faiss/index_io.h>
#include <faiss/impl/IDSelector.h>
#include <omp.h>

#include "hnswlib.h"
extern "C" {
#include "usearch.h"
}

namespace {

constexpr size_t K = 10, M = 16, EF_BUILD = 128, KEPT = 500;
constexpr double RECALL = 0.97;
constexpr int EFS[] = {16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512};

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
        for (size_t i = 0; i < rows; i++)
            g.addPoint(v + i * dim, i);
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
        usearch_reserve(index, rows, &error);
        for (size_t i = 0; i < rows && !error; i++)
            usearch_add(index, i, v + i * options.dimensions, usearch_scalar_f32_k, &error);
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

double now()
{
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
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

double measure(size_t queries, const uint32_t *truth, const std::function<size_t(size_t, uint32_t *)> &search, double seconds, double &recall)
{
    uint32_t ids[K];
    size_t good = 0, asked = 0;
    for (size_t i = 0; i < queries; i++)
        for (size_t n = search(i, ids), h = 0; h < n; h++)
            for (size_t t = 0; t < K; t++)
                good += truth[i * K + t] == ids[h];
    recall = static_cast<double>(good) / static_cast<double>(queries * K);
    double start = now();
    while (now() - start < seconds)
        for (size_t i = 0; i < queries; i++, asked++)
            search(i, ids);
    return static_cast<double>(asked) / (now() - start);
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
    double start = now(), built = 0;
    if (access(path.c_str(), R_OK) != 0) {
        engine->build(v, rows, path + ".part");
        if (rename((path + ".part").c_str(), path.c_str()) != 0)
            throw std::runtime_error(path);
        built = now() - start;
        execv("/proc/self/exe", argv); // what building left in memory shall not count
    }
    double before = resident_mib(), recall = 0, qps = 0, filter_recall = 0;
    start = now();
    engine->open(path, rows);
    double opened = now() - start;
    int ef = 0;
    for (int effort : EFS) {
        engine->effort(ef = effort);
        measure(queries, truth, [&](size_t i, uint32_t *out) { return engine->search(q + i * dim, out); }, 0, recall);
        if (recall >= RECALL)
            break;
    }
    qps = measure(queries, truth, [&](size_t i, uint32_t *out) { return engine->search(q + i * dim, out); }, 2, recall);
    double memory = resident_mib() - before;
    double filtered = measure(queries < 100 ? queries : 100, few, [&](size_t i, uint32_t *out) { return engine->few(q + i * dim, out); }, 1, filter_recall);
    printf("{\"engine\": \"%s\", \"rows\": %zu, \"ef\": %d, \"open_s\": %.4f, \"qps\": %.1f, \"recall\": %.4f, \"filter_qps\": %.1f, \"filter_recall\": %.4f, "
           "\"memory_mib\": %.1f}\n",
           argv[1], rows, ef, opened, qps, recall, filtered, filter_recall, memory);
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
