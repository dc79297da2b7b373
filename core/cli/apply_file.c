/* The file: read, held against its schema, its values resolved. What it says is told with its line. */
#include "cli/apply.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "json/place.h"
#include "json/schema.h"
#include "secrets/keyring.h"

enum { FILE_BYTES = 8 << 20, VALUE_BYTES = 1 << 20 };

mt_status mti_apply_refuse(const mti_apply *a, const char *pointer, mti_error *e, const char *fmt, ...)
{
    char text[300];
    va_list ap;
    mti_place at = mti_json_place(mti_buf_slice(&a->text), mt_str(pointer));
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return mti_fail(e, MT_INVALID, "file_invalid", "%.80s:%d:%d: %s", a->file, at.line, at.column, text);
}

mt_status mti_apply_refused(const mti_apply *a, const char *pointer, const mti_reply *r, mt_status s, mti_error *e)
{
    char at[400], why[400];
    if (r->status == 503)
        return s;
    snprintf(at, sizeof at, "%.240s%.150s", pointer, mti_json_get_string(r->json, "pointer", MT_SLICE("")).p);
    snprintf(why, sizeof why, "%.380s", e->detail);
    return mti_apply_refuse(a, at, e, "%s", why);
}

void mti_apply_path(const mti_apply *a, const char *path, char out[PATH_MAX])
{
    if (path[0] == '/')
        snprintf(out, PATH_MAX, "%s", path);
    else
        snprintf(out, PATH_MAX, "%.2000s/%.2000s", a->dir, path);
}

static mt_status read_schema(mti_schema **out, mti_error *e)
{
    char path[PATH_MAX];
    mti_buf text = {0};
    json_t *tree = NULL;
    bool found = mti_cli_find("manifests/schemas/apply.json", path, sizeof path) && mti_buf_read_file(&text, path, 1 << 20) == MT_OK;
    mt_status s = found ? mti_json_parse(mti_buf_slice(&text), 0, &tree, e)
                        : mti_fail(e, MT_NOT_FOUND, "installation_broken", "manifests/schemas/apply.json is not there: the installation is incomplete.");
    if (s == MT_OK)
        s = mti_schema_compile(tree, NULL, NULL, 0, out, e);
    json_decref(tree);
    mti_buf_dispose(&text);
    return s;
}

static mt_status check(const mti_apply *a, mti_error *e)
{
    mti_schema *schema;
    mti_schema_issue issue;
    size_t n = 0;
    MT_TRY(read_schema(&schema, e));
    mt_status s = mti_schema_collect(schema, a->wanted, &(mti_schema_options){.closed = true, .formats = true}, &issue, 1, &n);
    mti_schema_destroy(schema);
    if (n)
        return mti_apply_refuse(a, issue.pointer, e, "%.80s %s", issue.pointer, issue.detail);
    return s == MT_OK ? s : mti_fail(e, s, "file_invalid", "%.200s is too large to check.", a->file);
}

mt_status mti_apply_read(mti_apply *a, mti_error *e)
{
    const char *slash = strrchr(a->file, '/');
    snprintf(a->dir, sizeof a->dir, "%.*s", slash ? (int)(slash - a->file + (slash == a->file)) : 1, slash ? a->file : ".");
    mt_status s = mti_buf_read_file(&a->text, a->file, FILE_BYTES);
    if (s != MT_OK)
        return mti_fail(e, MT_INVALID, "file_unreadable", "%.300s cannot be read: %s.", a->file, s == MT_TOO_LARGE ? "it is larger than 8 MiB" : strerror(errno));
    MT_TRY(mti_json_parse_file(a->file, mti_buf_slice(&a->text), &a->wanted, e));
    return check(a, e);
}

/* ---- values ---- */

static mt_status read_variable(const mti_apply *a, const char *pointer, const char *name, json_t **out, mti_error *e)
{
    const char *value = getenv(name);
    if (!value)
        return mti_apply_refuse(a, pointer, e, "The environment variable %.100s is not set.", name);
    *out = json_string(value);
    return *out ? MT_OK : mti_apply_refuse(a, pointer, e, "The environment variable %.100s is not UTF-8 text.", name);
}

/* Without the line break at its end that editors add. */
static mt_status read_file(const mti_apply *a, const char *pointer, const char *name, json_t **out, mti_error *e)
{
    char path[PATH_MAX];
    mti_buf text;
    mti_apply_path(a, name, path);
    mt_status s = mti_buf_read_file(&text, path, VALUE_BYTES);
    size_t n = text.len;
    n -= n && text.p[n - 1] == '\n';
    n -= n && text.p[n - 1] == '\r';
    if (s != MT_OK)
        s = mti_apply_refuse(a, pointer, e, "%.150s cannot be read: %s.", path, s == MT_TOO_LARGE ? "it is larger than 1 MiB" : strerror(errno));
    else if (!(*out = json_stringn(text.p ? text.p : "", n)))
        s = mti_apply_refuse(a, pointer, e, "%.150s is not UTF-8 text.", path);
    mti_buf_wipe(&text);
    return s;
}

static mt_status resolve(const mti_apply *a, mti_buf *pointer, const json_t *value, json_t **out, mti_error *e);

static mt_status resolve_parts(const mti_apply *a, mti_buf *pointer, const json_t *value, json_t *to, mti_error *e)
{
    const char *name;
    char number[24];
    size_t i, len = pointer->len;
    json_t *v, *made;
    json_object_foreach((json_t *)value, name, v)
    {
        mti_json_pointer_add(pointer, mt_str(name));
        MT_TRY(resolve(a, pointer, v, &made, e));
        pointer->p[pointer->len = len] = 0;
        json_object_set_new(to, name, made);
    }
    json_array_foreach((json_t *)value, i, v)
    {
        snprintf(number, sizeof number, "%zu", i);
        mti_json_pointer_add(pointer, mt_str(number));
        MT_TRY(resolve(a, pointer, v, &made, e));
        pointer->p[pointer->len = len] = 0;
        json_array_append_new(to, made);
    }
    return MT_OK;
}

static mt_status resolve(const mti_apply *a, mti_buf *pointer, const json_t *value, json_t **out, mti_error *e)
{
    bool one = json_object_size(value) == 1;
    const char *variable = one ? json_string_value(json_object_get(value, "$env")) : NULL, *file = one ? json_string_value(json_object_get(value, "$file")) : NULL;
    if (variable)
        return read_variable(a, pointer->p, variable, out, e);
    if (file)
        return read_file(a, pointer->p, file, out, e);
    if (!json_is_object(value) && !json_is_array(value)) {
        *out = json_incref((json_t *)value);
        return MT_OK;
    }
    json_t *made = json_is_object(value) ? json_object() : json_array();
    mt_status s = resolve_parts(a, pointer, value, made, e);
    if (s == MT_OK)
        *out = made;
    else
        json_decref(made);
    return s;
}

mt_status mti_apply_resolve(const mti_apply *a, const char *pointer, const json_t *value, json_t **out, mti_error *e)
{
    mti_buf at;
    mti_buf_init(&at, 1 << 16);
    mti_buf_adds(&at, pointer);
    mt_status s = resolve(a, &at, value, out, e);
    mti_buf_dispose(&at);
    return s;
}
