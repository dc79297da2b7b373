/* The bytes of an index's file, shared by index_file.c, index_save.c and index_log.c only. */
#ifndef INDEX_LOCAL_INDEX_FORMAT_H
#define INDEX_LOCAL_INDEX_FORMAT_H

#include <stdarg.h>
#include <stdio.h>

#include "index_parts.h"

#define INDEX_MAGIC "MTXINDEX" /* without its NUL */
#define FORMAT 2u
#define PAGE 4096u
#define RECORD_MAGIC 0x474F4C58u
#define ALIGN 64u
#define CHANGE_MAX (1u << 20) /* rows in one log record */

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

/* Reads the log behind the mapped base, up to the first record that is not whole. Only memory can fail. */
/* What tells one file of an index from another: its inode, which may be used again, and its header's checksum. 0: it cannot be read. */
uint64_t index_mark(int fd);
mt_status index_replay(vector_index *x, char *reason);

static inline uint64_t aligned(uint64_t n, uint64_t to)
{
    return (n + to - 1) & ~(to - 1);
}

/* count < 2^31, dim <= 4096 and graph_len < 2^48, so nothing overflows. The graph has pages of its own: it is mapped writable. */
static inline layout layout_of(const file_header *h)
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

__attribute__((format(printf, 3, 4))) static inline mt_status fail(char *reason, mt_status status, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(reason, INDEX_REASON, fmt, args);
    va_end(args);
    return status;
}

#endif
