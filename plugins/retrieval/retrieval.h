/* What the files of the plugin share. */
#ifndef RETRIEVAL_RETRIEVAL_H
#define RETRIEVAL_RETRIEVAL_H

#include <mortise/hooks.h>
#include <mortise/json.h>

typedef struct retrieval_model {
    mt_slice name;
    uint32_t dimensions;
} retrieval_model;

/* A workspace's rows as its indexes must show them. Lives as long as the call. */
typedef struct retrieval_state {
    mt_slice workspace_id;
    int64_t version, floor;      /* of the rows; indexes below the floor are built anew */
    retrieval_model *models;     /* those in use, the workspace's own first */
    uint32_t n_models;
    mt_slice settings;           /* JSON, or the null slice */
} retrieval_state;

/* Brings all indexes of the call's workspace to the version of its rows; one query when they are there. MT_NOT_FOUND: the workspace has no chunks.
 * Suspends. */
mt_status retrieval_sync(mt_call *c, retrieval_state *s);

/* What the rows say, without a look at the indexes. MT_NOT_FOUND: the workspace has no chunks. */
mt_status retrieval_read(mt_call *c, retrieval_state *s);
/* The indexes beside the rows, as JSON. Suspends. */
mt_status retrieval_describe(mt_call *c, mt_slice *json);

/* What a search may be told, by the request over the settings over the defaults. */
typedef struct search_options {
    mt_slice mode, fusion, rerank, language, collapse;
    double text_weight, rrf_k, min_score;
    uint32_t candidates, limit, offset;
    bool highlight;
} search_options;

void options_default(search_options *o);
/* Takes what doc, a parsed object, has. */
void options_read(mt_call *c, mt_handle doc, search_options *o);
void options_write(mt_writer *w, const search_options *o);

/* A passage on its way to the answer. */
enum { FILTER_ARGS = 6 };

typedef struct candidate {
    mt_slice id;
    double vector, text, rerank, score; /* vector and text: NAN when unknown */
    uint32_t vector_rank, text_rank;    /* from 1; 0: not among the candidates */
    uint32_t row;                       /* in search.rows */
    mt_slice document_id;               /* with row */
    uint32_t start;
} candidate;

typedef struct search {
    mt_call *c;
    mt_slice query;
    mt_handle request;
    search_options o;
    retrieval_state state;
    mt_slice *allowed;           /* chunk ids that the filter allows */
    size_t n_allowed;
    bool filtered, filter_is_list; /* is_list: names its documents, so what it allows is short */
    mt_field filter[FILTER_ARGS]; /* what its queries bind */
    candidate *all;              /* room for the candidates of every index */
    uint32_t n, room;
    mt_handle rows;
    const char *rerank_note;     /* why it was not reranked; NULL: it was, or was not to be */
} search;

/* Reads the request's filter. */
void filter_read(search *s);
/* Lists every chunk that it allows. */
mt_status filter_list(search *s);
/* Which of n chunks it allows. */
mt_status filter_keeps(search *s, const mt_slice *ids, size_t n, bool *keeps);
mt_slice uuid_array(mt_call *c, const mt_slice *ids, size_t n);
/* Asks the indexes that the mode needs and leaves the candidates best first, each with its score. */
mt_status candidates_find(search *s);
void candidates_sort(search *s);
/* The passage's members in the answer. */
void passage_write(search *s, mt_writer *w, const candidate *x, uint32_t number);

/* What operators see of searches; once, when the plugin becomes active. */
mt_status search_declare_metrics(mt_call *c);
mt_status search_run(search *s, mt_slice options, mt_slice *results);

#endif
