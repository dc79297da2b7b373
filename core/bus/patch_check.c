/* What a filter changed is held against its schema: the catalogue's, and what the emitter knows of the payload. */
#include "bus/patch.h"

#include <stdatomic.h>
#include <stdio.h>

enum { FIELDS_MAX = 16, ISSUES = 16 };

/* The catalogue's schemas, compiled when one is first asked for and kept: the tables that they stand in are constants too. */
static const mti_schema *catalogue_schema(const mti_hook_info *hook, const mti_hook_field *f)
{
    static _Atomic(mti_schema *) compiled[MTI_HOOK_COUNT][FIELDS_MAX];
    size_t index = (size_t)(f - hook->fields);
    if (!f->schema || index >= FIELDS_MAX)
        return NULL;
    _Atomic(mti_schema *) *place = &compiled[hook - mti_hook_catalogue][index];
    mti_schema *s = atomic_load(place), *first = NULL;
    json_t *text;
    if (s || mti_json_parse(mt_str(f->schema), 0, &text, NULL) != MT_OK)
        return s;
    mt_status st = mti_schema_compile(text, NULL, NULL, 0, &s, NULL);
    json_decref(text);
    if (st != MT_OK || atomic_compare_exchange_strong(place, &first, s))
        return st == MT_OK ? s : NULL;
    mti_schema_destroy(s);
    return first;
}

/* A field as a tree; NULL when it is JSON that cannot be read. */
static json_t *field_value(const mti_hook_field *f, const void *payload)
{
    const void *at = (const char *)payload + f->offset;
    mt_slice text = f->type == MTI_F_SLICE || f->type == MTI_F_JSON ? *(const mt_slice *)at : (mt_slice){0};
    json_t *v = NULL;
    switch (f->type) {
    case MTI_F_SLICE: return text.p ? json_stringn(text.p, text.len) : json_null();
    case MTI_F_JSON: mti_json_parse(text.len ? text : MT_SLICE("null"), 0, &v, NULL); return v;
    case MTI_F_I32: return json_integer(*(const int32_t *)at);
    case MTI_F_U32: return json_integer(*(const uint32_t *)at);
    case MTI_F_I64: return json_integer(*(const int64_t *)at);
    case MTI_F_F64: return json_real(*(const double *)at);
    case MTI_F_BOOL: return json_boolean(*(const bool *)at);
    }
    return NULL;
}

/* What cannot be told, because it is too large, counts as one issue. */
static size_t issues_of(const mti_schema *s, const mti_hook_field *f, const void *payload, mti_schema_issue *issues)
{
    size_t n = 0;
    json_t *v = field_value(f, payload);
    mt_status status = mti_schema_collect(s, v, &(mti_schema_options){.formats = true}, issues, ISSUES, &n);
    json_decref(v);
    if (status == MT_INVALID || status == MT_OK)
        return status == MT_OK ? 0 : n;
    issues[0] = (mti_schema_issue){.keyword = "size"};
    snprintf(issues[0].detail, sizeof issues[0].detail, "is too large to be checked");
    return 1;
}

static bool is_among(const mti_schema_issue *issue, const mti_schema_issue *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(issue->keyword, list[i].keyword) && !strcmp(issue->pointer, list[i].pointer) && !strcmp(issue->detail, list[i].detail))
            return true;
    return false;
}

/* Only when something is wrong now is it looked at what was wrong before. */
static mt_status check_field(const mti_schema *s, const mti_hook_field *f, const void *before, const void *after, mti_error *e)
{
    mti_schema_issue now[ISSUES], then[ISSUES];
    size_t n = s ? issues_of(s, f, after, now) : 0, m = n ? issues_of(s, f, before, then) : 0;
    for (size_t i = 0; i < n && m < ISSUES; i++) {
        if (is_among(&now[i], then, m))
            continue;
        mti_fail(e, MT_INVALID, "patch_breaks_schema", "/%s%s %s (%s).", f->name, now[i].pointer, now[i].detail, now[i].keyword);
        if (e)
            snprintf(e->pointer, sizeof e->pointer, "/%s%s", f->name, now[i].pointer);
        return MT_INVALID;
    }
    return MT_OK;
}

mt_status mti_patch_check(const mt_patch *p, const void *before, const void *after, mti_error *e)
{
    uint64_t seen = 0;
    for (const mti_patch_op *op = p->first; op; op = op->next) {
        const mti_hook_field *f = op->field;
        uint64_t bit = 1ull << ((size_t)(f - p->hook->fields) % 64);
        if (seen & bit)
            continue;
        seen |= bit;
        MT_TRY(check_field(catalogue_schema(p->hook, f), f, before, after, e));
        MT_TRY(check_field(p->rules ? p->rules->of(p->rules->arg, f) : NULL, f, before, after, e));
    }
    return MT_OK;
}
