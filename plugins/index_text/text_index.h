/* The words of one workspace's passages: a base that is usually a mapped file, and what was added since, in memory. Removed passages stay as
   tombstones until the next save. Searches may run at the same time from any number of threads; a change must be alone (the owner keeps a
   read-write lock). */
#ifndef INDEX_TEXT_TEXT_INDEX_H
#define INDEX_TEXT_TEXT_INDEX_H

#include "analysis.h"

#define TEXT_REASON 200
#define TEXT_MAX_K 10000

typedef struct text_index text_index;

typedef struct text_id {
    uint8_t b[16];
} text_id;

typedef struct text_meta {
    text_id workspace;
    uint64_t version;         /* of the workspace's chunks that this index shows */
} text_meta;

/* One step from a version to a higher one: removes first, then adds. An added id that exists is replaced. All borrowed. */
typedef struct text_change {
    uint64_t version;
    const text_id *remove;
    size_t removes;
    const text_id *add;
    const text_terms *terms;  /* of text_analyze, one an added id */
    size_t adds;
} text_change;

typedef struct text_bm25 {
    double k1, b;
} text_bm25;

typedef struct text_hit {
    text_id id;
    float score;              /* 0 to 1: BM25 over what a passage full of every word of the question would have */
} text_hit;

/* An empty index. MT_NO_MEMORY. */
mt_status text_create(text_index **out, const text_meta *meta);
/* Frees the memory and unmaps the file. NULL is fine. */
void text_close(text_index *x);

const text_meta *text_get_meta(const text_index *x); /* borrowed; version moves with the changes */
size_t text_count(const text_index *x);              /* passages that count */
size_t text_garbage(const text_index *x);            /* tombstones and passages outside the base: when many, save and open again */

/* Applies a change in memory, all or nothing. Unknown ids to remove are ignored. MT_CONFLICT (not a higher version), MT_TOO_LARGE, MT_NO_MEMORY. */
mt_status text_apply(text_index *x, const text_change *change, char reason[TEXT_REASON]);

/* The k best passages for the question, best first, equal ones in the order in which they came; at most k hits, their number to *found. only
   (may be NULL) with n_only ids restricts the search to these. stop (may be NULL) is asked now and then. CPU-bound. MT_INVALID (k), MT_CANCELLED,
   MT_NO_MEMORY. */
mt_status text_search(text_index *x, const text_terms *query, text_bm25 how, size_t k, const text_id *only, size_t n_only, text_hit *out,
                      size_t *found, bool (*stop)(void *), void *user);

#endif
