/*
 * From a stored file to rows: text, chunks, vectors. A job may run twice (a crash, a lost lease): everything it writes is one transaction that
 * replaces what an earlier run left, so the rows are those of one run.
 */
#include "documents.h"
#include "chunker.h"
#include "extract.h"
#include "text/language.h"

#include <stdlib.h>
#include <time.h>

enum { BATCH = 64, SCRATCH = 1 << 20 };

typedef struct work {
    mt_call *c;
    mt_slice id, workspace_id, file_name, content_type, data;
    extract_job extract;
    doc_text doc;
    chunk_list chunks;
    chunk_options options;
    mt_status status;
    char reason[DOC_REASON];
    float *vectors;
    char *scratch;                              /* where each batch's JSON is written: thousands would not fit in the call's memory */
    time_t told_at;                             /* of the last progress, seconds */
    mt_embedder_info model, usual;              /* the document's, the workspace's */
} work;

static size_t count_tokens(void *user, const char *p, size_t n)
{
    work *w = user;
    return mt_embedder_count_tokens(w->c, w->model.model, (mt_slice){p, n});
}

/* On a pool thread. */
static void extract(void *arg)
{
    work *w = arg;
    w->status = extract_run(extract_program(), &w->extract, &w->doc, w->reason);
    if (w->status == MT_OK)
        w->status = chunk_doc(&w->doc, &w->options, &w->chunks);
}

/* A model that is gone is passing trouble: it may come back, and the document is not at fault. */
static mt_status describe(work *w, mt_slice model, mt_embedder_info *out)
{
    *out = (mt_embedder_info){.size = sizeof *out};
    mt_status s = mt_embedder_describe(w->c, model, out);
    return s == MT_NOT_FOUND ? MT_UNAVAILABLE : s;
}

static mt_status choose_model(work *w)
{
    mt_handle row;
    const mt_field id = {MT_SLICE("id"), w->id};
    MT_TRY(mt_db_one(w->c, MT_SLICE("document_model"), &id, 1, &row));
    MT_TRY(describe(w, mt_db_value(w->c, row, 0, MT_SLICE("usual")), &w->usual));
    return describe(w, mt_db_value(w->c, row, 0, MT_SLICE("model")), &w->model);
}

/* At most once a second: what is told is for people. */
static mt_status tell_progress(work *w, size_t done)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    if (now.tv_sec == w->told_at)
        return MT_OK;
    w->told_at = now.tv_sec;
    const mt_field args[] = {{MT_SLICE("id"), w->id}, {MT_SLICE("done"), mt_printf(w->c, "%zu", done)}, {MT_SLICE("total"), mt_printf(w->c, "%zu", w->chunks.n)}};
    return mt_db_exec(w->c, MT_SLICE("document_progress"), args, 3, NULL);
}

static mt_status embed(work *w)
{
    mt_call *c = w->c;
    size_t dimensions = w->model.dimensions;
    free(w->vectors);
    w->vectors = malloc((w->chunks.n + 1) * dimensions * sizeof(float));
    mt_slice *texts = mt_alloc(c, BATCH * sizeof *texts);
    if (!w->vectors || !texts)
        return MT_NO_MEMORY;
    for (size_t at = 0; at < w->chunks.n; at += BATCH) {
        size_t n = w->chunks.n - at < BATCH ? w->chunks.n - at : BATCH, floats;
        const float *out;
        for (size_t i = 0; i < n; i++) {
            const chunk *k = &w->chunks.items[at + i];
            texts[i] = (mt_slice){w->doc.text + k->start, k->end - k->start};
        }
        MT_TRY(mt_embedder_embed(c, w->model.model, texts, n, &out, &floats));
        if (floats != n * dimensions)
            return MT_INTERNAL;
        memcpy(w->vectors + at * dimensions, out, floats * sizeof(float));
        MT_TRY(mt_queue_progress(c, (int64_t)(at + n), (int64_t)w->chunks.n));
        MT_TRY(tell_progress(w, at + n));
    }
    return MT_OK;
}

static mt_status write_chunk(work *w, mt_writer *json, size_t i, char *hex)
{
    const chunk *k = &w->chunks.items[i];
    mt_slice text = {w->doc.text + k->start, k->end - k->start};
    size_t bytes = w->model.dimensions * sizeof(float);
    documents_hex(hex, w->vectors + i * w->model.dimensions, bytes);
    mt_write_object(json, NULL);
    mt_write_text(json, "id", mt_new_id(w->c));
    mt_write_int(json, "number", (int64_t)i + 1);
    mt_write_text(json, "section", mt_str(w->doc.sections[k->section].path));
    if (w->doc.n_pages)
        mt_write_int(json, "page", (int64_t)doc_page_at(&w->doc, k->start));
    mt_write_int(json, "start_char", (int64_t)k->start_cp);
    mt_write_int(json, "end_char", (int64_t)k->end_cp);
    mt_write_int(json, "tokens", k->tokens);
    mt_write_text(json, "text", text);
    mt_write_text(json, "language", mt_str(mt_language_code(mt_language_detect(text))));
    mt_write_text(json, "vector", (mt_slice){hex, 2 * bytes});
    mt_write_close(json);
    return json->status;
}

static mt_status insert_chunks(work *w, mt_slice version)
{
    mt_call *c = w->c;
    char *hex = mt_alloc(c, 2 * w->model.dimensions * sizeof(float));
    if (!w->scratch)
        w->scratch = malloc(SCRATCH);
    if (!hex || !w->scratch)
        return MT_NO_MEMORY;
    for (size_t at = 0; at < w->chunks.n; at += BATCH) {
        mt_writer json = mt_write_begin(c);
        mt_slice text;
        json.p = w->scratch;
        json.cap = SCRATCH;
        mt_write_array(&json, NULL);
        for (size_t i = at; i < at + BATCH && i < w->chunks.n; i++)
            MT_TRY(write_chunk(w, &json, i, hex));
        mt_write_close(&json);
        MT_TRY(mt_write_end(&json, &text));
        const mt_field args[] = {{MT_SLICE("workspace_id"), w->workspace_id}, {MT_SLICE("id"), w->id}, {MT_SLICE("version"), version},
                                 {MT_SLICE("model"), w->model.model}, {MT_SLICE("chunks"), text}};
        MT_TRY(mt_db_exec(c, MT_SLICE("chunks_add"), args, 5, NULL));
    }
    return MT_OK;
}

/* The document must still be of the model that its vectors were made with. */
static mt_status lock_document(work *w, mt_slice usual)
{
    mt_handle row;
    const mt_field args[] = {{MT_SLICE("id"), w->id}, {MT_SLICE("usual"), usual}};
    MT_TRY(mt_db_one(w->c, MT_SLICE("document_lock"), args, 2, &row));
    return mt_slice_eq(mt_db_value(w->c, row, 0, MT_SLICE("model")), w->model.model) ? MT_OK : MT_CONFLICT;
}

static mt_status write_rows(work *w)
{
    mt_call *c = w->c;
    mt_handle row;
    /* locks the job's row until the commit, so that nobody takes the job over meanwhile, however long this lasts */
    MT_TRY(mt_queue_progress(c, (int64_t)w->chunks.n, (int64_t)w->chunks.n));
    const mt_field next[] = {{MT_SLICE("workspace_id"), w->workspace_id}, {MT_SLICE("model"), w->usual.model},
                             {MT_SLICE("dimensions"), mt_printf(c, "%u", w->usual.dimensions)}};
    MT_TRY(mt_db_one(c, MT_SLICE("version_next"), next, 3, &row));
    mt_slice version = mt_db_value(c, row, 0, MT_SLICE("version"));
    MT_TRY(lock_document(w, mt_db_value(c, row, 0, MT_SLICE("model"))));
    const mt_field drop[] = {{MT_SLICE("id"), w->id}, {MT_SLICE("version"), version}};
    MT_TRY(mt_db_exec(c, MT_SLICE("chunks_drop"), drop, 2, NULL));
    MT_TRY(insert_chunks(w, version));
    const mt_field done[] = {{MT_SLICE("id"), w->id}, {MT_SLICE("title"), w->doc.title && w->doc.title[0] ? mt_str(w->doc.title) : (mt_slice){0}},
                             {MT_SLICE("content"), {w->doc.text, w->doc.len}}, {MT_SLICE("chunk_count"), mt_printf(c, "%zu", w->chunks.n)},
                             {MT_SLICE("language"), mt_str(mt_language_code(mt_language_detect((mt_slice){w->doc.text, w->doc.len})))}};
    int64_t touched;
    MT_TRY(mt_db_exec(c, MT_SLICE("document_indexed"), done, 5, &touched));
    if (!touched)
        return MT_NOT_FOUND;                    /* deleted meanwhile: nothing is kept */
    return documents_prune_later(c, w->workspace_id, version);
}

static mt_status save(work *w)
{
    MT_TRY(mt_db_begin(w->c));
    mt_status s = write_rows(w);
    if (s == MT_OK)
        return mt_db_commit(w->c);
    mt_db_rollback(w->c);
    return s;
}

static mt_handle documents, chunks;

mt_status documents_declare_metrics(mt_call *c)
{
    MT_TRY(mt_metrics_family(c, MT_SLICE("counter"), MT_SLICE("ingested"), MT_SLICE("Documents that were read, by what became of them (indexed, failed)."), MT_SLICE("outcome"), &documents));
    return mt_metrics_family(c, MT_SLICE("counter"), MT_SLICE("chunks"), MT_SLICE("Passages that were embedded and stored."), (mt_slice){0}, &chunks);
}

static void announce(work *w)
{
    const mt_slice outcome = MT_SLICE("indexed");
    mt_metrics_add(documents, &outcome, 1, 1);
    mt_metrics_add(chunks, NULL, 0, (double)w->chunks.n);
    mt_document_indexed in = {.size = sizeof in, .workspace_id = w->workspace_id, .document_id = w->id, .chunks = (int64_t)w->chunks.n};
    mt_hook_emit(w->c, MT_SLICE("document.indexed"), &in);
}

/* Again where the document was moved, or its workspace's model changed, under it. */
static mt_status embed_and_save(work *w)
{
    enum { TRIES = 3 };
    mt_status s = MT_CONFLICT;
    for (int i = 0; i < TRIES && s == MT_CONFLICT; i++) {
        if (i)
            MT_TRY(choose_model(w));
        MT_TRY(embed(w));
        s = save(w);
    }
    return s == MT_CONFLICT ? MT_UNAVAILABLE : s;
}

static mt_status run(work *w)
{
    mt_call *c = w->c;
    MT_TRY(choose_model(w));
    w->options = (chunk_options){.target = (size_t)documents_config(c, MT_SLICE("/chunk_tokens"), 200), .max = w->model.max_tokens - 2,
                                 .overlap = (size_t)documents_config(c, MT_SLICE("/overlap_tokens"), 0), .count = count_tokens, .user = w};
    documents_extract_job(c, w->file_name, w->content_type, w->data, &w->extract);
    MT_TRY(mt_offload_run(c, extract, w));
    documents_extract_warn(c, &w->extract);
    MT_TRY(w->status);
    if (!w->chunks.n) {
        snprintf(w->reason, sizeof w->reason, "The file holds no text.");
        return MT_INVALID;
    }
    return embed_and_save(w);
}

static void announce_failure(work *w, mt_slice reason)
{
    const mt_slice outcome = MT_SLICE("failed");
    mt_metrics_add(documents, &outcome, 1, 1);
    mt_document_failed in = {.size = sizeof in, .workspace_id = w->workspace_id, .document_id = w->id, .reason = reason};
    mt_hook_emit(w->c, MT_SLICE("document.failed"), &in);
}

/* Passing trouble is tried again, in the end in vain; the file's own faults are final. */
static mt_status tell_document(work *w, mt_status s, mt_slice reason)
{
    mt_call *c = w->c;
    mt_handle row;
    const mt_field args[] = {{MT_SLICE("id"), w->id}, {MT_SLICE("reason"), reason}};
    bool final = s == MT_INVALID || s == MT_TOO_LARGE || s == MT_NO_MEMORY;
    if (final)
        MT_TRY(mt_db_exec(c, MT_SLICE("document_failed"), args, 2, NULL));
    else if (mt_db_query(c, MT_SLICE("document_waits"), args, 2, &row) != MT_OK || !mt_db_rows(c, row) ||
             !mt_slice_eq(mt_db_value(c, row, 0, MT_SLICE("status")), MT_SLICE("failed")))
        return s;
    announce_failure(w, reason);
    return final ? MT_OK : s;
}

/* The job itself is done when all is written, or its document is at fault or gone. */
static mt_status conclude(work *w, mt_status s)
{
    mt_slice why = w->reason[0] ? mt_str(w->reason) : mt_problem_detail(w->c);
    if (s == MT_OK)
        announce(w);
    if (s == MT_OK || s == MT_NOT_FOUND)
        return MT_OK;
    return tell_document(w, s, why.len ? why : MT_SLICE("Something failed inside the host."));
}

static mt_status read_document(work *w, mt_slice *sha256, bool *finished)
{
    mt_call *c = w->c;
    mt_handle row;
    const mt_field id = {MT_SLICE("id"), w->id};
    MT_TRY(mt_db_one(c, MT_SLICE("document_take"), &id, 1, &row));
    *sha256 = mt_db_value(c, row, 0, MT_SLICE("sha256"));
    w->file_name = mt_db_value(c, row, 0, MT_SLICE("file_name"));
    w->content_type = mt_db_value(c, row, 0, MT_SLICE("content_type"));
    *finished = mt_slice_eq(mt_db_value(c, row, 0, MT_SLICE("status")), MT_SLICE("indexed"));
    return mt_db_exec(c, MT_SLICE("document_indexing"), &id, 1, NULL);
}

mt_status documents_ingest(void *self, mt_call *c)
{
    work w = {.c = c, .workspace_id = mt_workspace_id(c)};
    mt_handle payload;
    mt_slice sha256;
    bool finished = false;
    MT_TRY(mt_json_parse(c, mt_body(c), &payload));
    w.id = mt_json_text(c, payload, MT_SLICE("/document_id"));
    mt_status s = read_document(&w, &sha256, &finished);
    if (s == MT_NOT_FOUND || finished)
        return MT_OK;                           /* deleted, or an earlier run finished it */
    MT_TRY(s);
    s = mt_blob_get(c, sha256, &w.data);
    if (s == MT_NOT_FOUND) {
        snprintf(w.reason, sizeof w.reason, "The stored file is gone: upload it again.");
        s = MT_INVALID;
    }
    if (s == MT_OK)
        s = run(&w);
    s = conclude(&w, s);
    chunk_list_dispose(&w.chunks);
    doc_text_dispose(&w.doc);
    free(w.vectors);
    free(w.scratch);
    return s;
}
