/* db/1: the plugin that runs now, its queries, its role. Results are handles to mti_result. */
#include "db/json_rows.h"
#include "plugin/api.h"
#include "plugin/manager.h"
#include "plugin/record.h"
#include "plugin/values.h"

#include <stdio.h>

static const mti_plugin_record *current(const mt_call *c)
{
    return c->plugin ? c->host->plugins->records[c->plugin] : NULL;
}

static mt_status db_query(mt_call *c, mt_slice name, const mt_field *args, size_t n_args, mt_handle *out)
{
    const mti_plugin_record *r = current(c);
    const mti_query *q = r ? mti_contract_query(r->contract, name) : NULL;
    mti_result *result;
    if (!q)
        return mti_fail(&c->error, MT_INTERNAL, "query_unknown", "The plugin has no query of the name %.*s.", (int)name.len, name.p);
    MT_TRY(mti_query_run(c, r->contract, &r->role, q, args, n_args, &result));
    *out = (mt_handle)(uintptr_t)result;
    return MT_OK;
}

static mti_result *result_of(mt_handle h)
{
    return (mti_result *)(uintptr_t)h;
}

static mt_status db_one(mt_call *c, mt_slice name, const mt_field *args, size_t n_args, mt_handle *out)
{
    MT_TRY(db_query(c, name, args, n_args, out));
    if (mti_result_rows(result_of(*out)))
        return MT_OK;
    return mti_fail(&c->error, MT_NOT_FOUND, "not_found", "There is nothing of this id here.");
}

static mt_status db_exec(mt_call *c, mt_slice name, const mt_field *args, size_t n_args, int64_t *affected)
{
    mt_handle h;
    MT_TRY(db_query(c, name, args, n_args, &h));
    if (affected)
        *affected = mti_result_affected(result_of(h));
    mti_result_free(result_of(h));
    return MT_OK;
}

static mt_status db_begin(mt_call *c)
{
    const mti_plugin_record *r = current(c);
    return r ? mti_db_begin(c, &r->role) : MT_DENIED;
}

static mt_status db_commit(mt_call *c)
{
    return mti_query_commit(c);
}

static mt_status db_rollback(mt_call *c)
{
    mti_db_rollback(c);
    return MT_OK;
}

static uint32_t db_rows(mt_call *c, mt_handle h)
{
    return h ? mti_result_rows(result_of(h)) : 0;
}

static int hex(char c)
{
    return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

/* PostgreSQL writes bytea as \x and two digits a byte. */
static mt_slice decode_bytea(mt_call *c, mt_slice text)
{
    size_t n = text.len < 2 ? 0 : (text.len - 2) / 2;
    char *p = mti_arena_try_alloc(&c->arena, n + 1);
    if (!p)
        return (mt_slice){0};
    for (size_t i = 0; i < n; i++)
        p[i] = (char)(hex(text.p[2 + 2 * i]) << 4 | hex(text.p[3 + 2 * i]));
    return (mt_slice){p, n};
}

static mt_slice db_value(mt_call *c, mt_handle h, uint32_t row, mt_slice column)
{
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)column.len, column.p);
    mti_result *r = result_of(h);
    int i = r ? mti_result_column(r, name) : -1;
    if (i < 0 || row >= mti_result_rows(r) || mti_result_null(r, row, (unsigned)i))
        return (mt_slice){0};
    mt_slice text = mti_result_get(r, row, (unsigned)i);
    return mti_result_type(r, (unsigned)i) == 17 ? decode_bytea(c, text) : text;
}

static mt_status db_json(mt_call *c, mt_handle h, uint32_t row, mt_slice *out)
{
    mti_buf b;
    mti_buf_init(&b, 16 << 20);
    mt_status s = h && row < mti_result_rows(result_of(h)) ? mti_rows_write_object(&b, result_of(h), row, NULL) : MT_INVALID;
    if (s == MT_OK)
        *out = mti_arena_slice(&c->arena, mti_buf_slice(&b));
    mti_buf_dispose(&b);
    return s;
}

static mt_status db_free(mt_call *c, mt_handle h)
{
    if (h)
        mti_result_free(result_of(h));
    return MT_OK;
}

static mt_status db_as_org(mt_call *c, mt_slice org_id, mt_slice workspace_id)
{
    mti_uuid org, workspace = {{0}};
    if (!c->who.platform)
        return mti_fail(&c->error, MT_DENIED, "not_platform", "Only the platform may choose an organization.");
    if (!mti_uuid_parse(org_id, &org) || (workspace_id.p && !mti_uuid_parse(workspace_id, &workspace)))
        return mti_fail(&c->error, MT_INVALID, "uuid_invalid", "An organization or workspace id is not a UUID.");
    c->who.org_id = org;
    c->who.workspace_id = workspace;
    c->workspace_id = workspace;
    return MT_OK;
}

const mt_db_1 mti_api_db = {.size = sizeof mti_api_db, .version = 1, .query = db_query, .one = db_one, .exec = db_exec,
                            .begin = db_begin, .commit = db_commit, .rollback = db_rollback, .rows = db_rows,
                            .value = db_value, .json = db_json, .free = db_free, .as_org = db_as_org};
