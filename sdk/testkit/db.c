/* db/1 from canned rows. A result is {"rows": […], "affected": n}. */
#include "kit.h"

#include <stdio.h>
#include <string.h>

kit_answer *kit_next_answer(kit_answer *list, mt_slice name)
{
    kit_answer *last = NULL;
    for (kit_answer *a = list; a; a = a->next) {
        if (!mt_slice_eq(name, mt_str(a->name)))
            continue;
        last = a;
        if (!a->used)
            break;
    }
    if (last)
        last->used = true;
    return last;
}

/* Whether queries.sql has "-- name: NAME". */
static bool is_declared(const char *text, mt_slice name)
{
    for (const char *p = text; (p = strstr(p, "-- name:")); p++) {
        const char *q = p + strlen("-- name:");
        q += strspn(q, " ");
        if (mt_slice_eq(name, (mt_slice){q, strcspn(q, " \r\n:")}))
            return true;
    }
    return false;
}

static void see_query(mt_call *c, mt_slice name, const mt_field *args, size_t n)
{
    json_t *o = json_object();
    for (size_t i = 0; i < n; i++)
        json_object_setn_new(o, args[i].name.p, args[i].name.len, kit_string(args[i].value));
    kit_see(c, MT_SEEN_QUERY, name, kit_dump(c, o));
    json_decref(o);
}

static mt_status query(mt_call *c, mt_slice name, const mt_field *args, size_t n, mt_handle *out)
{
    see_query(c, name, args, n);
    MT_TRY(kit_suspend(c));
    if (c->kit->manifest && !(c->kit->queries && is_declared(c->kit->queries, name)))
        return mti_fail(&c->error, MT_INTERNAL, "query_unknown", "The plugin has no query of the name %.*s.", (int)name.len, name.p);
    kit_answer *a = kit_next_answer(c->kit->answers, name);
    if (!a) {
        fprintf(stderr, "testkit: no answer was given for query %.*s\n", (int)name.len, name.p);
        return mti_fail(&c->error, MT_INTERNAL, "testkit_no_answer", "No answer was given for query %.*s.", (int)name.len, name.p);
    }
    if (a->fails) {
        mti_fail(&c->error, kit_status_of(a->http), a->text, "The query failed.");
        c->error.http = a->http;
        return c->error.status;
    }
    *out = kit_handle(c, json_pack("{s:O,s:I}", "rows", a->rows, "affected", (json_int_t)a->affected));
    return MT_OK;
}

static uint32_t rows(mt_call *c, mt_handle h)
{
    return (uint32_t)json_array_size(json_object_get(kit_object(c, h), "rows"));
}

static mt_status one(mt_call *c, mt_slice name, const mt_field *args, size_t n, mt_handle *out)
{
    MT_TRY(query(c, name, args, n, out));
    return rows(c, *out) ? MT_OK : mti_fail(&c->error, MT_NOT_FOUND, "not_found", "There is nothing of this id here.");
}

static mt_status exec(mt_call *c, mt_slice name, const mt_field *args, size_t n, int64_t *affected)
{
    mt_handle h;
    MT_TRY(query(c, name, args, n, &h));
    if (affected)
        *affected = json_integer_value(json_object_get(kit_object(c, h), "affected"));
    return MT_OK;
}

static mt_status begin(mt_call *c)
{
    kit_see(c, MT_SEEN_QUERY, MT_SLICE("BEGIN"), (mt_slice){0});
    MT_TRY(kit_suspend(c));
    c->transactions++;
    return MT_OK;
}

static mt_status finish(mt_call *c, mt_slice word)
{
    kit_see(c, MT_SEEN_QUERY, word, (mt_slice){0});
    if (!c->transactions)
        return mti_fail(&c->error, MT_INTERNAL, "no_transaction", "There is no open transaction.");
    c->transactions--;
    return MT_OK;
}

static mt_status commit(mt_call *c)
{
    mt_status s = finish(c, MT_SLICE("COMMIT"));
    return s == MT_OK ? kit_suspend(c) : s;
}

static mt_status rollback(mt_call *c)
{
    finish(c, MT_SLICE("ROLLBACK"));
    return MT_OK;
}

static mt_slice value(mt_call *c, mt_handle h, uint32_t row, mt_slice column)
{
    const json_t *r = json_array_get(json_object_get(kit_object(c, h), "rows"), row);
    const json_t *v = r ? json_object_getn(r, column.p, column.len) : NULL;
    if (json_is_boolean(v))
        return json_is_true(v) ? MT_SLICE("t") : MT_SLICE("f");
    return kit_text(c, v);
}

/* Columns whose name starts with _ are the host's and never in a body. */
static mt_status json(mt_call *c, mt_handle h, uint32_t row, mt_slice *out)
{
    json_t *r = json_array_get(json_object_get(kit_object(c, h), "rows"), row), *shown = json_object(), *v;
    const char *name;
    json_object_foreach(r, name, v)
        if (name[0] != '_')
            json_object_set(shown, name, v);
    if (r)
        *out = kit_dump(c, shown);
    json_decref(shown);
    return r ? MT_OK : MT_INVALID;
}

static mt_status free_result(mt_call *c, mt_handle h)
{
    return MT_OK;
}

static mt_status as_org(mt_call *c, mt_slice org_id, mt_slice workspace_id)
{
    if (c->kind == KIT_REQUEST)
        return mti_fail(&c->error, MT_DENIED, "not_platform", "Only the platform may choose an organization.");
    c->org_id = kit_copy(c, org_id);
    c->workspace_id = workspace_id.p ? kit_copy(c, workspace_id) : NULL;
    return MT_OK;
}

const mt_db_1 kit_db = {.size = sizeof kit_db, .version = 1, .query = query, .one = one, .exec = exec, .begin = begin, .commit = commit,
                        .rollback = rollback, .rows = rows, .value = value, .json = json, .free = free_result, .as_org = as_org};
