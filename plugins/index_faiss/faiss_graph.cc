// FAISS as a graph.h. FAISS numbers what it holds in the order of adding; `rows` tells which row each number is now, NONE for one that was removed (HNSW
// cannot remove, the others would renumber). When a quarter is gone it is built anew. FAISS does not search while it adds, so a lock of its own
// stands between the two; exceptions end here.
#include <atomic>
#include <cmath>
#include <cstring>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <vector>

#include <faiss/IndexFlat.h>
#include <faiss/IndexHNSW.h>
#include <faiss/IndexIVFFlat.h>
#include <faiss/IndexIVFPQ.h>
#include <faiss/impl/io.h>
#include <faiss/index_io.h>
#include <omp.h>

#include "faiss_graph.h"
extern "C" {
#include "graph.h"
void openblas_set_num_threads(int n); // of the process; nothing else in it uses OpenBLAS
}

namespace {

constexpr uint32_t NONE = 0xFFFFFFFF;
constexpr size_t SLICE = 16, LEAST = 5000, PER_LIST = 64, MOST_LISTS = 4096, PQ_LEAST = 39 * 256;
constexpr int EF_SEARCH = 96, EF_BUILD = 128, LINKS = 16;

struct Kind {
    const char *name, *id; // id: with its settings, in files
    size_t candidates;     // at least so many are asked for: PQ's order is rough, the rows decide
};
constexpr Kind kinds[] = {
    {"flat", "faiss-flat", 32}, {"ivf", "faiss-ivf", 32}, {"ivfpq", "faiss-ivfpq-8", 128}, {"hnsw", "faiss-hnsw-16-128", 64}};
const Kind *chosen = &kinds[3];

// What two graphs share while one takes the other's place.
struct Core {
    std::shared_mutex lock;
    std::unique_ptr<faiss::Index> index;
};

} // namespace

struct graph {
    size_t dim, room = 0, dead = 0, lists = 0;
    std::shared_ptr<Core> core = std::make_shared<Core>();
    std::vector<uint32_t> rows; // FAISS's number → row
    std::vector<float> sample;  // to be trained with
    std::atomic<size_t> linked{0};
};

namespace {

size_t lists_for(size_t rows)
{
    size_t n = static_cast<size_t>(2 * std::sqrt(static_cast<double>(rows)));
    return n < 16 ? 16 : n < MOST_LISTS ? n : MOST_LISTS;
}

bool needs_training()
{
    return chosen == &kinds[1] || chosen == &kinds[2];
}

std::unique_ptr<faiss::Index> make(size_t dim, size_t lists)
{
    int d = static_cast<int>(dim);
    if (!needs_training()) {
        if (chosen == &kinds[0])
            return std::make_unique<faiss::IndexFlatIP>(d);
        auto hnsw = std::make_unique<faiss::IndexHNSWFlat>(d, LINKS, faiss::METRIC_INNER_PRODUCT);
        hnsw->hnsw.efConstruction = EF_BUILD;
        return hnsw;
    }
    size_t pieces = dim / 4; // bytes a row of ivfpq
    while (pieces > 1 && dim % pieces)
        pieces--;
    auto coarse = std::make_unique<faiss::IndexFlatIP>(d);
    std::unique_ptr<faiss::IndexIVF> ivf;
    if (chosen == &kinds[1])
        ivf = std::make_unique<faiss::IndexIVFFlat>(coarse.get(), dim, lists, faiss::METRIC_INNER_PRODUCT);
    else
        ivf = std::make_unique<faiss::IndexIVFPQ>(coarse.get(), dim, lists, pieces ? pieces : 1, 8, faiss::METRIC_INNER_PRODUCT);
    ivf->own_fields = true;
    coarse.release();
    return ivf;
}

// Efforts are the index's: in this version those of a single search are half ignored.
void set_effort(faiss::Index *index)
{
    if (auto *hnsw = dynamic_cast<faiss::IndexHNSW *>(index))
        hnsw->hnsw.efSearch = EF_SEARCH;
    if (auto *ivf = dynamic_cast<faiss::IndexIVF *>(index))
        ivf->nprobe = ivf->nlist / 16 + 8;
}

void read_row(const scan_rows *parts, size_t dim, size_t row, float *out)
{
    const scan_rows &p = parts[row >= parts[0].n];
    size_t r = row < parts[0].n ? row : row - parts[0].n, stride = scan_stride(dim);
    for (size_t i = 0; i < dim; i++)
        out[i] = p.scales[r] * (static_cast<float>(p.codes[r * stride + i]) + static_cast<float>(p.fine[r * stride + i]) / 254);
}

// The first call takes a sample, with which graph_prepare trains; those after it add.
void link(graph *g, const scan_rows *parts)
{
    size_t last = parts[0].n + parts[1].n, first = g->linked;
    last = last < g->room ? last : g->room;
    if (!g->core->index) {
        g->lists = lists_for(last);
        size_t want = g->lists * PER_LIST > PQ_LEAST ? g->lists * PER_LIST : PQ_LEAST;
        want = want < last ? want : last;
        std::vector<float> sample(want * g->dim);
        for (size_t i = 0; i < want; i++)
            read_row(parts, g->dim, i * last / want, &sample[i * g->dim]);
        g->sample = std::move(sample);
        return;
    }
    last = last < first + SLICE ? last : first + SLICE;
    std::vector<float> v((last - first) * g->dim);
    for (size_t row = first; row < last; row++)
        read_row(parts, g->dim, row, &v[(row - first) * g->dim]);
    std::unique_lock alone(g->core->lock);
    g->rows.reserve(g->rows.size() + last - first);
    g->core->index->add(static_cast<faiss::Index::idx_t>(last - first), v.data());
    for (size_t row = first; row < last; row++)
        g->rows.push_back(static_cast<uint32_t>(row));
    g->linked = last;
}

void prepare(graph *g)
{
    if (g->core->index || (needs_training() && g->sample.empty()))
        return;
    size_t n = g->sample.size() / g->dim;
    auto index = make(g->dim, g->lists);
    if (needs_training())
        index->train(static_cast<faiss::Index::idx_t>(n), g->sample.data());
    set_effort(index.get());
    g->sample = {};
    std::unique_lock alone(g->core->lock);
    g->core->index = std::move(index);
}

size_t candidates(const graph *g, const graph_aim *aim)
{
    size_t least = aim->k * 2 > chosen->candidates ? aim->k * 2 : chosen->candidates;
    return aim->wanted ? static_cast<size_t>(static_cast<double>(least) * static_cast<double>(g->linked + g->dead) / static_cast<double>(aim->wanted)) + 1 : 1 << 20;
}

struct Put : faiss::IOWriter {
    void (*put)(void *, const void *, size_t) = nullptr;
    void *to = nullptr;
    size_t n = 0;
    size_t operator()(const void *p, size_t size, size_t count) override
    {
        if (put && size > 0 && count > 0)
            put(to, p, size * count);
        n += size * count;
        return count;
    }
};

struct Take : faiss::IOReader {
    const char *p = nullptr;
    size_t left = 0;
    size_t operator()(void *out, size_t size, size_t count) override
    {
        size_t n = size && left / size < count ? left / size : count;
        std::memcpy(out, p, n * size);
        p += n * size;
        left -= n * size;
        return n;
    }
};

struct Head {
    uint64_t numbers, linked, dead;
};

// Head, rows, FAISS's own bytes, and zeros up to a multiple of four.
size_t write(const graph *g, void (*put)(void *, const void *, size_t), void *to)
{
    static const char zeros[4] = {0};
    Put w;
    w.put = put;
    w.to = to;
    Head h{g->rows.size(), g->linked, g->dead};
    w(&h, sizeof h, 1);
    w(g->rows.data(), sizeof(uint32_t), g->rows.size());
    faiss::write_index(g->core->index.get(), &w);
    w(zeros, 1, (4 - w.n % 4) % 4);
    return w.n;
}

bool read(graph *g, size_t rows, const char *bytes, size_t len)
{
    Head h;
    if (len < sizeof h)
        return false;
    std::memcpy(&h, bytes, sizeof h);
    if (h.linked > rows || h.dead > h.numbers || h.numbers > (len - sizeof h) / sizeof(uint32_t))
        return false;
    g->rows.resize(h.numbers);
    std::memcpy(g->rows.data(), bytes + sizeof h, h.numbers * sizeof(uint32_t));
    for (uint32_t row : g->rows)
        if (row != NONE && row >= h.linked)
            return false;
    Take r;
    r.p = bytes + sizeof h + h.numbers * sizeof(uint32_t);
    r.left = len - sizeof h - h.numbers * sizeof(uint32_t);
    g->core->index.reset(faiss::read_index(&r));
    if (g->core->index->d != static_cast<int>(g->dim) || static_cast<uint64_t>(g->core->index->ntotal) != h.numbers)
        return false;
    set_effort(g->core->index.get());
    g->linked = h.linked;
    g->dead = h.dead;
    return true;
}

// Runs work that may throw: FAISS's own exceptions and those of memory alike mean that it did not happen.
template <class Work> bool tried(Work work)
{
    omp_set_num_threads(1); // of this thread: the pool and the keeper have their share of the processors
    try {
        work();
        return true;
    } catch (const std::exception &) {
        return false;
    }
}

} // namespace

extern "C" {

bool faiss_graph_choose(const char *kind)
{
    openblas_set_num_threads(1);
    for (const Kind &k : kinds)
        if (std::strcmp(k.name, kind) == 0) {
            chosen = &k;
            return true;
        }
    return false;
}

const char *graph_kind(void)
{
    return chosen->id;
}

graph *graph_create(size_t dim)
{
    graph *g = nullptr;
    tried([&] {
        g = new graph;
        g->dim = dim;
    });
    return g;
}

void graph_close(graph *g)
{
    delete g;
}

size_t graph_linked(const graph *g)
{
    return g->linked;
}

bool graph_reserve(graph *g, size_t rows)
{
    g->room = rows > g->room ? rows : g->room;
    return true;
}

bool graph_prepare(graph *g)
{
    return tried([&] { prepare(g); });
}

bool graph_link(graph *g, const scan_rows parts[SCAN_PARTS])
{
    return tried([&] { link(g, parts); });
}

bool graph_pays(const graph *g, const graph_aim *aim)
{
    size_t n = g->linked ? candidates(g, aim) : aim->k;
    return aim->wanted >= LEAST && n * 64 < aim->wanted;
}

mt_status graph_search(graph *g, const scan_rows parts[SCAN_PARTS], scan_search *s, const float *query, const graph_aim *aim, size_t linked, size_t *taken)
{
    *taken = 0;
    bool ok = tried([&] {
        std::shared_lock together(g->core->lock);
        size_t n = candidates(g, aim), base = parts[0].n;
        std::vector<faiss::Index::idx_t> ids(n);
        std::vector<float> near(n);
        g->core->index->search(1, query, static_cast<faiss::Index::idx_t>(n), near.data(), ids.data());
        for (faiss::Index::idx_t id : ids) {
            uint32_t row = id >= 0 ? g->rows[static_cast<size_t>(id)] : NONE;
            if (row < linked)
                *taken += scan_offer_row(s, row >= base, static_cast<uint32_t>(row < base ? row : row - base));
        }
    });
    return ok ? MT_OK : MT_NO_MEMORY;
}

graph *graph_without_dead(graph *g, const scan_rows *, const uint64_t *live)
{
    graph *to = graph_create(g->dim);
    bool ok = to && tried([&] {
        uint32_t n = 0;
        std::vector<uint32_t> anew(g->linked);
        for (size_t row = 0; row < anew.size(); row++)
            anew[row] = live[row / 64] >> row % 64 & 1 ? n++ : NONE;
        if (g->rows.size() - n > g->rows.size() / 4)
            return; // an empty one: rows are added to it again
        to->rows.reserve(g->rows.size());
        for (uint32_t row : g->rows)
            to->rows.push_back(row == NONE ? NONE : anew[row]);
        to->core = g->core;
        to->dead = g->rows.size() - n;
        to->linked = n;
    });
    if (ok)
        return to;
    graph_close(to);
    return nullptr;
}

size_t graph_size(const graph *g)
{
    return write(g, nullptr, nullptr);
}

void graph_write(const graph *g, void (*put)(void *to, const void *p, size_t n), void *to)
{
    write(g, put, to);
}

graph *graph_open(size_t dim, size_t rows, void *bytes, size_t len)
{
    graph *g = graph_create(dim);
    bool sound = false;
    if (g && tried([&] { sound = read(g, rows, static_cast<const char *>(bytes), len); }) && sound)
        return g;
    graph_close(g);
    return nullptr;
}
}
