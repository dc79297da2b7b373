/* The model list, and the table of the plugin. */
#include "openai.h"

#include <mortise/entry.h>

#include <ctype.h>

static void write_model(mt_writer *w, mt_slice id, mt_slice owner, int64_t created)
{
    mt_write_object(w, NULL);
    mt_write_text(w, "id", id);
    mt_write_text(w, "object", MT_SLICE("model"));
    mt_write_int(w, "created", created);
    mt_write_text(w, "owned_by", owner.p ? owner : MT_SLICE("mortise"));
    mt_write_close(w);
}

static mt_status write_agents(mt_call *c, mt_writer *w)
{
    mt_handle rows;
    MT_TRY(mt_db_query(c, MT_SLICE("agents"), NULL, 0, &rows));
    for (uint32_t i = 0, n = mt_db_rows(c, rows); i < n; i++) {
        mt_slice slug = mt_db_value(c, rows, i, MT_SLICE("slug"));
        write_model(w, mt_printf(c, "agent/%.*s", (int)slug.len, slug.p), MT_SLICE("agent"), mt_int(mt_db_value(c, rows, i, MT_SLICE("created")), 0));
    }
    return MT_OK;
}

static mt_status find_registered(mt_call *c, mt_slice id, mt_handle *rows)
{
    const mt_field arg = {MT_SLICE("registered_id"), id};
    return mt_db_query(c, MT_SLICE("registered"), &arg, 1, rows);
}

static mt_status list_registered(mt_call *c)
{
    mt_handle rows;
    mt_slice json;
    if (!mt_slice_eq(mt_param(c, MT_SLICE("organization_id")), mt_org_id(c)))
        return mt_problem(c, 404, MT_SLICE("organization_not_found"), MT_SLICE("organization_id is not the organization of this key."), MT_SLICE("/organization_id"));
    MT_TRY(find_registered(c, (mt_slice){0}, &rows));
    mt_writer w = mt_write_begin(c);
    mt_write_object(&w, NULL);
    mt_write_text(&w, "object", MT_SLICE("list"));
    mt_write_array(&w, "data");
    for (uint32_t i = 0; i < mt_db_rows(c, rows); i++)
        mt_write_raw(&w, NULL, mt_db_value(c, rows, i, MT_SLICE("model")));
    mt_write_close(&w);
    mt_write_close(&w);
    MT_TRY(mt_write_end(&w, &json));
    return mt_respond(c, 200, json);
}

mt_status on_models(void *self, mt_call *c)
{
    mt_llm_model model = {.size = sizeof model};
    mt_embedder_info info = {.size = sizeof info};
    mt_slice json;
    bool entered;
    if (mt_param(c, MT_SLICE("organization_id")).p)
        return list_registered(c);
    MT_TRY(target_enter_workspace(c, &entered));
    mt_writer w = mt_write_begin(c);
    mt_write_object(&w, NULL);
    mt_write_text(&w, "object", MT_SLICE("list"));
    mt_write_array(&w, "data");
    for (uint32_t i = 0; mt_llm_models(c, i, &model) == MT_OK; i++)
        write_model(&w, model.model, model.provider, 0);
    for (uint32_t i = 0; mt_embedder_models(c, i, &info) == MT_OK; i++)
        write_model(&w, info.model, info.provider, 0);
    if (entered)
        MT_TRY(write_agents(c, &w));
    mt_write_close(&w);
    mt_write_close(&w);
    MT_TRY(mt_write_end(&w, &json));
    return mt_respond(c, 200, json);
}

static bool find_embedder(mt_call *c, mt_slice name, mt_embedder_info *out)
{
    *out = (mt_embedder_info){.size = sizeof *out};
    for (uint32_t i = 0; mt_embedder_models(c, i, out) == MT_OK; i++)
        if (mt_slice_eq(out->model, name))
            return true;
    return false;
}

/* Nobody calls a model by what looks like an id. */
static bool is_id(mt_slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((i == 8 || i == 13 || i == 18 || i == 23) ? s.p[i] != '-' : !isxdigit((unsigned char)s.p[i]))
            return false;
    return s.len == 36;
}

static mt_status answer_registered(mt_call *c, mt_slice id)
{
    mt_handle rows;
    MT_TRY(find_registered(c, id, &rows));
    return mt_db_rows(c, rows) ? mt_respond(c, 200, mt_db_value(c, rows, 0, MT_SLICE("model")))
                               : mt_problem(c, 404, MT_SLICE("model_not_found"), MT_SLICE("There is no registered model of this id here: GET /v1/model-registry lists them."), MT_SLICE("/model_id"));
}

mt_status on_model(void *self, mt_call *c)
{
    mt_slice name = mt_param(c, MT_SLICE("model_id")), owner = mt_param(c, MT_SLICE("owner")), rest = mt_param(c, MT_SLICE("name")), json;
    mt_embedder_info info;
    target t;
    if (is_id(name))
        return answer_registered(c, name);
    if (!name.p)
        name = mt_printf(c, "%.*s/%.*s", (int)owner.len, owner.p, (int)rest.len, rest.p);
    mt_writer w = mt_write_begin(c);
    if (find_embedder(c, name, &info)) {
        write_model(&w, name, info.provider, 0);
    } else {
        MT_TRY(target_find(c, name, &t));
        write_model(&w, name, t.agent_id.p ? MT_SLICE("agent") : t.model.provider, t.created);
    }
    MT_TRY(mt_write_end(&w, &json));
    return mt_respond(c, 200, json);
}

static mt_status load(void *self, const mt_host *host)
{
    mt_bind(host);
    return MT_OK;
}

static const mt_handler_entry handlers[] = {{"on_chat", on_chat}, {"on_embeddings", on_embeddings}, {"on_models", on_models}, {"on_model", on_model}};

MT_EXPORT const mt_plugin openai_plugin = {
    .abi = MT_ABI, .size = sizeof(mt_plugin), .slug = "openai", .version = "0.1.0", .load = load, .handlers = handlers, .n_handlers = 4};
