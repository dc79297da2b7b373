/* Writing a file anew, from rows that may change meanwhile. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crc32c.h"
#include "files.h"
#include "index_file.h"
#include "index_format.h"

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
    memcpy(h.magic, INDEX_MAGIC, sizeof h.magic);
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

mt_status index_publish(const char *from, const char *path, char reason[INDEX_REASON])
{
    if (mt_file_publish(from, path))
        return MT_OK;
    int error = errno;
    unlink(from);
    return fail(reason, MT_INTERNAL, "%.120s: %s.", path, strerror(error));
}

mt_status index_save(vector_index *x, const char *path, char reason[INDEX_REASON])
{
    char temporary[4096];
    struct stat st;
    uint64_t mark = 0;
    if (!mt_file_beside(path, temporary, sizeof temporary))
        return fail(reason, MT_INVALID, "The path is too long.");
    MT_TRY(index_write(x, temporary, NULL, NULL, reason));
    int fd = open(temporary, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0 || !(mark = index_mark(fd)))
        fail(reason, MT_INTERNAL, "%.120s: %s.", temporary, strerror(errno));
    if (fd >= 0)
        close(fd);
    if (!mark)
        return MT_INTERNAL;
    uint64_t end = (uint64_t)st.st_size;
    MT_TRY(index_publish(temporary, path, reason));
    x->file_mark = mark;
    x->file_end = end;
    x->file_version = x->meta.version;
    return MT_OK;
}
