#include "contract/contract.h"
#include "base/buf.h"
#include "config/config.h"
#include "contract/expand.h"
#include "json/place.h"

#include <ctype.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

/* What one loading needs at hand. */
typedef struct loader {
    mti_contract *k;
    mti_error *e;
    const char *dir;
    const char *path;            /* of the operation being read; a schema's name with the method "schemas" */
    const char *method;
} loader;

static const char *keep(loader *l, const char *s)
{
    return s ? mti_arena_strndup(&l->k->arena, s, strlen(s)) : NULL;
}

/* key: of the operation, or NULL for all of it. what: the word that is wrong, or NULL. */
static mt_status refuse(loader *l, const char *key, const char *why, const char *what)
{
    bool schema = !strcmp(l->method, "schemas");
    const char *const tokens[] = {schema ? "schemas" : "paths", l->path, schema ? NULL : l->method, key};
    mti_buf at;
    mti_buf_init(&at, 4096);
    for (int i = 0; i < 4; i++)
        if (tokens[i])
            mti_json_pointer_add(&at, mt_str(tokens[i]));
    mt_status s = mti_json_refuse(l->dir, "api.json", mti_buf_slice(&at), l->e, "contract_invalid", "%s %s: %s%s%s%s%s", l->method, l->path, key ? key : "",
                                  key ? " " : "", why, what ? ": " : "", what ? what : "");
    mti_buf_dispose(&at);
    return s;
}

static const char *text_of(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(o, key));
}

static bool is_made_of(const char *s, size_t n, const char *also)
{
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)s[i]) && !strchr(also, s[i]))
            return false;
    return n > 0;
}

static mt_status read_path_param(loader *l, mti_operation *op, const char *name, size_t n)
{
    if (op->n_params == MTI_MAX_PARAMS)
        return refuse(l, NULL, "more than 8 path parameters", NULL);
    const char *kept = mti_arena_strndup(&l->k->arena, name, n);
    for (unsigned i = 0; i < op->n_params; i++)
        if (!strcmp(op->params[i], kept))
            return refuse(l, NULL, "the path has this parameter twice", kept);
    op->params[op->n_params++] = kept;
    return MT_OK;
}

/* A segment is plain text, or one parameter in braces. */
static mt_status read_path(loader *l, mti_operation *op)
{
    for (const char *p = op->path; *p;) {
        const char *s = p + 1;
        size_t n = strcspn(s, "/");
        p = s + n;
        if (n > 2 && s[0] == '{' && s[n - 1] == '}' && is_made_of(s + 1, n - 2, "_"))
            MT_TRY(read_path_param(l, op, s + 1, n - 2));
        else if (!is_made_of(s, n, "._~-"))
            return refuse(l, NULL, "a path parameter must be a whole segment, and a plain segment has letters, digits and . _ ~ - only", NULL);
    }
    return MT_OK;
}

static void destroy_schema(void *s)
{
    mti_schema_destroy(s);
}

/* at: of the schema in the expanded document; there the file's schemas lie below components, and its x-params have become x-query-schema. */
static mt_status refuse_schema(loader *l, mt_slice at, const mti_error *inner)
{
    static const char components[] = "/components", grown[] = "/x-query-schema/properties";
    mti_buf file;
    mti_buf_init(&file, 8192);
    if (at.len >= sizeof components - 1 && !memcmp(at.p, components, sizeof components - 1))
        at = (mt_slice){at.p + sizeof components - 1, at.len - (sizeof components - 1)};
    mti_buf_addf(&file, "%.*s%s", (int)at.len, at.p, inner->pointer);
    char *params = file.p ? strstr(file.p, grown) : NULL;
    if (params) {
        memcpy(params, "/x-params", 9);
        memmove(params + 9, params + sizeof grown - 1, strlen(params + sizeof grown - 1) + 1);
        file.len = strlen(file.p);
    }
    mt_status s = mti_json_refuse(l->dir, "api.json", mti_buf_slice(&file), l->e, "contract_invalid", "%s %s: %s: %s", l->method, l->path,
                                  inner->pointer[0] ? inner->pointer : "schema", inner->detail);
    mti_buf_dispose(&file);
    return s;
}

/* Compiles the schema at a pointer of the expanded document, so that "#/components/schemas/…" resolves. */
static mt_status compile(loader *l, const char *const *tokens, size_t n, mti_schema **out)
{
    mti_error inner = {0};
    mti_buf at;
    mti_buf_init(&at, 4096);
    for (size_t i = 0; i < n; i++)
        mti_json_pointer_add(&at, mt_str(tokens[i]));
    mt_status s = mti_schema_compile_at(l->k->api, mti_buf_slice(&at), NULL, NULL, 0, out, &inner);
    if (s != MT_OK)
        refuse_schema(l, mti_buf_slice(&at), &inner);
    else
        mti_arena_defer(&l->k->arena, destroy_schema, *out);
    mti_buf_dispose(&at);
    return s;
}

/* Every schema must compile, also one that only answers use: it is published. */
static mt_status check_schemas(loader *l)
{
    const char *name;
    json_t *v;
    mti_schema *s;
    l->method = "schemas";
    json_object_foreach(json_object_get(json_object_get(l->k->api, "components"), "schemas"), name, v) {
        l->path = name;
        MT_TRY(compile(l, (const char *[]){"components", "schemas", name}, 3, &s));
    }
    return MT_OK;
}

/* Values of path parameters are checked by x-path; without one, a name that ends with _id wants a UUID. */
static mt_status read_param_checks(loader *l, mti_operation *op, const json_t *o)
{
    const json_t *given = json_object_get(o, "x-path");
    for (unsigned i = 0; i < op->n_params; i++)
        if (json_object_get(given, op->params[i]))
            MT_TRY(compile(l, (const char *[]){"paths", l->path, l->method, "x-path", op->params[i]}, 5, &op->param_checks[i]));
    return MT_OK;
}

static mt_status read_schemas(loader *l, mti_operation *op, const json_t *o)
{
    json_t *all = json_object_get(json_object_get(l->k->api, "components"), "schemas");
    op->query_schema = json_object_get(o, "x-query-schema");
    if (op->query_schema)
        MT_TRY(compile(l, (const char *[]){"paths", l->path, l->method, "x-query-schema"}, 4, &op->query_check));
    op->body = keep(l, text_of(o, "x-body"));
    op->content = op->body ? MTI_CONTENT_JSON : MTI_CONTENT_NONE;
    if (op->body) {
        if (!json_object_get(all, op->body))
            return refuse(l, "x-body", "names no schema", op->body);
        MT_TRY(compile(l, (const char *[]){"components", "schemas", op->body}, 3, &op->body_check));
    }
    const char *content = text_of(o, "x-content");
    if (content && !strcmp(content, "multipart"))
        op->content = MTI_CONTENT_MULTIPART;
    else if (content)
        return refuse(l, "x-content", "must be \"multipart\"", content);
    const char *returns = text_of(o, "x-returns");
    if (!returns)
        return MT_OK;
    size_t n = strlen(returns);
    op->list = n > 2 && !strcmp(returns + n - 2, "[]");
    op->returns = mti_arena_strndup(&l->k->arena, returns, op->list ? n - 2 : n);
    if (!json_object_get(all, op->returns))
        return refuse(l, "x-returns", "names no schema", op->returns);
    return MT_OK;
}

/* Every parameter of a query must have one source (CONTRACT.md rules 2 and 3). */
static bool host_value(const char *name)
{
    static const char *const known[] = {"body", "new_id", "if_match", "cursor", "limit", "now", "org_id", "workspace_scope", "subject_id"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(name, known[i]))
            return true;
    return false;
}

static bool path_value(const mti_operation *op, const char *name)
{
    for (unsigned i = 0; i < op->n_params; i++)
        if (!strcmp(op->params[i], name))
            return true;
    return false;
}

static mt_status check_names(loader *l, const mti_operation *op, const mti_query *q)
{
    const json_t *body = op->body ? json_object_get(json_object_get(json_object_get(l->k->api, "components"), "schemas"), op->body) : NULL;
    const json_t *in_body = json_object_get(body, "properties");
    const json_t *in_query = json_object_get(op->query_schema, "properties");
    for (unsigned i = 0; i < q->n_params; i++) {
        const char *name = q->params[i];
        /* limit and cursor are query parameters that the host reads itself */
        bool of_host = host_value(name), paging = !strcmp(name, "limit") || !strcmp(name, "cursor");
        int sources = of_host + path_value(op, name) + (json_object_get(in_body, name) != NULL) +
                      (!paging && json_object_get(in_query, name) != NULL);
        if (sources > 1)
            return mti_fail(l->e, MT_INVALID, "contract_invalid", "%s:%d: parameter :%s of %s has two sources in %s", q->file,
                            q->line, name, q->name, op->id);
        if (!sources)
            return mti_fail(l->e, MT_INVALID, "contract_invalid",
                            "%s:%d: parameter :%s of %s is neither a path, query nor body value of %s", q->file, q->line,
                            name, q->name, op->id);
    }
    return MT_OK;
}

static mt_status add_query(loader *l, mti_operation *op, const char *name)
{
    const mti_query *q = name ? mti_contract_query(l->k, mt_str(name)) : NULL;
    if (!q)
        return refuse(l, "x-query", "names no query of queries.sql", name);
    if (op->n_queries && q->kind == MTI_QUERY_MANY)
        return refuse(l, NULL, "only the first of several queries may be :many", name);
    op->queries[op->n_queries++] = q;
    return check_names(l, op, q);
}

static bool takes(const mti_query *q, const char *name)
{
    for (unsigned i = 0; i < q->n_params; i++)
        if (!strcmp(q->params[i], name))
            return true;
    return false;
}

static bool can_page(const mti_query *q)
{
    return q->cursor && takes(q, "cursor") && takes(q, "limit");
}

static mt_status read_queries(loader *l, mti_operation *op, const json_t *o)
{
    const json_t *x = json_object_get(o, "x-query");
    op->handler = keep(l, text_of(o, "x-handler"));
    if (!x != !!op->handler)
        return refuse(l, NULL, "exactly one of x-query and x-handler is needed", NULL);
    if (!x)
        return MT_OK;
    size_t n = json_is_array(x) ? json_array_size(x) : 1;
    if (!n)
        return refuse(l, "x-query", "names no query", NULL);
    op->queries = mti_arena_alloc(&l->k->arena, n * sizeof *op->queries);
    for (size_t i = 0; i < n; i++)
        MT_TRY(add_query(l, op, json_string_value(json_is_array(x) ? json_array_get(x, i) : x)));
    if ((op->queries[0]->kind == MTI_QUERY_MANY) != op->list)
        return refuse(l, "x-returns", "must end with [] exactly when the query is :many", op->queries[0]->name);
    if (op->list && !can_page(op->queries[0]))
        return refuse(l, NULL, "a list needs cursor=COLUMN, :cursor and :limit in its query, or what does not fit a page is never seen", op->queries[0]->name);
    return MT_OK;
}

static mt_status read_permission(loader *l, mti_operation *op, const json_t *o)
{
    op->permission = keep(l, text_of(o, "x-permission"));
    op->permission_id = -1;
    if (!op->permission) {
        if (!strcmp(l->k->slug, "core") && json_is_true(json_object_get(o, "x-public")))
            return MT_OK;
        return refuse(l, "x-permission", "is missing: an operation without a permission does not load", NULL);
    }
    if (!is_made_of(op->permission, strlen(op->permission), "_.-"))
        return refuse(l, "x-permission", "must be a name of letters, digits and . _ -", op->permission);
    op->permission_id = mti_permission_id(op->permission);
    return op->permission_id >= 0 ? MT_OK : refuse(l, NULL, "more than 1,024 permissions", NULL);
}

static int default_status(const mti_operation *op)
{
    if (op->n_queries && op->queries[0]->kind == MTI_QUERY_EXEC)
        return 204;
    bool creates = op->n_queries && !strcmp(op->method, "POST") && !strncasecmp(op->queries[0]->sql, "insert", 6);
    return creates ? 201 : 200;
}

/* The status of success is known only now that the queries are: the document follows. */
static void document_status(loader *l, const mti_operation *op, const json_t *o)
{
    json_t *responses = json_object_get(o, "responses"), *success;
    const char *status;
    void *next;
    char text[12];
    snprintf(text, sizeof text, "%d", op->status);
    json_object_foreach_safe(responses, next, status, success)
        if (status[0] == '2' && strcmp(status, text)) {
            json_incref(success);
            json_object_del(responses, status);
            json_object_set_new(responses, text, success);
            return;
        }
}

static mt_status read_status(loader *l, mti_operation *op, const json_t *o)
{
    const json_t *given = json_object_get(o, "x-status"), *status = json_is_array(given) ? json_array_get(given, 0) : given;
    op->status = given ? (int)json_integer_value(status) : default_status(op);
    if (op->status < 200 || op->status > 299)
        return refuse(l, "x-status", "must be 200 to 299", NULL);
    if (!json_is_array(given))
        document_status(l, op, o);
    return MT_OK;
}

static bool is_number_option(const char *name)
{
    size_t n;
    const mti_option *options = mti_options(&n);
    for (size_t i = 0; i < n; i++)
        if (!strcmp(options[i].name, name))
            return options[i].type == MTI_OPT_INT;
    return false;
}

static mt_status read_choices(loader *l, mti_operation *op, const json_t *o)
{
    const char *scope = text_of(o, "x-scope"), *match = text_of(o, "x-if-match"), *stream = text_of(o, "x-stream"), *problem = text_of(o, "x-problem");
    op->platform = scope != NULL;
    op->stream = stream != NULL;
    op->openai_problems = problem != NULL;
    op->if_match = !match ? MTI_IF_MATCH_NO : !strcmp(match, "required") ? MTI_IF_MATCH_REQUIRED : MTI_IF_MATCH_OPTIONAL;
    if (scope && strcmp(scope, "platform"))
        return refuse(l, "x-scope", "must be \"platform\"", scope);
    if (stream && strcmp(stream, "sse"))
        return refuse(l, "x-stream", "must be \"sse\"", stream);
    if (problem && strcmp(problem, "openai"))
        return refuse(l, "x-problem", "must be \"openai\"", problem);
    if (match && strcmp(match, "required") && strcmp(match, "optional"))
        return refuse(l, "x-if-match", "must be \"required\" or \"optional\"", match);
    json_int_t limit = json_integer_value(json_object_get(o, "x-body-limit"));
    op->body_limit_option = keep(l, text_of(o, "x-body-limit-option"));
    if (op->body_limit_option && !is_number_option(op->body_limit_option))
        return refuse(l, "x-body-limit-option", "must be the name of an option that is a number", op->body_limit_option);
    op->body_limit = (size_t)limit;
    return limit < 0 ? refuse(l, "x-body-limit", "must be a number of bytes", NULL) : MT_OK;
}

static mt_status read_id(loader *l, mti_operation *op, const json_t *o)
{
    op->id = keep(l, text_of(o, "operationId"));
    op->number = op->id ? mti_operation_number(op->id) : 0;
    if (!op->id || !op->id[0])
        return refuse(l, "operationId", "is missing", NULL);
    for (unsigned i = 0; i < l->k->n_operations; i++)
        if (!strcmp(l->k->operations[i].id, op->id))
            return refuse(l, NULL, "another operation has this operationId", op->id);
    return MT_OK;
}

static mt_status read_operation(loader *l, mti_operation *op, const json_t *o)
{
    op->contract = l->k;
    op->path = keep(l, l->path);
    MT_TRY(read_id(l, op, o));
    char *method = (char *)keep(l, l->method);
    for (char *p = method; *p; p++)
        *p = (char)toupper((unsigned char)*p);
    op->method = method;
    op->rate_class = keep(l, text_of(o, "x-rate"));
    if (!op->rate_class)
        op->rate_class = "default";
    MT_TRY(read_choices(l, op, o));
    MT_TRY(read_path(l, op));
    MT_TRY(read_param_checks(l, op, o));
    MT_TRY(read_permission(l, op, o));
    MT_TRY(read_schemas(l, op, o));
    MT_TRY(read_queries(l, op, o));
    return read_status(l, op, o);
}

static mt_status read_operations(loader *l)
{
    json_t *paths = json_object_get(l->k->api, "paths"), *methods, *o;
    const char *path, *method;
    size_t n = 0;
    json_object_foreach(paths, path, methods)
        n += json_object_size(methods);
    l->k->operations = mti_arena_alloc(&l->k->arena, (n + 1) * sizeof *l->k->operations);
    json_object_foreach(paths, path, methods) {
        json_object_foreach(methods, method, o) {
            l->path = path;
            l->method = method;
            MT_TRY(read_operation(l, &l->k->operations[l->k->n_operations], o));
            l->k->n_operations++;
        }
    }
    return MT_OK;
}

static mt_status refuse_constraint(loader *l, const char *name)
{
    mti_buf at;
    mti_buf_init(&at, 4096);
    mti_buf_adds(&at, "/x-constraints");
    mti_json_pointer_add(&at, mt_str(name));
    mt_status s = mti_json_refuse(l->dir, "api.json", mti_buf_slice(&at), l->e, "contract_invalid", "x-constraints/%s needs a status 4xx and a code", name);
    mti_buf_dispose(&at);
    return s;
}

static mt_status read_constraints(loader *l, const json_t *x)
{
    mti_constraint *list = mti_arena_alloc(&l->k->arena, (json_object_size(x) + 1) * sizeof *list);
    const char *name;
    json_t *v;
    l->k->constraints = list;
    json_object_foreach((json_t *)x, name, v) {
        mti_constraint *c = &list[l->k->n_constraints++];
        c->name = keep(l, name);
        c->status = (int)json_integer_value(json_object_get(v, "status"));
        c->code = keep(l, text_of(v, "code"));
        c->pointer = keep(l, text_of(v, "pointer"));
        if (c->status < 400 || c->status > 499 || !c->code)
            return refuse_constraint(l, name);
    }
    return MT_OK;
}

static mt_status read_file(loader *l, const char *dir, const char *name, mti_buf *b, char *path, size_t size)
{
    snprintf(path, size, "%s/%s", dir, name);
    mt_status s = mti_buf_read_file(b, path, 1 << 20);
    return s == MT_OK || s == MT_NOT_FOUND
               ? s
               : mti_fail(l->e, s, "contract_unreadable", "%s cannot be read (1 MiB at most)", path);
}

static mt_status load_queries(loader *l, const char *dir)
{
    mti_buf text;
    char path[4096];
    mt_status s = read_file(l, dir, "queries.sql", &text, path, sizeof path);
    if (s == MT_OK)
        s = mti_query_parse(&l->k->arena, "queries.sql", mti_buf_slice(&text), &l->k->queries, &l->k->n_queries, l->e);
    else if (s == MT_NOT_FOUND)
        s = MT_OK;
    mti_buf_dispose(&text);
    return s;
}

static mt_status load_api(loader *l, const char *dir)
{
    mti_buf text;
    char path[4096];
    json_t *api = NULL;
    mt_status s = read_file(l, dir, "api.json", &text, path, sizeof path);
    if (s == MT_OK) {
        mti_error inner = {0};
        s = mti_json_parse_file("api.json", mti_buf_slice(&text), &api, &inner);
        if (s != MT_OK)
            mti_fail(l->e, s, "contract_invalid", "%s", inner.detail);
        else
            s = mti_contract_expand(l->k->slug, dir, api, &l->k->api, l->e);
        if (s == MT_OK)
            s = read_constraints(l, json_object_get(api, "x-constraints"));
        if (s == MT_OK)
            s = read_operations(l);
        if (s == MT_OK)
            s = check_schemas(l);
    } else if (s == MT_NOT_FOUND) {
        s = MT_OK;
    }
    json_decref(api);
    mti_buf_dispose(&text);
    return s;
}

mt_status mti_contract_load(const char *slug, const char *dir, mti_contract **out, mti_error *e)
{
    mti_contract *k = calloc(1, sizeof *k);
    if (!k)
        return mti_fail(e, MT_NO_MEMORY, "no_memory", "out of memory while loading the contract of %s", slug);
    mti_arena_init(&k->arena, 0);
    k->slug = mti_arena_strndup(&k->arena, slug, strlen(slug));
    k->dir = mti_arena_strndup(&k->arena, dir, strlen(dir));
    loader l = {.k = k, .e = e, .dir = dir, .path = "", .method = ""};
    mt_status s = load_queries(&l, dir);
    if (s == MT_OK)
        s = load_api(&l, dir);
    if (s != MT_OK) {
        mti_contract_destroy(k);
        return s;
    }
    *out = k;
    return MT_OK;
}

void mti_contract_destroy(mti_contract *k)
{
    if (!k)
        return;
    for (unsigned i = 0; i < k->n_operations; i++)
        free(k->operations[i].metric), mti_schema_destroy(k->operations[i].returns_check);
    mti_arena_dispose(&k->arena);
    json_decref(k->api);
    free(k);
}

static mti_schema *compile_returns(const mti_operation *op)
{
    char status[12], method[12];
    mti_buf at;
    mti_schema *s = NULL;
    snprintf(status, sizeof status, "%d", op->status);
    snprintf(method, sizeof method, "%s", op->method);
    for (char *p = method; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    const char *const tokens[] = {"paths", op->path, method, "responses", status, "content", "application/json", "schema"};
    mti_buf_init(&at, 4096);
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++)
        mti_json_pointer_add(&at, mt_str(tokens[i]));
    mt_status st = mti_schema_compile_at(op->contract->api, mti_buf_slice(&at), NULL, NULL, 0, &s, NULL);
    mti_buf_dispose(&at);
    return st == MT_OK ? s : NULL;
}

/* Answers are checked when a filter has changed one, which few operations ever see: so nothing is compiled before. */
const mti_schema *mti_operation_returns_check(const mti_operation *op)
{
    mti_schema *s = atomic_load(&op->returns_check), *first = NULL;
    if (s || !op->returns || !(s = compile_returns(op)))
        return s;
    if (atomic_compare_exchange_strong(&((mti_operation *)op)->returns_check, &first, s))
        return s;
    mti_schema_destroy(s);
    return first;
}

const mti_query *mti_contract_query(const mti_contract *k, mt_slice name)
{
    for (size_t i = 0; i < k->n_queries; i++)
        if (mt_slice_eq(name, mt_str(k->queries[i].name)))
            return &k->queries[i];
    return NULL;
}

const mti_description *mti_contract_description(const mti_contract *k, const mti_query *q)
{
    return k->descriptions ? k->descriptions[q - k->queries] : NULL;
}

const mti_constraint *mti_contract_constraint(const mti_contract *k, const char *name)
{
    for (unsigned i = 0; i < k->n_constraints; i++)
        if (!strcmp(k->constraints[i].name, name))
            return &k->constraints[i];
    return NULL;
}
