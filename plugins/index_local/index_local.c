/* vector_index/1 by index_service.c over the graph of graph.c. */
#include <mortise/entry.h>

#include "index_service.h"

static mt_status load(void *self, const mt_host *host)
{
    mt_bind(host);
    return index_service_start(self);
}

MT_EXPORT const mt_plugin index_local_plugin = {
    .abi = MT_ABI, .size = sizeof(mt_plugin), .slug = "index_local", .version = "0.1.0", .create = index_service_create, .load = load,
    .unload = index_service_destroy, .services = index_services, .n_services = 1};
