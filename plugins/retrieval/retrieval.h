/* What the files of the plugin share. */
#ifndef RETRIEVAL_RETRIEVAL_H
#define RETRIEVAL_RETRIEVAL_H

#include <mortise/hooks.h>
#include <mortise/json.h>

/* Brings the index of the call's workspace to the version of its rows. model: the one that made its vectors, lives as long as the call.
 * MT_NOT_FOUND: the workspace has no chunks. Suspends. */
mt_status retrieval_sync(mt_call *c, mt_slice *model);
/* retrieval/1's search. */
mt_status retrieval_search(void *self, mt_call *c, mt_slice query, mt_slice options, mt_slice *results);

#endif
