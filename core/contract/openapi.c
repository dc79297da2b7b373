#include "contract/contract.h"

#include <stdio.h>

static json_t *skeleton(const char *version)
{
    return json_pack(
        "{s:s,s:{s:s,s:s,s:s,s:{s:s,s:s}},s:[{s:s}],s:[{s:[]}],s:[],s:{},s:{s:{},s:{s:{s:s,s:s}},s:{s:{s:s,s:{s:{s:{s:s}}}}}}}",
        "openapi", "3.1.0", "info", "title", "Mortise", "version", version, "description",
        "The operations of the active plugins of this host.", "license", "name", "See each plugin", "url",
        "https://spdx.org/licenses/", "servers", "url", "/v1", "security", "key", "tags", "paths", "components", "schemas",
        "securitySchemes", "key", "type", "http", "scheme", "bearer", "responses", "Problem", "description",
        "What went wrong, with a stable code (RFC 9457)", "content", "application/problem+json", "schema", "$ref",
        "#/components/schemas/Problem");
}

static json_t *problem_schema(void)
{
    return json_pack("{s:s,s:[s,s,s,s],s:{s:{s:s},s:{s:s},s:{s:s},s:{s:s},s:{s:s},s:{s:s},s:{s:s}}}", "type", "object",
                     "required", "type", "title", "status", "code", "properties", "type", "type", "string", "title", "type",
                     "string", "status", "type", "integer", "code", "type", "string", "detail", "type", "string", "pointer",
                     "type", "string", "request_id", "type", "string");
}

/* What operations with x-problem: openai answer instead. */
static void add_openai_problem(json_t *components)
{
    json_object_set_new(json_object_get(components, "schemas"), "OpenAiProblem",
                        json_pack("{s:s,s:[s],s:{s:{s:s,s:[s,s,s,s],s:{s:{s:s},s:{s:s},s:{s:[s,s]},s:{s:[s,s]}}}}}", "type", "object", "required", "error",
                                  "properties", "error", "type", "object", "required", "message", "type", "param", "code", "properties", "message", "type",
                                  "string", "type", "type", "string", "param", "type", "string", "null", "code", "type", "string", "null"));
    json_object_set_new(json_object_get(components, "responses"), "OpenAiProblem",
                        json_pack("{s:s,s:{s:{s:{s:s}}}}", "description", "What went wrong, in the format of OpenAI's API", "content", "application/json",
                                  "schema", "$ref", "#/components/schemas/OpenAiProblem"));
}

static mt_status add_paths(json_t *paths, const mti_contract *k, mti_error *e)
{
    const char *path, *method;
    json_t *methods, *o;
    json_object_foreach(json_object_get(k->api, "paths"), path, methods) {
        json_t *item = json_object_get(paths, path);
        if (!item) {
            item = json_object();
            json_object_set_new(paths, path, item);
        }
        json_object_foreach(methods, method, o) {
            if (json_object_get(item, method))
                return mti_fail(e, MT_CONFLICT, "route_taken", "plugin %s: %s %s is taken by another plugin", k->slug, method, path);
            json_t *copy = json_deep_copy(o);
            json_object_del(copy, "x-query-schema");
            json_object_set_new(item, method, copy);
        }
    }
    return MT_OK;
}

static mt_status add_schemas(json_t *schemas, const mti_contract *k, mti_error *e)
{
    const char *name;
    json_t *v;
    json_object_foreach(json_object_get(json_object_get(k->api, "components"), "schemas"), name, v) {
        if (json_object_get(schemas, name))
            return mti_fail(e, MT_CONFLICT, "schema_taken", "plugin %s: the schema name %s is taken by another plugin", k->slug, name);
        json_object_set_new(schemas, name, json_deep_copy(v));
    }
    return MT_OK;
}

mt_status mti_openapi(mti_contract *const *list, unsigned n, const char *version, json_t **out, mti_error *e)
{
    json_t *doc = skeleton(version);
    if (!doc)
        return mti_fail(e, MT_NO_MEMORY, "no_memory", "out of memory while writing the OpenAPI document");
    json_t *schemas = json_object_get(json_object_get(doc, "components"), "schemas");
    json_object_set_new(schemas, "Problem", problem_schema());
    add_openai_problem(json_object_get(doc, "components"));
    for (unsigned i = 0; i < n; i++) {
        mt_status s = add_paths(json_object_get(doc, "paths"), list[i], e);
        if (s == MT_OK)
            s = add_schemas(schemas, list[i], e);
        if (s != MT_OK) {
            json_decref(doc);
            return s;
        }
        if (list[i]->n_operations)
            json_array_append_new(json_object_get(doc, "tags"),
                                  json_pack("{s:s,s:s}", "name", list[i]->slug, "description", list[i]->slug));
    }
    *out = doc;
    return MT_OK;
}
