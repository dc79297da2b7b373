#include "remote.h"

#include <mortise/json.h>

static void copy(char *to, size_t size, mt_slice text)
{
    snprintf(to, size, "%.*s", (int)text.len, text.p ? text.p : "");
}

static mt_slice text_at(mt_call *c, mt_handle doc, const char *base, const char *name)
{
    return mt_json_text(c, doc, mt_printf(c, "%s/%s", base, name));
}

static double number_at(mt_call *c, mt_handle doc, const char *base, const char *name, double fallback)
{
    return mt_json_number(c, doc, mt_printf(c, "%s/%s", base, name), fallback);
}

static void read_endpoint(mt_call *c, mt_handle doc, const char *base, remote_endpoint *e)
{
    mt_slice url = text_at(c, doc, base, "base_url");
    while (url.len && url.p[url.len - 1] == '/')
        url.len--;
    copy(e->name, sizeof e->name, text_at(c, doc, base, "name"));
    snprintf(e->url, sizeof e->url, "%.*s/embeddings", (int)url.len, url.p ? url.p : "");
    copy(e->key_name, sizeof e->key_name, text_at(c, doc, base, "api_key_name"));
    copy(e->key_env, sizeof e->key_env, text_at(c, doc, base, "api_key_env"));
    e->timeout_ms = (int64_t)number_at(c, doc, base, "timeout_ms", 30000);
    e->tries = (uint32_t)number_at(c, doc, base, "tries", 4);
}

static void read_model(mt_call *c, mt_handle doc, const char *base, uint32_t endpoint, remote_model *m)
{
    mt_slice name = text_at(c, doc, base, "model"), upstream = text_at(c, doc, base, "upstream");
    copy(m->name, sizeof m->name, name);
    copy(m->upstream, sizeof m->upstream, upstream.p ? upstream : name);
    m->endpoint = endpoint;
    m->dimensions = (uint32_t)number_at(c, doc, base, "dimensions", 0);
    m->max_tokens = (uint32_t)number_at(c, doc, base, "max_tokens", 512);
    m->batch = (uint32_t)number_at(c, doc, base, "batch", 64);
}

static mt_status read_models(mt_call *c, mt_handle doc, uint32_t endpoint, remote_config *config)
{
    int64_t n = mt_json_count(c, doc, mt_printf(c, "/%u/models", endpoint));
    for (int64_t i = 0; i < n && config->n_models < sizeof config->models / sizeof *config->models; i++) {
        char base[64];
        remote_model m = {0};
        snprintf(base, sizeof base, "/%u/models/%lld", endpoint, (long long)i);
        read_model(c, doc, base, endpoint, &m);
        if (config->n_models && remote_find(config, mt_str(m.name)))
            return mt_problem(c, 409, MT_SLICE("model_twice"), mt_printf(c, "The model \"%s\" is configured twice.", m.name), MT_SLICE("/endpoints"));
        config->models[config->n_models++] = m;
    }
    return MT_OK;
}

remote_config *remote_config_read(mt_call *c)
{
    mt_slice text = mt_config(c, MT_SLICE("/endpoints"));
    remote_config *config = calloc(1, sizeof *config);
    mt_handle doc;
    mt_status s = config ? mt_json_parse(c, text.p ? text : MT_SLICE("[]"), &doc) : MT_NO_MEMORY;
    int64_t n = s == MT_OK ? mt_json_count(c, doc, MT_SLICE("")) : 0;
    for (uint32_t i = 0; s == MT_OK && i < n && i < 16; i++) {
        char base[16];
        snprintf(base, sizeof base, "/%u", i);
        read_endpoint(c, doc, base, &config->endpoints[i]);
        config->n_endpoints = i + 1;
        s = read_models(c, doc, i, config);
    }
    if (s == MT_OK)
        return config;
    free(config);
    return NULL;
}

const remote_model *remote_find(const remote_config *config, mt_slice name)
{
    for (uint32_t i = 0; i < config->n_models; i++)
        if (!name.p || mt_slice_eq(name, mt_str(config->models[i].name)))
            return &config->models[i];
    return NULL;
}
