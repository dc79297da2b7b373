/*
 * The indexes, one a model, follow the rows. Rows carry the version that added them, removals are listed by version; so an index at version v is
 * topped up with what is newer, and one that is ahead (a restored backup) or older than the listed removals is dropped and built anew. Adding what is there and removing what is not are harmless,
 * so a run that breaks off is simply repeated.
 */
#include "retrieval.h"

#include <stdlib.h>

enum { TRIES = 5, ADD_PAGE = 1000, REMOVE_PAGE = 5000 };

typedef struct state {
    mt_slice workspace_id, model;
    uint32_t dimensions;
    int64_t rows, floor, held;   /* versions */
} state;

static int64_t number(mt_slice s)
{
    return s.p ? strtoll(s.p, NULL, 10) : 0;
}

static mt_status read_versions(mt_call *c, state *s)
{
    mt_handle row;
    MT_TRY(mt_db_query(c, MT_SLICE("index_version"), NULL, 0, &row));
    if (!mt_db_rows(c, row))
        return MT_NOT_FOUND;
    s->rows = number(mt_db_value(c, row, 0, MT_SLICE("version")));
    s->floor = number(mt_db_value(c, row, 0, MT_SLICE("floor")));
    mt_db_free(c, row);
    return mt_index_held_version(c, s->workspace_id, s->model, s->dimensions, &s->held);
}

static mt_status fetch_page(mt_call *c, const char *query, const char *version_name, mt_slice version, mt_slice after, const state *s, mt_handle *out)
{
    const mt_field args[] = {{mt_str(version_name), version}, {MT_SLICE("after"), after}, {MT_SLICE("upto"), mt_printf(c, "%lld", (long long)s->rows)},
                             {MT_SLICE("model"), s->model}};
    return mt_db_query(c, mt_str(query), args, 4, out);
}

static mt_status add_page(mt_call *c, const state *s, mt_handle page, uint32_t n, mt_slice *ids, float *vectors)
{
    size_t bytes = s->dimensions * sizeof(float);
    for (uint32_t i = 0; i < n; i++) {
        mt_slice vector = mt_db_value(c, page, i, MT_SLICE("vector"));
        if (vector.len != bytes)
            return MT_INTERNAL;
        ids[i] = mt_db_value(c, page, i, MT_SLICE("id"));
        memcpy(vectors + i * s->dimensions, vector.p, bytes);
    }
    return mt_index_add(c, s->workspace_id, s->model, ids, n, vectors, n * s->dimensions, s->held, s->held);
}

static mt_status add_new(mt_call *c, const state *s)
{
    mt_slice version = mt_printf(c, "%lld", (long long)s->held), after = mt_str("ffffffff-ffff-ffff-ffff-ffffffffffff");
    mt_slice *ids = malloc(ADD_PAGE * sizeof *ids);
    float *vectors = malloc(ADD_PAGE * s->dimensions * sizeof *vectors);
    mt_status status = ids && vectors ? MT_OK : MT_NO_MEMORY;
    for (uint32_t n = ADD_PAGE; status == MT_OK && n == ADD_PAGE;) {
        mt_handle page;
        status = fetch_page(c, "vectors_added", "added", version, after, s, &page);
        if (status != MT_OK)
            break;
        n = mt_db_rows(c, page);
        if (n) {
            status = add_page(c, s, page, n, ids, vectors);
            version = mt_printf(c, "%lld", (long long)number(mt_db_value(c, page, n - 1, MT_SLICE("added"))));
            after = mt_printf(c, "%.36s", mt_db_value(c, page, n - 1, MT_SLICE("id")).p);
        }
        mt_db_free(c, page);
    }
    free(ids);
    free(vectors);
    return status;
}

static mt_status remove_gone(mt_call *c, const state *s)
{
    mt_slice version = mt_printf(c, "%lld", (long long)s->held), after = mt_str("ffffffff-ffff-ffff-ffff-ffffffffffff");
    mt_slice *ids = malloc(REMOVE_PAGE * sizeof *ids);
    mt_status status = ids ? MT_OK : MT_NO_MEMORY;
    for (uint32_t n = REMOVE_PAGE; status == MT_OK && n == REMOVE_PAGE;) {
        mt_handle page;
        status = fetch_page(c, "chunks_removed", "version", version, after, s, &page);
        if (status != MT_OK)
            break;
        n = mt_db_rows(c, page);
        for (uint32_t i = 0; i < n; i++)
            ids[i] = mt_db_value(c, page, i, MT_SLICE("chunk_id"));
        if (n) {
            status = mt_index_remove(c, s->workspace_id, s->model, ids, n, s->held, s->held);
            version = mt_printf(c, "%lld", (long long)number(mt_db_value(c, page, n - 1, MT_SLICE("version"))));
            after = mt_printf(c, "%.36s", ids[n - 1].p);
        }
        mt_db_free(c, page);
    }
    free(ids);
    return status;
}

static mt_status top_up(mt_call *c, const state *s)
{
    MT_TRY(add_new(c, s));
    MT_TRY(remove_gone(c, s));
    return mt_index_add(c, s->workspace_id, s->model, NULL, 0, NULL, 0, s->held, s->rows);
}

/* An index ahead of the rows (a restored backup) or older than what is known of removals is built anew. */
static mt_status sync_model(mt_call *c, const retrieval_model *m)
{
    for (int i = 0; i < TRIES; i++) {
        state s = {.workspace_id = mt_workspace_id(c), .model = m->name, .dimensions = m->dimensions};
        MT_TRY(read_versions(c, &s));
        if (s.held == s.rows)
            return MT_OK;
        if (s.held > s.rows || (s.held && s.held < s.floor)) {
            MT_TRY(mt_index_drop(c, s.workspace_id, s.model));
            continue;
        }
        mt_status status = top_up(c, &s);
        if (status != MT_CONFLICT)      /* another sync was faster: look again */
            return status;
    }
    return MT_UNAVAILABLE;
}

mt_status retrieval_sync(mt_call *c, retrieval_model **models, uint32_t *n)
{
    mt_handle rows;
    MT_TRY(mt_db_query(c, MT_SLICE("models_in_use"), NULL, 0, &rows));
    *n = mt_db_rows(c, rows);
    if (!*n)
        return MT_NOT_FOUND;
    *models = mt_alloc(c, *n * sizeof **models);
    if (!*models)
        return MT_NO_MEMORY;
    for (uint32_t i = 0; i < *n; i++)
        (*models)[i] = (retrieval_model){mt_db_value(c, rows, i, MT_SLICE("model")), (uint32_t)number(mt_db_value(c, rows, i, MT_SLICE("dimensions")))};
    for (uint32_t i = 0; i < *n; i++)
        MT_TRY(sync_model(c, &(*models)[i]));
    return MT_OK;
}
