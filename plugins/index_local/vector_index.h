/* The vectors of one workspace: a base that is usually a mapped file, and what was added since, in memory. Removed rows stay as
   tombstones until the next save. Searches may run at the same time from any number of threads; a change, an append or a close must
   be alone (the owner keeps a read-write lock). */
#ifndef INDEX_LOCAL_VECTOR_INDEX_H
#define INDEX_LOCAL_VECTOR_INDEX_H

#include <mortise/types.h>

#define INDEX_REASON 200
#define INDEX_MODEL 128 /* longest model name with its NUL */

typedef struct vector_index vector_index;

typedef struct index_id {
    uint8_t b[16];
} index_id;

typedef struct index_meta {
    char model[INDEX_MODEL]; /* which embedder made the vectors; NUL-terminated */
    uint32_t dim;            /* 1–4096 */
    index_id workspace;
    uint64_t version;        /* of the workspace's chunks that this index shows */
} index_meta;

/* One step from a version to a higher one: removes first, then adds. An added id that exists is replaced. All borrowed. */
typedef struct index_change {
    uint64_t version;
    const index_id *remove;
    size_t removes;
    const index_id *add;
    const float *vectors;    /* adds × dim, of any length but zero */
    size_t adds;
} index_change;

typedef struct index_hit {
    index_id id;
    float score; /* cosine */
} index_hit;

/* An empty index. MT_INVALID (dim), MT_NO_MEMORY. */
mt_status index_create(vector_index **out, const index_meta *meta);
/* Frees the memory and unmaps the file. NULL is fine. */
void index_close(vector_index *x);

const index_meta *index_get_meta(const vector_index *x); /* borrowed; version moves with the changes */
size_t index_count(const vector_index *x);               /* rows that count */
size_t index_garbage(const vector_index *x);             /* tombstones and rows outside the mapped base: when many, save and open again */

/* Applies a change in memory, all or nothing. Unknown ids to remove are ignored. MT_CONFLICT (not a higher version), MT_INVALID
   (a vector of zeros or not finite), MT_TOO_LARGE, MT_NO_MEMORY. */
mt_status index_apply(vector_index *x, const index_change *change, char reason[INDEX_REASON]);

/* What to look for. All borrowed. */
typedef struct index_query {
    const float *vector;       /* of the index's dim */
    size_t k;
    size_t effort;             /* how many rows more than k a walk through the graph keeps: recall for time; 0: the usual */
    const index_id *only;      /* NULL, or n_only ids: the search is among these */
    size_t n_only;
    bool (*stop)(void *user);  /* NULL, or asked now and then */
    void *user;
} index_query;

/* The k nearest rows, best first; writes at most k hits, their number to *found. CPU-bound: an offload thread. MT_INVALID (vector, k),
   MT_CANCELLED, MT_NO_MEMORY. */
mt_status index_search(vector_index *x, const index_query *query, index_hit *out, size_t *found);

#endif
