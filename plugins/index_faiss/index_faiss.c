/* vector_index/1 by index_service.c over FAISS (faiss_graph.cc). */
#include <mortise/entry.h>

#include "faiss_graph.h"
#include "index_service.h"

static mt_status load(void *self, const mt_host *host)
{
    mt_bind(host);
    return index_service_start(self);
}

/* Before any index is opened. */
static mt_status activate(void *self, mt_call *c)
{
    mt_slice kind = mt_config(c, MT_SLICE("/kind"));
    char name[16];
    snprintf(name, sizeof name, "%.*s", (int)kind.len, kind.p ? kind.p : "");
    return faiss_graph_choose(name) ? MT_OK : MT_INVALID;
}

MT_EXPORT const mt_plugin index_faiss_plugin = {
    .abi = MT_ABI, .size = sizeof(mt_plugin), .slug = "index_faiss", .version = "0.1.0", .create = index_service_create, .load = load,
    .activate = activate, .unload = index_service_destroy, .services = index_services, .n_services = 1};
