/* vector_index/1 over a graph (graph.h), for the entry table of a plugin. */
#ifndef INDEX_LOCAL_INDEX_SERVICE_H
#define INDEX_LOCAL_INDEX_SERVICE_H

#include <mortise/plugin.h>

extern const mt_service_entry index_services[1];

mt_status index_service_create(void **out);  /* the plugin's instance. MT_NO_MEMORY */
mt_status index_service_start(void *self);   /* once the host is bound: starts the keeper. MT_NO_MEMORY */
void index_service_destroy(void *self);      /* ends the keeper, closes every index */

#endif
