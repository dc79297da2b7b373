/* Uploads; reading is queries only. */
#include "documents.h"

#include <mortise/entry.h>

#include "extract.h"

#include "text/utf8.h"

/* The last part of a path, at most 255 bytes of it, without control characters and what is no UTF-8: a browser or a hostile client sent it. */
static mt_slice clean_name(mt_call *c, mt_slice name)
{
    enum { MOST = 255 };
    size_t n = 0, step;
    uint32_t cp;
    for (size_t i = name.len; i-- > 0;)
        if (name.p[i] == '/' || name.p[i] == '\\') {
            name = (mt_slice){name.p + i + 1, name.len - i - 1};
            break;
        }
    char *out = mt_alloc(c, MOST + 1);
    for (size_t i = 0; out && i < name.len; i += step) {
        step = mt_utf8_next(name.p + i, name.len - i, &cp);
        if (n + step > MOST)
            break;
        if (cp == MT_UTF8_BAD || cp < 0x20 || cp == 0x7f)
            continue;
        memcpy(out + n, name.p + i, step);
        n += step;
    }
    return n ? (mt_slice){out, n} : MT_SLICE("unnamed.txt");
}

typedef struct upload {
    mt_slice name, type, data, sha256, id;
    bool duplicate;
} upload;

static mt_status ask_hook(mt_call *c, upload *u)
{
    mt_document_uploaded in = {.size = sizeof in, .workspace_id = mt_workspace_id(c), .file_name = u->name, .content_type = u->type,
                               .bytes = (int64_t)u->data.len, .sha256 = u->sha256};
    mt_outcome o = mt_hook_emit(c, MT_SLICE("document.uploaded"), &in);
    if (o == MT_DENY)
        return MT_DENIED;
    if (o == MT_ERROR)
        return MT_INTERNAL;
    u->name = in.file_name;
    return MT_OK;
}

static mt_status read_part(mt_call *c, uint32_t i, upload *u)
{
    mt_slice field;
    MT_TRY(mt_file(c, i, &field, &u->name, &u->type, &u->data));
    u->name = clean_name(c, u->name);
    mt_slice pointer = mt_printf(c, "/file/%u", i);
    if (!mt_slice_eq(field, MT_SLICE("file")))
        return mt_problem(c, 422, MT_SLICE("field_unknown"), MT_SLICE("Files are sent in the field \"file\"."), pointer);
    if (!documents_kind(u->name, u->type))
        return mt_problem(c, 415, MT_SLICE("file_type_unsupported"), mt_printf(c, "%.*s is not a .txt, .md, .html, .pdf, .docx or .csv file.", (int)u->name.len, u->name.p), pointer);
    if (!u->data.len)
        return mt_problem(c, 422, MT_SLICE("file_empty"), mt_printf(c, "%.*s is empty.", (int)u->name.len, u->name.p), pointer);
    MT_TRY(mt_blob_put(c, u->data, &u->sha256));
    return ask_hook(c, u);
}

static mt_status find_same(mt_call *c, upload *u)
{
    mt_handle row;
    const mt_field same[] = {{MT_SLICE("sha256"), u->sha256}, {MT_SLICE("workspace_id"), mt_workspace_id(c)}};
    MT_TRY(mt_db_one(c, MT_SLICE("document_same"), same, 2, &row));
    u->id = mt_db_value(c, row, 0, MT_SLICE("id"));
    u->duplicate = true;
    return documents_queue_again(c, u->id, false);
}

/* The row and its job are one transaction: what was acknowledged is ingested. */
static mt_status store(mt_call *c, upload *u)
{
    mt_handle row;
    u->id = mt_new_id(c);
    const mt_field args[] = {{MT_SLICE("id"), u->id}, {MT_SLICE("sha256"), u->sha256}, {MT_SLICE("file_name"), u->name},
                             {MT_SLICE("content_type"), u->type.p ? u->type : MT_SLICE("")}, {MT_SLICE("bytes"), mt_printf(c, "%zu", u->data.len)},
                             {MT_SLICE("collection_id"), mt_param(c, MT_SLICE("collection_id"))}, {MT_SLICE("metadata"), mt_param(c, MT_SLICE("metadata"))},
                             {MT_SLICE("workspace_id"), mt_workspace_id(c)}};
    MT_TRY(mt_db_query(c, MT_SLICE("document_add"), args, sizeof args / sizeof *args, &row));
    if (!mt_db_rows(c, row))
        return find_same(c, u);
    mt_slice payload = mt_printf(c, "{\"document_id\":\"%.*s\"}", (int)u->id.len, u->id.p);
    return mt_queue_put(c, MT_SLICE("documents.ingest"), payload, u->id, 0);
}

static mt_status store_all(mt_call *c, upload *list, uint32_t n)
{
    mt_status s = MT_OK;
    MT_TRY(mt_db_begin(c));
    for (uint32_t i = 0; i < n && s == MT_OK; i++)
        s = store(c, &list[i]);
    if (s == MT_OK)
        return mt_db_commit(c);
    mt_db_rollback(c);
    return s;
}

/* A refused upload (a hook, the quota) leaves no files behind. */
static void sweep_all(mt_call *c, const upload *list, uint32_t n)
{
    mt_slice *gone = mt_alloc(c, (n + 1) * sizeof *gone);
    uint32_t k = 0;
    for (uint32_t i = 0; gone && i < n; i++)
        if (list[i].sha256.p)
            gone[k++] = list[i].sha256;
    const mt_field arg = {MT_SLICE("list"), k ? documents_array(c, gone, k) : (mt_slice){0}};
    if (k && mt_db_exec(c, MT_SLICE("blobs_noted"), &arg, 1, NULL) == MT_OK)
        documents_sweep_later(c);
}

/* Writes the answer's items; answers how many are not finished yet. */
static mt_status write_items(mt_call *c, const upload *list, uint32_t n, mt_slice *json, uint32_t *open)
{
    mt_writer w = mt_write_begin(c);
    mt_slice of_first = {0};
    *open = 0;
    mt_write_object(&w, NULL);
    mt_write_text(&w, "job_id", list[0].id);
    mt_write_array(&w, "items");
    for (uint32_t i = 0; i < n; i++) {
        mt_handle row;
        mt_slice document;
        const mt_field id = {MT_SLICE("id"), list[i].id};
        MT_TRY(mt_db_one(c, MT_SLICE("document_state"), &id, 1, &row));
        mt_slice status = mt_db_value(c, row, 0, MT_SLICE("status"));
        if (!i)
            of_first = status;
        *open += mt_slice_eq(status, MT_SLICE("queued")) || mt_slice_eq(status, MT_SLICE("indexing"));
        MT_TRY(mt_db_json(c, row, 0, &document));
        mt_write_object(&w, NULL);
        mt_write_raw(&w, "document", document);
        mt_write_bool(&w, "duplicate", list[i].duplicate);
        mt_write_close(&w);
    }
    mt_write_close(&w);
    mt_write_text(&w, "status", of_first);
    mt_write_close(&w);
    return mt_write_end(&w, json);
}

/* Until every file is indexed or has failed, or the patience of a client is over. */
static mt_status wait_for(mt_call *c, const upload *list, uint32_t n)
{
    enum { PATIENCE_MS = 50000, EAGER_MS = 2000 };
    char *ids = mt_alloc(c, n * 37 + 2), *at = ids;
    if (!ids)
        return MT_NO_MEMORY;
    for (uint32_t i = 0; i < n; i++)
        at += sprintf(at, "%c%.36s", i ? ',' : '{', list[i].id.p);
    *at++ = '}';
    const mt_field arg = {MT_SLICE("ids"), {ids, (size_t)(at - ids)}};
    for (int64_t waited = 0, pause; waited < PATIENCE_MS; waited += pause) {
        mt_handle row;
        MT_TRY(mt_db_one(c, MT_SLICE("documents_open"), &arg, 1, &row));
        bool done = mt_slice_eq(mt_db_value(c, row, 0, MT_SLICE("n")), MT_SLICE("0"));
        mt_db_free(c, row);
        if (done)
            break;
        pause = waited < EAGER_MS ? 50 : 250;
        MT_TRY(mt_sleep(c, pause));
    }
    return MT_OK;
}

static mt_status on_upload(void *self, mt_call *c)
{
    uint32_t n = mt_files(c), open;
    mt_slice json;
    if (!n)
        return mt_problem(c, 422, MT_SLICE("file_missing"), MT_SLICE("Send at least one file in the field \"file\"."), MT_SLICE("/file"));
    upload *list = mt_alloc(c, n * sizeof *list);
    if (!list)
        return MT_NO_MEMORY;
    mt_status s = MT_OK;
    for (uint32_t i = 0; i < n && s == MT_OK; i++)
        s = read_part(c, i, &list[i]);
    if (s == MT_OK)
        s = store_all(c, list, n);
    if (s != MT_OK) {
        sweep_all(c, list, n);
        return s;
    }
    if (mt_slice_eq(mt_param(c, MT_SLICE("wait")), MT_SLICE("true")))
        MT_TRY(wait_for(c, list, n));
    MT_TRY(write_items(c, list, n, &json, &open));
    return mt_respond(c, open ? 202 : 200, json);
}

static mt_status on_upload_to(void *self, mt_call *c)
{
    MT_TRY(mt_enter_workspace(c, mt_param(c, MT_SLICE("workspace_id"))));
    return on_upload(self, c);
}

static mt_status activate(void *self, mt_call *c)
{
    return documents_declare_metrics(c);
}

static mt_status load(void *self, const mt_host *host)
{
    mt_bind(host);
    extract_find_program(host->dir ? host->dir : "");
    return MT_OK;
}

static const mt_handler_entry handlers[] = {
    {"on_upload", on_upload}, {"on_upload_to", on_upload_to}, {"on_delete", documents_on_delete}, {"on_update", documents_on_update},
    {"on_reindex", documents_on_reindex}, {"on_reindex_all", documents_on_reindex_all}, {"on_events", documents_on_events},
    {"on_collection_create", documents_on_collection_create}, {"on_collection_delete", documents_on_collection_delete},
    {"on_embedding_get", documents_on_embedding_get}, {"on_embedding_put", documents_on_embedding_put},
    {"on_ingest", documents_ingest}, {"on_sweep", documents_sweep}, {"on_reindex_job", documents_reindex_job}, {"on_reembed", documents_reembed},
    {"on_forget", documents_forget}, {"on_prune", documents_prune}};
static const mt_hook_entry hooks[] = {{"on_workspace_deleting", documents_on_workspace_deleting}};

MT_EXPORT const mt_plugin documents_plugin = {
    .abi = MT_ABI, .size = sizeof(mt_plugin), .slug = "documents", .version = "0.1.0", .load = load, .activate = activate,
    .handlers = handlers, .n_handlers = sizeof handlers / sizeof *handlers, .hooks = hooks, .n_hooks = 1};
