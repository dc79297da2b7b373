/* Opening, logging and appending; text_save is in text_save.c. */
#include "text_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crc32c.h"
#include "files.h"
#include "text_format.h"

mt_status text_fail(char *reason, mt_status status, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(reason, TEXT_REASON, fmt, args);
    va_end(args);
    return status;
}

/* --- the base --- */

static mt_status check_header(const file_header *h, uint64_t size, char *reason)
{
    if (size < sizeof *h || memcmp(h->magic, TEXT_MAGIC, sizeof h->magic) != 0)
        return text_fail(reason, MT_INVALID, "This is no text index.");
    if (h->format != TEXT_FORMAT)
        return text_fail(reason, MT_INVALID, "The text index has format %u; this version reads %u.", h->format, TEXT_FORMAT);
    if (crc32c(0, (const char *)h + offsetof(file_header, version), sizeof *h - offsetof(file_header, version)) != h->header_crc)
        return text_fail(reason, MT_INVALID, "The text index's header is damaged.");
    if (h->passages > 0x7FFFFFFF || h->names_len > UINT32_MAX || h->data_len > (1ull << 48) || text_layout(h).end > size)
        return text_fail(reason, MT_INVALID, "The text index is cut short: %llu bytes.", (unsigned long long)size);
    if (crc32c(0, (const char *)h + sizeof *h, text_layout(h).end - sizeof *h) != h->body_crc)
        return text_fail(reason, MT_INVALID, "The text index is damaged.");
    return MT_OK;
}

static mt_status set_base(text_index *x, const file_header *h, char *reason)
{
    const char *base = x->map;
    file_layout l = text_layout(h);
    x->parts[0] = (text_part){.n = h->passages, .ids = (const text_id *)(base + l.ids), .lengths = (const uint32_t *)(base + l.lengths)};
    x->terms = (const base_term *)(base + l.terms);
    x->n_terms = h->terms;
    x->blocks = (const block_head *)(base + l.blocks);
    x->n_blocks = h->blocks;
    x->names = base + l.names;
    x->names_len = h->names_len;
    x->data = (const uint8_t *)base + l.data;
    x->data_len = h->data_len;
    x->file_end = l.end;
    return text_wake_base(x) == MT_OK ? MT_OK : text_fail(reason, MT_NO_MEMORY, "Out of memory.");
}

/* --- the log --- */

static void skip(const char **p, size_t *left, size_t n)
{
    *p += n;
    *left -= n;
}

static bool take_u32(const char **p, size_t *left, uint32_t *out)
{
    if (*left < sizeof *out)
        return false;
    memcpy(out, *p, sizeof *out);
    skip(p, left, sizeof *out);
    return true;
}

/* One passage of a record: words, distinct terms, then length, count and bytes of each. names points into the record. */
static bool take_passage(const char **p, size_t *left, text_terms *t)
{
    uint32_t n;
    if (!take_u32(p, left, &t->length) || !take_u32(p, left, &n) || n > *left / TERM_MIN)
        return false;
    const char *start = *p;
    t->names = (char *)(uintptr_t)start;
    t->items = malloc((n + 1) * sizeof *t->items);
    if (!t->items)
        return false;
    for (; t->n < n; t->n++) {
        uint32_t len, count;
        if (!take_u32(p, left, &len) || !take_u32(p, left, &count) || len > *left || len > MT_WORD_MAX || count == 0)
            return false;
        t->items[t->n] = (text_term){(uint32_t)(*p - start), len, count, 0};
        skip(p, left, len);
    }
    t->names_len = (size_t)(*p - start);
    return true;
}

/* The length of the whole record at `at` of a file of `size` bytes, or 0 when what is there is none. */
static uint64_t record_at(const char *base, uint64_t size, uint64_t at, log_record *r)
{
    if (at > size || size - at < sizeof *r)
        return 0;
    memcpy(r, base + at, sizeof *r);
    if (r->magic != RECORD_MAGIC || r->len > size - at - sizeof *r || r->adds > r->len / sizeof(text_id) ||
        r->removes > r->len / sizeof(text_id) || ((uint64_t)r->adds + r->removes) * sizeof(text_id) > r->len)
        return 0;
    size_t from = offsetof(log_record, version);
    return crc32c(0, base + at + from, sizeof *r - from + r->len) == r->crc ? sizeof *r + r->len : 0;
}

/* MT_DONE when the record's inside is not what a record's is. */
static mt_status replay_record(text_index *x, const log_record *r, char *reason)
{
    const char *p = (const char *)x->map + x->file_end + sizeof *r;
    size_t ids = ((size_t)r->removes + r->adds) * sizeof(text_id), left = r->len - ids;
    text_id *all = malloc(ids + 1); /* a record may begin anywhere */
    text_terms *terms = calloc(r->adds + 1, sizeof *terms);
    mt_status status = all && terms ? MT_OK : text_fail(reason, MT_NO_MEMORY, "Out of memory.");
    if (status == MT_OK) {
        memcpy(all, p, ids);
        p += ids;
        text_change c = {.version = r->version, .remove = all, .removes = r->removes, .add = all + r->removes, .terms = terms, .adds = r->adds};
        for (uint32_t i = 0; status == MT_OK && i < r->adds; i++)
            status = take_passage(&p, &left, &terms[i]) ? MT_OK : MT_DONE;
        if (status == MT_OK)
            status = text_apply(x, &c, reason);
    }
    for (uint32_t i = 0; terms && i < r->adds; i++)
        free(terms[i].items);
    free(terms);
    free(all);
    return status;
}

/* Applies the log's records until the first that is not whole. Only memory can fail. */
static mt_status replay(text_index *x, char *reason)
{
    log_record r;
    uint64_t len;
    while ((len = record_at(x->map, x->map_len, x->file_end, &r)) > 0) {
        mt_status status = replay_record(x, &r, reason);
        if (status == MT_NO_MEMORY || status == MT_TOO_LARGE)
            return status;
        if (status != MT_OK)
            break; /* nobody wrote this: stop at the version before it */
        x->file_end += len;
    }
    x->file_version = x->meta.version;
    return MT_OK;
}

/* --- open and close --- */

uint64_t text_mark(int fd)
{
    struct stat st;
    file_header h;
    return fstat(fd, &st) == 0 && pread(fd, &h, sizeof h, 0) == (ssize_t)sizeof h ? (uint64_t)st.st_ino ^ (uint64_t)h.header_crc << 32 : 0;
}

mt_status text_open(text_index **out, const char *path, char reason[TEXT_REASON])
{
    *out = NULL;
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return text_fail(reason, errno == ENOENT ? MT_NOT_FOUND : MT_INTERNAL, "%.120s: %s.", path, strerror(errno));
    bool regular = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size >= (off_t)sizeof(file_header);
    void *map = regular ? mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
    int error = errno;
    uint64_t mark = text_mark(fd);
    close(fd);
    if (map == MAP_FAILED)
        return regular ? text_fail(reason, MT_NO_MEMORY, "%.120s: %s.", path, strerror(error)) : text_fail(reason, MT_INVALID, "This is no text index.");
    const file_header *h = map;
    mt_status status = check_header(h, (uint64_t)st.st_size, reason);
    if (status == MT_OK) {
        text_meta meta = {h->workspace, h->version};
        status = text_create(out, &meta);
    }
    if (status != MT_OK) {
        munmap(map, (size_t)st.st_size);
        return status;
    }
    text_index *x = *out;
    x->map = map;
    x->map_len = (size_t)st.st_size;
    x->file_mark = mark;
    status = set_base(x, h, reason);
    if (status == MT_OK)
        status = replay(x, reason);
    if (status != MT_OK) {
        text_close(x);
        *out = NULL;
    }
    return status;
}

void text_close(text_index *x)
{
    if (!x)
        return;
    for (size_t i = 0; i < x->n_tail; i++) {
        free(x->tail[i].name);
        free(x->tail[i].postings);
    }
    free(x->tail);
    free(x->tail_slots);
    free((void *)(uintptr_t)x->parts[1].ids);
    free((void *)(uintptr_t)x->parts[1].lengths);
    free(x->parts[0].live);
    free(x->parts[1].live);
    free(x->slots);
    if (x->map)
        munmap(x->map, x->map_len);
    pthread_mutex_destroy(&x->slots_lock);
    free(x);
}

/* --- appending --- */

static size_t record_size(const text_change *c)
{
    size_t size = sizeof(log_record) + (c->removes + c->adds) * sizeof(text_id);
    for (size_t i = 0; i < c->adds; i++) {
        size += 2 * sizeof(uint32_t) + c->terms[i].n * TERM_MIN;
        for (size_t k = 0; k < c->terms[i].n; k++)
            size += c->terms[i].items[k].len;
    }
    return size;
}

static char *put(char *to, const void *p, size_t n)
{
    if (n)
        memcpy(to, p, n);
    return to + n;
}

/* The change as a record, malloc'ed; its length to *len. */
static char *pack_record(const text_change *c, size_t *len)
{
    *len = record_size(c);
    char *record = malloc(*len), *to = record;
    if (!record)
        return NULL;
    log_record r = {.magic = RECORD_MAGIC, .version = c->version, .removes = (uint32_t)c->removes, .adds = (uint32_t)c->adds, .len = *len - sizeof r};
    to = put(to, &r, sizeof r);
    to = put(to, c->remove, c->removes * sizeof(text_id));
    to = put(to, c->add, c->adds * sizeof(text_id));
    for (size_t i = 0; i < c->adds; i++) {
        const text_terms *t = &c->terms[i];
        to = put(to, (uint32_t[]){t->length, (uint32_t)t->n}, 2 * sizeof(uint32_t));
        for (size_t k = 0; k < t->n; k++) {
            to = put(to, (uint32_t[]){t->items[k].len, t->items[k].count}, TERM_MIN);
            to = put(to, t->names + t->items[k].at, t->items[k].len);
        }
    }
    size_t from = offsetof(log_record, version);
    r.crc = crc32c(0, record + from, *len - from);
    memcpy(record, &r, sizeof r);
    return record;
}

/* Whether the open file is of this index. */
static bool is_our_file(const text_index *x, int fd)
{
    file_header h;
    return x->file_end > 0 && pread(fd, &h, sizeof h, 0) == (ssize_t)sizeof h && memcmp(h.magic, TEXT_MAGIC, sizeof h.magic) == 0 &&
           memcmp(&h.workspace, &x->meta.workspace, sizeof h.workspace) == 0;
}

/* While a host takes another's place both may append. Whoever comes second has not read what the first wrote, or its file is not in place any more. */
static bool was_changed(const text_index *x, int fd)
{
    struct stat st;
    log_record r;
    if (fstat(fd, &st) != 0 || text_mark(fd) != x->file_mark || (uint64_t)st.st_size < x->file_end)
        return true;
    if ((uint64_t)st.st_size <= x->file_end)
        return false;
    void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    bool more = map == MAP_FAILED || record_at(map, (uint64_t)st.st_size, x->file_end, &r) > 0;
    if (map != MAP_FAILED)
        munmap(map, (size_t)st.st_size);
    return more;
}

mt_status text_append(text_index *x, const char *path, const text_change *c, char reason[TEXT_REASON])
{
    size_t len;
    if (x->file_version != x->meta.version)
        return text_fail(reason, MT_CONFLICT, "The file lacks changes that memory has: save first.");
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return text_fail(reason, errno == ENOENT ? MT_NOT_FOUND : MT_INTERNAL, "%.120s: %s.", path, strerror(errno));
    char *record = pack_record(c, &len);
    bool locked = flock(fd, LOCK_EX | LOCK_NB) == 0, ours = locked && is_our_file(x, fd), same = ours && !was_changed(x, fd);
    mt_status status = MT_OK;
    if (!record)
        status = text_fail(reason, MT_NO_MEMORY, "Out of memory.");
    else if (!locked)                        /* searches wait for this one: it does not wait for another process */
        status = text_fail(reason, MT_PRECONDITION, "%.120s is being changed by another process.", path);
    else if (!ours)
        status = text_fail(reason, MT_CONFLICT, "%.120s is not the file of this index.", path);
    else if (!same)
        status = text_fail(reason, MT_PRECONDITION, "%.120s was changed by another process.", path);
    else if (ftruncate(fd, (off_t)x->file_end) != 0 || !mt_file_write_at(fd, record, len, x->file_end)) /* a torn end goes first */
        status = text_fail(reason, MT_INTERNAL, "%.120s: %s.", path, strerror(errno));
    else
        status = text_apply(x, c, reason);
    if (status == MT_OK) {
        x->file_end += len;
        x->file_version = c->version;
    } else if (same && ftruncate(fd, (off_t)x->file_end) != 0) {
        status = text_fail(reason, MT_INTERNAL, "%.120s: %s.", path, strerror(errno));
    }
    free(record);
    close(fd);
    return status;
}
