/* What the files of the plugin share. */
#ifndef RETRIEVAL_RETRIEVAL_H
#define RETRIEVAL_RETRIEVAL_H

#include <mortise/hooks.h>
#include <mortise/json.h>

typedef struct retrieval_model {
    mt_slice name;
    uint32_t dimensions;
} retrieval_model;

/* Brings the indexes of the call's workspace to the version of its rows. models: those in use, the workspace's own first; they live as long as the
 * call. MT_NOT_FOUND: the workspace has no chunks. Suspends. */
mt_status retrieval_sync(mt_call *c, retrieval_model **models, uint32_t *n);
/* retrieval/1's search. */
mt_status retrieval_search(void *self, mt_call *c, mt_slice query, mt_slice options, mt_slice *results);

#endif
