/* The readable page of the OpenAPI document: plain HTML that needs nothing else. */
#include "contract/contract.h"

static void add_text(mti_buf *b, const char *s)
{
    for (; s && *s; s++) {
        if (*s == '<')
            mti_buf_adds(b, "&lt;");
        else if (*s == '>')
            mti_buf_adds(b, "&gt;");
        else if (*s == '&')
            mti_buf_adds(b, "&amp;");
        else if (*s == '"')
            mti_buf_adds(b, "&quot;");
        else
            mti_buf_addc(b, *s);
    }
}

static void add_cell(mti_buf *b, const char *tag, const char *s)
{
    mti_buf_addf(b, "<%s>", tag);
    add_text(b, s);
    mti_buf_addf(b, "</%s>", tag);
}

static void add_schema(mti_buf *b, const json_t *schema)
{
    const char *ref = json_string_value(json_object_get(schema, "$ref"));
    const char *slash = ref ? strrchr(ref, '/') : NULL;
    if (slash) {
        const char *name = slash + 1;
        mti_buf_adds(b, "<a href=\"#schema-");
        add_text(b, name);
        mti_buf_adds(b, "\">");
        add_text(b, name);
        mti_buf_adds(b, "</a>");
        return;
    }
    mti_buf_adds(b, "<code>");
    mti_buf text;
    mti_buf_init(&text, 1 << 16);
    if (mti_json_dump(schema, &text) == MT_OK)
        add_text(b, text.p);
    mti_buf_dispose(&text);
    mti_buf_adds(b, "</code>");
}

static void add_parameters(mti_buf *b, const json_t *o)
{
    size_t i;
    json_t *p;
    if (!json_array_size(json_object_get(o, "parameters")))
        return;
    mti_buf_adds(b, "<table><tr><th>Parameter</th><th>In</th><th>Schema</th></tr>");
    json_array_foreach(json_object_get(o, "parameters"), i, p) {
        mti_buf_adds(b, "<tr>");
        add_cell(b, "td", json_string_value(json_object_get(p, "name")));
        add_cell(b, "td", json_string_value(json_object_get(p, "in")));
        mti_buf_adds(b, "<td>");
        add_schema(b, json_object_get(p, "schema"));
        mti_buf_adds(b, "</td></tr>");
    }
    mti_buf_adds(b, "</table>");
}

static void add_contents(mti_buf *b, const char *label, const json_t *holder)
{
    const char *type;
    json_t *v;
    json_object_foreach(json_object_get(holder, "content"), type, v) {
        mti_buf_addf(b, "<p>%s <code>", label);
        add_text(b, type);
        mti_buf_adds(b, "</code>: ");
        add_schema(b, json_object_get(v, "schema"));
        mti_buf_adds(b, "</p>");
    }
}

static void add_operation(mti_buf *b, const char *path, const char *method, const json_t *o)
{
    const char *permission = json_string_value(json_object_get(o, "x-permission")), *status;
    json_t *r;
    mti_buf_adds(b, "<section><h3 id=\"");
    add_text(b, json_string_value(json_object_get(o, "operationId")));
    mti_buf_adds(b, "\"><b>");
    add_text(b, method);
    mti_buf_adds(b, "</b> /v1");
    add_text(b, path);
    mti_buf_adds(b, "</h3>");
    add_cell(b, "p", json_string_value(json_object_get(o, "summary")));
    add_cell(b, "p", json_string_value(json_object_get(o, "description")));
    mti_buf_adds(b, "<p>Permission: ");
    add_cell(b, "code", permission ? permission : "none: public");
    mti_buf_adds(b, "</p>");
    add_parameters(b, o);
    add_contents(b, "Body", json_object_get(o, "requestBody"));
    json_object_foreach(json_object_get(o, "responses"), status, r)
        if (status[0] == '2')
            add_contents(b, status, r);
    mti_buf_adds(b, "</section>");
}

mt_status mti_openapi_page(const json_t *doc, mti_buf *b)
{
    const char *path, *method, *name;
    json_t *methods, *o;
    mti_buf_adds(b, "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Mortise API</title><style>"
                    "body{font:16px/1.5 system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem}h3 b{text-transform:uppercase}"
                    "table{border-collapse:collapse}td,th{border:1px solid #bbb;padding:.2rem .6rem;text-align:left}"
                    "code{overflow-wrap:anywhere}section{border-top:1px solid #ddd}</style><h1>Mortise API</h1>"
                    "<p>The machine-readable form is <a href=\"/v1/openapi.json\">openapi.json</a>. Errors are "
                    "<a href=\"#schema-Problem\">problem+json</a>.</p><h2>Operations</h2>");
    json_object_foreach(json_object_get(doc, "paths"), path, methods)
        json_object_foreach(methods, method, o)
            add_operation(b, path, method, o);
    mti_buf_adds(b, "<h2>Schemas</h2>");
    json_object_foreach(json_object_get(json_object_get(doc, "components"), "schemas"), name, o) {
        mti_buf_adds(b, "<section><h3 id=\"schema-");
        add_text(b, name);
        mti_buf_adds(b, "\">");
        add_text(b, name);
        mti_buf_adds(b, "</h3>");
        add_schema(b, o);
        mti_buf_adds(b, "</section>");
    }
    mti_buf_adds(b, "</html>");
    return b->status;
}
