/* Stage 5: query parameters and body, checked against the contract. */
#include "request/request.h"

#include <stdio.h>
#include <strings.h>

static void release(void *json)
{
    json_decref(json);
}

/* The JSON value of a query parameter by its schema's type; what does not fit stays a string and fails validation. */
static json_t *typed(const json_t *schema, mt_slice text)
{
    const char *type = json_string_value(json_object_get(schema, "type"));
    json_t *number = NULL, *object = NULL;
    if (type && !strcmp(type, "object") && mti_json_parse(text, 0, &object, NULL) == MT_OK)
        return object;
    if (type && !strcmp(type, "boolean") && (mt_slice_eq(text, MT_SLICE("true")) || mt_slice_eq(text, MT_SLICE("false"))))
        return json_boolean(text.p[0] == 't');
    if (type && (!strcmp(type, "integer") || !strcmp(type, "number")) && mti_json_parse(text, 0, &number, NULL) == MT_OK && json_is_number(number))
        return number;
    json_decref(number);
    return json_stringn(text.p, text.len);
}

static mt_status bad_query(mt_call *c)
{
    mti_fail(&c->error, MT_INVALID, "query_invalid", "The query string is not percent-encoded UTF-8.");
    c->error.http = 400;
    return MT_INVALID;
}

/* '+' is a space in a query. */
static bool decode(mt_call *c, mt_slice raw, mt_slice *out)
{
    char *copy = mti_arena_strndup(&c->arena, raw.p, raw.len), *decoded = mti_arena_alloc(&c->arena, raw.len + 1);
    for (char *p = copy; p < copy + raw.len; p++)
        if (*p == '+')
            *p = ' ';
    return mti_percent_decode((mt_slice){copy, raw.len}, decoded, out);
}

static mt_status parse_query(mti_request *r, json_t *out)
{
    mt_slice rest = mti_http_query(r->http), name, value;
    const json_t *properties = json_object_get(r->match.op->query_schema, "properties");
    while (rest.len) {
        const char *amp = memchr(rest.p, '&', rest.len);
        size_t n = amp ? (size_t)(amp - rest.p) : rest.len;
        const char *eq = memchr(rest.p, '=', n);
        size_t name_len = eq ? (size_t)(eq - rest.p) : n;
        if (!decode(&r->call, (mt_slice){rest.p, name_len}, &name) ||
            !decode(&r->call, eq ? (mt_slice){eq + 1, n - name_len - 1} : (mt_slice){"", 0}, &value))
            return bad_query(&r->call);
        if (name.len)
            json_object_setn_new(out, name.p, name.len, typed(json_object_getn(properties, name.p, name.len), value));
        rest = (mt_slice){rest.p + n + (amp != NULL), rest.len - n - (amp != NULL)};
    }
    return MT_OK;
}

static mt_status invalid(mt_call *c, mt_status s, const char *where)
{
    char pointer[160];
    if (s != MT_INVALID)
        return s;
    if (where[0]) {
        snprintf(pointer, sizeof pointer, "%s%.120s", where, c->error.pointer);
        snprintf(c->error.pointer, sizeof c->error.pointer, "%s", pointer);
    }
    c->error.http = 422;
    return s;
}

/* Plain fields of a form are parameters too: those that the operation declares. */
static mt_status add_fields(mti_request *r, json_t *out)
{
    const json_t *properties = json_object_get(r->match.op->query_schema, "properties");
    for (unsigned i = 0; i < r->multipart.n; i++) {
        const mti_part *part = &r->multipart.parts[i];
        if (part->file_name.p || !part->field.len)
            continue;
        json_t *value = typed(json_object_getn(properties, part->field.p, part->field.len), part->data);
        if (!value || json_object_setn_new(out, part->field.p, part->field.len, value))
            return mti_fail(&r->call.error, MT_INVALID, "field_invalid", "A field of the form is not UTF-8 text.");
    }
    return MT_OK;
}

static mt_status read_query(mti_request *r)
{
    const mti_operation *op = r->match.op;
    mt_call *c = &r->call;
    if (!op->query_check && !mti_http_query(r->http).len && !r->multipart.n)
        return MT_OK;
    json_t *q = json_object();
    mti_arena_defer(&c->arena, release, q);
    MT_TRY(parse_query(r, q));
    MT_TRY(add_fields(r, q));
    if (!op->query_check) {
        const char *name = json_object_iter_key(json_object_iter(q));
        if (!name)
            return MT_OK;
        mti_fail(&c->error, MT_INVALID, "parameter_unknown", "This operation takes no query parameters; \"%.60s\" was sent.", name);
        c->error.http = 422;
        return MT_INVALID;
    }
    MT_TRY(invalid(c, mti_schema_validate(op->query_check, q, &(mti_schema_options){.formats = true}, &c->error), "/query"));
    MT_TRY(mti_schema_apply_defaults(op->query_check, q));
    r->values.query = q;
    return MT_OK;
}

static bool content_is(mt_slice header, const char *type)
{
    size_t n = strlen(type);
    return header.len >= n && !strncasecmp(header.p, type, n) && (header.len == n || header.p[n] == ';' || header.p[n] == ' ');
}

static mt_status check_content_type(mti_request *r, const char *type)
{
    mt_slice given = mti_http_header(r->http, "content-type");
    if (content_is(given, type))
        return MT_OK;
    mti_fail(&r->call.error, MT_UNSUPPORTED, "content_type_unsupported", "This operation takes %s.", type);
    r->call.error.http = 415;
    return MT_UNSUPPORTED;
}

/* What the operation states, in bytes or as an option in MiB (with room for the other parts), or else the option that others go by. */
static size_t limit_of(const mti_request *r, const char *otherwise)
{
    const mti_operation *op = r->match.op;
    if (op->body_limit_option)
        return ((size_t)mti_config_int(r->host->config, op->body_limit_option) + 1) << 20;
    return op->body_limit ? op->body_limit : (size_t)mti_config_int(r->host->config, otherwise);
}

static mt_status fetch(mti_request *r, size_t limit)
{
    mt_call *c = &r->call;
    mt_status s = mti_http_body(r->http, limit, &r->body_text);
    if (s == MT_TOO_LARGE)
        return mti_fail(&c->error, s, "body_too_large", "The body may have %zu bytes at most.", limit);
    if (s == MT_TIMEOUT) {
        mti_fail(&c->error, s, "body_too_slow", "The body did not arrive in time.");
        c->error.http = 408;
    } else if (s == MT_INVALID) {
        mti_fail(&c->error, s, "framing_invalid", "The body's framing is broken.");
        c->error.http = 400;
    }
    return s;
}

static mt_status read_json(mti_request *r)
{
    mt_call *c = &r->call;
    const mti_operation *op = r->match.op;
    MT_TRY(check_content_type(r, "application/json"));
    MT_TRY(fetch(r, limit_of(r, "http.body_limit")));
    MT_TRY(mti_json_parse(r->body_text, 0, &r->values.body, &c->error));
    mti_arena_defer(&c->arena, release, r->values.body);
    MT_TRY(invalid(c, mti_schema_validate(op->body_check, r->values.body, &(mti_schema_options){.closed = true, .formats = true}, &c->error), ""));
    return mti_schema_apply_defaults(op->body_check, r->values.body);
}

static mt_status read_multipart(mti_request *r)
{
    MT_TRY(check_content_type(r, "multipart/form-data"));
    MT_TRY(fetch(r, limit_of(r, "http.upload_limit")));
    return mti_multipart_parse(mti_http_header(r->http, "content-type"), r->body_text, &r->multipart, &r->call.error);
}

mt_status mti_stage_body(mti_request *r)
{
    const mti_operation *op = r->match.op;
    if (op->content == MTI_CONTENT_MULTIPART) {
        MT_TRY(read_multipart(r));
        return read_query(r);
    }
    MT_TRY(read_query(r));
    if (op->content == MTI_CONTENT_JSON)
        return read_json(r);
    /* a body nobody asked for is read to keep the connection usable, within reason */
    return mti_http_has_body(r->http) ? fetch(r, 4096) : MT_OK;
}
