#include "contract/expand.h"

#include "json/place.h"

#include <stdio.h>
#include <string.h>

enum {
    TEXT = 1 << JSON_STRING, NUMBER = 1 << JSON_INTEGER, FLAG = 1 << JSON_TRUE | 1 << JSON_FALSE, OBJECT = 1 << JSON_OBJECT,
    NAMES = TEXT | 1 << JSON_ARRAY, SCHEMA = OBJECT | FLAG,
};

/* The keys of an operation and what may stand behind them. */
static const struct key { const char *name; int types; } operation_keys[] = {
    {"operationId", TEXT}, {"summary", TEXT}, {"description", TEXT}, {"deprecated", FLAG}, {"x-permission", TEXT}, {"x-query", NAMES},
    {"x-handler", TEXT}, {"x-body", TEXT}, {"x-returns", TEXT}, {"x-params", OBJECT}, {"x-path", OBJECT}, {"x-stream", TEXT},
    {"x-meter", TEXT}, {"x-if-match", TEXT}, {"x-rate", TEXT}, {"x-scope", TEXT}, {"x-status", NUMBER | 1 << JSON_ARRAY}, {"x-content", TEXT},
    {"x-body-limit", NUMBER}, {"x-body-limit-option", TEXT}, {"x-public", FLAG}, {"x-produces", TEXT}, {"x-problem", TEXT}, {NULL, 0}};
static const struct key document_keys[] = {{"paths", OBJECT}, {"schemas", OBJECT}, {"x-constraints", OBJECT}, {"$schema", TEXT}, {NULL, 0}};
static const char *const methods_known[] = {"get", "post", "put", "patch", "delete", NULL};

/* Whose api.json it is: dir NULL when it is in no folder. */
typedef struct source {
    const char *slug, *dir;
    mti_error *e;
} source;

#define REFUSE(x, pointer, ...) mti_json_refuse((x)->dir, "api.json", mti_buf_slice(pointer), (x)->e, "contract_invalid", __VA_ARGS__)

/* A pointer of the names that are given; dispose of it. */
static void point(mti_buf *b, const char *first, const char *second, const char *third)
{
    const char *const names[] = {first, second, third};
    mti_buf_init(b, 4096);
    for (int i = 0; i < 3; i++)
        if (names[i])
            mti_json_pointer_add(b, mt_str(names[i]));
}

/* at: the pointer of o; where: the place for people, "" for the document. */
static mt_status check_keys(const source *x, mti_buf *at, const char *where, const json_t *o, const struct key *keys)
{
    const char *name, *colon = *where ? ": " : "";
    json_t *v;
    if (!json_is_object(o))
        return REFUSE(x, at, "%s is no object", where[0] ? where : "it");
    size_t length = at->len;
    json_object_foreach((json_t *)o, name, v) {
        const struct key *k = keys;
        while (k->name && strcmp(k->name, name))
            k++;
        if (k->name && k->types >> json_typeof(v) & 1)
            continue;
        at->len = length;
        mti_json_pointer_add(at, mt_str(name));
        if (!k->name)
            return REFUSE(x, at, "%s%skey %s is not known", where, colon, name);
        return REFUSE(x, at, "%s%skey %s has a value of the wrong type%s", where, colon, name, k->types == OBJECT ? ", it must be an object" : "");
    }
    return MT_OK;
}

/* A name of a schema is a part of pointers, anchors and generated types. */
static mt_status check_schemas(const source *x, const json_t *schemas)
{
    const char *name;
    json_t *v;
    mti_buf at;
    json_object_foreach((json_t *)schemas, name, v) {
        if ((SCHEMA >> json_typeof(v) & 1) && name[0] && strlen(name) <= 100 &&
            !name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")])
            continue;
        point(&at, "schemas", name, NULL);
        mt_status s = REFUSE(x, &at, "schemas/%s is no schema, or its name is no word", name);
        mti_buf_dispose(&at);
        return s;
    }
    return MT_OK;
}

static bool ends_with(const char *s, const char *tail)
{
    size_t n = strlen(s), m = strlen(tail);
    return n >= m && !strcmp(s + n - m, tail);
}

static json_t *path_schema(const json_t *o, const char *name)
{
    json_t *given = json_object_get(json_object_get(o, "x-path"), name);
    if (given)
        return json_deep_copy(given);
    if (ends_with(name, "_id"))
        return json_pack("{s:s,s:s}", "type", "string", "format", "uuid");
    return json_pack("{s:s,s:i,s:i}", "type", "string", "minLength", 1, "maxLength", 200);
}

static void add_path_parameters(const json_t *o, const char *path, json_t *list)
{
    for (const char *p = strchr(path, '{'); p; p = strchr(p + 1, '{')) {
        const char *end = strchr(p, '}');
        if (!end)
            return;
        char name[64];
        snprintf(name, sizeof name, "%.*s", (int)(end - p - 1), p + 1);
        json_array_append_new(list, json_pack("{s:s,s:s,s:b,s:o}", "name", name, "in", "path", "required", 1, "schema",
                                              path_schema(o, name)));
    }
}

static bool is_list(const json_t *o)
{
    const char *returns = json_string_value(json_object_get(o, "x-returns"));
    return returns && ends_with(returns, "[]");
}

/* The query parameters as one object schema; lists take limit and cursor. NULL when there are none. */
static json_t *query_schema(const json_t *o)
{
    json_t *properties = json_object(), *required = json_array(), *v;
    const char *name;
    json_object_foreach(json_object_get(o, "x-params"), name, v) {
        json_t *schema = json_deep_copy(v);
        if (json_is_true(json_object_get(schema, "x-required")))
            json_array_append_new(required, json_string(name));
        json_object_set_new(properties, name, schema);
    }
    if (is_list(o)) {
        json_object_set_new(properties, "limit",
                            json_pack("{s:s,s:i,s:i,s:i,s:s}", "type", "integer", "minimum", 1, "maximum", 200, "default",
                                      50, "description", "How many items a page has."));
        json_object_set_new(properties, "cursor",
                            json_pack("{s:s,s:i,s:s}", "type", "string", "maxLength", 512, "description",
                                      "next_cursor of the page before."));
    }
    if (!json_object_size(properties)) {
        json_decref(properties);
        json_decref(required);
        return NULL;
    }
    return json_pack("{s:s,s:o,s:o,s:b}", "type", "object", "properties", properties, "required", required,
                     "additionalProperties", 0);
}

static bool listed(const json_t *array, const char *name)
{
    size_t i;
    json_t *v;
    json_array_foreach((json_t *)array, i, v)
        if (!strcmp(json_string_value(v), name))
            return true;
    return false;
}

static void add_query_parameters(json_t *out, const json_t *o, json_t *list)
{
    json_t *schema = query_schema(o), *v;
    const char *name;
    if (!schema)
        return;
    json_object_foreach(json_object_get(schema, "properties"), name, v)
        json_array_append_new(list, json_pack("{s:s,s:s,s:b,s:O}", "name", name, "in", "query", "required",
                                              listed(json_object_get(schema, "required"), name), "schema", v));
    json_object_set_new(out, "x-query-schema", schema);
}

static void add_header_parameters(const char *method, const json_t *o, json_t *list)
{
    const char *match = json_string_value(json_object_get(o, "x-if-match"));
    if (match)
        json_array_append_new(list, json_pack("{s:s,s:s,s:b,s:{s:s}}", "name", "If-Match", "in", "header", "required",
                                              !strcmp(match, "required"), "schema", "type", "string"));
    if (!strcmp(method, "post") && !json_object_get(o, "x-stream"))
        json_array_append_new(list, json_pack("{s:s,s:s,s:{s:s,s:i,s:i,s:s}}", "name", "Idempotency-Key", "in", "header",
                                              "schema", "type", "string", "minLength", 1, "maxLength", 255, "pattern",
                                              "^[\\x21-\\x7e]+$"));
}

static json_t *reference(const char *kind, const char *name)
{
    char ref[160];
    snprintf(ref, sizeof ref, "#/components/%s/%s", kind, name);
    return json_pack("{s:s}", "$ref", ref);
}

/* Parameters may be sent as fields of the form too. */
static json_t *multipart_body(const json_t *o)
{
    const char *name;
    json_t *v, *fields = json_pack("{s:{s:s,s:i,s:{s:s,s:s}}}", "file", "type", "array", "minItems", 1, "items", "type", "string", "format", "binary");
    json_object_foreach(json_object_get(o, "x-params"), name, v) {
        json_t *field = json_deep_copy(v);
        json_object_del(field, "x-required");
        json_object_set_new(fields, name, field);
    }
    return json_pack("{s:b,s:{s:{s:{s:s,s:[s],s:o}}}}", "required", 1, "content", "multipart/form-data", "schema", "type", "object", "required", "file",
                     "properties", fields);
}

static json_t *request_body(const json_t *o)
{
    const char *body = json_string_value(json_object_get(o, "x-body"));
    const char *content = json_string_value(json_object_get(o, "x-content"));
    if (content && !strcmp(content, "multipart"))
        return multipart_body(o);
    return body ? json_pack("{s:b,s:{s:{s:o}}}", "required", 1, "content", "application/json", "schema",
                            reference("schemas", body))
                : NULL;
}

static json_t *success(const json_t *o)
{
    const char *returns = json_string_value(json_object_get(o, "x-returns"));
    const char *produces = json_string_value(json_object_get(o, "x-produces"));
    json_t *r = json_pack("{s:s}", "description", "Success");
    json_t *content = json_object(), *schema = NULL;
    if (is_list(o)) {
        char name[128];
        snprintf(name, sizeof name, "%.*s", (int)strlen(returns) - 2, returns);
        schema = json_pack("{s:s,s:[s,s],s:{s:{s:s,s:o},s:{s:[s,s]}}}", "type", "object", "required", "items",
                           "next_cursor", "properties", "items", "type", "array", "items", reference("schemas", name),
                           "next_cursor", "type", "string", "null");
    } else if (returns) {
        schema = reference("schemas", returns);
    }
    if (schema)
        json_object_set_new(content, "application/json", json_pack("{s:o}", "schema", schema));
    if (json_object_get(o, "x-stream"))
        json_object_set_new(content, "text/event-stream", json_pack("{s:{s:s}}", "schema", "description", "Server-sent events; data is JSON"));
    if (produces)
        json_object_set_new(content, produces, json_pack("{s:{s:s}}", "schema", "type", "string"));
    if (json_object_size(content))
        json_object_set(r, "content", content);
    json_decref(content);
    return r;
}

static void add_errors(const char *method, const json_t *o, json_t *responses)
{
    static const char *const always[] = {"400", "404", "408", "422", "429", "431", "500", "503", "504"};
    static const char *const guarded[] = {"401", "403"};
    static const char *const with_body[] = {"413", "415"};
    const char *problem = json_object_get(o, "x-problem") ? "OpenAiProblem" : "Problem";
    for (size_t i = 0; i < sizeof always / sizeof *always; i++)
        json_object_set_new(responses, always[i], reference("responses", problem));
    if (!json_is_true(json_object_get(o, "x-public")))
        for (size_t i = 0; i < sizeof guarded / sizeof *guarded; i++)
            json_object_set_new(responses, guarded[i], reference("responses", problem));
    for (size_t i = 0; i < sizeof with_body / sizeof *with_body; i++)
        json_object_set_new(responses, with_body[i], reference("responses", problem));
    if (strcmp(method, "get"))
        json_object_set_new(responses, "409", reference("responses", problem));
    else if (json_object_get(o, "x-query") && json_object_get(o, "x-returns") && !is_list(o))
        json_object_set_new(responses, "304", json_pack("{s:s}", "description", "The ETag in If-None-Match still holds"));
    if (json_object_get(o, "x-if-match")) {
        json_object_set_new(responses, "412", reference("responses", problem));
        json_object_set_new(responses, "428", reference("responses", problem));
    }
}

static int success_status(const char *method, const json_t *o)
{
    const json_t *given = json_object_get(o, "x-status");
    if (given)
        return (int)json_integer_value(json_is_array(given) ? json_array_get(given, 0) : given);
    if (!json_object_get(o, "x-returns") && json_object_get(o, "x-query"))
        return 204;
    return !strcmp(method, "post") && json_object_get(o, "x-query") ? 201 : 200;
}

/* A list in x-status: the usual one first, then others that a handler may answer with. */
static void add_successes(const char *method, const json_t *o, json_t *responses)
{
    const json_t *given = json_object_get(o, "x-status");
    char status[24];
    for (size_t i = 0; i < (json_is_array(given) ? json_array_size(given) : 1); i++) {
        const json_t *one = json_array_get(given, i);
        snprintf(status, sizeof status, "%d", one ? (int)json_integer_value(one) : success_status(method, o));
        json_object_set_new(responses, status, success(o));
    }
}

static json_t *expand_operation(const char *slug, const char *path, const char *method, const json_t *o)
{
    json_t *out = json_deep_copy(o), *parameters = json_array(), *responses = json_object(), *body = request_body(o);
    if (!json_object_get(o, "summary"))
        json_object_set(out, "summary", json_object_get(o, "operationId"));
    json_object_set_new(out, "tags", json_pack("[s]", slug));
    add_path_parameters(o, path, parameters);
    add_query_parameters(out, o, parameters);
    add_header_parameters(method, o, parameters);
    json_object_set_new(out, "parameters", parameters);
    if (body)
        json_object_set_new(out, "requestBody", body);
    add_successes(method, o, responses);
    add_errors(method, o, responses);
    json_object_set_new(out, "responses", responses);
    if (json_is_true(json_object_get(o, "x-public")))
        json_object_set_new(out, "security", json_array());
    return out;
}

/* A schema that lists properties is an object. */
static void complete_schema(json_t *schema)
{
    if (json_object_get(schema, "properties") && !json_object_get(schema, "type"))
        json_object_set_new(schema, "type", json_string("object"));
}

static void close_schema(json_t *schema)
{
    if (json_object_get(schema, "properties") && !json_object_get(schema, "additionalProperties"))
        json_object_set_new(schema, "additionalProperties", json_false());
}

static mt_status check_operation(const source *x, const char *path, const char *method, const json_t *o)
{
    char where[200];
    const char *const *m = methods_known;
    mti_buf at;
    mt_status s;
    while (*m && strcmp(*m, method))
        m++;
    point(&at, "paths", path, method);
    snprintf(where, sizeof where, "%s %.180s", method, path);
    if (*m)
        s = check_keys(x, &at, where, o, operation_keys);
    else
        s = REFUSE(x, &at, "%s: %s is none of get, post, put, patch, delete", path, method);
    mti_buf_dispose(&at);
    return s;
}

static mt_status expand_path(const source *x, const char *path, const json_t *methods, json_t *item, json_t *schemas)
{
    const char *method;
    json_t *o;
    if (path[0] != '/' || !json_is_object(methods)) {
        mti_buf at;
        point(&at, "paths", path, NULL);
        mt_status s = REFUSE(x, &at, path[0] != '/' ? "path %s must begin with /" : "path %s is no object of methods", path);
        mti_buf_dispose(&at);
        return s;
    }
    json_object_foreach((json_t *)methods, method, o) {
        MT_TRY(check_operation(x, path, method, o));
        json_object_set_new(item, method, expand_operation(x->slug, path, method, o));
        const char *body = json_string_value(json_object_get(o, "x-body"));
        if (body)
            close_schema(json_object_get(schemas, body));
    }
    return MT_OK;
}

static mt_status expand_paths(const source *x, const json_t *api, json_t *paths, json_t *schemas)
{
    const char *path;
    json_t *methods;
    json_object_foreach(json_object_get(api, "paths"), path, methods) {
        json_t *item = json_object();
        json_object_set_new(paths, path, item);
        MT_TRY(expand_path(x, path, methods, item, schemas));
    }
    return MT_OK;
}

mt_status mti_contract_expand(const char *slug, const char *dir, const json_t *api, json_t **out, mti_error *e)
{
    const source x = {slug, dir, e};
    const char *key;
    json_t *v;
    mti_buf root;
    point(&root, NULL, NULL, NULL);
    mt_status s = check_keys(&x, &root, "", api, document_keys);
    mti_buf_dispose(&root);
    MT_TRY(s);
    MT_TRY(check_schemas(&x, json_object_get(api, "schemas")));
    json_t *given = json_object_get(api, "schemas");
    json_t *schemas = given ? json_deep_copy(given) : json_object(), *paths = json_object();
    json_object_foreach(schemas, key, v)
        complete_schema(v);
    s = expand_paths(&x, api, paths, schemas);
    if (s != MT_OK) {
        json_decref(paths);
        json_decref(schemas);
        return s;
    }
    *out = json_pack("{s:o,s:{s:o}}", "paths", paths, "components", "schemas", schemas);
    return *out ? MT_OK : mti_fail(e, MT_NO_MEMORY, "no_memory", "out of memory while reading api.json of %s", slug);
}
