/* The host's own operations (manifests/core/api.json). self is the mti_host. */
#include "request/request.h"

#include "json/writer.h"
#include "plugin/manager.h"
#include "plugin/meter.h"
#include "plugin/proxies.gen.h"
#include "plugin/status.h"
#include "telemetry/metrics.h"

#include <mortise/hooks.h>
#include <stdio.h>

static mt_status answer_buffer(mt_call *c, int status, mt_slice type, mti_buf *b)
{
    mt_status s = b->status;
    if (s == MT_OK)
        s = type.p ? mti_answer_raw(c->request, status, type, mti_buf_slice(b)) : mti_answer_json(c->request, status, mti_buf_slice(b));
    mti_buf_dispose(b);
    return s;
}

static mt_status answer_health(mt_call *c, bool gate)
{
    mti_host *h = c->host;
    char why[400] = "";
    bool up = mti_db_up(h->db);
    mti_readiness plugins = mti_plugins_readiness(h->plugins, why, sizeof why);
    bool ready = up && plugins != MTI_NOT_READY;
    mti_buf b;
    mti_writer w;
    mti_buf_init(&b, 4096);
    mti_writer_init(&w, &b);
    mti_writer_object(&w);
    mti_writer_key_string(&w, "status", !up || plugins == MTI_READY_DEGRADED ? MT_SLICE("degraded") : ready ? MT_SLICE("healthy") : MT_SLICE("starting"));
    mti_writer_key_bool(&w, "multi_tenant", true);
    mti_writer_key_string(&w, "version", mt_str(h->version));
    mti_writer_key_string(&w, "database", up ? MT_SLICE("up") : MT_SLICE("down"));
    mti_writer_key_string(&w, "reason", why[0] ? mt_str(why) : (mt_slice){0});
    mti_writer_key_bool(&w, "safe_mode", mti_plugins_safe_mode(h->plugins));
    mti_writer_key_bool(&w, "models_loaded", mti_service_ready(h->plugins, MTI_SVC_EMBEDDER));
    mti_writer_key_bool(&w, "vector_db_connected", mti_service_ready(h->plugins, MTI_SVC_VECTOR_INDEX));
    mti_writer_object_end(&w);
    return answer_buffer(c, gate && !ready ? 503 : 200, MT_SLICE("application/json"), &b);
}

static mt_status on_health(void *self, mt_call *c)
{
    return answer_health(c, false);
}

static mt_status on_ready(void *self, mt_call *c)
{
    return answer_health(c, true);
}

static mt_status on_openapi(void *self, mt_call *c)
{
    /* copied: the document may be replaced while a response filter suspends */
    return mti_answer_json(c->request, 200, mti_arena_slice(&c->arena, mt_str(atomic_load(&c->host->openapi))));
}

static mt_status on_docs(void *self, mt_call *c)
{
    mti_http_header_add(c->request->http, MT_SLICE("content-security-policy"), MT_SLICE("default-src 'none'; style-src 'unsafe-inline'"));
    return mti_answer_raw(c->request, 200, MT_SLICE("text/html; charset=utf-8"), mt_str(atomic_load(&c->host->openapi_page)));
}

static mt_status on_metrics(void *self, mt_call *c)
{
    mt_metrics_collect in = {.size = sizeof in, .at_us = mti_now_us()};
    mti_buf b;
    mti_bus_emit(c->host->bus, c, MTI_HOOK_METRICS_COLLECT, &in);
    mti_buf_init(&b, 16 << 20);
    mti_metrics_write(&b);
    mti_meters_write(c->host->plugins, &b);
    return answer_buffer(c, 200, MT_SLICE("text/plain; version=0.0.4; charset=utf-8"), &b);
}

static mt_status on_plugins(void *self, mt_call *c)
{
    if (!c->who.platform)
        return mti_plugins_of_tenant(c);
    mti_buf b;
    mti_buf_init(&b, 16 << 20);
    mti_buf_adds(&b, "{\"items\":");
    mti_plugins_describe_all(c->host->plugins, &b);
    mti_buf_addc(&b, '}');
    return answer_buffer(c, 200, (mt_slice){0}, &b);
}

static mt_status answer_plugin(mt_call *c, mt_slice slug)
{
    mti_buf b;
    mti_buf_init(&b, 1 << 20);
    if (mti_plugins_describe(c->host->plugins, slug, &b) == MT_OK)
        return answer_buffer(c, 200, (mt_slice){0}, &b);
    mti_buf_dispose(&b);
    return mti_fail(&c->error, MT_NOT_FOUND, "plugin_unknown", "No plugin of this name is installed: see /v1/plugins.");
}

static mt_status on_plugin(void *self, mt_call *c)
{
    return !c->who.platform ? mti_plugin_of_tenant(c, c->values->params[0]) : answer_plugin(c, c->values->params[0]);
}

static mt_status on_plugin_status(void *self, mt_call *c)
{
    mti_buf b;
    mti_buf_init(&b, 4 << 20);
    if (mti_plugin_status(c, c->values->params[0], &b) != MT_NOT_FOUND)
        return answer_buffer(c, 200, (mt_slice){0}, &b);
    mti_buf_dispose(&b);
    return mti_fail(&c->error, MT_NOT_FOUND, "plugin_unknown", "No plugin of this name is installed: see /v1/plugins.");
}

static mt_status on_plugin_enable(void *self, mt_call *c)
{
    MT_TRY(mti_plugins_enable(c->host->plugins, c, c->values->params[0]));
    return answer_plugin(c, c->values->params[0]);
}

static mt_status on_plugin_disable(void *self, mt_call *c)
{
    MT_TRY(mti_plugins_disable(c->host->plugins, c, c->values->params[0]));
    return answer_plugin(c, c->values->params[0]);
}

static mt_status on_plugin_release(void *self, mt_call *c)
{
    MT_TRY(mti_plugins_release(c->host->plugins, c, c->values->params[0]));
    return answer_plugin(c, c->values->params[0]);
}

static mt_status on_plugin_config(void *self, mt_call *c)
{
    mti_buf b;
    mti_buf_init(&b, 1 << 20);
    if (mti_plugins_config(c->host->plugins, c->values->params[0], &b) == MT_OK)
        return answer_buffer(c, 200, (mt_slice){0}, &b);
    mti_buf_dispose(&b);
    return mti_fail(&c->error, MT_NOT_FOUND, "plugin_unknown", "No plugin of this name is installed: see /v1/plugins.");
}

static mt_status on_plugin_configure(void *self, mt_call *c)
{
    MT_TRY(mti_plugins_configure(c->host->plugins, c, c->values->params[0], c->values->body, c->values->if_match));
    return on_plugin_config(self, c);
}

static mt_status on_plugin_config_check(void *self, mt_call *c)
{
    mti_buf b;
    json_t *preview;
    MT_TRY(mti_plugins_preview(c->host->plugins, c, c->values->params[0], c->values->body, &preview));
    mti_buf_init(&b, 1 << 20);
    mti_json_dump(preview, &b);
    json_decref(preview);
    return answer_buffer(c, 200, (mt_slice){0}, &b);
}

/* Until packages carry signatures, whoever may write to the local socket vouches for them. */
static mt_status may_install(mt_call *c)
{
    if (mti_http_is_local(c->request->http) || mti_config_bool(c->host->config, "plugins.allow_unsigned"))
        return MT_OK;
    return mti_fail(&c->error, MT_DENIED, "unsigned_package", "Unsigned packages are installed over the local socket only (mortise plugin install), or with plugins.allow_unsigned.");
}

/* The part "file" of the body, and what is given as config. */
static mt_status read_package(mt_call *c, mt_slice *file, json_t **config)
{
    const mti_multipart *m = &c->request->multipart;
    mt_slice text = mti_value_text(c, json_object_get(c->values->query, "config"));
    for (unsigned i = 0; i < m->n; i++)
        if (mt_slice_eq(m->parts[i].field, MT_SLICE("file")))
            *file = m->parts[i].data;
    if (!file->p || !file->len)
        return mti_fail(&c->error, MT_INVALID, "file_missing", "Send the package as the part \"file\".");
    if (!text.len)
        return MT_OK;
    MT_TRY(mti_json_parse(text, 0, config, &c->error));
    mti_arena_defer(&c->arena, (void (*)(void *))json_decref, *config);
    return json_is_object(*config) ? MT_OK : mti_fail(&c->error, MT_INVALID, "config_invalid", "What is given as config is no JSON object.");
}

static bool is_replaced(const mt_call *c)
{
    return mti_json_get_bool(c->values->query, "replace", false);
}

static mt_status on_plugin_install(void *self, mt_call *c)
{
    char slug[64];
    mt_slice file = {0};
    json_t *config = NULL;
    MT_TRY(may_install(c));
    MT_TRY(read_package(c, &file, &config));
    MT_TRY(mti_plugins_install(c->host->plugins, c, file, config, is_replaced(c), slug));
    return answer_plugin(c, mt_str(slug));
}

static mt_status on_plugin_check(void *self, mt_call *c)
{
    mti_buf b;
    mt_slice file = {0};
    json_t *config = NULL;
    MT_TRY(may_install(c));                  /* it runs the package's code, if only to look at it */
    MT_TRY(read_package(c, &file, &config));
    mti_buf_init(&b, 1 << 20);
    mt_status s = mti_plugins_check(c->host->plugins, c, file, config, is_replaced(c), &b);
    if (s == MT_OK)
        return answer_buffer(c, 200, (mt_slice){0}, &b);
    mti_buf_dispose(&b);
    return s;
}

static mt_status on_plugin_rollback(void *self, mt_call *c)
{
    MT_TRY(mti_plugins_rollback(c->host->plugins, c, c->values->params[0]));
    return answer_plugin(c, c->values->params[0]);
}

static mt_status on_plugin_isolate(void *self, mt_call *c)
{
    MT_TRY(mti_plugins_isolate(c->host->plugins, c, c->values->params[0], true));
    return answer_plugin(c, c->values->params[0]);
}

static mt_status on_plugin_trust(void *self, mt_call *c)
{
    if (!mti_http_is_local(c->request->http) && !mti_config_bool(c->host->config, "plugins.allow_unsigned"))
        return mti_fail(&c->error, MT_DENIED, "local_only", "Plugins are trusted with the host over the local socket only (mortise plugin trust), or with plugins.allow_unsigned.");
    MT_TRY(mti_plugins_isolate(c->host->plugins, c, c->values->params[0], false));
    return answer_plugin(c, c->values->params[0]);
}

static mt_status on_plugin_uninstall(void *self, mt_call *c)
{
    const json_t *purge = json_object_get(c->values->query, "purge");
    MT_TRY(mti_plugins_uninstall(c->host->plugins, c, c->values->params[0], json_is_true(purge)));
    return mti_answer_json(c->request, 204, (mt_slice){0});
}

static mt_status on_hooks(void *self, mt_call *c)
{
    mti_buf b;
    mti_buf_init(&b, 4 << 20);
    mti_buf_adds(&b, "{\"items\":");
    mti_bus_describe(c->host->bus, &b);
    mti_buf_addc(&b, '}');
    return answer_buffer(c, 200, (mt_slice){0}, &b);
}

typedef struct policy_run {
    mti_host *host;
    const char *name;
    mt_slice source, cases;
    mti_buf report;
    mti_error error;
    mt_status status;
} policy_run;

static void run_policy(void *arg)
{
    policy_run *p = arg;
    p->status = mti_policy_test(p->host->policies, p->name, p->source, p->cases, &p->report, &p->error);
}

static mt_status on_policy_test(void *self, mt_call *c)
{
    const json_t *body = c->values->body;
    policy_run p = {.host = c->host, .name = json_string_value(json_object_get(body, "name")),
                    .source = mti_value_text(c, json_object_get(body, "source")), .cases = mti_value_text(c, json_object_get(body, "cases"))};
    mti_buf_init(&p.report, 4 << 20);
    mt_status s = mti_offload_run(c->host->offload, 0, run_policy, &p);
    if (s == MT_OK && p.status == MT_OK)
        return answer_buffer(c, 200, (mt_slice){0}, &p.report);
    mti_buf_dispose(&p.report);
    if (s == MT_OK) {
        c->error = p.error;
        c->error.http = p.status == MT_INVALID ? 422 : 0;
    }
    return s == MT_OK ? p.status : s;
}

mt_status mti_builtin_bind(mti_contract *k, mti_error *e)
{
    static const mt_handler_entry handlers[] = {
        {"on_health", on_health}, {"on_ready", on_ready}, {"on_openapi", on_openapi}, {"on_docs", on_docs}, {"on_metrics", on_metrics},
        {"on_plugins", on_plugins}, {"on_plugin", on_plugin}, {"on_plugin_status", on_plugin_status}, {"on_plugin_enable", on_plugin_enable}, {"on_plugin_disable", on_plugin_disable}, {"on_plugin_release", on_plugin_release},
        {"on_plugin_install", on_plugin_install}, {"on_plugin_check", on_plugin_check}, {"on_plugin_rollback", on_plugin_rollback}, {"on_plugin_uninstall", on_plugin_uninstall}, {"on_plugin_isolate", on_plugin_isolate}, {"on_plugin_trust", on_plugin_trust},
        {"on_plugin_config", on_plugin_config}, {"on_plugin_configure", on_plugin_configure}, {"on_plugin_config_check", on_plugin_config_check},
        {"on_hooks", on_hooks}, {"on_events", mti_on_events}, {"on_traces", mti_on_traces}, {"on_trace", mti_on_trace}, {"on_policy_test", on_policy_test}};
    for (unsigned i = 0; i < k->n_operations; i++) {
        mti_operation *op = &k->operations[i];
        for (size_t n = 0; n < sizeof handlers / sizeof *handlers; n++)
            if (!strcmp(handlers[n].name, op->handler))
                op->run = handlers[n].run;
        if (!op->run)
            op->run = mti_settings_handler(op->handler);
        if (!op->run)
            return mti_fail(e, MT_INTERNAL, "handler_missing", "manifests/core/api.json: %s has no handler %s", op->id, op->handler);
    }
    return MT_OK;
}
