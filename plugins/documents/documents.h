/* What the files of the plugin share. */
#ifndef DOCUMENTS_DOCUMENTS_H
#define DOCUMENTS_DOCUMENTS_H

#include <mortise/hooks.h>
#include <mortise/json.h>

/* The queue's handlers. */
mt_status documents_ingest(void *self, mt_call *c);
mt_status documents_sweep(void *self, mt_call *c);

/* The kind of a file by its name and declared type: 't' plain, 'm' Markdown, 'h' HTML; 0 is not supported. Pure. */
char documents_kind(mt_slice file_name, mt_slice content_type);

#endif
