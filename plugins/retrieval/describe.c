/* How far the indexes are, for people who wait for them. */
#include "retrieval.h"

#include <mortise/json.h>

typedef struct index_state {
    mt_slice model;        /* the null slice: the index of words */
    int64_t behind;        /* versions of the rows */
    uint64_t rows, loose;
    bool settled;
} index_state;

static mt_status look(mt_call *c, const retrieval_state *s, const retrieval_model *m, index_state *x)
{
    int64_t held;
    *x = (index_state){.settled = true};
    if (!m) {
        MT_TRY(mt_text_index_held_version(c, s->workspace_id, &held));
    } else {
        x->model = m->name;
        MT_TRY(mt_index_held_version(c, s->workspace_id, m->name, m->dimensions, &held));
        mt_status status = mt_index_state(c, s->workspace_id, m->name, &x->rows, &x->loose, &x->settled);
        if (status != MT_OK && status != MT_NOT_FOUND) /* dropped since it was asked for its version */
            return status;
    }
    x->behind = s->version > held ? s->version - held : 0;
    return MT_OK;
}

static void write_index(mt_writer *w, const index_state *x)
{
    bool words = !x->model.p;
    mt_write_object(w, NULL);
    mt_write_text(w, "kind", words ? MT_SLICE("words") : MT_SLICE("vectors"));
    if (words) {
        mt_write_raw(w, "model", (mt_slice){0});
        mt_write_raw(w, "passages", (mt_slice){0});
        mt_write_raw(w, "unlinked", (mt_slice){0});
    } else {
        mt_write_text(w, "model", x->model);
        mt_write_int(w, "passages", (int64_t)x->rows);
        mt_write_int(w, "unlinked", (int64_t)x->loose);
    }
    mt_write_int(w, "behind", x->behind);
    mt_write_bool(w, "ready", x->settled && !x->behind);
    mt_write_close(w);
}

mt_status retrieval_describe(mt_call *c, mt_slice *json)
{
    retrieval_state s;
    mt_status status = retrieval_read(c, &s);
    uint32_t n = status == MT_OK ? s.n_models + 1 : 0;
    index_state *all = mt_alloc(c, (n + 1) * sizeof *all);
    bool ready = true;
    if (status != MT_OK && status != MT_NOT_FOUND)
        return status;
    if (!all)
        return MT_NO_MEMORY;
    for (uint32_t i = 0; i < n; i++) {
        MT_TRY(look(c, &s, i ? &s.models[i - 1] : NULL, &all[i]));
        ready &= all[i].settled && !all[i].behind;
    }
    mt_writer w = mt_write_begin(c);
    mt_write_object(&w, NULL);
    mt_write_bool(&w, "ready", ready);
    mt_write_array(&w, "indexes");
    for (uint32_t i = 0; i < n; i++)
        write_index(&w, &all[i]);
    mt_write_close(&w);
    mt_write_close(&w);
    return mt_write_end(&w, json);
}
