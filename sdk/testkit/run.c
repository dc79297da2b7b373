/* What a test says and asks: the call's set-up, running, and what was seen. */
#include "kit.h"

#include <stdio.h>
#include <stdlib.h>

static json_t *must_parse(const char *text, const char *what)
{
    json_t *v = kit_parse(mt_str(text));
    if (!v)
        kit_wrong("%s is not JSON: %s", what, text);
    return v;
}

/* --- set-up of the call --- */

void mt_testkit_begin(mt_testkit *kit)
{
    kit_call_destroy(kit->call);
    kit->call = kit_call_create(kit, KIT_REQUEST);
}

/* Setting something after a run begins the next call. */
static mt_call *fresh(mt_testkit *kit)
{
    if (kit->call->ran)
        mt_testkit_begin(kit);
    return kit->call;
}

mt_call *mt_testkit_call(mt_testkit *kit)
{
    return kit->call;
}

void mt_testkit_param(mt_testkit *kit, const char *name, const char *value)
{
    json_object_set_new(fresh(kit)->params, name, value ? json_string(value) : json_null());
}

void mt_testkit_header(mt_testkit *kit, const char *name, const char *value)
{
    json_object_set_new(fresh(kit)->headers, name, json_string(value));
}

void mt_testkit_body(mt_testkit *kit, const char *json)
{
    mt_call *c = fresh(kit);
    json_decref(c->body);
    c->body = must_parse(json, "the body");
}

void mt_testkit_file(mt_testkit *kit, const char *field, const char *name, const char *type, mt_slice data)
{
    mt_call *c = fresh(kit);
    if (c->n_files == sizeof c->files / sizeof *c->files)
        kit_wrong("more than %u files", c->n_files);
    c->files[c->n_files++] = (kit_file){kit_copy_slice(c, mt_str(field)), kit_copy_slice(c, mt_str(name)), kit_copy_slice(c, mt_str(type)),
                                        kit_copy_slice(c, data)};
}

static const char *copy_or_null(mt_call *c, const char *s)
{
    return s ? kit_copy(c, mt_str(s)) : NULL;
}

void mt_testkit_identity(mt_testkit *kit, const char *org_id, const char *workspace_id, const char *subject_id, const char *permissions)
{
    mt_call *c = fresh(kit);
    c->org_id = copy_or_null(c, org_id);
    c->workspace_id = copy_or_null(c, workspace_id);
    c->subject_id = copy_or_null(c, subject_id);
    c->permissions = copy_or_null(c, permissions);
}

void mt_testkit_cancel_after(mt_testkit *kit, unsigned n)
{
    fresh(kit)->cancel_in = (int)n;
}

/* --- the host's side --- */

void mt_testkit_config(mt_testkit *kit, const char *json)
{
    json_t *config = must_parse(json, "the configuration");
    kit_apply_defaults(json_object_get(kit->manifest, "config_schema"), config);
    json_decref(kit->config);
    kit->config = config;
}

void mt_testkit_setting(mt_testkit *kit, const char *name, const char *value)
{
    json_object_set_new(kit->settings, name, json_string(value));
}

static kit_answer *add_answer(kit_answer **list, const char *name, const char *text, int http)
{
    kit_answer *a = calloc(1, sizeof *a);
    if (!a)
        kit_wrong("out of memory");
    while (*list)
        list = &(*list)->next;
    a->name = strdup(name);
    a->text = text ? strdup(text) : NULL;
    a->http = http;
    *list = a;
    return a;
}

void mt_testkit_query(mt_testkit *kit, const char *name, const char *rows)
{
    json_t *v = must_parse(rows, "the rows");
    if (!json_is_array(v))
        kit_wrong("the rows of %s are not an array: %s", name, rows);
    kit_answer *a = add_answer(&kit->answers, name, NULL, 0);
    a->rows = v;
    a->affected = (int64_t)json_array_size(v);
}

void mt_testkit_exec(mt_testkit *kit, const char *name, int64_t affected)
{
    kit_answer *a = add_answer(&kit->answers, name, NULL, 0);
    a->rows = json_array();
    a->affected = affected;
}

void mt_testkit_query_fails(mt_testkit *kit, const char *name, int http, const char *code)
{
    add_answer(&kit->answers, name, code, http)->fails = true;
}

void mt_testkit_http(mt_testkit *kit, const char *request, int status, const char *body)
{
    add_answer(&kit->exchanges, request, body ? body : "", status);
}

void mt_testkit_on_emit(mt_testkit *kit, const char *hook, mt_outcome (*run)(void *, mt_call *, void *), void *arg)
{
    kit_emit *e = calloc(1, sizeof *e);
    if (!e || !kit_hook_info(mt_str(hook)))
        kit_wrong("%s is not in the catalogue of hooks", hook);
    *e = (kit_emit){.next = kit->emits, .hook = strdup(hook), .run = run, .arg = arg};
    kit->emits = e;
}

/* --- running --- */

static mt_handler_fn handler_of(const mt_testkit *kit, const char *name)
{
    for (uint32_t i = 0; i < kit->plugin->n_handlers; i++)
        if (!strcmp(kit->plugin->handlers[i].name, name))
            return kit->plugin->handlers[i].run;
    kit_wrong("the plugin has no handler %s", name);
}

static const json_t *find_operation(const mt_testkit *kit, const char *handler)
{
    const char *path, *method, *named;
    json_t *methods, *o;
    json_object_foreach(json_object_get(kit->api, "paths"), path, methods)
        json_object_foreach(methods, method, o) {
            named = json_string_value(json_object_get(o, "x-handler"));
            if (named && !strcmp(named, handler))
                return o;
        }
    return NULL;
}

/* What the host does before a handler runs: the defaults of parameters and body. */
static void apply_operation(mt_call *c, const json_t *operation)
{
    const char *name, *body = json_string_value(json_object_get(operation, "x-body"));
    json_t *schema;
    c->operation = operation;
    json_object_foreach(json_object_get(operation, "x-params"), name, schema) {
        json_t *given = json_object_get(schema, "default");
        if (given && !json_object_get(c->params, name))
            json_object_set(c->params, name, given);
    }
    if (body && json_is_object(c->body))
        kit_apply_defaults(json_object_get(json_object_get(c->kit->api, "schemas"), body), c->body);
}

mt_status mt_testkit_run(mt_testkit *kit, const char *handler)
{
    mt_handler_fn run = handler_of(kit, handler);
    mt_call *c = fresh(kit);
    const json_t *operation = find_operation(kit, handler);
    if (operation)
        apply_operation(c, operation);
    c->ran = true;
    return c->returned = run(kit->self, c);
}

mt_status mt_testkit_job(mt_testkit *kit, const char *handler, const char *payload)
{
    mt_handler_fn run = handler_of(kit, handler);
    mt_call *c = fresh(kit);
    json_decref(must_parse(payload, "the payload"));
    c->kind = KIT_JOB;
    c->payload = kit_copy_slice(c, mt_str(payload));
    c->ran = true;
    return c->returned = run(kit->self, c);
}

static const char *hook_of(const mt_testkit *kit, const char *handler)
{
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(kit->manifest, "hooks"), i, v)
        if (!strcmp(json_string_value(json_object_get(v, "handler")), handler))
            return json_string_value(json_object_get(v, "name"));
    kit_wrong("plugin.json has no hook with handler %s", handler);
}

mt_outcome mt_testkit_hook(mt_testkit *kit, const char *handler, void *payload)
{
    const mti_hook_info *hook = kit_hook_info(mt_str(hook_of(kit, handler)));
    mt_call *c = fresh(kit);
    c->ran = true;
    mt_outcome o = kit_run_hook(c, hook, kit_hook_handler(kit, handler), payload);
    c->returned = o == MT_DENY ? (c->error.code[0] ? c->error.status : MT_DENIED) : o == MT_ERROR ? MT_INTERNAL : MT_OK;
    return o;
}

/* --- what was seen --- */

int mt_testkit_status(const mt_testkit *kit)
{
    const mt_call *c = kit->call;
    if (!c->ran)
        return 0;
    if (c->status)
        return c->status;
    if (c->returned == MT_OK)
        return 204;
    mti_error e = c->error;
    if (e.status != c->returned)
        e = (mti_error){.status = c->returned};
    return mti_error_http(&e);
}

const char *mt_testkit_answer(mt_testkit *kit)
{
    return kit->call->answer.p ? kit->call->answer.p : "";
}

const char *mt_testkit_json(mt_testkit *kit, const char *pointer)
{
    mt_slice text = kit_text(kit->call, kit_at(kit->call->answer_json, mt_str(pointer)));
    return text.p;
}

const char *mt_testkit_problem(const mt_testkit *kit)
{
    return kit->call->error.code;
}

const mt_seen *mt_testkit_seen(const mt_testkit *kit, mt_seen_kind kind, unsigned n)
{
    for (unsigned i = 0; i < kit->call->n_seen; i++)
        if (kit->call->seen[i].kind == kind && n-- == 0)
            return &kit->call->seen[i];
    return NULL;
}

unsigned mt_testkit_count(const mt_testkit *kit, mt_seen_kind kind)
{
    unsigned n = 0;
    for (unsigned i = 0; i < kit->call->n_seen; i++)
        n += kit->call->seen[i].kind == kind;
    return n;
}
