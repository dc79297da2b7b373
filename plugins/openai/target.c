#include "openai.h"

mt_status refuse(mt_call *c, const char *code, const char *detail, const char *pointer)
{
    return mt_problem(c, 400, mt_str(code), mt_str(detail), mt_str(pointer));
}

mt_status target_enter_workspace(mt_call *c, bool *entered)
{
    mt_slice asked = mt_header(c, MT_SLICE("x-workspace-id")), preferred = mt_setting(c, MT_SLICE("tenancy.default_workspace_id"));
    mt_handle rows;
    *entered = true;
    if (asked.len)
        return mt_enter_workspace(c, asked);
    const mt_field arg = {MT_SLICE("preferred"), preferred};
    MT_TRY(mt_db_query(c, MT_SLICE("workspaces"), &arg, 1, &rows));
    uint32_t n = mt_db_rows(c, rows);
    mt_slice first = n ? mt_db_value(c, rows, 0, MT_SLICE("id")) : (mt_slice){0};
    if (n == 1 || (n && mt_slice_eq(first, preferred)))
        return mt_enter_workspace(c, first);
    *entered = false;
    return MT_OK;
}

bool target_find_model(mt_call *c, mt_slice name, mt_llm_model *out)
{
    *out = (mt_llm_model){.size = sizeof *out};
    for (uint32_t i = 0; mt_llm_models(c, i, out) == MT_OK; i++)
        if (mt_slice_eq(out->model, name))
            return true;
    return false;
}

static mt_status unknown(mt_call *c, mt_slice name, bool entered)
{
    mt_slice detail = mt_printf(c, "There is no model or agent \"%.*s\" here: GET /v1/models lists them.%s", (int)(name.len < 100 ? name.len : 100), name.p,
                                entered ? "" : " This key may use several workspaces: name an agent's workspace in the header X-Workspace-Id.");
    return mt_problem(c, 404, MT_SLICE("model_not_found"), detail, MT_SLICE("/model"));
}

mt_status target_find(mt_call *c, mt_slice name, target *out)
{
    static const char prefix[] = "agent/";
    size_t n = sizeof prefix - 1;
    bool agent = name.len > n && !memcmp(name.p, prefix, n), entered;
    mt_handle row;
    *out = (target){.name = name};
    MT_TRY(target_enter_workspace(c, &entered));
    if (!agent && target_find_model(c, name, &out->model))
        return MT_OK;
    if (!entered)
        return unknown(c, name, false);
    const mt_field arg = {MT_SLICE("agent_slug"), agent ? (mt_slice){name.p + n, name.len - n} : name};
    mt_status s = mt_db_one(c, MT_SLICE("agent"), &arg, 1, &row);
    if (s == MT_NOT_FOUND)
        return unknown(c, name, true);
    MT_TRY(s);
    out->agent_id = mt_db_value(c, row, 0, MT_SLICE("id"));
    out->slug = mt_db_value(c, row, 0, MT_SLICE("slug"));
    out->created = mt_int(mt_db_value(c, row, 0, MT_SLICE("created")), 0);
    return MT_OK;
}
