/* embedder/1 over one model in memory. The model is opened once, on the pool, when the plugin becomes active. */
#include "embed.h"

#include <mortise/entry.h>

enum { DEFAULT_WINDOW = 256 };

typedef struct self {
    wordpiece *tokens;
    embedder embed;
    char model[128];
    uint32_t dimensions;
} self;

typedef struct opening {
    self *s;
    char library[4096], folder[4096];
    int threads;
    mt_status status;
    char reason[ONNX_REASON];
} opening;

/* The folder of the runtime, from the file that the set-up keeps. */
static mt_status find_library(opening *o)
{
    char prefix[3900] = "";
    const char *given = getenv("MORTISE_ONNXRUNTIME");
    if (given && *given) {
        snprintf(o->library, sizeof o->library, "%s", given);
        return MT_OK;
    }
    FILE *f = fopen(MORTISE_ONNXRUNTIME_PREFIX_FILE, "re");
    bool read = f && fgets(prefix, sizeof prefix, f);
    if (f)
        fclose(f);
    if (!read) {
        snprintf(o->reason, sizeof o->reason, "ONNX Runtime is not set up: run ./mortise setup");
        return MT_NOT_FOUND;
    }
    prefix[strcspn(prefix, "\n")] = 0;
    snprintf(o->library, sizeof o->library, "%s/lib/libonnxruntime.so.1", prefix);
    return MT_OK;
}

static void open_model(void *arg)
{
    opening *o = arg;
    self *s = o->s;
    char path[4200];
    snprintf(path, sizeof path, "%s/vocab.txt", o->folder);
    o->status = wordpiece_load(&s->tokens, path, o->reason);
    if (o->status != MT_OK)
        return;
    snprintf(path, sizeof path, "%s/model.onnx", o->folder);
    const onnx_options options = {.library = o->library, .model = path, .threads = o->threads};
    o->status = onnx_session_open(&s->embed.session, &options, o->reason);
    if (o->status != MT_OK) {
        wordpiece_destroy(s->tokens);       /* activation is tried again, as long as it takes */
        s->tokens = NULL;
        return;
    }
    s->embed.tokens = s->tokens;
    s->embed.window = DEFAULT_WINDOW;
    s->dimensions = (uint32_t)onnx_session_dim(s->embed.session);
}

static void find_folder(mt_call *c, opening *o)
{
    mt_slice dir = mt_setting(c, MT_SLICE("models.dir"));
    const char *cache = getenv("MORTISE_CACHE"), *home = getenv("HOME");
    if (dir.len)
        snprintf(o->folder, sizeof o->folder, "%.*s/%s", (int)dir.len, dir.p, o->s->model);
    else if (cache && *cache)
        snprintf(o->folder, sizeof o->folder, "%s/models/%s", cache, o->s->model);
    else
        snprintf(o->folder, sizeof o->folder, "%s/.cache/mortise/models/%s", home ? home : "", o->s->model);
}

static mt_status activate(void *arg, mt_call *c)
{
    self *s = arg;
    if (s->embed.session)
        return MT_OK;
    opening *o = mt_alloc(c, sizeof *o);
    if (!o)
        return MT_NO_MEMORY;
    o->s = s;
    mt_slice model = mt_config(c, MT_SLICE("/model")), threads = mt_config(c, MT_SLICE("/threads"));
    snprintf(s->model, sizeof s->model, "%.*s", (int)model.len, model.p);
    o->threads = threads.p ? atoi(threads.p) : 1;
    find_folder(c, o);
    if (find_library(o) != MT_OK)
        return mt_problem(c, 503, MT_SLICE("runtime_missing"), mt_str(o->reason), MT_SLICE(""));
    MT_TRY(mt_offload_run(c, open_model, o));
    if (o->status == MT_OK)
        return MT_OK;
    return mt_problem(c, 503, MT_SLICE("model_unavailable"), mt_printf(c, "%s (mortise model pull %s fetches it)", o->reason, s->model), MT_SLICE(""));
}

static mt_status check_model(const self *s, mt_call *c, mt_slice model)
{
    if (!model.p || mt_slice_eq(model, mt_str(s->model)))
        return MT_OK;
    return mt_problem(c, 404, MT_SLICE("model_not_found"), mt_printf(c, "There is no embedding model \"%.*s\" here.", (int)model.len, model.p), MT_SLICE("/model"));
}

static mt_status service_describe(void *arg, mt_call *c, mt_slice model, mt_embedder_info *out)
{
    self *s = arg;
    MT_TRY(check_model(s, c, model));
    *out = (mt_embedder_info){.size = sizeof *out, .model = mt_str(s->model), .dimensions = s->dimensions, .max_tokens = DEFAULT_WINDOW,
                              .provider = MT_SLICE("embedder_onnx")};
    return MT_OK;
}

static mt_status service_models(void *arg, mt_call *c, uint32_t index, mt_embedder_info *out)
{
    return index ? MT_DONE : service_describe(arg, c, (mt_slice){0}, out);
}

typedef struct run {
    self *s;
    mt_call *c;
    const mt_slice *texts;
    size_t n;
    float *out;
    mt_status status;
    char reason[ONNX_REASON];
} run;

static bool stopped(void *arg)
{
    return mt_cancelled(arg);
}

static void embed_on_pool(void *arg)
{
    run *r = arg;
    r->status = embed_texts(&r->s->embed, r->texts, r->n, r->out, NULL, stopped, r->c, r->reason);
}

static mt_status service_embed(void *arg, mt_call *c, mt_slice model, const mt_slice *texts, size_t n, const float **out, size_t *n_out)
{
    self *s = arg;
    run r = {.s = s, .c = c, .texts = texts, .n = n, .out = mt_alloc(c, (n * s->dimensions + 1) * sizeof(float))};
    if (!r.out)
        return MT_TOO_LARGE;
    MT_TRY(check_model(s, c, model));
    MT_TRY(mt_offload_run(c, embed_on_pool, &r));
    *out = r.out;
    *n_out = n * s->dimensions;
    return r.status == MT_OK || r.status == MT_CANCELLED ? r.status : mt_problem(c, 500, MT_SLICE("embedding_failed"), mt_str(r.reason), MT_SLICE(""));
}

static uint32_t service_count_tokens(void *arg, mt_call *c, mt_slice model, mt_slice text)
{
    return (uint32_t)wordpiece_count(((self *)arg)->tokens, text.p, text.len);
}

static mt_status create(void **out)
{
    *out = calloc(1, sizeof(self));
    return *out ? MT_OK : MT_NO_MEMORY;
}

static mt_status load(void *arg, const mt_host *host)
{
    mt_bind(host);
    return MT_OK;
}

static void unload(void *arg)
{
    self *s = arg;
    if (s->embed.session)
        onnx_session_close(s->embed.session);
    wordpiece_destroy(s->tokens);
    free(s);
}

static const mt_embedder_1_provider service = {.size = sizeof service, .version = 1, .describe = service_describe, .models = service_models, .embed = service_embed,
                                               .count_tokens = service_count_tokens};
static const mt_service_entry services[] = {{"embedder/1", &service}};

MT_EXPORT const mt_plugin embedder_onnx_plugin = {
    .abi = MT_ABI, .size = sizeof(mt_plugin), .slug = "embedder_onnx", .version = "0.1.0", .create = create, .load = load,
    .activate = activate, .unload = unload, .services = services, .n_services = 1};
