/* What stands in the file of a text_index; for text_file.c and text_save.c only. */
#ifndef INDEX_TEXT_TEXT_FORMAT_H
#define INDEX_TEXT_TEXT_FORMAT_H

#include "text_parts.h"

#define TEXT_MAGIC "MtText\r\n"
#define TEXT_FORMAT 1u
#define RECORD_MAGIC 0x7478544Du
#define TERM_MIN (2 * sizeof(uint32_t)) /* a term of a record without its bytes */
#define ALIGN 64u

typedef struct file_header {
    char magic[8];
    uint32_t format, header_crc; /* of what follows in the header */
    uint64_t version;
    text_id workspace;
    uint64_t names_len, data_len;
    uint32_t passages, terms, blocks;
    uint32_t body_crc;           /* of all that follows the header, up to the log */
    uint8_t reserved[56];
} file_header;
_Static_assert(sizeof(file_header) == 128, "what follows is aligned");
_Static_assert(sizeof(base_term) == 32 && sizeof(block_head) == 20, "no padding that holds chance");

typedef struct log_record {
    uint32_t magic, crc;         /* crc of the rest of the record */
    uint64_t version;
    uint32_t removes, adds;
    uint64_t len;                /* of what follows: ids to remove, ids to add, the passages */
} log_record;

/* Where the parts begin. */
typedef struct file_layout {
    uint64_t ids, lengths, terms, blocks, names, data, end;
} file_layout;

static inline uint64_t text_aligned(uint64_t n)
{
    return (n + ALIGN - 1) & ~(uint64_t)(ALIGN - 1);
}

/* Counts are below 2^32 and lengths below 2^48, so nothing overflows. */
static inline file_layout text_layout(const file_header *h)
{
    file_layout l = {.ids = sizeof *h};
    l.lengths = text_aligned(l.ids + (uint64_t)h->passages * sizeof(text_id));
    l.terms = text_aligned(l.lengths + (uint64_t)h->passages * sizeof(uint32_t));
    l.blocks = text_aligned(l.terms + (uint64_t)h->terms * sizeof(base_term));
    l.names = text_aligned(l.blocks + (uint64_t)h->blocks * sizeof(block_head));
    l.data = text_aligned(l.names + h->names_len);
    l.end = text_aligned(l.data + h->data_len + BLOCK_SLACK);
    return l;
}

mt_status text_fail(char *reason, mt_status status, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
