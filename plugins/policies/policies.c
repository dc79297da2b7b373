/* Organizations' own policies: what named queries cannot do alone. The host compiles and runs; here are the rows. */
#include <mortise/entry.h>

static mt_status nothing(mt_call *c)
{
    return mt_problem(c, 404, MT_SLICE("not_found"), MT_SLICE("There is nothing of this id here."), MT_SLICE(""));
}

/* A transaction ends with s: kept when it is MT_OK. */
static mt_status end(mt_call *c, mt_status s)
{
    if (s == MT_OK)
        return mt_db_commit(c);
    mt_db_rollback(c);
    return s;
}

static mt_status answer_policy(mt_call *c, int32_t status, mt_slice id)
{
    mt_handle row;
    mt_slice json;
    const mt_field arg = {MT_SLICE("policy_id"), id};
    MT_TRY(mt_db_one(c, MT_SLICE("policy_get"), &arg, 1, &row));
    mt_slice etag = mt_db_value(c, row, 0, MT_SLICE("_etag"));
    MT_TRY(mt_db_json(c, row, 0, &json));
    MT_TRY(mt_respond_header(c, MT_SLICE("etag"), mt_printf(c, "\"%.*s\"", (int)etag.len, etag.p)));
    return mt_respond(c, status, json);
}

/* --- uploading --- */

typedef struct text {
    mt_slice source, hook;
    int64_t priority;
} text;

static mt_status take_text(mt_call *c, mt_slice name, text *t)
{
    t->source = mt_body_text(c, MT_SLICE("/source"));
    return mt_policy_check(c, name, t->source, &t->hook, &t->priority);
}

static mt_status add_version(mt_call *c, mt_slice policy_id, mt_slice number, const text *t)
{
    const mt_field args[] = {{MT_SLICE("policy_id"), policy_id}, {MT_SLICE("number"), number}, {MT_SLICE("version_id"), mt_new_id(c)},
                             {MT_SLICE("hook"), t->hook}, {MT_SLICE("priority"), mt_printf(c, "%lld", (long long)t->priority)},
                             {MT_SLICE("source"), t->source}};
    return mt_db_exec(c, MT_SLICE("version_add"), args, sizeof args / sizeof *args, NULL);
}

static mt_status check_room(mt_call *c)
{
    mt_handle row;
    MT_TRY(mt_db_one(c, MT_SLICE("policy_room"), NULL, 0, &row));
    if (mt_slice_eq(mt_db_value(c, row, 0, MT_SLICE("room")), MT_SLICE("t")))
        return MT_OK;
    return mt_problem(c, 409, MT_SLICE("policies_full"), MT_SLICE("An organization has at most 32 policies: delete one, or put two into one text."), MT_SLICE(""));
}

static mt_status create(mt_call *c, mt_slice id, const text *t)
{
    const mt_field args[] = {{MT_SLICE("policy_id"), id}};
    MT_TRY(check_room(c));
    MT_TRY(mt_db_exec(c, MT_SLICE("policy_add"), args, 1, NULL));
    return add_version(c, id, MT_SLICE("1"), t);
}

static mt_status on_create(void *self, mt_call *c)
{
    text t;
    mt_slice id = mt_new_id(c), org = mt_org_id(c);
    MT_TRY(take_text(c, mt_param(c, MT_SLICE("name")), &t));
    MT_TRY(mt_db_begin(c));
    MT_TRY(end(c, create(c, id, &t)));
    MT_TRY(mt_respond_header(c, MT_SLICE("location"), mt_printf(c, "/v1/organizations/%.*s/policies/%.*s", (int)org.len, org.p, (int)id.len, id.p)));
    return answer_policy(c, 201, id);
}

static mt_status add_next(mt_call *c, mt_slice id, const text *t, mt_slice *number)
{
    mt_handle row;
    MT_TRY(mt_db_one(c, MT_SLICE("policy_next"), NULL, 0, &row));
    *number = mt_db_value(c, row, 0, MT_SLICE("number"));
    MT_TRY(add_version(c, id, *number, t));
    return mt_db_exec(c, MT_SLICE("version_prune"), NULL, 0, NULL);
}

static mt_status on_version_create(void *self, mt_call *c)
{
    text t;
    mt_handle row;
    mt_slice id = mt_param(c, MT_SLICE("policy_id")), number, json;
    MT_TRY(mt_db_one(c, MT_SLICE("policy_get"), NULL, 0, &row));
    MT_TRY(take_text(c, mt_db_value(c, row, 0, MT_SLICE("name")), &t));
    MT_TRY(mt_db_begin(c));
    MT_TRY(end(c, add_next(c, id, &t, &number)));
    const mt_field arg = {MT_SLICE("number"), number};
    MT_TRY(mt_db_one(c, MT_SLICE("version_get"), &arg, 1, &row));
    MT_TRY(mt_db_json(c, row, 0, &json));
    return mt_respond(c, 201, json);
}

/* --- what runs --- */

/* What is compared must stand on the same hook. */
static mt_status update(mt_call *c)
{
    mt_handle row;
    MT_TRY(mt_db_one(c, MT_SLICE("policy_update"), NULL, 0, &row));
    MT_TRY(mt_db_one(c, MT_SLICE("policy_hooks"), NULL, 0, &row));
    if (!mt_slice_eq(mt_db_value(c, row, 0, MT_SLICE("hooks")), MT_SLICE("2")))
        return MT_OK;
    return mt_problem(c, 422, MT_SLICE("policy_hooks_differ"), MT_SLICE("The shadow must stand on the hook of the version that is enabled."), MT_SLICE("/shadow_version"));
}

static mt_status on_update(void *self, mt_call *c)
{
    MT_TRY(mt_db_begin(c));
    MT_TRY(end(c, update(c)));
    MT_TRY(mt_policy_changed(c));
    return answer_policy(c, 200, mt_param(c, MT_SLICE("policy_id")));
}

static mt_status on_delete(void *self, mt_call *c)
{
    int64_t gone = 0;
    MT_TRY(mt_db_exec(c, MT_SLICE("policy_delete"), NULL, 0, &gone));
    return gone ? mt_policy_changed(c) : nothing(c);
}

/* --- trying --- */

static mt_status on_try(void *self, mt_call *c)
{
    mt_handle row;
    mt_slice report;
    MT_TRY(mt_db_one(c, MT_SLICE("whole_organization"), NULL, 0, &row));
    MT_TRY(mt_policy_test(c, mt_param(c, MT_SLICE("name")), mt_body_text(c, MT_SLICE("/source")), mt_body_text(c, MT_SLICE("/cases")), &report));
    return mt_respond(c, 200, report);
}

static mt_status on_replay(void *self, mt_call *c)
{
    mt_handle policy, row;
    mt_slice report;
    MT_TRY(mt_db_one(c, MT_SLICE("policy_get"), NULL, 0, &policy));
    MT_TRY(mt_db_one(c, MT_SLICE("records"), NULL, 0, &row));
    MT_TRY(mt_policy_replay(c, mt_db_value(c, policy, 0, MT_SLICE("name")), mt_body_text(c, MT_SLICE("/source")),
                            mt_db_value(c, row, 0, MT_SLICE("records")), &report));
    return mt_respond(c, 200, report);
}

static mt_status on_explain(void *self, mt_call *c)
{
    mt_handle row;
    mt_slice report;
    MT_TRY(mt_db_one(c, MT_SLICE("whole_organization"), NULL, 0, &row));
    MT_TRY(mt_policy_explain(c, mt_body(c), &report));
    return mt_respond(c, 200, report);
}

/* --- policy_store/1 --- */

static mt_status store_list(void *self, mt_call *c, mt_slice *policies)
{
    mt_handle row;
    MT_TRY(mt_db_one(c, MT_SLICE("running"), NULL, 0, &row));
    *policies = mt_db_value(c, row, 0, MT_SLICE("policies"));
    return MT_OK;
}

static mt_status add_notes(mt_call *c, const mt_field *given)
{
    MT_TRY(mt_db_exec(c, MT_SLICE("count_add"), given, 1, NULL));
    MT_TRY(mt_db_exec(c, MT_SLICE("decision_add"), given, 1, NULL));
    return mt_db_exec(c, MT_SLICE("decision_prune"), NULL, 0, NULL);
}

static mt_status store_note(void *self, mt_call *c, mt_slice notes)
{
    const mt_field given = {MT_SLICE("given"), notes};
    MT_TRY(mt_db_begin(c));
    return end(c, add_notes(c, &given));
}

static mt_status load(void *self, const mt_host *host)
{
    mt_bind(host);
    return MT_OK;
}

static const mt_policy_store_1_provider store = {.size = sizeof store, .version = 1, .list = store_list, .note = store_note};
static const mt_service_entry services[] = {{"policy_store/1", &store}};
static const mt_handler_entry handlers[] = {{"on_create", on_create}, {"on_version_create", on_version_create}, {"on_update", on_update},
                                            {"on_delete", on_delete}, {"on_try", on_try}, {"on_replay", on_replay}, {"on_explain", on_explain}};

MT_EXPORT const mt_plugin policies_plugin = {
    .abi = MT_ABI, .size = sizeof(mt_plugin), .slug = "policies", .version = "0.1.0", .load = load,
    .handlers = handlers, .n_handlers = sizeof handlers / sizeof *handlers, .services = services, .n_services = 1};
