/* Merges base and tail into a new base: passages that count, renumbered in their order; terms by name; their postings packed anew. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "crc32c.h"
#include "files.h"
#include "text_file.h"
#include "text_format.h"

/* A growing array of bytes. */
typedef struct bytes {
    char *p;
    size_t len, cap;
} bytes;

typedef struct merge {
    const text_index *x;
    uint32_t *moved[PARTS];     /* row → new row; of those that count */
    bytes ids, lengths, terms, blocks, names, data;
    block_rows open;            /* the block that is being filled */
    base_term term;             /* the term that is being written; df 0: nothing yet */
    int64_t previous;           /* last row of its last block */
    bool failed;
} merge;

static void *room(merge *m, bytes *b, size_t n)
{
    if (b->cap - b->len < n) {
        size_t cap = b->cap + b->cap / 2 + n + 4096;
        char *p = realloc(b->p, cap);
        if (!p) {
            m->failed = true;
            return NULL;
        }
        b->p = p;
        b->cap = cap;
    }
    return b->p + b->len;
}

static void put(merge *m, bytes *b, const void *p, size_t n)
{
    char *to = n ? room(m, b, n) : NULL;
    if (!to)
        return;
    memcpy(to, p, n);
    b->len += n;
}

/* --- postings --- */

static void close_block(merge *m)
{
    uint8_t *to = room(m, &m->data, 2 * BLOCK * sizeof(uint32_t));
    if (!to || !m->open.n)
        return;
    block_head h = {.at = (uint32_t)(m->data.len - m->term.data_at), .min_length = UINT32_MAX};
    const uint32_t *lengths = (const uint32_t *)(void *)m->lengths.p;
    for (uint32_t i = 0; i < m->open.n; i++) {
        uint32_t length = lengths[m->open.rows[i]];
        h.max_count = m->open.counts[i] > h.max_count ? m->open.counts[i] : h.max_count;
        h.min_length = length < h.min_length ? length : h.min_length;
    }
    m->term.max_count = h.max_count > m->term.max_count ? h.max_count : m->term.max_count;
    m->term.min_length = h.min_length < m->term.min_length ? h.min_length : m->term.min_length;
    m->data.len += block_pack(&h, &m->open, m->previous, to);
    m->previous = h.last;
    m->open.n = 0;
    put(m, &m->blocks, &h, sizeof h);
}

static void add(merge *m, int part, uint32_t row, uint32_t count)
{
    if (!is_live(&m->x->parts[part], row))
        return;
    m->open.rows[m->open.n] = m->moved[part][row];
    m->open.counts[m->open.n] = count;
    m->term.df++;
    if (++m->open.n == BLOCK)
        close_block(m);
}

static void add_term(merge *m, const char *name, size_t len, const base_term *base, const tail_term *tail)
{
    block_rows rows;
    m->term = (base_term){.data_at = m->data.len, .first_block = (uint32_t)(m->blocks.len / sizeof(block_head)), .min_length = UINT32_MAX};
    m->previous = -1;
    for (size_t i = 0; base && i < (base->df + BLOCK - 1) / BLOCK; i++) {
        if (!text_read_block(m->x, base, i, &rows))
            break;
        for (uint32_t k = 0; k < rows.n; k++)
            add(m, 0, rows.rows[k], rows.counts[k]);
    }
    for (uint32_t i = 0; tail && i < tail->n; i++)
        add(m, 1, tail->postings[i].row, tail->postings[i].count);
    close_block(m);
    if (!m->term.df)
        return;
    m->term.name_at = (uint32_t)m->names.len;
    m->term.name_len = (uint32_t)len;
    put(m, &m->names, name, len);
    put(m, &m->terms, &m->term, sizeof m->term);
}

static int compare(const char *a, size_t n, const char *b, size_t len)
{
    int d = memcmp(a, b, n < len ? n : len);
    return d ? d : (n > len) - (n < len);
}

static int by_name(const void *a, const void *b)
{
    const tail_term *x = *(const tail_term *const *)a, *y = *(const tail_term *const *)b;
    return compare(x->name, x->name_len, y->name, y->name_len);
}

static void merge_terms(merge *m)
{
    const text_index *x = m->x;
    const tail_term **tail = malloc((x->n_tail + 1) * sizeof *tail);
    size_t i = 0, k = 0;
    if (!tail) {
        m->failed = true;
        return;
    }
    for (size_t t = 0; t < x->n_tail; t++)
        tail[t] = &x->tail[t];
    if (x->n_tail)
        qsort(tail, x->n_tail, sizeof *tail, by_name);
    while (!m->failed && (i < x->n_terms || k < x->n_tail)) {
        const base_term *base = i < x->n_terms ? &x->terms[i] : NULL;
        if (base && !text_term_is_sane(x, base)) {
            i++;
            continue;
        }
        const char *name = base ? x->names + base->name_at : NULL;
        int d = !base ? 1 : k == x->n_tail ? -1 : compare(name, base->name_len, tail[k]->name, tail[k]->name_len);
        if (d <= 0)
            add_term(m, name, base->name_len, base, d == 0 ? tail[k] : NULL);
        else
            add_term(m, tail[k]->name, tail[k]->name_len, NULL, tail[k]);
        i += d <= 0;
        k += d >= 0;
    }
    free(tail);
}

/* --- passages --- */

static void merge_passages(merge *m)
{
    uint32_t next = 0;
    for (int i = 0; i < PARTS; i++) {
        const text_part *p = &m->x->parts[i];
        m->moved[i] = malloc((p->n + 1) * sizeof **m->moved);
        m->failed |= !m->moved[i];
        for (size_t row = 0; !m->failed && row < p->n; row++) {
            if (!is_live(p, row))
                continue;
            m->moved[i][row] = next++;
            put(m, &m->ids, &p->ids[row], sizeof *p->ids);
            put(m, &m->lengths, &p->lengths[row], sizeof *p->lengths);
        }
    }
}

/* --- writing --- */

enum { SECTIONS = 6 };

static bool write_file(merge *m, const char *path, uint64_t *end, uint32_t *crc)
{
    static const char zeros[ALIGN + BLOCK_SLACK];
    const text_index *x = m->x;
    file_header h = {.format = TEXT_FORMAT, .version = x->meta.version, .workspace = x->meta.workspace, .names_len = m->names.len, .data_len = m->data.len,
                     .passages = (uint32_t)(m->ids.len / sizeof(text_id)), .terms = (uint32_t)(m->terms.len / sizeof(base_term)),
                     .blocks = (uint32_t)(m->blocks.len / sizeof(block_head))};
    memcpy(h.magic, TEXT_MAGIC, sizeof h.magic);
    file_layout l = text_layout(&h);
    const bytes *in[SECTIONS] = {&m->ids, &m->lengths, &m->terms, &m->blocks, &m->names, &m->data};
    const uint64_t behind[SECTIONS] = {l.lengths, l.terms, l.blocks, l.names, l.data, l.end};
    mt_slice parts[1 + 2 * SECTIONS] = {{(const char *)&h, sizeof h}};
    uint64_t at = sizeof h;
    for (size_t i = 0; i < SECTIONS; i++) {
        parts[1 + 2 * i] = (mt_slice){in[i]->p, in[i]->len};
        parts[2 + 2 * i] = (mt_slice){zeros, behind[i] - at - in[i]->len};
        at = behind[i];
        for (size_t k = 1; k <= 2; k++)
            h.body_crc = crc32c(h.body_crc, parts[k + 2 * i].p, parts[k + 2 * i].len);
    }
    h.header_crc = crc32c(0, (const char *)&h + offsetof(file_header, version), sizeof h - offsetof(file_header, version));
    *end = at;
    *crc = h.header_crc;
    return mt_file_replace(path, parts, 1 + 2 * SECTIONS);
}

/* Of what was just put in place, unless another process has replaced it already. */
static mt_status take_mark(text_index *x, const char *path, uint32_t crc, char *reason)
{
    file_header h;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool read = fd >= 0 && pread(fd, &h, sizeof h, 0) == (ssize_t)sizeof h;
    if (read)
        x->file_mark = text_mark(fd);
    int error = errno;
    if (fd >= 0)
        close(fd);
    if (!read)
        return text_fail(reason, MT_INTERNAL, "%.120s: %s.", path, strerror(error));
    return h.header_crc == crc ? MT_OK : text_fail(reason, MT_PRECONDITION, "%.120s was changed by another process.", path);
}

mt_status text_save(text_index *x, const char *path, char reason[TEXT_REASON])
{
    merge m = {.x = x};
    uint64_t end = 0;
    uint32_t crc = 0;
    mt_status status = MT_OK;
    merge_passages(&m);
    if (!m.failed)
        merge_terms(&m);
    if (m.failed)
        status = text_fail(reason, MT_NO_MEMORY, "Out of memory.");
    else if (m.names.len > UINT32_MAX || m.blocks.len / sizeof(block_head) > UINT32_MAX)
        status = text_fail(reason, MT_TOO_LARGE, "The text index has too many terms.");
    else if (!write_file(&m, path, &end, &crc))
        status = text_fail(reason, MT_INTERNAL, "%.120s: %s.", path, strerror(errno));
    bytes *all[SECTIONS] = {&m.ids, &m.lengths, &m.terms, &m.blocks, &m.names, &m.data};
    for (size_t i = 0; i < SECTIONS; i++)
        free(all[i]->p);
    free(m.moved[0]);
    free(m.moved[1]);
    if (status == MT_OK)
        status = take_mark(x, path, crc, reason);
    if (status == MT_OK) {
        x->file_end = end;
        x->file_version = x->meta.version;
    }
    return status;
}
