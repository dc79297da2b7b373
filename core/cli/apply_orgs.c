/* Organizations: by slug or id, and what the file says of each. */
#include "cli/apply.h"

#include "base/ident.h"

#include <stdio.h>

static mt_status find(mti_apply *a, const json_t *all, const char *name, char id[40], mti_error *e)
{
    size_t i;
    json_t *one;
    mti_uuid parsed;
    mti_buf pointer;
    if (mti_uuid_parse(mt_str(name), &parsed)) {
        mti_uuid_format(parsed, id);
        return MT_OK;
    }
    json_array_foreach((json_t *)all, i, one)
        if (mt_slice_eq(mti_json_get_string(one, "slug", MT_SLICE("")), mt_str(name))) {
            snprintf(id, 40, "%s", mti_json_get_string(one, "id", MT_SLICE("")).p);
            return MT_OK;
        }
    mti_buf_init(&pointer, 4096);
    mti_buf_adds(&pointer, "/organizations");
    mti_json_pointer_add(&pointer, mt_str(name));
    mti_apply_refuse(a, pointer.p, e, "There is no organization %.100s.", name);
    mti_buf_dispose(&pointer);
    return MT_INVALID;
}

mt_status mti_apply_plan_organizations(mti_apply *a, mti_error *e)
{
    char id[40];
    const char *name;
    json_t *one, *all, *wanted = json_object_get(a->wanted, "organizations");
    mt_status s = MT_OK;
    if (!json_object_size(wanted))
        return MT_OK;
    MT_TRY(mti_apply_list(a, "/v1/organizations", &all, e));
    json_object_foreach(wanted, name, one)
    {
        if (s == MT_OK)
            s = find(a, all, name, id, e);
        if (s == MT_OK && json_object_get(one, "policies"))
            s = mti_apply_plan_policies(a, name, id, json_object_get(one, "policies"), e);
    }
    json_decref(all);
    return s;
}
