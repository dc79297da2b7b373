/* Reading trusts nothing: every size is computed from the header's counts, checked against the file's, and covered by a checksum. */
#include "index_file.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crc32c.h"
#include "index_parts.h"

#define FORMAT 2u
#define PAGE 4096u
#define RECORD_MAGIC 0x474F4C58u
#define ALIGN 64u
#define CHANGE_MAX (1u << 20) /* rows in one log record */

static const char magic[8] = "MTXINDEX";

typedef struct file_header {
    char magic[8];
    uint32_t format, dim;
    uint64_t version, count;
    index_id workspace;
    char model[INDEX_MODEL];
    uint32_t id_crc, row_crc; /* ids and scales; codes and fine bytes */
    char kind[32];            /* of the graph */
    uint64_t graph_len;
    uint32_t graph_crc;
    uint8_t reserved[20];
    uint32_t zero, header_crc; /* of all bytes before it */
} file_header;

_Static_assert(sizeof(file_header) == 256, "the header is 256 bytes without holes");

typedef struct file_record {
    uint32_t magic, crc; /* crc of the rest of the record */
    uint64_t version;
    uint32_t removes, adds;
} file_record; /* removes ids, adds ids, adds vectors */

typedef struct layout {
    uint64_t ids, scales, codes, fine, graph, end;
} layout;

static mt_status fail(char *reason, mt_status status, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static mt_status fail(char *reason, mt_status status, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(reason, INDEX_REASON, fmt, args);
    va_end(args);
    return status;
}

static uint64_t aligned(uint64_t n, uint64_t to)
{
    return (n + to - 1) & ~(to - 1);
}

/* count < 2^31, dim <= 4096 and graph_len < 2^48, so nothing overflows. The graph has pages of its own: it is mapped writable. */
static layout layout_of(const file_header *h)
{
    layout l = {.ids = sizeof(file_header)};
    l.scales = aligned(l.ids + h->count * sizeof(index_id), ALIGN);
    l.codes = aligned(l.scales + h->count * sizeof(float), ALIGN);
    l.fine = l.codes + h->count * scan_stride(h->dim);
    l.graph = l.fine + h->count * scan_stride(h->dim);
    if (h->graph_len)
        l.graph = aligned(l.graph, PAGE);
    l.end = aligned(l.graph + h->graph_len, h->graph_len ? PAGE : ALIGN);
    return l;
}

/* --- opening --- */

static mt_status check_header(const file_header *h, uint64_t size, char *reason)
{
    if (size < sizeof *h || memcmp(h->magic, magic, sizeof magic) != 0)
        return fail(reason, MT_INVALID, "This is no index file.");
    if (h->format != FORMAT)
        return fail(reason, MT_INVALID, "The index file has format %u; this version reads %u.", h->format, FORMAT);
    if (crc32c(0, h, offsetof(file_header, header_crc)) != h->header_crc)
        return fail(reason, MT_INVALID, "The index file's header is damaged.");
    if (h->dim == 0 || h->dim > SCAN_MAX_DIM || h->count > 0x7FFFFFFF || h->graph_len >> 48 || h->graph_len % 4 || !memchr(h->model, 0, INDEX_MODEL))
        return fail(reason, MT_INVALID, "The index file's header makes no sense.");
    if (layout_of(h).end > size)
        return fail(reason, MT_INVALID, "The index file is cut short: %llu bytes of %llu.", (unsigned long long)size,
                    (unsigned long long)layout_of(h).end);
    return MT_OK;
}

static uint32_t id_checksum(const char *base, const layout *l)
{
    return crc32c(0, base + l->ids, l->codes - l->ids);
}

static bool scales_are_sane(const float *scales, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        if (!isfinite(scales[i]))
            return false;
    return true;
}

/* Links change in memory while rows are added, never in the file: their pages are private. */
static mt_status map_graph(vector_index *x, const file_header *h, const layout *l, char *reason)
{
    char *at = (char *)x->map + l->graph;
    if (h->graph_len == 0)
        return MT_OK;
    if (crc32c(0, at, h->graph_len) != h->graph_crc)
        return fail(reason, MT_INVALID, "The index file's graph is damaged.");
    if (strncmp(h->kind, graph_kind(), sizeof h->kind))
        return MT_OK;                                   /* of another kind: linked anew */
    if (mprotect(at, h->graph_len, PROT_READ | PROT_WRITE) != 0)
        return fail(reason, MT_NO_MEMORY, "Out of memory.");
    graph *g = graph_open(h->dim, h->count, at, h->graph_len);
    if (!g)
        return fail(reason, MT_INVALID, "The index file's graph makes no sense.");
    graph_close(x->graph);
    x->graph = g;
    return MT_OK;
}

static mt_status map_base(vector_index *x, const file_header *h, char *reason)
{
    const char *base = x->map;
    layout l = layout_of(h);
    const scan_rows rows = {.scales = (const float *)(base + l.scales), .codes = (const int8_t *)(base + l.codes),
                            .fine = (const int8_t *)(base + l.fine)};
    if (id_checksum(base, &l) != h->id_crc || !scales_are_sane(rows.scales, h->count))
        return fail(reason, MT_INVALID, "The index file's ids are damaged.");
    madvise(x->map, x->map_len, MADV_WILLNEED);
    mt_status status = index_set_base(x, h->count, (const index_id *)(base + l.ids), &rows);
    return status == MT_OK ? map_graph(x, h, &l, reason) : fail(reason, status, "Out of memory.");
}

/* The length of the valid record at `at` of a file of `size` bytes, or 0 when what is there is none. */
static uint64_t record_at(const char *base, uint64_t size, uint64_t at, uint32_t dim, file_record *r)
{
    if (size - at < sizeof *r)
        return 0;
    memcpy(r, base + at, sizeof *r);
    if (r->magic != RECORD_MAGIC || r->removes > CHANGE_MAX || r->adds > CHANGE_MAX)
        return 0;
    uint64_t len = sizeof *r + (uint64_t)r->removes * sizeof(index_id) + (uint64_t)r->adds * (sizeof(index_id) + dim * sizeof(float));
    if (len > size - at)
        return 0;
    size_t from = offsetof(file_record, version);
    return crc32c(0, base + at + from, len - from) == r->crc ? len : 0;
}

/* The change that a valid record holds; it points into the record. */
static void read_record(const char *p, const file_record *r, index_change *c)
{
    *c = (index_change){.version = r->version, .remove = (const index_id *)(p + sizeof *r), .removes = r->removes, .adds = r->adds};
    c->add = c->remove + r->removes;
    c->vectors = (const float *)(c->add + r->adds); /* records are multiples of 4 bytes, so floats are aligned */
}

/* Applies the log's records until the first that is not whole. Only memory can fail. */
static mt_status replay(vector_index *x, char *reason)
{
    file_record r;
    uint64_t len;
    while ((len = record_at(x->map, x->map_len, x->file_end, x->meta.dim, &r)) > 0) {
        index_change c;
        read_record((const char *)x->map + x->file_end, &r, &c);
        mt_status status = index_apply(x, &c, reason);
        if (status == MT_NO_MEMORY || status == MT_TOO_LARGE)
            return status;
        if (status != MT_OK)
            break; /* nobody wrote this: stop at the version before it */
        x->file_end += len;
    }
    x->file_version = x->meta.version;
    return MT_OK;
}

static mt_status open_mapped(vector_index **out, void *map, size_t len, char *reason)
{
    const file_header *h = map;
    index_meta meta = {0};
    mt_status status = check_header(h, len, reason);
    if (status == MT_OK) {
        meta.dim = h->dim;
        meta.version = h->version;
        meta.workspace = h->workspace;
        memcpy(meta.model, h->model, INDEX_MODEL);
        status = index_create(out, &meta);
    }
    if (status != MT_OK) {
        munmap(map, len);
        return status;
    }
    vector_index *x = *out;
    x->map = map;
    x->map_len = len;
    x->file_end = layout_of(h).end;
    status = map_base(x, h, reason);
    if (status == MT_OK)
        status = replay(x, reason);
    if (status != MT_OK) {
        index_close(x);
        *out = NULL;
    }
    return status;
}

mt_status index_open(vector_index **out, const char *path, char reason[INDEX_REASON])
{
    *out = NULL;
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail(reason, errno == ENOENT ? MT_NOT_FOUND : MT_INTERNAL, "%.120s: %s.", path, strerror(errno));
    void *map = MAP_FAILED;
    bool regular = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    if (regular && st.st_size >= (off_t)sizeof(file_header))
        map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    int error = errno;
    close(fd);
    if (!regular || st.st_size < (off_t)sizeof(file_header))
        return fail(reason, MT_INVALID, "This is no index file.");
    if (map == MAP_FAILED)
        return fail(reason, MT_NO_MEMORY, "%.120s: %s.", path, strerror(error));
    return open_mapped(out, map, (size_t)st.st_size, reason);
}

void index_close(vector_index *x)
{
    if (!x)
        return;
    index_part *tail = &x->parts[1];
    free((void *)(uintptr_t)tail->ids);
    free((void *)(uintptr_t)tail->rows.scales);
    free((void *)(uintptr_t)tail->rows.codes);
    free((void *)(uintptr_t)tail->rows.fine);
    free(tail->live);
    free(x->parts[0].live);
    free(x->slots);
    graph_close(x->graph);
    if (x->map)
        munmap(x->map, x->map_len);
    pthread_mutex_destroy(&x->slots_lock);
    free(x);
}

mt_status index_verify(const vector_index *x, char reason[INDEX_REASON])
{
    const file_header *h = x->map;
    if (!h)
        return MT_OK;
    layout l = layout_of(h);
    if (crc32c(0, (const char *)x->map + l.codes, l.graph - l.codes) != h->row_crc)
        return fail(reason, MT_INVALID, "The index file's rows are damaged.");
    return MT_OK;
}

/* --- writing --- */

/* A file being written, its running checksum and place. errno tells after ok turned false. */
typedef struct writer {
    FILE *f;
    uint64_t at;
    uint32_t crc;
    bool ok;
} writer;

static void put(writer *w, const void *p, size_t n)
{
    w->ok = w->ok && fwrite(p, 1, n, w->f) == n;
    w->crc = crc32c(w->crc, p, n);
    w->at += n;
}

static void pad_to(writer *w, uint64_t at)
{
    static const char zeros[PAGE]; /* the widest gap is before the graph */
    if (at > w->at)
        put(w, zeros, at - w->at);
}

/* What is written: rows [0, n) that were live when it was taken, whatever changes meanwhile. */
typedef struct snapshot {
    const vector_index *x;
    size_t n, count;
    uint64_t *live;
    graph *graph, *mine;   /* mine: a copy without the dead rows, or NULL */
    void (*yield)(void *); /* lets changes in, now and then; NULL: there are none */
    void *user;
} snapshot;

static bool is_wanted(const snapshot *s, size_t row)
{
    return s->live[row / 64] >> row % 64 & 1;
}

static bool take_snapshot(snapshot *s, const vector_index *x)
{
    const index_part *a = &x->parts[0], *b = &x->parts[1];
    s->x = x;
    s->n = a->n + b->n;
    s->count = index_count(x);
    s->live = calloc(s->n / 64 + 1, sizeof *s->live);
    for (size_t row = 0; s->live && row < s->n; row++) {
        const index_part *p = row < a->n ? a : b;
        size_t r = row < a->n ? row : row - a->n;
        s->live[row / 64] |= (p->live[r / 64] >> r % 64 & 1) << row % 64;
    }
    return s->live != NULL;
}

/* The graph as it goes to the file. Rows do not move while this runs, so changes wait: a second for a million rows. */
static bool take_graph(snapshot *s)
{
    const scan_rows rows[PARTS] = {s->x->parts[0].rows, s->x->parts[1].rows};
    size_t linked = graph_linked(s->x->graph);
    s->graph = s->x->graph;
    for (size_t row = 0; row < linked; row++) {
        if (is_wanted(s, row))
            continue;
        s->graph = s->mine = graph_without_dead(s->x->graph, rows, s->live);
        break;
    }
    return s->graph != NULL;
}

static void drop_snapshot(snapshot *s)
{
    free(s->live);
    graph_close(s->mine);
}

/* One column of a part's live rows. The tail's memory moves when changes are let in, so it is looked up for every row. */
typedef enum column { COLUMN_IDS, COLUMN_SCALES, COLUMN_CODES, COLUMN_FINE } column;

static const char *cell(const vector_index *x, column which, size_t row, size_t *len)
{
    const index_part *p = &x->parts[row >= x->parts[0].n];
    size_t r = row < x->parts[0].n ? row : row - x->parts[0].n, stride = scan_stride(x->meta.dim);
    *len = which == COLUMN_IDS ? sizeof(index_id) : which == COLUMN_SCALES ? sizeof(float) : stride;
    switch (which) {
    case COLUMN_IDS: return (const char *)&p->ids[r];
    case COLUMN_SCALES: return (const char *)&p->rows.scales[r];
    case COLUMN_CODES: return (const char *)p->rows.codes + r * stride;
    default: return (const char *)p->rows.fine + r * stride;
    }
}

static void put_column(writer *w, const snapshot *s, column which)
{
    size_t len;
    for (size_t row = 0; row < s->n; row++) {
        if (is_wanted(s, row)) {
            const char *p = cell(s->x, which, row, &len);
            put(w, p, len);
        }
        if (s->yield && row % 16384 == 16383)
            s->yield(s->user);
    }
}

static void put_piece(void *w, const void *p, size_t n)
{
    put(w, p, n);
}

static void put_rows(writer *w, const snapshot *s, file_header *h)
{
    layout l = layout_of(h);
    put(w, h, sizeof *h); /* written again when the checksums are known */
    w->crc = 0;
    put_column(w, s, COLUMN_IDS);
    pad_to(w, l.scales);
    put_column(w, s, COLUMN_SCALES);
    pad_to(w, l.codes);
    h->id_crc = w->crc;
    w->crc = 0;
    put_column(w, s, COLUMN_CODES);
    put_column(w, s, COLUMN_FINE);
    pad_to(w, l.graph);
    h->row_crc = w->crc;
    w->crc = 0;
    if (h->graph_len)
        graph_write(s->graph, put_piece, w);
    h->graph_crc = w->crc;
    pad_to(w, l.end);
    h->header_crc = crc32c(0, h, offsetof(file_header, header_crc));
    w->ok = w->ok && fseek(w->f, 0, SEEK_SET) == 0 && fwrite(h, 1, sizeof *h, w->f) == sizeof *h;
}

mt_status index_write(const vector_index *x, const char *path, void (*yield)(void *), void *user, char reason[INDEX_REASON])
{
    snapshot s = {.yield = yield, .user = user};
    file_header h = {.format = FORMAT, .dim = x->meta.dim, .version = x->meta.version, .workspace = x->meta.workspace};
    writer w = {.ok = true};
    if (!take_snapshot(&s, x) || !take_graph(&s)) {
        drop_snapshot(&s);
        return fail(reason, MT_NO_MEMORY, "Out of memory.");
    }
    h.count = s.count;
    h.graph_len = graph_linked(s.graph) ? graph_size(s.graph) : 0;
    memcpy(h.magic, magic, sizeof magic);
    memcpy(h.model, x->meta.model, INDEX_MODEL);
    snprintf(h.kind, sizeof h.kind, "%s", graph_kind());
    w.f = fopen(path, "wbe");
    if (w.f)
        put_rows(&w, &s, &h);
    bool ok = w.f && w.ok && fflush(w.f) == 0 && fsync(fileno(w.f)) == 0;
    int error = errno;
    ok = w.f && fclose(w.f) == 0 && ok;
    drop_snapshot(&s);
    if (ok)
        return MT_OK;
    unlink(path);
    return fail(reason, MT_INTERNAL, "%.120s: %s.", path, strerror(error));
}

/* The rename itself is made to last. */
static bool sync_folder(const char *path)
{
    char folder[4096];
    const char *slash = strrchr(path, '/');
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path + 1) : 1, slash ? path : ".");
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

mt_status index_publish(const char *from, const char *path, char reason[INDEX_REASON])
{
    if (rename(from, path) == 0 && sync_folder(path))
        return MT_OK;
    int error = errno;
    unlink(from);
    return fail(reason, MT_INTERNAL, "%.120s: %s.", path, strerror(error));
}

mt_status index_save(vector_index *x, const char *path, char reason[INDEX_REASON])
{
    char temporary[4096];
    struct stat st;
    if ((size_t)snprintf(temporary, sizeof temporary, "%s.new", path) >= sizeof temporary)
        return fail(reason, MT_INVALID, "The path is too long.");
    MT_TRY(index_write(x, temporary, NULL, NULL, reason));
    uint64_t end = stat(temporary, &st) == 0 ? (uint64_t)st.st_size : 0;
    MT_TRY(index_publish(temporary, path, reason));
    x->file_end = end;
    x->file_version = x->meta.version;
    return MT_OK;
}

/* The change as a record, malloc'ed; its length to *len. */
static char *pack_record(const vector_index *x, const index_change *c, size_t *len)
{
    size_t ids = c->removes * sizeof(index_id), add_ids = c->adds * sizeof(index_id);
    size_t vectors = c->adds * x->meta.dim * sizeof(float), from = offsetof(file_record, version);
    file_record r = {.magic = RECORD_MAGIC, .version = c->version, .removes = (uint32_t)c->removes, .adds = (uint32_t)c->adds};
    *len = sizeof r + ids + add_ids + vectors;
    char *p = malloc(*len), *to = p;
    if (!p)
        return NULL;
    to += sizeof r;
    if (ids)
        memcpy(to, c->remove, ids);
    if (c->adds) {
        memcpy(to + ids, c->add, add_ids);
        memcpy(to + ids + add_ids, c->vectors, vectors);
    }
    memcpy(p, &r, sizeof r);
    r.crc = crc32c(0, p + from, *len - from);
    memcpy(p, &r, sizeof r);
    return p;
}

/* Whether the open file holds this index: the same workspace and model, and at least the bytes that were read or written. */
static bool is_our_file(const vector_index *x, int fd)
{
    file_header h;
    struct stat st;
    return x->file_end > 0 && fstat(fd, &st) == 0 && (uint64_t)st.st_size >= x->file_end &&
           pread(fd, &h, sizeof h, 0) == (ssize_t)sizeof h && memcmp(h.magic, magic, sizeof magic) == 0 && h.dim == x->meta.dim &&
           memcmp(&h.workspace, &x->meta.workspace, sizeof h.workspace) == 0 &&
           memcmp(h.model, x->meta.model, INDEX_MODEL) == 0 && layout_of(&h).end <= x->file_end;
}

static bool write_all(int fd, const char *p, size_t n, uint64_t at)
{
    while (n > 0) {
        ssize_t done = pwrite(fd, p, n, (off_t)at);
        if (done < 0 && errno != EINTR)
            return false;
        p += done > 0 ? done : 0;
        at += done > 0 ? (uint64_t)done : 0;
        n -= done > 0 ? (size_t)done : 0;
    }
    return true;
}

mt_status index_append(vector_index *x, const char *path, const index_change *c, char reason[INDEX_REASON])
{
    size_t len;
    if (x->file_version != x->meta.version)
        return fail(reason, MT_CONFLICT, "The file lacks changes that memory has: save first.");
    if (c->adds > CHANGE_MAX || c->removes > CHANGE_MAX)
        return fail(reason, MT_TOO_LARGE, "A change may have at most %u rows.", CHANGE_MAX);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return fail(reason, errno == ENOENT ? MT_NOT_FOUND : MT_INTERNAL, "%.120s: %s.", path, strerror(errno));
    char *record = pack_record(x, c, &len);
    mt_status status = MT_NO_MEMORY;
    if (!record)
        fail(reason, status, "Out of memory.");
    else if (!is_our_file(x, fd))
        status = fail(reason, MT_CONFLICT, "%.120s is not the file of this index.", path);
    else if (ftruncate(fd, (off_t)x->file_end) != 0 || !write_all(fd, record, len, x->file_end)) /* a torn end goes first */
        status = fail(reason, MT_INTERNAL, "%.120s: %s.", path, strerror(errno));
    else
        status = index_apply(x, c, reason);
    if (status == MT_OK) {
        x->file_end += len;
        x->file_version = c->version;
    } else if (record && is_our_file(x, fd) && ftruncate(fd, (off_t)x->file_end) != 0) {
        status = fail(reason, MT_INTERNAL, "%.120s: %s.", path, strerror(errno));
    }
    free(record);
    close(fd);
    return status;
}

mt_status index_catch_up(vector_index *x, const char *path, const char *log, uint64_t at, uint64_t end, char reason[INDEX_REASON])
{
    file_record r;
    uint64_t len;
    mt_status status = MT_OK;
    int fd = at < end ? open(log, O_RDONLY | O_CLOEXEC) : -1;
    void *map = fd >= 0 ? mmap(NULL, end, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
    if (at < end && map == MAP_FAILED)
        status = fail(reason, MT_INTERNAL, "%.120s: %s.", log, strerror(errno));
    while (status == MT_OK && at < end) {
        index_change c;
        len = record_at(map, end, at, x->meta.dim, &r);
        if (len == 0)
            status = fail(reason, MT_INVALID, "The index file's log is damaged.");
        else if (read_record((const char *)map + at, &r, &c), c.version > x->meta.version)
            status = index_append(x, path, &c, reason);
        at += len;
    }
    if (map != MAP_FAILED)
        munmap(map, end);
    if (fd >= 0)
        close(fd);
    return status;
}
