/* What happens to documents after their upload: changes, deletion, being read anew; and what a deletion leaves to be cleared away. */
#include "documents.h"

#include <stdlib.h>

mt_status documents_end(mt_call *c, mt_status s)
{
    if (s == MT_OK)
        return mt_db_commit(c);
    mt_db_rollback(c);
    return s;
}

int64_t documents_config(mt_call *c, mt_slice pointer, int64_t fallback)
{
    return mt_int(mt_config(c, pointer), fallback);
}

mt_slice documents_array(mt_call *c, const mt_slice *items, size_t n)
{
    size_t room = 3;
    for (size_t i = 0; i < n; i++)
        room += items[i].len + 1;
    char *p = mt_alloc(c, room), *at = p;
    if (!p)
        return (mt_slice){0};
    *at++ = '{';
    for (size_t i = 0; i < n; i++) {
        if (i)
            *at++ = ',';
        memcpy(at, items[i].p, items[i].len);
        at += items[i].len;
    }
    *at++ = '}';
    return (mt_slice){p, (size_t)(at - p)};
}

void documents_hex(char *out, const void *p, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[((const uint8_t *)p)[i] >> 4];
        out[2 * i + 1] = digits[((const uint8_t *)p)[i] & 15];
    }
}

mt_status documents_answer(mt_call *c, int32_t status, mt_slice id)
{
    mt_handle row;
    mt_slice json;
    const mt_field arg = {MT_SLICE("id"), id};
    MT_TRY(mt_db_one(c, MT_SLICE("document_state"), &arg, 1, &row));
    MT_TRY(mt_db_json(c, row, 0, &json));
    return mt_respond(c, status, json);
}

mt_status documents_queue_again(mt_call *c, mt_slice id, bool anew)
{
    mt_handle row;
    const mt_field args[] = {{MT_SLICE("id"), id}, {MT_SLICE("anew"), anew ? MT_SLICE("true") : MT_SLICE("false")}};
    MT_TRY(mt_db_query(c, MT_SLICE("document_again"), args, 2, &row));
    if (!mt_db_rows(c, row))
        return MT_OK;
    mt_slice version = mt_db_value(c, row, 0, MT_SLICE("version"));
    mt_slice key = mt_printf(c, "%.*s:%.*s", (int)id.len, id.p, (int)version.len, version.p);
    return mt_queue_put(c, MT_SLICE("documents.ingest"), mt_printf(c, "{\"document_id\":\"%.*s\"}", (int)id.len, id.p), key, 0);
}

mt_status documents_sweep_later(mt_call *c)
{
    return mt_queue_put(c, MT_SLICE("documents.sweep"), MT_SLICE("{}"), (mt_slice){0}, documents_config(c, MT_SLICE("/sweep_after_ms"), 60000));
}

mt_status documents_prune_later(mt_call *c, mt_slice workspace_id, mt_slice version)
{
    enum { EACH = 32 };
    if (!version.p || mt_int(version, 0) % EACH)
        return MT_OK;
    return mt_queue_put(c, MT_SLICE("documents.prune"), MT_SLICE("{}"), workspace_id, 0);
}

mt_status documents_prune(void *self, mt_call *c)
{
    const mt_field args[] = {{MT_SLICE("workspace_id"), mt_workspace_id(c)},
                             {MT_SLICE("keep"), mt_printf(c, "%lld", (long long)documents_config(c, MT_SLICE("/keep_versions"), 4096))}};
    MT_TRY(mt_db_begin(c));
    mt_status s = mt_db_exec(c, MT_SLICE("floor_raise"), args, 2, NULL);
    if (s == MT_OK)
        s = mt_db_exec(c, MT_SLICE("removed_prune"), args, 2, NULL);
    return documents_end(c, s);
}

/* Only what is noted, and only while no document has it: the note goes after the blob, so a run that breaks off is repeated. */
mt_status documents_sweep(void *self, mt_call *c)
{
    mt_handle rows;
    MT_TRY(mt_db_query(c, MT_SLICE("blobs_gone"), NULL, 0, &rows));
    uint32_t n = mt_db_rows(c, rows);
    for (uint32_t i = 0; i < n; i++) {
        const mt_field arg = {MT_SLICE("sha256"), mt_db_value(c, rows, i, MT_SLICE("sha256"))};
        if (mt_slice_eq(mt_db_value(c, rows, i, MT_SLICE("used")), MT_SLICE("f")))
            MT_TRY(mt_blob_remove(c, arg.value));
        MT_TRY(mt_db_exec(c, MT_SLICE("blob_swept"), &arg, 1, NULL));
    }
    return n == 500 ? mt_queue_put(c, MT_SLICE("documents.sweep"), MT_SLICE("{}"), (mt_slice){0}, 0) : MT_OK;
}

static mt_status delete_one(mt_call *c)
{
    mt_handle rows;
    const mt_field args[] = {{MT_SLICE("document_id"), mt_param(c, MT_SLICE("document_id"))}, {MT_SLICE("of_collection"), {0}}};
    MT_TRY(mt_db_query(c, MT_SLICE("documents_delete"), args, 2, &rows));
    if (!mt_db_rows(c, rows))
        return mt_problem(c, 404, MT_SLICE("not_found"), MT_SLICE("There is nothing of this id here."), MT_SLICE(""));
    MT_TRY(documents_prune_later(c, mt_workspace_id(c), mt_db_value(c, rows, 0, MT_SLICE("version"))));
    return documents_sweep_later(c);
}

mt_status documents_on_delete(void *self, mt_call *c)
{
    MT_TRY(mt_db_begin(c));
    return documents_end(c, delete_one(c));
}

/* Those of the list that are of another model now are read anew; the caller holds version_lock. */
static mt_status queue_stale(mt_call *c, mt_slice ids)
{
    mt_handle rows;
    const mt_field arg = {MT_SLICE("ids"), ids};
    MT_TRY(mt_db_query(c, MT_SLICE("documents_stale"), &arg, 1, &rows));
    for (uint32_t i = 0; i < mt_db_rows(c, rows); i++)
        MT_TRY(documents_queue_again(c, mt_db_value(c, rows, i, MT_SLICE("id")), true));
    return MT_OK;
}

static mt_status update(mt_call *c, mt_slice *id)
{
    mt_handle row;
    MT_TRY(mt_db_query(c, MT_SLICE("version_lock"), NULL, 0, &row));
    MT_TRY(mt_db_one(c, MT_SLICE("document_update"), NULL, 0, &row));
    *id = mt_db_value(c, row, 0, MT_SLICE("id"));
    return queue_stale(c, documents_array(c, id, 1));
}

mt_status documents_on_update(void *self, mt_call *c)
{
    mt_slice id = {0};
    MT_TRY(mt_db_begin(c));
    MT_TRY(documents_end(c, update(c, &id)));
    return documents_answer(c, 200, id);
}

mt_status documents_on_reindex(void *self, mt_call *c)
{
    mt_handle row;
    MT_TRY(mt_db_one(c, MT_SLICE("document_get"), NULL, 0, &row));      /* in this workspace */
    mt_slice id = mt_db_value(c, row, 0, MT_SLICE("id"));
    MT_TRY(mt_db_begin(c));
    MT_TRY(documents_end(c, documents_queue_again(c, id, true)));
    return documents_answer(c, 202, id);
}

mt_status documents_on_reindex_all(void *self, mt_call *c)
{
    mt_handle row;
    MT_TRY(mt_db_one(c, MT_SLICE("events_begin"), NULL, 0, &row));
    mt_slice since = mt_db_value(c, row, 0, MT_SLICE("since"));
    mt_slice payload = mt_printf(c, "{\"after\":\"00000000-0000-0000-0000-000000000000\",\"started\":\"%.*s\"}", (int)since.len, since.p);
    MT_TRY(mt_queue_put(c, MT_SLICE("documents.reindex"), payload, (mt_slice){0}, 0));
    return mt_respond(c, 202, MT_SLICE("{\"status\":\"queued\"}"));
}

/* 200 documents and the job for the rest are one transaction; what was read anew meanwhile is not read again. */
static mt_status reindex_some(mt_call *c, mt_handle payload)
{
    mt_handle rows;
    mt_slice started = mt_json_text(c, payload, MT_SLICE("/started")), id = {0};
    const mt_field args[] = {{MT_SLICE("workspace_id"), mt_workspace_id(c)}, {MT_SLICE("after"), mt_json_text(c, payload, MT_SLICE("/after"))},
                             {MT_SLICE("started"), started}};
    MT_TRY(mt_db_query(c, MT_SLICE("documents_older"), args, 3, &rows));
    uint32_t n = mt_db_rows(c, rows);
    for (uint32_t i = 0; i < n; i++) {
        id = mt_db_value(c, rows, i, MT_SLICE("id"));
        MT_TRY(documents_queue_again(c, id, true));
    }
    if (!n)
        return MT_OK;
    mt_slice next = mt_printf(c, "{\"after\":\"%.*s\",\"started\":\"%.*s\"}", (int)id.len, id.p, (int)started.len, started.p);
    return mt_queue_put(c, MT_SLICE("documents.reindex"), next, (mt_slice){0}, 0);
}

mt_status documents_reindex_job(void *self, mt_call *c)
{
    mt_handle payload;
    MT_TRY(mt_json_parse(c, mt_body(c), &payload));
    MT_TRY(mt_db_begin(c));
    return documents_end(c, reindex_some(c, payload));
}

/* The rows go with the workspace; blobs and index files do not. */
static mt_status note_workspace(mt_call *c, mt_slice workspace_id)
{
    const mt_field arg = {MT_SLICE("of_workspace"), workspace_id};
    MT_TRY(mt_db_exec(c, MT_SLICE("blobs_of_workspace"), &arg, 1, NULL));
    MT_TRY(documents_sweep_later(c));
    return mt_queue_put(c, MT_SLICE("documents.forget"), mt_printf(c, "{\"workspace_id\":\"%.*s\"}", (int)workspace_id.len, workspace_id.p), (mt_slice){0}, 0);
}

mt_outcome documents_on_workspace_deleting(void *self, mt_call *c, const void *in, mt_patch *out)
{
    const mt_workspace_deleting *w = in;
    return note_workspace(c, w->workspace_id) == MT_OK ? MT_CONTINUE : MT_ERROR;
}

/* A deleted collection's documents, once its row is gone or before they are. */
static mt_status delete_collection(mt_call *c, bool with_documents)
{
    mt_handle rows, row;
    mt_slice *ids;
    MT_TRY(mt_db_query(c, MT_SLICE("version_lock"), NULL, 0, &row));
    const mt_field args[] = {{MT_SLICE("document_id"), {0}}, {MT_SLICE("of_collection"), mt_param(c, MT_SLICE("collection_id"))}};
    MT_TRY(mt_db_query(c, with_documents ? MT_SLICE("documents_delete") : MT_SLICE("documents_of_collection"), args + !with_documents, with_documents ? 2 : 1, &rows));
    MT_TRY(mt_db_one(c, MT_SLICE("collection_delete"), NULL, 0, &row));
    uint32_t n = mt_db_rows(c, rows);
    if (!n)
        return MT_OK;
    if (with_documents)
        return documents_sweep_later(c);
    ids = mt_alloc(c, n * sizeof *ids);
    for (uint32_t i = 0; ids && i < n; i++)
        ids[i] = mt_db_value(c, rows, i, MT_SLICE("id"));
    return ids ? queue_stale(c, documents_array(c, ids, n)) : MT_NO_MEMORY;
}

mt_status documents_on_collection_delete(void *self, mt_call *c)
{
    MT_TRY(mt_db_begin(c));
    return documents_end(c, delete_collection(c, mt_slice_eq(mt_param(c, MT_SLICE("documents")), MT_SLICE("delete"))));
}
