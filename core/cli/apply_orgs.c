/* Organizations and their workspaces: by slug or id, and what the file says of each. */
#include "cli/apply.h"

#include "base/ident.h"

#include <stdio.h>

bool mti_apply_find(const json_t *all, const char *name, char id[40])
{
    size_t i;
    json_t *one;
    mti_uuid parsed;
    const bool by_id = mti_uuid_parse(mt_str(name), &parsed);
    snprintf(id, 40, "%s", "");
    if (by_id)
        mti_uuid_format(parsed, id);
    json_array_foreach((json_t *)all, i, one)
        if (mt_slice_eq(mti_json_get_string(one, by_id ? "id" : "slug", MT_SLICE("")), mt_str(by_id ? id : name))) {
            snprintf(id, 40, "%s", mti_json_get_string(one, "id", MT_SLICE("")).p);
            return true;
        }
    return false;
}

static void point(char out[256], const char *above, const char *member, const char *name)
{
    mti_buf b;
    mti_buf_init(&b, 4096);
    mti_buf_addf(&b, "%.150s%s", above, member);
    if (name)
        mti_json_pointer_add(&b, mt_str(name));
    snprintf(out, 256, "%s", b.p);
    mti_buf_dispose(&b);
}

static mt_status plan_workspaces(mti_apply *a, const char *org, const char *id, const char *above, const json_t *wanted, mti_error *e)
{
    char path[160], at[256], below[256], own[40], base[96], subject[128];
    const char *name;
    json_t *one, *all;
    mt_status s = MT_OK;
    if (!json_object_size(wanted))
        return MT_OK;
    snprintf(path, sizeof path, "/v1/organizations/%s/workspaces", id);
    MT_TRY(mti_apply_list(a, path, &all, e));
    json_object_foreach((json_t *)wanted, name, one)
    {
        if (s != MT_OK)
            break;
        point(at, above, "/workspaces", name);
        if (!mti_apply_find(all, name, own))
            s = mti_apply_refuse(a, at, e, "There is no workspace %.100s in organization %.100s.", name, org);
        point(below, at, "/plugins", NULL);
        snprintf(base, sizeof base, "/v1/workspaces/%s", own);
        snprintf(subject, sizeof subject, "%.50s/%.60s", org, name);
        if (s == MT_OK)
            s = mti_apply_plan_settings(a, subject, base, below, json_object_get(one, "plugins"), e);
    }
    json_decref(all);
    return s;
}

static mt_status plan_one(mti_apply *a, const json_t *all, const char *name, const json_t *wanted, mti_error *e)
{
    char at[256], below[256], id[40], base[96];
    point(at, "", "/organizations", name);
    if (!mti_apply_find(all, name, id))
        return mti_apply_refuse(a, at, e, "There is no organization %.100s.", name);
    point(below, at, "/plugins", NULL);
    snprintf(base, sizeof base, "/v1/organizations/%s", id);
    MT_TRY(mti_apply_plan_settings(a, name, base, below, json_object_get(wanted, "plugins"), e));
    MT_TRY(plan_workspaces(a, name, id, at, json_object_get(wanted, "workspaces"), e));
    return json_object_get(wanted, "policies") ? mti_apply_plan_policies(a, name, id, json_object_get(wanted, "policies"), e) : MT_OK;
}

mt_status mti_apply_plan_organizations(mti_apply *a, mti_error *e)
{
    const char *name;
    json_t *one, *all, *wanted = json_object_get(a->wanted, "organizations");
    mt_status s = MT_OK;
    if (!json_object_size(wanted))
        return MT_OK;
    MT_TRY(mti_apply_list(a, "/v1/organizations", &all, e));
    json_object_foreach(wanted, name, one)
        if (s == MT_OK)
            s = plan_one(a, all, name, one, e);
    json_decref(all);
    return s;
}
