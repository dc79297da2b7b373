/* Vectors over HTTP. */
#include "embedding.h"
#include "vector_json.h"

#include <mortise/json.h>

typedef struct request {
    embedding *self;
    mt_call *c;
    mt_embedder_info info;
    mt_slice *texts;
    size_t n, empty;            /* empty: the first text without a token; n when there is none */
    int64_t tokens;
} request;

/* On a pool thread: a megabyte of text takes some ten milliseconds. */
static void count(void *arg)
{
    request *r = arg;
    r->empty = r->n;
    for (size_t i = 0; i < r->n; i++) {
        uint32_t tokens = embedding_count_tokens(r->self, r->c, r->info.model, r->texts[i]);
        if (!tokens && r->empty == r->n)
            r->empty = i;
        r->tokens += tokens < r->info.max_tokens ? tokens : r->info.max_tokens;
    }
}

static mt_status read_model(request *r)
{
    mt_call *c = r->c;
    mt_slice model = mt_param(c, MT_SLICE("model")), id = mt_param(c, MT_SLICE("model_id")), workspace = mt_param(c, MT_SLICE("workspace_id"));
    if (model.p && id.p && !mt_slice_eq(model, id))
        return mt_problem(c, 422, MT_SLICE("model_ambiguous"), MT_SLICE("model and model_id name different models: send one of them."), MT_SLICE("/model_id"));
    if (workspace.p)
        MT_TRY(mt_enter_workspace(c, workspace));
    return embedding_describe(r->self, c, model.p ? model : id, &r->info);
}

static mt_status read_texts(request *r)
{
    mt_call *c = r->c;
    mt_handle body;
    MT_TRY(mt_json_parse(c, mt_body(c), &body));
    r->n = (size_t)mt_json_count(c, body, MT_SLICE("/texts"));
    r->texts = mt_alloc(c, r->n * sizeof *r->texts);
    if (!r->texts)
        return MT_NO_MEMORY;
    for (size_t i = 0; i < r->n; i++)
        r->texts[i] = mt_json_text(c, body, mt_printf(c, "/texts/%zu", i));
    MT_TRY(mt_offload_run(c, count, r));
    if (r->empty < r->n)
        return mt_problem(c, 422, MT_SLICE("text_empty"), MT_SLICE("This text holds nothing that can be read."), mt_printf(c, "/texts/%zu", r->empty));
    return MT_OK;
}

static mt_status answer(request *r, const float *vectors)
{
    mt_call *c = r->c;
    size_t room = vector_json_room(r->n, r->info.dimensions);
    char *text = mt_alloc(c, room);
    mt_writer w = mt_write_begin(c);
    mt_slice json;
    w.cap = room + 512;                         /* in one piece: doubling would cost twice the memory */
    w.p = mt_alloc(c, w.cap);
    if (!text || !w.p)
        return mt_problem(c, 413, MT_SLICE("answer_too_large"), MT_SLICE("So many vectors do not fit into one answer: send fewer texts."), MT_SLICE("/texts"));
    mt_write_object(&w, NULL);
    mt_write_text(&w, "model", r->info.model);
    mt_write_int(&w, "dimensions", r->info.dimensions);
    mt_write_raw(&w, "vectors", (mt_slice){text, vector_json_write(vectors, r->n, r->info.dimensions, text)});
    mt_write_object(&w, "usage");
    mt_write_int(&w, "tokens", r->tokens);
    mt_write_close(&w);
    mt_write_close(&w);
    MT_TRY(mt_write_end(&w, &json));
    return mt_respond(c, 200, json);
}

mt_status embedding_on_embed(void *self, mt_call *c)
{
    request r = {.self = self, .c = c, .info = {.size = sizeof r.info}};
    const float *vectors;
    size_t n;
    MT_TRY(read_model(&r));
    MT_TRY(read_texts(&r));
    MT_TRY(embedding_embed(self, c, r.info.model, r.texts, r.n, &vectors, &n));
    MT_TRY(embedding_check(c, r.n, r.info.dimensions, n));
    return answer(&r, vectors);
}

mt_status embedding_on_models(void *self, mt_call *c)
{
    const embedding *s = self;
    mt_embedder_info info = {.size = sizeof info};
    mt_writer w = mt_write_begin(c);
    mt_slice json;
    mt_write_object(&w, NULL);
    mt_write_array(&w, "items");
    for (uint32_t i = 0; embedding_models(self, c, i, &info) == MT_OK; i++) {
        mt_write_object(&w, NULL);
        mt_write_text(&w, "model", info.model);
        mt_write_text(&w, "provider", info.provider);
        mt_write_int(&w, "dimensions", info.dimensions);
        mt_write_int(&w, "max_tokens", info.max_tokens);
        mt_write_bool(&w, "default", mt_slice_eq(info.model, mt_str(s->default_model)));
        mt_write_close(&w);
    }
    mt_write_close(&w);
    mt_write_close(&w);
    MT_TRY(mt_write_end(&w, &json));
    return mt_respond(c, 200, json);
}
