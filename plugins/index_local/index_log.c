/* The log of changes at a file's end. A record is whole or not there. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crc32c.h"
#include "files.h"
#include "index_file.h"
#include "index_format.h"

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

mt_status index_replay(vector_index *x, char *reason)
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

uint64_t index_mark(int fd)
{
    struct stat st;
    file_header h;
    return fstat(fd, &st) == 0 && pread(fd, &h, sizeof h, 0) == (ssize_t)sizeof h ? (uint64_t)st.st_ino ^ (uint64_t)h.header_crc << 32 : 0;
}

/* While a host takes another's place both may append. Whoever comes second has not read what the first wrote, or its file is not in place any more. */
static bool was_changed(const vector_index *x, int fd)
{
    struct stat st;
    file_record r;
    if (fstat(fd, &st) != 0 || index_mark(fd) != x->file_mark || (uint64_t)st.st_size < x->file_end)
        return true;
    if ((uint64_t)st.st_size <= x->file_end)
        return false;
    void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    bool more = map == MAP_FAILED || record_at(map, (uint64_t)st.st_size, x->file_end, x->meta.dim, &r) > 0;
    if (map != MAP_FAILED)
        munmap(map, (size_t)st.st_size);
    return more;
}

/* Whether the open file is of this index: the same workspace and model. */
static bool is_our_file(const vector_index *x, int fd)
{
    file_header h;
    return x->file_end > 0 && pread(fd, &h, sizeof h, 0) == (ssize_t)sizeof h && memcmp(h.magic, INDEX_MAGIC, sizeof h.magic) == 0 &&
           h.dim == x->meta.dim && memcmp(&h.workspace, &x->meta.workspace, sizeof h.workspace) == 0 &&
           memcmp(h.model, x->meta.model, INDEX_MODEL) == 0;
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
    bool locked = flock(fd, LOCK_EX | LOCK_NB) == 0, ours = locked && is_our_file(x, fd), same = ours && !was_changed(x, fd);
    if (!record)
        fail(reason, status, "Out of memory.");
    else if (!locked)                        /* searches wait for this one: it does not wait for another process */
        status = fail(reason, MT_PRECONDITION, "%.120s is being changed by another process.", path);
    else if (!ours)
        status = fail(reason, MT_CONFLICT, "%.120s is not the file of this index.", path);
    else if (!same)
        status = fail(reason, MT_PRECONDITION, "%.120s was changed by another process.", path);
    else if (ftruncate(fd, (off_t)x->file_end) != 0 || !mt_file_write_at(fd, record, len, x->file_end)) /* a torn end goes first */
        status = fail(reason, MT_INTERNAL, "%.120s: %s.", path, strerror(errno));
    else
        status = index_apply(x, c, reason);
    if (status == MT_OK) {
        x->file_end += len;
        x->file_version = c->version;
    } else if (record && same && ftruncate(fd, (off_t)x->file_end) != 0) {
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
    struct stat st;
    bool whole = fd >= 0 && fstat(fd, &st) == 0 && (uint64_t)st.st_size >= end; /* another process may have put a shorter one there */
    void *map = whole ? mmap(NULL, end, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
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
