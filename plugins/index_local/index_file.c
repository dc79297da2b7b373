/* Opening a file. Reading trusts nothing: every size is computed from the header's counts, checked against the file's, and covered by a checksum. */
#include "index_file.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crc32c.h"
#include "index_format.h"

static mt_status check_header(const file_header *h, uint64_t size, char *reason)
{
    if (size < sizeof *h || memcmp(h->magic, INDEX_MAGIC, sizeof h->magic) != 0)
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
        status = index_replay(x, reason);
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
    uint64_t mark = index_mark(fd);
    close(fd);
    if (!regular || st.st_size < (off_t)sizeof(file_header))
        return fail(reason, MT_INVALID, "This is no index file.");
    if (map == MAP_FAILED)
        return fail(reason, MT_NO_MEMORY, "%.120s: %s.", path, strerror(error));
    mt_status status = open_mapped(out, map, (size_t)st.st_size, reason);
    if (status == MT_OK)
        (*out)->file_mark = mark;
    return status;
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
