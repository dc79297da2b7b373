/* The inside of a vector_index, shared by vector_index.c, index_file.c and index_renew.c only. */
#ifndef INDEX_LOCAL_INDEX_PARTS_H
#define INDEX_LOCAL_INDEX_PARTS_H

#include <pthread.h>

#include "graph.h"
#include "vector_index.h"

#define PARTS SCAN_PARTS /* 0: the base, mapped; 1: the tail, growing */

typedef struct index_part {
    size_t n, cap, dead;  /* cap 0: memory of the mapping */
    const index_id *ids;
    scan_rows rows;
    uint64_t *live;       /* always ours */
} index_part;

struct vector_index {
    index_meta meta;
    index_part parts[PARTS];
    graph *graph;
    void *map;            /* the file, or NULL */
    size_t map_len;
    uint64_t file_mark;   /* which file it is: another process may have put another one in its place */
    uint64_t file_end;    /* where the next log record goes; 0: never saved */
    uint64_t file_version; /* what the file holds up to there */
    uint32_t *slots;      /* id → row: 0 free, else 1 + row, the tail's rows behind the base's; built when first needed */
    size_t mask;
    pthread_mutex_t slots_lock; /* searches with a filter may be the first to need it */
};

/* Points part 0 at n rows in memory that outlives the index, all of them live. MT_NO_MEMORY. */
mt_status index_set_base(vector_index *x, size_t n, const index_id *ids, const scan_rows *rows);

#endif
