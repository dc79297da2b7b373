/* The endpoints and models of the configuration, and one batch of texts sent to one of them. */
#ifndef EMBEDDER_OPENAI_REMOTE_H
#define EMBEDDER_OPENAI_REMOTE_H

#include <mortise/interfaces.h>

typedef struct remote_endpoint {
    char name[64], url[320], key_name[44], key_env[104]; /* url: with /embeddings; both "": no key is sent */
    int64_t timeout_ms;
    uint32_t tries;
} remote_endpoint;

typedef struct remote_model {
    char name[104], upstream[204];
    uint32_t endpoint, dimensions, max_tokens, batch;
} remote_model;

/* Read-only once made; an older one stays until the plugin is unloaded, because calls may still hold it. */
typedef struct remote_config {
    struct remote_config *older;
    uint32_t n_endpoints, n_models;
    remote_endpoint endpoints[16];
    remote_model models[256];
} remote_config;

/* Reads the plugin's configuration. The caller frees. NULL with the problem set (a name that is there twice, no memory). */
remote_config *remote_config_read(mt_call *c);
const remote_model *remote_find(const remote_config *config, mt_slice name);      /* the null slice: the first one; NULL: none */

/* The vectors of at most m->batch texts: n × dimensions floats of rows of length 1. 429, 5xx, time-outs and lost connections are tried again after a pause
   that doubles, or the one that the upstream asks for up to RETRY_AFTER_MAX_MS. Suspends. MT_LIMITED (429 to the last, or too long a pause), MT_TIMEOUT, MT_UNAVAILABLE,
   MT_CANCELLED, MT_DENIED (a private address, outbound.allow_private is off), with the problem set. */
mt_status remote_embed(mt_call *c, const remote_config *config, const remote_model *m, const mt_slice *texts, size_t n, float *out);

enum { RETRY_AFTER_MAX_MS = 30000 };

#endif
