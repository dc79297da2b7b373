/*
 * Which model a workspace or a collection is embedded with, and the change of a workspace's. The change is a job that makes vectors of the new model beside
 * the old ones, some at a time, and switches in a transaction in which no chunk lacks one; until then the old model answers. Each batch is a
 * transaction of its own and is found by what is missing, so a run that breaks off at any point is simply repeated.
 */
#include "documents.h"

#include <stdlib.h>

enum { BATCH = 64, BATCHES = 32, SCRATCH = 1 << 21 };

static mt_status describe(mt_call *c, mt_slice model, mt_embedder_info *out)
{
    *out = (mt_embedder_info){.size = sizeof *out};
    mt_status s = mt_embedder_describe(c, model, out);
    if (s != MT_NOT_FOUND)
        return s;
    return mt_problem(c, 422, MT_SLICE("model_not_found"), mt_printf(c, "There is no embedding model \"%.*s\" here.", (int)model.len, model.p), MT_SLICE("/model"));
}

mt_status documents_on_collection_create(void *self, mt_call *c)
{
    mt_slice model = mt_body_text(c, MT_SLICE("/model")), json;
    mt_embedder_info info = {0};
    mt_handle row;
    if (model.p)
        MT_TRY(describe(c, model, &info));
    const mt_field args[] = {{MT_SLICE("bound"), info.model}, {MT_SLICE("dimensions"), model.p ? mt_printf(c, "%u", info.dimensions) : (mt_slice){0}}};
    MT_TRY(mt_db_one(c, MT_SLICE("collection_create"), args, 2, &row));
    MT_TRY(mt_db_json(c, row, 0, &json));
    return mt_respond(c, 201, json);
}

static mt_status answer_embedding(mt_call *c, int32_t status)
{
    mt_handle row;
    mt_slice json, model, next = {0};
    mt_embedder_info info = {.size = sizeof info};
    int64_t dimensions, done = 0, total = 0;
    MT_TRY(mt_db_query(c, MT_SLICE("embedding_get"), NULL, 0, &row));
    if (mt_db_rows(c, row)) {
        model = mt_db_value(c, row, 0, MT_SLICE("model"));
        next = mt_db_value(c, row, 0, MT_SLICE("next_model"));
        dimensions = mt_int(mt_db_value(c, row, 0, MT_SLICE("dimensions")), 0);
        done = mt_int(mt_db_value(c, row, 0, MT_SLICE("done")), 0);
        total = mt_int(mt_db_value(c, row, 0, MT_SLICE("total")), 0);
    } else {
        MT_TRY(mt_embedder_describe(c, (mt_slice){0}, &info));
        model = info.model;
        dimensions = info.dimensions;
    }
    mt_writer w = mt_write_begin(c);
    mt_write_object(&w, NULL);
    mt_write_text(&w, "model", model);
    mt_write_int(&w, "dimensions", dimensions);
    if (next.p) {
        mt_write_text(&w, "next_model", next);
        mt_write_object(&w, "progress");
        mt_write_int(&w, "done", done);
        mt_write_int(&w, "total", total);
        mt_write_close(&w);
    } else {
        mt_write_raw(&w, "next_model", MT_SLICE("null"));
    }
    mt_write_close(&w);
    MT_TRY(mt_write_end(&w, &json));
    return mt_respond(c, status, json);
}

mt_status documents_on_embedding_get(void *self, mt_call *c)
{
    return answer_embedding(c, 200);
}

/* Has a model's vectors cleared away that no document of the workspace needs. */
static mt_status forget(mt_call *c, mt_slice model)
{
    mt_writer w = mt_write_begin(c);
    mt_slice json;
    mt_write_object(&w, NULL);
    mt_write_text(&w, "model", model);
    mt_write_close(&w);
    MT_TRY(mt_write_end(&w, &json));
    return mt_queue_put(c, MT_SLICE("documents.forget"), json, (mt_slice){0}, 0);
}

/* The job that goes on with the change to a model, from a place on. key: mostly none, for the job that puts it still runs. */
static mt_status go_on(mt_call *c, mt_slice model, mt_slice added, mt_slice after, mt_slice key)
{
    mt_writer w = mt_write_begin(c);
    mt_slice json;
    mt_write_object(&w, NULL);
    mt_write_text(&w, "model", model);
    mt_write_text(&w, "added", added);
    mt_write_text(&w, "after", after);
    mt_write_close(&w);
    MT_TRY(mt_write_end(&w, &json));
    return mt_queue_put(c, MT_SLICE("documents.reembed"), json, key, 0);
}

static const char first[] = "00000000-0000-0000-0000-000000000000";

static mt_status put(mt_call *c, const mt_embedder_info *info, bool *changing)
{
    mt_handle row, before;
    const mt_field args[] = {{MT_SLICE("wanted"), info->model}, {MT_SLICE("dimensions"), mt_printf(c, "%u", info->dimensions)}};
    MT_TRY(mt_db_query(c, MT_SLICE("embedding_before"), NULL, 0, &before));
    mt_slice was = mt_db_rows(c, before) ? mt_db_value(c, before, 0, MT_SLICE("next_model")) : (mt_slice){0};
    *changing = was.p && mt_slice_eq(was, info->model);
    if (*changing)                              /* asked for again: perhaps the job gave up, when the model was away for long */
        return go_on(c, info->model, MT_SLICE("0"), mt_str(first), mt_workspace_id(c));
    MT_TRY(mt_db_one(c, MT_SLICE("embedding_put"), args, 2, &row));
    *changing = mt_db_value(c, row, 0, MT_SLICE("next_model")).p != NULL;
    if (was.p)
        MT_TRY(forget(c, was));
    return *changing ? go_on(c, info->model, MT_SLICE("0"), mt_str(first), (mt_slice){0}) : MT_OK;
}

mt_status documents_on_embedding_put(void *self, mt_call *c)
{
    mt_embedder_info info;
    bool changing = false;
    MT_TRY(describe(c, mt_body_text(c, MT_SLICE("/model")), &info));
    MT_TRY(mt_db_begin(c));
    MT_TRY(documents_end(c, put(c, &info, &changing)));
    return answer_embedding(c, changing ? 202 : 200);
}

typedef struct change {
    mt_call *c;
    mt_slice model, workspace_id, added, after;
    char *scratch;
} change;

static mt_status write_vectors(change *g, mt_handle page, uint32_t n, const float *vectors, size_t dimensions, mt_slice *json)
{
    char *hex = malloc(2 * dimensions * sizeof *vectors);
    mt_writer w = mt_write_begin(g->c);
    w.p = g->scratch;
    w.cap = SCRATCH;
    if (!hex)
        return MT_NO_MEMORY;
    mt_write_array(&w, NULL);
    for (uint32_t i = 0; i < n; i++) {
        documents_hex(hex, vectors + i * dimensions, dimensions * sizeof *vectors);
        mt_write_object(&w, NULL);
        mt_write_text(&w, "id", mt_db_value(g->c, page, i, MT_SLICE("id")));
        mt_write_text(&w, "vector", (mt_slice){hex, 2 * dimensions * sizeof *vectors});
        mt_write_close(&w);
    }
    mt_write_close(&w);
    free(hex);
    return mt_write_end(&w, json);
}

static mt_status store(change *g, mt_slice json)
{
    mt_handle row;
    const mt_field next[] = {{MT_SLICE("workspace_id"), g->workspace_id}, {MT_SLICE("wanted"), g->model}};
    MT_TRY(mt_queue_progress(g->c, 0, 0));      /* the lease, until the commit */
    MT_TRY(mt_db_query(g->c, MT_SLICE("reembed_next"), next, 2, &row));
    if (!mt_db_rows(g->c, row))
        return MT_DONE;                         /* the workspace wants another model by now */
    const mt_field add[] = {{MT_SLICE("workspace_id"), g->workspace_id}, {MT_SLICE("wanted"), g->model},
                            {MT_SLICE("version"), mt_db_value(g->c, row, 0, MT_SLICE("version"))}, {MT_SLICE("vectors"), json}};
    return mt_db_exec(g->c, MT_SLICE("vectors_add"), add, 4, NULL);
}

static mt_status embed_page(change *g, mt_handle page, uint32_t n)
{
    mt_slice texts[BATCH], json;
    const float *vectors;
    size_t floats;
    for (uint32_t i = 0; i < n; i++)
        texts[i] = mt_db_value(g->c, page, i, MT_SLICE("text"));
    MT_TRY(mt_embedder_embed(g->c, g->model, texts, n, &vectors, &floats));
    MT_TRY(write_vectors(g, page, n, vectors, floats / n, &json));
    MT_TRY(mt_db_begin(g->c));
    MT_TRY(documents_end(g->c, store(g, json)));
    g->added = mt_printf(g->c, "%lld", (long long)mt_int(mt_db_value(g->c, page, n - 1, MT_SLICE("added")), 0));
    g->after = mt_printf(g->c, "%.36s", mt_db_value(g->c, page, n - 1, MT_SLICE("id")).p);
    return MT_OK;
}

static mt_status next_page(change *g, uint32_t *n)
{
    mt_handle page;
    const mt_field args[] = {{MT_SLICE("workspace_id"), g->workspace_id}, {MT_SLICE("added"), g->added}, {MT_SLICE("after"), g->after}, {MT_SLICE("wanted"), g->model}};
    MT_TRY(mt_db_query(g->c, MT_SLICE("reembed_page"), args, 4, &page));
    *n = mt_db_rows(g->c, page);
    mt_status s = *n ? embed_page(g, page, *n) : MT_OK;
    mt_db_free(g->c, page);
    return s;
}

/* Under the lock that every ingest takes: either nothing is missing, or the job begins again with what came meanwhile. */
static mt_status switch_over(change *g)
{
    mt_handle row, missing;
    const mt_field args[] = {{MT_SLICE("workspace_id"), g->workspace_id}, {MT_SLICE("wanted"), g->model}};
    MT_TRY(mt_db_query(g->c, MT_SLICE("reembed_lock"), args, 2, &row));
    if (!mt_db_rows(g->c, row))
        return MT_OK;
    MT_TRY(mt_db_query(g->c, MT_SLICE("reembed_any"), args, 2, &missing));
    if (mt_db_rows(g->c, missing))
        return go_on(g->c, g->model, MT_SLICE("0"), mt_str(first), (mt_slice){0});
    MT_TRY(forget(g->c, mt_db_value(g->c, row, 0, MT_SLICE("model"))));
    return mt_db_one(g->c, MT_SLICE("reembed_switch"), args, 2, &row);
}

static mt_status reembed(change *g)
{
    uint32_t n = BATCH;
    for (int i = 0; i < BATCHES && n == BATCH; i++)
        MT_TRY(next_page(g, &n));
    if (n == BATCH)
        return go_on(g->c, g->model, g->added, g->after, (mt_slice){0});
    MT_TRY(mt_db_begin(g->c));
    return documents_end(g->c, switch_over(g));
}

mt_status documents_reembed(void *self, mt_call *c)
{
    mt_handle payload;
    MT_TRY(mt_json_parse(c, mt_body(c), &payload));
    change g = {.c = c, .workspace_id = mt_workspace_id(c), .model = mt_json_text(c, payload, MT_SLICE("/model")),
                .added = mt_json_text(c, payload, MT_SLICE("/added")), .after = mt_json_text(c, payload, MT_SLICE("/after")), .scratch = malloc(SCRATCH)};
    mt_status s = g.scratch ? reembed(&g) : MT_NO_MEMORY;
    free(g.scratch);
    return s == MT_DONE ? MT_OK : s == MT_NOT_FOUND ? MT_UNAVAILABLE : s;
}

/* A provider that is not there has no index to forget. */
static mt_status forget_indexes(mt_call *c, mt_slice workspace_id, mt_slice model)
{
    mt_status s = mt_index_drop(c, workspace_id, model);
    if (s == MT_OK && !model.p)
        s = mt_text_index_drop(c, workspace_id);
    return s == MT_DENIED || s == MT_UNSUPPORTED ? MT_OK : s;
}

mt_status documents_forget(void *self, mt_call *c)
{
    mt_handle payload;
    MT_TRY(mt_json_parse(c, mt_body(c), &payload));
    mt_slice deleted = mt_json_text(c, payload, MT_SLICE("/workspace_id")), model = mt_json_text(c, payload, MT_SLICE("/model"));
    if (deleted.p)
        return forget_indexes(c, deleted, (mt_slice){0});
    for (int64_t gone = 1; gone;) {
        mt_handle row;
        const mt_field args[] = {{MT_SLICE("workspace_id"), mt_workspace_id(c)}, {MT_SLICE("unused"), model}};
        MT_TRY(mt_db_begin(c));
        mt_status s = mt_db_query(c, MT_SLICE("version_lock"), args, 1, &row);
        if (s == MT_OK)
            s = mt_db_exec(c, MT_SLICE("vectors_unused"), args, 2, &gone);
        MT_TRY(documents_end(c, s));
        MT_TRY(mt_queue_progress(c, 0, 0));
    }
    return forget_indexes(c, mt_workspace_id(c), model);
}
