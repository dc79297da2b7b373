#include "plugin/values.h"
#include "db/oid.h"
#include "telemetry/trace.h"

#include <stdio.h>

mt_slice mti_value_text(mt_call *c, const json_t *v)
{
    if (!v || json_is_null(v))
        return (mt_slice){0};
    if (json_is_string(v))
        return (mt_slice){json_string_value(v), json_string_length(v)};
    if (json_is_boolean(v))
        return json_is_true(v) ? MT_SLICE("true") : MT_SLICE("false");
    if (json_is_integer(v))
        return mt_str(mti_arena_printf(&c->arena, "%lld", (long long)json_integer_value(v)));
    double x = json_real_value(v);
    if (json_is_real(v) && x > -0x1p53 && x < 0x1p53 && x == (double)(long long)x)
        return mt_str(mti_arena_printf(&c->arena, "%lld", (long long)x));   /* JSON Schema holds 5.0 for an integer, PostgreSQL does not */
    mti_buf b;
    mti_buf_init(&b, 16 << 20);
    mt_slice out = {0};
    if (mti_json_dump(v, &b) == MT_OK)
        out = mti_arena_slice(&c->arena, mti_buf_slice(&b));
    mti_buf_dispose(&b);
    return out;
}

static const json_t *member(const json_t *object, mt_slice name)
{
    return object ? json_object_getn(object, name.p, name.len) : NULL;
}

static const json_t *find_json(const struct mti_values *v, mt_slice name)
{
    const json_t *found = member(v->body, name);
    return found ? found : member(v->query, name);
}

mt_slice mti_value_find(mt_call *c, mt_slice name, bool *found)
{
    struct mti_values *v = c->values;
    *found = true;
    for (unsigned i = 0; v && i < v->op->n_params; i++)
        if (mt_slice_eq(name, mt_str(v->op->params[i])))
            return v->params[i];
    const json_t *j = v ? find_json(v, name) : NULL;
    *found = j != NULL;
    return mti_value_text(c, j);
}

static mt_slice uuid_text(mt_call *c, mti_uuid id)
{
    char *text = mti_arena_alloc(&c->arena, 37);
    mti_uuid_format(id, text);
    return (mt_slice){text, 36};
}

static mt_slice new_id(mt_call *c)
{
    struct mti_values *v = c->values;
    if (!v)
        return uuid_text(c, mti_uuid_v7());
    if (!v->new_id.p)
        v->new_id = uuid_text(c, mti_uuid_v7());
    return v->new_id;
}

static mt_slice now_text(mt_call *c)
{
    char *text = mti_arena_alloc(&c->arena, 28);
    mti_time_rfc3339(mti_now_us(), text);
    return mt_str(text);
}

/* The host's own names. false: not one of them. */
static bool host_value(mt_call *c, const char *name, mt_slice *out)
{
    struct mti_values *v = c->values;
    if (!strcmp(name, "new_id"))
        *out = new_id(c);
    else if (!strcmp(name, "now"))
        *out = now_text(c);
    else if (!strcmp(name, "org_id"))
        *out = uuid_text(c, c->who.org_id);
    else if (!strcmp(name, "job_id"))
        *out = c->job_id;
    else if (!strcmp(name, "subject_id"))
        *out = uuid_text(c, c->who.subject_id);
    else if (!strcmp(name, "workspace_scope"))
        *out = mti_uuid_is_nil(c->who.workspace_id) ? (mt_slice){0} : uuid_text(c, c->who.workspace_id);
    else if (v && !strcmp(name, "body"))
        *out = mti_value_text(c, v->body);
    else if (v && !strcmp(name, "if_match"))
        *out = v->if_match;
    else if (v && !strcmp(name, "cursor"))
        *out = v->cursor;
    else if (v && !strcmp(name, "limit"))
        *out = mt_str(mti_arena_printf(&c->arena, "%lld", (long long)v->limit + 1));
    else
        return false;
    return true;
}

/* PostgreSQL's text of a one-dimensional array: {"a","b",NULL}. */
static mt_slice array_text(mt_call *c, const json_t *array)
{
    mti_buf b;
    size_t i;
    json_t *v;
    mti_buf_init(&b, 16 << 20);
    mti_buf_addc(&b, '{');
    json_array_foreach((json_t *)array, i, v) {
        mt_slice text = mti_value_text(c, v);
        mti_buf_adds(&b, i ? "," : "");
        if (!text.p) {
            mti_buf_adds(&b, "NULL");
            continue;
        }
        mti_buf_addc(&b, '"');
        for (size_t k = 0; k < text.len; k++) {
            if (text.p[k] == '"' || text.p[k] == '\\')
                mti_buf_addc(&b, '\\');
            mti_buf_addc(&b, text.p[k]);
        }
        mti_buf_addc(&b, '"');
    }
    mti_buf_addc(&b, '}');
    mt_slice out = b.status == MT_OK ? mti_arena_slice(&c->arena, mti_buf_slice(&b)) : (mt_slice){0};
    mti_buf_dispose(&b);
    return out;
}

static bool is_json_type(unsigned oid)
{
    return oid == OID_JSON || oid == OID_JSONB;
}

/* A JSON string bound to a json parameter keeps its quotes; an array bound to anything else becomes an array literal. */
static mt_slice json_param(mt_call *c, const json_t *v, unsigned type)
{
    if (json_is_array(v) && !is_json_type(type))
        return array_text(c, v);
    if (!is_json_type(type) || !json_is_string(v))
        return mti_value_text(c, v);
    mti_buf b;
    mti_buf_init(&b, 16 << 20);
    mti_json_dump(v, &b);
    mt_slice out = mti_arena_slice(&c->arena, mti_buf_slice(&b));
    mti_buf_dispose(&b);
    return out;
}

/* The workspace that the call acts in (of the path, of a job, or one that the body named and the caller may enter), then the path: a body can
 * name neither anew. */
static bool path_value(mt_call *c, mt_slice name, mt_slice *out)
{
    const struct mti_values *v = c->values;
    if (mt_slice_eq(name, MT_SLICE("workspace_id")) && !mti_uuid_is_nil(c->workspace_id)) {
        *out = uuid_text(c, c->workspace_id);
        return true;
    }
    for (unsigned i = 0; v && i < v->op->n_params; i++)
        if (mt_slice_eq(name, mt_str(v->op->params[i]))) {
            *out = v->params[i];
            return true;
        }
    return false;
}

static bool argument(const mt_field *args, size_t n, const char *name, mt_slice *out)
{
    for (size_t i = 0; i < n; i++)
        if (mt_slice_eq(args[i].name, mt_str(name))) {
            *out = args[i].value;
            return true;
        }
    return false;
}

static bool may_be_absent(const mti_operation *op, mt_slice name)
{
    return json_object_getn(json_object_get(op->query_schema, "properties"), name.p, name.len) || (op->body_check && mti_schema_property(op->body_check, name));
}

static mt_status bind_one(mt_call *c, const mti_query *q, unsigned i, unsigned type, const mt_field *args, size_t n_args, mti_param *p)
{
    const char *name = q->params[i];
    mt_slice key = mt_str(name);
    struct mti_values *v = c->values;
    bool found;
    if (argument(args, n_args, name, &p->value)) {
        p->binary = type == OID_BYTEA && p->value.p;
        return MT_OK;
    }
    if (path_value(c, key, &p->value))
        return MT_OK;
    const json_t *j = v ? find_json(v, key) : NULL;
    if (j && strcmp(name, "limit") && strcmp(name, "cursor")) {
        p->value = json_param(c, j, type);
        return MT_OK;
    }
    if (host_value(c, name, &p->value))
        return MT_OK;
    p->value = mti_value_find(c, key, &found);
    /* an optional member that the client left out is NULL; a name nobody knows is a bug of the plugin */
    if (!found && !(v && may_be_absent(v->op, key)))
        return mti_fail(&c->error, MT_INTERNAL, "parameter_unbound", "%s:%d: query %s: parameter :%s has no value", q->file, q->line, q->name, name);
    return MT_OK;
}

static void apply_constraint(mt_call *c, const mti_contract *k)
{
    const mti_constraint *x = mti_contract_constraint(k, mti_db_constraint(c));
    if (!x)
        return;
    c->error.http = x->status;
    snprintf(c->error.code, sizeof c->error.code, "%s", x->code);
    snprintf(c->error.pointer, sizeof c->error.pointer, "%s", x->pointer ? x->pointer : "");
}

mt_status mti_query_run(mt_call *c, const mti_contract *k, const mti_db_role *role, const mti_query *q, const mt_field *args, size_t n_args, mti_result **out)
{
    const mti_description *d = mti_contract_description(k, q);
    mti_param params[64];
    memset(params, 0, sizeof *params * q->n_params);
    for (unsigned i = 0; i < q->n_params; i++)
        MT_TRY(bind_one(c, q, i, d ? d->params[i] : 0, args, n_args, &params[i]));
    uint64_t from = mti_trace_now(c);
    mt_status s = mti_db_run(c, role, q, params, out);
    if (c->trace)
        mti_trace_span(c, MTI_TRACE_DB, q->name, k->slug, from, mti_ticks(), s == MT_OK ? NULL : mti_status_name(s), NULL);
    if (s != MT_OK)
        apply_constraint(c, k);
    return s;
}

mt_status mti_query_commit(mt_call *c)
{
    uint64_t from = mti_trace_now(c);
    mt_status s = mti_db_commit(c);
    if (c->trace)
        mti_trace_span(c, MTI_TRACE_DB, "commit", NULL, from, mti_ticks(), s == MT_OK ? NULL : mti_status_name(s), NULL);
    return s;
}
