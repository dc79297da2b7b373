/*
 * The indexes, one of words and one a model, follow the rows. Rows carry the version that added them, removals are listed by version; so an index at
 * version v is topped up with what is newer, and one that is ahead (a restored backup) or older than the listed removals is dropped and built anew.
 * Adding what is there and removing what is not are harmless, so a run that breaks off is simply repeated.
 */
#include "retrieval.h"

#include <stdlib.h>

enum { TRIES = 5, ADD_PAGE = 1000, REMOVE_PAGE = 5000 };

/* One index on its way to the rows' version. */
typedef struct follower {
    mt_call *c;
    mt_slice workspace_id;
    const retrieval_model *model; /* NULL: the index of words */
    int64_t rows, held;           /* versions */
    mt_slice *ids, *texts, *languages;
    float *vectors;
} follower;

/* --- one index, of either kind --- */

static mt_status held_version(follower *f)
{
    return f->model ? mt_index_held_version(f->c, f->workspace_id, f->model->name, f->model->dimensions, &f->held)
                    : mt_text_index_held_version(f->c, f->workspace_id, &f->held);
}

static mt_status drop(follower *f)
{
    return f->model ? mt_index_drop(f->c, f->workspace_id, f->model->name) : mt_text_index_drop(f->c, f->workspace_id);
}

static mt_status add(follower *f, size_t n, int64_t to)
{
    if (f->model)
        return mt_index_add(f->c, f->workspace_id, f->model->name, f->ids, n, f->vectors, n * f->model->dimensions, f->held, to);
    return mt_text_index_add(f->c, f->workspace_id, f->ids, n, f->texts, n, f->languages, n, f->held, to);
}

static mt_status remove_ids(follower *f, size_t n)
{
    return f->model ? mt_index_remove(f->c, f->workspace_id, f->model->name, f->ids, n, f->held, f->held)
                    : mt_text_index_remove(f->c, f->workspace_id, f->ids, n, f->held, f->held);
}

static bool reserve(follower *f)
{
    f->ids = malloc(REMOVE_PAGE * sizeof *f->ids);
    f->texts = malloc(ADD_PAGE * sizeof *f->texts);
    f->languages = malloc(ADD_PAGE * sizeof *f->languages);
    f->vectors = f->model ? malloc(ADD_PAGE * f->model->dimensions * sizeof *f->vectors) : NULL;
    return f->ids && f->texts && f->languages && (!f->model || f->vectors);
}

static void release(follower *f)
{
    free(f->ids);
    free(f->texts);
    free(f->languages);
    free(f->vectors);
}

/* --- pages of rows --- */

/* The words of a passage: its section names what it is about. */
static mt_slice passage_text(mt_slice section, mt_slice text, char **buffer)
{
    char *p = section.len ? malloc(section.len + text.len + 1) : NULL;
    *buffer = p;
    if (!p)
        return text;
    memcpy(p, section.p, section.len);
    p[section.len] = '\n';
    memcpy(p + section.len + 1, text.p, text.len);
    return (mt_slice){p, section.len + text.len + 1};
}

/* After a page whose last row came with version `last`, all that came before is there. */
static mt_status move_on(follower *f, int64_t last)
{
    if (last - 1 <= f->held)
        return MT_OK;
    MT_TRY(add(f, 0, last - 1));
    f->held = last - 1;
    return MT_OK;
}

static mt_status add_texts(follower *f, mt_handle page, uint32_t n)
{
    char **buffers = calloc(n + 1, sizeof *buffers);
    if (!buffers)
        return MT_NO_MEMORY;
    for (uint32_t i = 0; i < n; i++) {
        f->ids[i] = mt_db_value(f->c, page, i, MT_SLICE("id"));
        f->languages[i] = mt_db_value(f->c, page, i, MT_SLICE("language"));
        f->texts[i] = passage_text(mt_db_value(f->c, page, i, MT_SLICE("section")), mt_db_value(f->c, page, i, MT_SLICE("text")), &buffers[i]);
    }
    mt_status status = add(f, n, f->held);
    if (status == MT_OK)
        status = move_on(f, mt_int(mt_db_value(f->c, page, n - 1, MT_SLICE("added")), 0));
    for (uint32_t i = 0; i < n; i++)
        free(buffers[i]);
    free(buffers);
    return status;
}

static mt_status add_vectors(follower *f, mt_handle page, uint32_t n)
{
    size_t bytes = f->model->dimensions * sizeof(float);
    for (uint32_t i = 0; i < n; i++) {
        mt_slice vector = mt_db_value(f->c, page, i, MT_SLICE("vector"));
        if (vector.len != bytes)
            return MT_INTERNAL;
        f->ids[i] = mt_db_value(f->c, page, i, MT_SLICE("id"));
        memcpy(f->vectors + i * f->model->dimensions, vector.p, bytes);
    }
    MT_TRY(add(f, n, f->held));
    return move_on(f, mt_int(mt_db_value(f->c, page, n - 1, MT_SLICE("added")), 0));
}

static mt_status remove_page(follower *f, mt_handle page, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        f->ids[i] = mt_db_value(f->c, page, i, MT_SLICE("id"));
    return remove_ids(f, n);
}

/* Hands all that is newer than the index to `each`, a page at a time, by version and id. */
static mt_status each_page(follower *f, const char *query, uint32_t most, mt_status (*each)(follower *f, mt_handle page, uint32_t n))
{
    mt_call *c = f->c;
    mt_slice version = mt_printf(c, "%lld", (long long)f->held), after = MT_SLICE("ffffffff-ffff-ffff-ffff-ffffffffffff");
    mt_slice upto = mt_printf(c, "%lld", (long long)f->rows);
    mt_status status = MT_OK;
    for (uint32_t n = most; status == MT_OK && n == most;) {
        const mt_field args[] = {{MT_SLICE("added"), version}, {MT_SLICE("after"), after}, {MT_SLICE("upto"), upto},
                                 {MT_SLICE("model"), f->model ? f->model->name : (mt_slice){0}}};
        mt_handle page;
        MT_TRY(mt_db_query(c, mt_str(query), args, f->model ? 4 : 3, &page));
        n = mt_db_rows(c, page);
        if (n) {
            status = each(f, page, n);
            version = mt_printf(c, "%lld", (long long)mt_int(mt_db_value(c, page, n - 1, MT_SLICE("added")), 0));
            after = mt_printf(c, "%.36s", mt_db_value(c, page, n - 1, MT_SLICE("id")).p);
        }
        mt_db_free(c, page);
    }
    return status;
}

/* Removals first, so that the version can move on with the additions: a long way is not begun anew by whoever comes after a search that was given up. */
static mt_status top_up(follower *f)
{
    mt_status status = reserve(f) ? MT_OK : MT_NO_MEMORY;
    if (status == MT_OK)
        status = each_page(f, "chunks_removed", REMOVE_PAGE, remove_page);
    if (status == MT_OK)
        status = f->model ? each_page(f, "vectors_added", ADD_PAGE, add_vectors) : each_page(f, "texts_added", ADD_PAGE, add_texts);
    if (status == MT_OK)
        status = add(f, 0, f->rows);
    release(f);
    return status;
}

/* --- the workspace --- */

mt_status retrieval_read(mt_call *c, retrieval_state *s)
{
    mt_handle rows;
    *s = (retrieval_state){.workspace_id = mt_workspace_id(c)};
    MT_TRY(mt_db_query(c, MT_SLICE("search_state"), NULL, 0, &rows));
    s->n_models = mt_db_rows(c, rows);
    if (!s->n_models) {                      /* nothing to search, and yet settings that say how */
        MT_TRY(mt_db_query(c, MT_SLICE("settings_get"), NULL, 0, &rows));
        s->settings = mt_db_rows(c, rows) ? mt_db_value(c, rows, 0, MT_SLICE("settings")) : (mt_slice){0};
        return MT_NOT_FOUND;
    }
    s->models = mt_alloc(c, s->n_models * sizeof *s->models);
    if (!s->models)
        return MT_NO_MEMORY;
    s->version = mt_int(mt_db_value(c, rows, 0, MT_SLICE("version")), 0);
    s->floor = mt_int(mt_db_value(c, rows, 0, MT_SLICE("floor")), 0);
    s->settings = mt_db_value(c, rows, 0, MT_SLICE("settings"));
    for (uint32_t i = 0; i < s->n_models; i++)
        s->models[i] = (retrieval_model){mt_db_value(c, rows, i, MT_SLICE("model")), (uint32_t)mt_int(mt_db_value(c, rows, i, MT_SLICE("dimensions")), 0)};
    return MT_OK;
}

/* MT_CONFLICT: somebody else changed the index meanwhile. An index ahead of the rows may be theirs, of newer rows, so the caller reads these again. */
static mt_status follow(mt_call *c, const retrieval_state *s, const retrieval_model *model, bool again)
{
    follower f = {.c = c, .workspace_id = s->workspace_id, .model = model, .rows = s->version};
    MT_TRY(held_version(&f));
    if (f.held == f.rows)
        return MT_OK;
    if (f.held > f.rows && !again)
        return MT_CONFLICT;
    if (f.held > f.rows || (f.held && f.held < s->floor)) {
        MT_TRY(drop(&f));
        MT_TRY(held_version(&f));
    }
    return top_up(&f);
}

static mt_status follow_all(mt_call *c, const retrieval_state *s, bool again)
{
    MT_TRY(follow(c, s, NULL, again));
    for (uint32_t i = 0; i < s->n_models; i++)
        MT_TRY(follow(c, s, &s->models[i], again));
    return MT_OK;
}

mt_status retrieval_sync(mt_call *c, retrieval_state *s)
{
    for (int i = 0; i < TRIES; i++) {
        MT_TRY(retrieval_read(c, s));
        mt_status status = follow_all(c, s, i > 0);
        if (status != MT_CONFLICT)
            return status;
    }
    return MT_UNAVAILABLE;
}
