/* Which models a workspace may use. */
#include "models.h"

#include <stdlib.h>

mt_status models_policy_read(mt_call *c, models_policy *out)
{
    mt_handle rows;
    *out = (models_policy){0};
    if (!mt_workspace_id(c).len || !mt_org_id(c).len)
        return MT_OK;
    MT_TRY(mt_db_query(c, MT_SLICE("policy"), NULL, 0, &rows));
    if (!mt_db_rows(c, rows))
        return MT_OK;
    out->default_model = mt_db_value(c, rows, 0, MT_SLICE("default_model"));
    out->allowed = mt_db_value(c, rows, 0, MT_SLICE("allowed"));
    out->max_output_tokens = (uint32_t)mt_int(mt_db_value(c, rows, 0, MT_SLICE("max_output_tokens")), 0);
    out->max_input_tokens = mt_int(mt_db_value(c, rows, 0, MT_SLICE("max_input_tokens")), 0);
    return MT_OK;
}

mt_status models_policy_check(mt_call *c, const models_policy *p, mt_slice name)
{
    mt_handle doc;
    if (!p->allowed.p)
        return MT_OK;
    MT_TRY(mt_json_parse(c, p->allowed, &doc));
    for (int64_t i = 0, n = mt_json_count(c, doc, MT_SLICE("")); i < n; i++)
        if (mt_slice_eq(mt_json_text(c, doc, mt_printf(c, "/%lld", (long long)i)), name))
            return MT_OK;
    return mt_problem(c, 403, MT_SLICE("model_not_allowed"),
                      mt_printf(c, "This workspace does not allow the model \"%.*s\": see its model-settings.", (int)(name.len < 200 ? name.len : 200), name.p), MT_SLICE("/model"));
}
