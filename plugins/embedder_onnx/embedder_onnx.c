/* embedder_engine/1 and reranker/1 over the models of a folder. The default model is opened when the plugin becomes active, the others when they
   are first asked for; all of it on the pool. */
#include "embed.h"
#include "folder.h"

#include <mortise/entry.h>

enum { PIECE = 512 };                    /* tokens of a batch when the time is limited: it is looked at between batches */

typedef struct self {
    model_set models;
    char name[128], reranker[128];       /* of the default models; "" for no reranker */
    char folder[4096];                   /* of the machine's models */
} self;

/* The folder of the runtime, from the file that the set-up keeps. */
static bool find_library(char library[4096])
{
    char prefix[3900] = "";
    const char *given = getenv("MORTISE_ONNXRUNTIME");
    if (given && *given) {
        snprintf(library, 4096, "%s", given);
        return true;
    }
    FILE *f = fopen(MORTISE_ONNXRUNTIME_PREFIX_FILE, "re");
    bool read = f && fgets(prefix, sizeof prefix, f);
    if (f)
        fclose(f);
    prefix[strcspn(prefix, "\n")] = 0;
    snprintf(library, 4096, "%s/lib/libonnxruntime.so.1", prefix);
    return read;
}

static void find_folder(mt_call *c, char folder[4096])
{
    mt_slice dir = mt_setting(c, MT_SLICE("models.dir"));
    const char *cache = getenv("MORTISE_CACHE"), *home = getenv("HOME");
    if (dir.len)
        snprintf(folder, 4096, "%.*s", (int)dir.len, dir.p);
    else if (cache && *cache)
        snprintf(folder, 4096, "%s/models", cache);
    else
        snprintf(folder, 4096, "%s/.cache/mortise/models", home ? home : "");
}

/* Where the plugin models lays the active ones of the call's organization; false: the call has none. */
static bool find_own_folder(mt_call *c, char folder[4096])
{
    mt_slice data = mt_setting(c, MT_SLICE("data.dir")), org = mt_org_id(c);
    snprintf(folder, 4096, "%.*s/models/%.*s/onnx", (int)data.len, data.p, (int)org.len, org.p ? org.p : "");
    return org.len;
}

static int64_t config_int(mt_call *c, mt_slice pointer, int64_t fallback)
{
    return mt_int(mt_config(c, pointer), fallback);
}

static void read_config(self *s, mt_call *c)
{
    mt_slice name = mt_config(c, MT_SLICE("/model")), reranker = mt_config(c, MT_SLICE("/rerank_model"));
    snprintf(s->name, sizeof s->name, "%.*s", (int)name.len, name.p ? name.p : "");
    snprintf(s->reranker, sizeof s->reranker, "%.*s", (int)reranker.len, reranker.p ? reranker.p : "");
    s->models.threads = (int)config_int(c, MT_SLICE("/threads"), 1);
    s->models.max_open = (unsigned)config_int(c, MT_SLICE("/open_models"), 2);
}

/* --- one run on the pool --- */

typedef struct run {
    self *s;
    mt_call *c;
    model *m;
    mt_slice query;              /* of a reranker */
    int64_t until_us;            /* 0: no limit */
    const mt_slice *texts;
    size_t n;
    float *out;
    bool opened;
    mt_status status;
    char reason[ONNX_REASON];
} run;

static bool late(const run *r)
{
    return r->until_us && mt_host_->clock_us() >= r->until_us;
}

static bool stopped(void *arg)
{
    const run *r = arg;
    return mt_cancelled(r->c) || late(r);
}

static void on_pool(void *arg)
{
    run *r = arg;
    size_t piece = r->until_us ? PIECE : 0;
    embedder e = {.limits = {.tokens = piece}, .tokens = r->m->tokens, .window = r->m->window, .prefix = mt_str(r->m->prefix)};
    embed_watch watch = {stopped, r};
    r->status = model_acquire(&r->s->models, r->m, &e.session, r->reason);
    if (r->status != MT_OK)
        return;
    r->opened = true;
    r->status = r->m->head == ONNX_SCORE ? rerank_texts(&e, r->query, r->texts, r->n, r->out, watch, r->reason)
                                         : embed_texts(&e, r->texts, r->n, r->out, NULL, watch, r->reason);
    if (r->status == MT_CANCELLED && !mt_cancelled(r->c))
        r->status = MT_TIMEOUT;
    model_release(&r->s->models, r->m);
}

static mt_status run_model(run *r, const float **out, size_t *n_out)
{
    mt_call *c = r->c;
    *n_out = r->n * r->m->dimensions;
    r->out = mt_alloc(c, (*n_out + 1) * sizeof(float));
    if (!r->out)
        return mt_problem(c, 413, MT_SLICE("texts_too_many"), MT_SLICE("So many vectors do not fit into the memory of one call: send fewer texts at once."), MT_SLICE(""));
    *out = r->out;
    MT_TRY(mt_offload_run(c, on_pool, r));
    if (r->status == MT_OK || r->status == MT_CANCELLED)
        return r->status;
    if (r->status == MT_TIMEOUT)
        return mt_problem(c, 504, MT_SLICE("model_slow"), MT_SLICE("The model did not get through all texts in the time that it was given."), MT_SLICE(""));
    if (!r->opened && r->m->org[0])
        return mt_problem(c, 422, MT_SLICE("model_not_run"), mt_str(r->reason), MT_SLICE("/model"));
    if (!r->opened)
        return mt_problem(c, 503, MT_SLICE("model_unavailable"), mt_printf(c, "%s (mortise model pull %s fetches it)", r->reason, r->m->name), MT_SLICE(""));
    return mt_problem(c, 500, MT_SLICE("embedding_failed"), mt_str(r->reason), MT_SLICE(""));
}

/* --- finding --- */

/* By name, the machine's before the organization's, with a reference. What came to lie in a folder since the start is found too. */
static model *get(self *s, mt_call *c, mt_slice name, bool scores)
{
    char own[4096];
    model *m = folder_get(c, &s->models, s->folder, (mt_slice){0}, name, false);
    if (!m && find_own_folder(c, own))
        m = folder_get(c, &s->models, own, mt_org_id(c), name, false);
    if (!m || (m->head == ONNX_SCORE) == scores)
        return m;
    model_put(&s->models, m);
    return NULL;
}

static mt_status not_here(mt_call *c, const char *kind, mt_slice name)
{
    return mt_problem(c, 404, MT_SLICE("model_not_found"), mt_printf(c, "There is no %s model \"%.*s\" here.", kind, (int)(name.len < 100 ? name.len : 100), name.p ? name.p : ""),
                      MT_SLICE("/model"));
}

static mt_status get_and_run(run *r, mt_slice name, const float **out, size_t *n_out)
{
    bool scores = r->query.p != NULL;
    r->m = get(r->s, r->c, name, scores);
    if (!r->m)
        return not_here(r->c, scores ? "rerank" : "embedding", name);
    mt_status status = run_model(r, out, n_out);
    model_put(&r->s->models, r->m);
    return status;
}

/* --- embedder_engine/1 --- */

static mt_slice or_default(const self *s, mt_slice name)
{
    return name.p ? name : mt_str(s->name);
}

/* Gives the reference back; an organization's model may be gone before the call is, so the name is the call's. */
static mt_status describe(self *s, mt_call *c, model *m, mt_embedder_engine_info *out)
{
    *out = (mt_embedder_engine_info){.size = sizeof *out, .model = mt_printf(c, "%s", m->name), .dimensions = m->dimensions, .max_tokens = m->max_tokens,
                                     .provider = MT_SLICE("embedder_onnx")};
    model_put(&s->models, m);
    return MT_OK;
}

static mt_status service_describe(void *arg, mt_call *c, mt_slice name, mt_embedder_engine_info *out)
{
    self *s = arg;
    model *m = get(s, c, or_default(s, name), false);
    return m ? describe(s, c, m, out) : not_here(c, "embedding", name);
}

static mt_status service_models(void *arg, mt_call *c, uint32_t index, mt_embedder_engine_info *out)
{
    self *s = arg;
    char own[4096];
    model *m;
    if (!index)
        folder_read(c, &s->models, s->folder, false);
    for (unsigned i = 0; (m = model_at(&s->models, i)); i++) {
        if (m->head != ONNX_SCORE && !index--)
            return describe(s, c, m, out);
        model_put(&s->models, m);
    }
    m = find_own_folder(c, own) ? folder_at(c, &s->models, own, mt_org_id(c), index) : NULL;
    return m ? describe(s, c, m, out) : MT_DONE;
}

static mt_status service_embed(void *arg, mt_call *c, mt_slice name, const mt_slice *texts, size_t n, const float **out, size_t *n_out)
{
    run r = {.s = arg, .c = c, .texts = texts, .n = n};
    return get_and_run(&r, or_default(arg, name), out, n_out);
}

static uint32_t service_count_tokens(void *arg, mt_call *c, mt_slice name, mt_slice text)
{
    self *s = arg;
    model *m = get(s, c, or_default(s, name), false);
    if (!m)
        return 0;
    uint32_t n = (uint32_t)wordpiece_count(m->tokens, text.p, text.len);
    model_put(&s->models, m);
    return n;
}

/* --- reranker/1 --- */

static mt_status service_score(void *arg, mt_call *c, mt_slice name, mt_slice query, const mt_slice *texts, size_t n, int64_t timeout_ms, const float **out, size_t *n_out)
{
    self *s = arg;
    run r = {.s = s, .c = c, .query = {query.p ? query.p : "", query.len}, .texts = texts, .n = n,
             .until_us = timeout_ms > 0 ? mt_host_->clock_us() + timeout_ms * 1000 : 0};
    return get_and_run(&r, name.p ? name : mt_str(s->reranker), out, n_out);
}

/* --- life cycle --- */

/* Embeds a word with the default model: what is broken shows here, and the first question does not wait for the file. */
static mt_status activate(void *arg, mt_call *c)
{
    self *s = arg;
    const mt_slice word = MT_SLICE("ready");
    const float *out;
    size_t n;
    read_config(s, c);
    if (!find_library(s->models.library))
        return mt_problem(c, 503, MT_SLICE("runtime_missing"), MT_SLICE("ONNX Runtime is not set up: run ./mortise setup"), MT_SLICE(""));
    find_folder(c, s->folder);
    folder_read(c, &s->models, s->folder, true);
    model *m = get(s, c, mt_str(s->name), false);
    if (!m)
        return mt_problem(c, 503, MT_SLICE("model_unavailable"), mt_printf(c, "The model %s is not in %s (mortise model pull %s fetches it)", s->name, s->folder, s->name), MT_SLICE(""));
    model_put(&s->models, m);
    return service_embed(s, c, (mt_slice){0}, &word, 1, &out, &n);
}

static void tell_loaded(const char *name)
{
    mt_log(1, "model.loaded", (mt_field[]){{MT_SLICE("model"), mt_str(name)}}, 1);
}

static mt_status create(void **out)
{
    self *s = calloc(1, sizeof *s);
    if (!s)
        return MT_NO_MEMORY;
    model_set_init(&s->models);
    s->models.loaded = tell_loaded;
    *out = s;
    return MT_OK;
}

static mt_status load(void *arg, const mt_host *host)
{
    mt_bind(host);
    return MT_OK;
}

static void unload(void *arg)
{
    self *s = arg;
    model_set_dispose(&s->models);
    free(s);
}

static const mt_embedder_engine_1_provider engine = {.size = sizeof engine, .version = 1, .describe = service_describe, .models = service_models,
                                                     .embed = service_embed, .count_tokens = service_count_tokens};
static const mt_reranker_1_provider reranker = {.size = sizeof reranker, .version = 1, .score = service_score};
static const mt_service_entry services[] = {{"embedder_engine/1", &engine}, {"reranker/1", &reranker}};

MT_EXPORT const mt_plugin embedder_onnx_plugin = {
    .abi = MT_ABI, .size = sizeof(mt_plugin), .slug = "embedder_onnx", .version = "0.1.0", .create = create, .load = load,
    .activate = activate, .unload = unload, .services = services, .n_services = 2};
