/* What the files of the plugin share. */
#ifndef DOCUMENTS_DOCUMENTS_H
#define DOCUMENTS_DOCUMENTS_H

#include <mortise/hooks.h>
#include <mortise/json.h>

#include "extract.h"

/* The queue's handlers. */
mt_status documents_ingest(void *self, mt_call *c);
mt_status documents_sweep(void *self, mt_call *c);      /* blobs that nobody has */
mt_status documents_reindex_job(void *self, mt_call *c);/* a workspace's documents, some at a time */
mt_status documents_reembed(void *self, mt_call *c);    /* vectors of the model that the workspace changes to, some at a time */
mt_status documents_forget(void *self, mt_call *c);     /* a model's unused vectors, or a deleted workspace's indexes */
mt_status documents_prune(void *self, mt_call *c);      /* old rows of documents.removed */

/* Operations. */
mt_status documents_on_delete(void *self, mt_call *c);
mt_status documents_on_update(void *self, mt_call *c);
mt_status documents_on_reindex(void *self, mt_call *c);
mt_status documents_on_reindex_all(void *self, mt_call *c);
mt_status documents_on_collection_create(void *self, mt_call *c);
mt_status documents_on_collection_delete(void *self, mt_call *c);
mt_status documents_on_embedding_get(void *self, mt_call *c);
mt_status documents_on_embedding_put(void *self, mt_call *c);
mt_status documents_on_events(void *self, mt_call *c);
mt_outcome documents_on_workspace_deleting(void *self, mt_call *c, const void *in, mt_patch *out);

/* manage.c, inside a transaction. Has a document read again: one that failed, or with anew one that is indexed too; one that is under way is left to it. */
mt_status documents_queue_again(mt_call *c, mt_slice id, bool anew);
/* Answers with the document of this id. */
mt_status documents_answer(mt_call *c, int32_t status, mt_slice id);
/* Blobs noted in documents.blob_gone go a minute later: an upload of the same content may be under way. */
mt_status documents_sweep_later(mt_call *c);
/* Now and then, by the version: old removals are pruned. */
mt_status documents_prune_later(mt_call *c, mt_slice workspace_id, mt_slice version);
/* Rolls back unless s is MT_OK; commits then. */
mt_status documents_end(mt_call *c, mt_status s);
/* A configured number. */
int64_t documents_config(mt_call *c, mt_slice pointer, int64_t fallback);
/* PostgreSQL's array text; {NULL,0} when out of memory. */
mt_slice documents_array(mt_call *c, const mt_slice *ids, size_t n);
/* Floats as hexadecimal digits; out holds 2 * n. */
void documents_hex(char *out, const void *p, size_t n);

/* The kind of a file by its name, else by its declared type: 't' plain, 'm' Markdown, 'h' HTML, 'p' PDF, 'd' .docx, 'c' CSV; 0 is not supported. Pure. */
char documents_kind(mt_slice file_name, mt_slice content_type);

/* Fills in the reading of a file with the configured bounds; the slices are borrowed. In the call's fiber. */
void documents_extract_job(mt_call *c, mt_slice file_name, mt_slice content_type, mt_slice data, extract_job *j);
/* Logs once when the sandbox that was used lacked a layer. */
void documents_extract_warn(mt_call *c, const extract_job *j);

/* ingest.c: what operators see; once, when the plugin becomes active. */
mt_status documents_declare_metrics(mt_call *c);

#endif
