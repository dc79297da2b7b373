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

#define FORMAT 1u
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
    uint32_t id_crc, row_crc; /* ids and scales; codes and vectors */
    uint8_t reserved[64];
    uint32_t zero, header_crc; /* of all bytes before it */
} file_header;

_Static_assert(sizeof(file_header) == 256, "the header is 256 bytes without holes");

typedef struct file_record {
    uint32_t magic, crc; /* crc of the rest of the record */
    uint64_t version;
    uint32_t removes, adds;
} file_record; /* removes ids, adds ids, adds vectors */

typedef struct layout {
    uint64_t ids, scales, codes, full, end;
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

static uint64_t aligned(uint64_t n)
{
    return (n + ALIGN - 1) & ~(uint64_t)(ALIGN - 1);
}

/* count < 2^31 and dim <= 4096, so nothing overflows. */
static layout layout_of(uint64_t count, uint32_t dim)
{
    layout l = {.ids = sizeof(file_header)};
    l.scales = aligned(l.ids + count * sizeof(index_id));
    l.codes = aligned(l.scales + count * sizeof(float));
    l.full = aligned(l.codes + count * scan_stride(dim));
    l.end = aligned(l.full + count * dim * sizeof(float));
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
    if (h->dim == 0 || h->dim > SCAN_MAX_DIM || h->count > 0x7FFFFFFF || !memchr(h->model, 0, INDEX_MODEL))
        return fail(reason, MT_INVALID, "The index file's header makes no sense.");
    if (layout_of(h->count, h->dim).end > size)
        return fail(reason, MT_INVALID, "The index file is cut short: %llu bytes of %llu.", (unsigned long long)size,
                    (unsigned long long)layout_of(h->count, h->dim).end);
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

static mt_status map_base(exact_index *x, const file_header *h, char *reason)
{
    const char *base = x->map;
    layout l = layout_of(h->count, h->dim);
    const float *scales = (const float *)(base + l.scales);
    if (id_checksum(base, &l) != h->id_crc || !scales_are_sane(scales, h->count))
        return fail(reason, MT_INVALID, "The index file's ids are damaged.");
    madvise(x->map, x->map_len, MADV_WILLNEED);
    mt_status status = index_set_base(x, h->count, (const index_id *)(base + l.ids), scales, (const int8_t *)(base + l.codes),
                                      (const float *)(base + l.full));
    return status == MT_OK ? MT_OK : fail(reason, status, "Out of memory.");
}

/* The length of the valid record at `at`, or 0 when what is there is none. */
static uint64_t record_at(const exact_index *x, uint64_t at, file_record *r)
{
    const char *base = x->map;
    if (x->map_len - at < sizeof *r)
        return 0;
    memcpy(r, base + at, sizeof *r);
    if (r->magic != RECORD_MAGIC || r->removes > CHANGE_MAX || r->adds > CHANGE_MAX)
        return 0;
    uint64_t len = sizeof *r + (uint64_t)r->removes * sizeof(index_id) +
                   (uint64_t)r->adds * (sizeof(index_id) + x->meta.dim * sizeof(float));
    if (len > x->map_len - at)
        return 0;
    size_t from = offsetof(file_record, version);
    return crc32c(0, base + at + from, len - from) == r->crc ? len : 0;
}

/* Applies the log's records until the first that is not whole. Only memory can fail. */
static mt_status replay(exact_index *x, char *reason)
{
    file_record r;
    uint64_t len;
    while ((len = record_at(x, x->file_end, &r)) > 0) {
        const char *p = (const char *)x->map + x->file_end + sizeof r;
        index_change c = {.version = r.version, .remove = (const index_id *)p, .removes = r.removes, .adds = r.adds};
        c.add = c.remove + r.removes;
        c.vectors = (const float *)(c.add + r.adds); /* records are multiples of 4 bytes, so floats are aligned */
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

static mt_status open_mapped(exact_index **out, void *map, size_t len, char *reason)
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
    exact_index *x = *out;
    x->map = map;
    x->map_len = len;
    x->file_end = layout_of(h->count, h->dim).end;
    status = map_base(x, h, reason);
    if (status == MT_OK)
        status = replay(x, reason);
    if (status != MT_OK) {
        index_close(x);
        *out = NULL;
    }
    return status;
}

mt_status index_open(exact_index **out, const char *path, char reason[INDEX_REASON])
{
    *out = NULL;
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail(reason, errno == ENOENT ? MT_NOT_FOUND : MT_INTERNAL, "%.120s: %s.", path, strerror(errno));
    void *map = MAP_FAILED;
    bool regular = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    if (regular && st.st_size >= (off_t)sizeof(file_header))
        map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
    int error = errno;
    close(fd);
    if (!regular || st.st_size < (off_t)sizeof(file_header))
        return fail(reason, MT_INVALID, "This is no index file.");
    if (map == MAP_FAILED)
        return fail(reason, MT_NO_MEMORY, "%.120s: %s.", path, strerror(error));
    return open_mapped(out, map, (size_t)st.st_size, reason);
}

void index_close(exact_index *x)
{
    if (!x)
        return;
    index_part *tail = &x->parts[1];
    free((void *)(uintptr_t)tail->ids);
    free((void *)(uintptr_t)tail->rows.scales);
    free((void *)(uintptr_t)tail->rows.codes);
    free((void *)(uintptr_t)tail->rows.full);
    free(tail->live);
    free(x->parts[0].live);
    free(x->slots);
    if (x->map)
        munmap(x->map, x->map_len);
    pthread_mutex_destroy(&x->slots_lock);
    free(x);
}

mt_status index_verify(const exact_index *x, char reason[INDEX_REASON])
{
    const file_header *h = x->map;
    if (!h)
        return MT_OK;
    layout l = layout_of(h->count, h->dim);
    if (crc32c(0, (const char *)x->map + l.codes, l.end - l.codes) != h->row_crc)
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
    static const char zeros[ALIGN];
    if (at > w->at)
        put(w, zeros, at - w->at);
}

/* Writes one column of the live rows of all parts: `each` bytes at column + row × each. */
static void put_column(writer *w, const exact_index *x, size_t each, const void *columns[PARTS])
{
    for (int i = 0; i < PARTS; i++) {
        const index_part *p = &x->parts[i];
        for (size_t row = 0; row < p->n; row++)
            if (p->live[row / 64] >> row % 64 & 1)
                put(w, (const char *)columns[i] + row * each, each);
    }
}

static void put_rows(writer *w, const exact_index *x, file_header *h)
{
    const index_part *a = &x->parts[0], *b = &x->parts[1];
    layout l = layout_of(h->count, h->dim);
    put(w, h, sizeof *h); /* written again when the checksums are known */
    w->crc = 0;
    put_column(w, x, sizeof(index_id), (const void *[]){a->ids, b->ids});
    pad_to(w, l.scales);
    put_column(w, x, sizeof(float), (const void *[]){a->rows.scales, b->rows.scales});
    pad_to(w, l.codes);
    h->id_crc = w->crc;
    w->crc = 0;
    put_column(w, x, scan_stride(h->dim), (const void *[]){a->rows.codes, b->rows.codes});
    pad_to(w, l.full);
    put_column(w, x, h->dim * sizeof(float), (const void *[]){a->rows.full, b->rows.full});
    pad_to(w, l.end);
    h->row_crc = w->crc;
    h->header_crc = crc32c(0, h, offsetof(file_header, header_crc));
    w->ok = w->ok && fseek(w->f, 0, SEEK_SET) == 0 && fwrite(h, 1, sizeof *h, w->f) == sizeof *h;
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

mt_status index_save(exact_index *x, const char *path, char reason[INDEX_REASON])
{
    char temporary[4096];
    if ((size_t)snprintf(temporary, sizeof temporary, "%s.new", path) >= sizeof temporary)
        return fail(reason, MT_INVALID, "The path is too long.");
    file_header h = {.format = FORMAT, .dim = x->meta.dim, .version = x->meta.version, .count = index_count(x),
                     .workspace = x->meta.workspace};
    memcpy(h.magic, magic, sizeof magic);
    memcpy(h.model, x->meta.model, INDEX_MODEL);
    writer w = {.f = fopen(temporary, "wbe"), .ok = true};
    if (!w.f)
        return fail(reason, MT_INTERNAL, "%.120s: %s.", temporary, strerror(errno));
    put_rows(&w, x, &h);
    bool ok = w.ok && fflush(w.f) == 0 && fsync(fileno(w.f)) == 0;
    int error = errno;
    ok = fclose(w.f) == 0 && ok;
    if (!ok || rename(temporary, path) != 0 || !sync_folder(path)) {
        error = ok ? errno : error;
        unlink(temporary);
        return fail(reason, MT_INTERNAL, "%.120s: %s.", path, strerror(error));
    }
    x->file_end = w.at;
    x->file_version = x->meta.version;
    return MT_OK;
}

/* The change as a record, malloc'ed; its length to *len. */
static char *pack_record(const exact_index *x, const index_change *c, size_t *len)
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
static bool is_our_file(const exact_index *x, int fd)
{
    file_header h;
    struct stat st;
    return x->file_end > 0 && fstat(fd, &st) == 0 && (uint64_t)st.st_size >= x->file_end &&
           pread(fd, &h, sizeof h, 0) == (ssize_t)sizeof h && memcmp(h.magic, magic, sizeof magic) == 0 && h.dim == x->meta.dim &&
           memcmp(&h.workspace, &x->meta.workspace, sizeof h.workspace) == 0 &&
           memcmp(h.model, x->meta.model, INDEX_MODEL) == 0 && layout_of(h.count, h.dim).end <= x->file_end;
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

mt_status index_append(exact_index *x, const char *path, const index_change *c, char reason[INDEX_REASON])
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
