/* Organizations: what a named query cannot do alone. Creating one means acting for an organization
 * that is not there yet; plans set limits. */
#include "tenancy.h"

#include <mortise/hooks.h>
#include <mortise/json.h>

static mt_slice number(mt_call *c, int64_t limit)
{
    return limit < 0 ? (mt_slice){0} : mt_printf(c, "%lld", (long long)limit);
}

mt_status tenancy_apply_limits(mt_call *c, const plan *p)
{
    const mt_field args[] = {{MT_SLICE("plan_requests"), number(c, p->requests)}};
    return mt_db_exec(c, MT_SLICE("organization_limits"), args, 1, NULL);
}

static mt_status write_with_plan(mt_call *c, mt_slice query, const plan *p, mt_handle *row)
{
    const mt_field args[] = {
        {MT_SLICE("plan"), p ? mt_str(p->name) : (mt_slice){0}},
        {MT_SLICE("plan_workspaces"), p ? number(c, p->workspaces) : (mt_slice){0}},
        {MT_SLICE("plan_documents"), p ? number(c, p->documents) : (mt_slice){0}},
    };
    return mt_db_one(c, query, args, sizeof args / sizeof *args, row);
}

/* The row, its version as ETag. */
static mt_status answer(mt_call *c, int32_t status, mt_handle row)
{
    mt_slice json, etag = mt_db_value(c, row, 0, MT_SLICE("_etag"));
    MT_TRY(mt_db_json(c, row, 0, &json));
    MT_TRY(mt_respond_header(c, MT_SLICE("etag"), mt_printf(c, "\"%.*s\"", (int)etag.len, etag.p)));
    return mt_respond(c, status, json);
}

static mt_status create_as(mt_call *c, mt_slice id, const plan *p, mt_handle *row)
{
    MT_TRY(mt_db_as_org(c, id, (mt_slice){0}));
    MT_TRY(mt_db_begin(c));
    mt_status s = write_with_plan(c, MT_SLICE("organization_create"), p, row);
    if (s == MT_OK)
        s = tenancy_apply_limits(c, p);
    if (s == MT_OK)
        return mt_db_commit(c);
    mt_db_rollback(c);
    return s;
}

/* Acts for the new organization and comes back whatever happens: the request itself is the caller's. */
mt_status tenancy_on_organization_create(void *self, mt_call *c)
{
    const tenancy *t = self;
    const plan *p = plans_find(&t->plans, mt_param(c, MT_SLICE("plan_tier")));
    mt_slice home = mt_org_id(c), id = mt_new_id(c);
    mt_handle row;
    if (!p)
        return MT_INTERNAL;
    mt_status s = create_as(c, id, p, &row);
    MT_TRY(mt_db_as_org(c, home, (mt_slice){0}));
    MT_TRY(s);
    MT_TRY(mt_respond_header(c, MT_SLICE("location"),
                             mt_printf(c, "/v1/organizations/%.*s", (int)id.len, id.p)));
    return answer(c, 201, row);
}

/* Only the platform may choose an organization for itself. */
static bool is_platform(mt_call *c)
{
    return mt_db_as_org(c, mt_org_id(c), (mt_slice){0}) == MT_OK;
}

static mt_status refuse_limits(mt_call *c)
{
    mt_handle row;
    MT_TRY(mt_db_one(c, MT_SLICE("limits_asked"), NULL, 0, &row));
    mt_slice pointer = mt_db_value(c, row, 0, MT_SLICE("pointer"));
    if (!pointer.p)
        return MT_OK;
    return mt_problem(c, 403, MT_SLICE("plan_is_the_platforms"),
                      MT_SLICE("Plan and limits are set by the platform's operator."), pointer);
}

mt_status tenancy_on_organization_update(void *self, mt_call *c)
{
    const tenancy *t = self;
    mt_slice tier = mt_param(c, MT_SLICE("plan_tier"));
    const plan *p = tier.p ? plans_find(&t->plans, tier) : NULL;
    bool platform = is_platform(c);
    mt_handle row;
    if (!platform)
        MT_TRY(refuse_limits(c));
    MT_TRY(mt_db_begin(c));
    MT_TRY(write_with_plan(c, MT_SLICE("organization_update"), p, &row));
    p = plans_find(&t->plans, mt_db_value(c, row, 0, MT_SLICE("plan_tier")));
    if (platform && p)
        MT_TRY(tenancy_apply_limits(c, p));
    MT_TRY(mt_db_commit(c));
    return answer(c, 200, row);
}

/* Tells whoever keeps something outside of the rows, of one workspace or of all (the null slice), and deletes; in a transaction of its own. */
static mt_status delete_told(mt_call *c, mt_slice workspace_id, mt_slice query)
{
    mt_handle rows;
    int64_t gone = 0;
    const mt_field which = {MT_SLICE("of_workspace"), workspace_id};
    MT_TRY(mt_db_query(c, MT_SLICE("workspace_ids"), &which, 1, &rows));
    for (uint32_t i = 0; i < mt_db_rows(c, rows); i++) {
        mt_workspace_deleting in = {.size = sizeof in, .workspace_id = mt_db_value(c, rows, i, MT_SLICE("id"))};
        mt_hook_emit(c, MT_SLICE("workspace.deleting"), &in);
    }
    MT_TRY(mt_db_exec(c, query, NULL, 0, &gone));
    return gone ? MT_OK
                : mt_problem(c, 404, MT_SLICE("not_found"),
                             MT_SLICE("There is nothing of this id here."), MT_SLICE(""));
}

static mt_status delete_all(mt_call *c, mt_slice workspace_id, mt_slice query)
{
    MT_TRY(mt_db_begin(c));
    mt_status s = delete_told(c, workspace_id, query);
    if (s == MT_OK)
        return mt_db_commit(c);
    mt_db_rollback(c);
    return s;
}

mt_status tenancy_on_workspace_delete(void *self, mt_call *c)
{
    return delete_all(c, mt_param(c, MT_SLICE("workspace_id")), MT_SLICE("workspace_delete"));
}

mt_status tenancy_on_organization_delete(void *self, mt_call *c)
{
    mt_handle row;
    MT_TRY(mt_db_one(c, MT_SLICE("platform_keys"), NULL, 0, &row));
    if (!mt_slice_eq(mt_db_value(c, row, 0, MT_SLICE("keys")), MT_SLICE("0")))
        return mt_problem(c, 409, MT_SLICE("organization_holds_administrators"),
                          MT_SLICE("The administrators' keys are in this organization: it stays."),
                          MT_SLICE(""));
    mt_organization_deleted in = {.size = sizeof in, .organization_id = mt_org_id(c)};
    MT_TRY(delete_all(c, (mt_slice){0}, MT_SLICE("organization_delete")));
    mt_hook_emit(c, MT_SLICE("organization.deleted"), &in);
    return MT_OK;
}

/* A page: ids from the core's directory, then each row as its own organization, for no context sees
 * two. */
static mt_status write_page(mt_call *c, mt_writer *w, mt_handle ids, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        mt_handle row;
        mt_slice json;
        MT_TRY(mt_db_as_org(c, mt_db_value(c, ids, i, MT_SLICE("id")), (mt_slice){0}));
        MT_TRY(mt_db_query(c, MT_SLICE("organization_read"), NULL, 0, &row));
        if (!mt_db_rows(c, row)) /* deleted meanwhile */
            continue;
        MT_TRY(mt_db_json(c, row, 0, &json));
        mt_write_raw(w, NULL, json);
    }
    return MT_OK;
}

/* The contract lets 1 … 200 through. */
static uint32_t page_size(mt_slice text)
{
    uint32_t n = 0;
    for (size_t i = 0; i < text.len && i < 3; i++)
        n = n * 10 + (uint32_t)(text.p[i] - '0');
    return n;
}

static bool is_uuid(mt_slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (i == 8 || i == 13 || i == 18 || i == 23 ? s.p[i] != '-'
                                                    : !strchr("0123456789abcdefABCDEF", s.p[i]))
            return false;
    return s.len == 36;
}

mt_status tenancy_on_organization_list(void *self, mt_call *c)
{
    mt_slice home = mt_org_id(c), before = mt_param(c, MT_SLICE("cursor")), json;
    uint32_t most = page_size(mt_param(c, MT_SLICE("limit")));
    mt_writer w = mt_write_begin(c);
    mt_handle ids;
    if (!before.p)
        before = MT_SLICE("ffffffff-ffff-ffff-ffff-ffffffffffff");
    if (!is_uuid(before))
        return mt_problem(c, 400, MT_SLICE("cursor_invalid"),
                          MT_SLICE("This cursor belongs to another list: start again without one."),
                          MT_SLICE("/query/cursor"));
    const mt_field args[] = {{MT_SLICE("before"), before},
                             {MT_SLICE("count"), mt_printf(c, "%u", most + 1)}};
    MT_TRY(mt_db_query(c, MT_SLICE("organization_ids"), args, 2, &ids));
    uint32_t found = mt_db_rows(c, ids), shown = found < most ? found : most;
    mt_write_object(&w, NULL);
    mt_write_array(&w, "items");
    mt_status s = write_page(c, &w, ids, shown);
    MT_TRY(mt_db_as_org(c, home, (mt_slice){0}));
    MT_TRY(s);
    mt_write_close(&w);
    mt_write_text(&w, "next_cursor",
                  found > shown ? mt_db_value(c, ids, shown - 1, MT_SLICE("id")) : (mt_slice){0});
    mt_write_close(&w);
    MT_TRY(mt_write_end(&w, &json));
    return mt_respond(c, 200, json);
}
