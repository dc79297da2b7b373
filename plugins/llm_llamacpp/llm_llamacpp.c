/* llm_engine/1 over the GGUF models of this machine. */
#include "models.h"

#include <mortise/entry.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { LOAD_WAIT_MS = 15000, LOAD_STEP_MS = 20, SMALL = 1 << 30 };    /* SMALL: bytes of a file, about two thousand million parameters of four bits */

typedef struct self {
    pthread_mutex_t lock;       /* guards models */
    models *models;             /* NULL: switched off */
    models *kept;               /* of earlier activations, until their last answer is done */
    char data[4096];            /* the folder of its own models, with a slash */
} self;

typedef struct generation {
    models *models;
    const model *model;
    engine *engine;
    job *job;
    mt_handle signal;
    job_counts counts;          /* of a job that was let go */
    int64_t due_us, retry_ms;
} generation;

/* Any JSON object; strings as JSON writes them, depth as the stack of the grammar allows. */
static const char json_object[] =
    "root ::= object\n"
    "value ::= object | array | string | number | \"true\" | \"false\" | \"null\"\n"
    "object ::= \"{\" ws ( string ws \":\" ws value ws ( \",\" ws string ws \":\" ws value ws )* )? \"}\"\n"
    "array ::= \"[\" ws ( value ws ( \",\" ws value ws )* )? \"]\"\n"
    "string ::= \"\\\"\" ( [^\"\\\\\\x00-\\x1F] | \"\\\\\" ( [\"\\\\/bfnrt] | \"u\" [0-9a-fA-F] [0-9a-fA-F] [0-9a-fA-F] [0-9a-fA-F] ) )* \"\\\"\"\n"
    "number ::= \"-\"? ( \"0\" | [1-9] [0-9]* ) ( \".\" [0-9]+ )? ( [eE] [-+]? [0-9]+ )?\n"
    "ws ::= ( \" \" | \"\\n\" )?\n";

/* --- activation --- */

static void log_line(mt_slice line)
{
    const mt_field field = {MT_SLICE("line"), line};
    mt_log(0, "llama.cpp", &field, 1);
}

static void tell_loaded(const char *path, int64_t us)
{
    char ms[24];
    const char *name = strrchr(path, '/');
    snprintf(ms, sizeof ms, "%lld", (long long)us / 1000);
    mt_log(1, "model.loaded", (mt_field[]){{MT_SLICE("model"), mt_str(name ? name + 1 : path)}, {MT_SLICE("ms"), mt_str(ms)}}, 2);
}

static void raise_signal(uint64_t signal)
{
    mt_thread_raise(signal);
}

static bool find_library(char *out, size_t size)
{
    const char *given = getenv("MORTISE_LLAMACPP");
    char prefix[3900] = "";
    FILE *f = given && *given ? NULL : fopen(MORTISE_LLAMACPP_PREFIX_FILE, "re");
    bool found = f ? fgets(prefix, sizeof prefix, f) != NULL : given && *given;
    if (f)
        fclose(f);
    prefix[strcspn(prefix, "\n")] = 0;
    snprintf(out, size, "%s/lib", given && *given ? given : prefix);
    return found && access(out, R_OK) == 0;
}

static uint32_t number(mt_call *c, mt_slice pointer)
{
    return (uint32_t)mt_int(mt_config(c, pointer), 0);
}

static void scan_folders(mt_call *c, self *s, models *into)
{
    char folder[4200];
    mt_slice dir = mt_setting(c, MT_SLICE("models.dir")), data = mt_setting(c, MT_SLICE("data.dir"));
    const char *cache = getenv("MORTISE_CACHE"), *home = getenv("HOME");
    if (dir.len)
        snprintf(folder, sizeof folder, "%.*s", (int)dir.len, dir.p);
    else if (cache && *cache)
        snprintf(folder, sizeof folder, "%s/models", cache);
    else
        snprintf(folder, sizeof folder, "%s/.cache/mortise/models", home ? home : "");
    models_scan(into, folder);
    if (!s->data[0])            /* calls of an earlier activation may be reading it */
        snprintf(s->data, sizeof s->data, "%.*s/models/", (int)data.len, data.p ? data.p : "");
    models_scan(into, s->data);
}

/* ggml's threads meet hundreds of times a token and wait for each other by spinning: one that the machine gives to somebody else stops them all. With
 * half of the cores there is one left for each; more than eight bring a small model nothing. */
static uint32_t own_threads(void)
{
    long half = sysconf(_SC_NPROCESSORS_ONLN) / 2;
    return half < 1 ? 1 : half > 8 ? 8 : (uint32_t)half;
}

static models *set_models(self *s, models *m)
{
    pthread_mutex_lock(&s->lock);
    models *before = s->models;
    s->models = m;
    pthread_mutex_unlock(&s->lock);
    return before;
}

/* NULL: switched off. Any thread; until models_leave. */
static models *use_models(self *s)
{
    pthread_mutex_lock(&s->lock);
    models *m = s->models;
    if (m)
        models_use(m);
    pthread_mutex_unlock(&s->lock);
    return m;
}

static void free_unused(void *arg)
{
    self *s = arg;
    s->kept = models_free_kept(s->kept, false);
}

static mt_status activate(void *arg, mt_call *c)
{
    self *s = arg;
    char library[4096];
    mt_slice name = mt_config(c, MT_SLICE("/model"));
    if (!find_library(library, sizeof library))
        return mt_problem(c, 503, MT_SLICE("runtime_missing"), MT_SLICE("llama.cpp is not set up: run ./mortise setup"), MT_SLICE(""));
    uint32_t threads = number(c, MT_SLICE("/threads"));
    models_options o = {
        .engine = {.library = library, .context = number(c, MT_SLICE("/context")), .sequences = number(c, MT_SLICE("/sequences")),
                   .threads = threads ? threads : own_threads(), .queue = number(c, MT_SLICE("/queue")), .queue_owner = number(c, MT_SLICE("/queue_organization")),
                   .idle_ms = (int64_t)number(c, MT_SLICE("/idle_seconds")) * 1000,
                   .reuse_prefix = mt_slice_eq(mt_config(c, MT_SLICE("/reuse_prefix")), MT_SLICE("true")), .log = log_line, .loaded = tell_loaded, .raise = raise_signal},
        .memory = (uint64_t)number(c, MT_SLICE("/memory_mib")) << 20, .first_token_us = (int64_t)number(c, MT_SLICE("/first_token_ms")) * 1000,
        .max_tokens = number(c, MT_SLICE("/max_tokens"))};
    snprintf(o.standard, sizeof o.standard, "%.*s", (int)name.len, name.p ? name.p : "");
    MT_TRY(mt_offload_run(c, free_unused, s));
    models *m = models_create(&o);
    if (!m)
        return MT_NO_MEMORY;
    scan_folders(c, s, m);      /* a model is loaded when somebody asks it: until then it costs neither time nor memory */
    set_models(s, m);
    return MT_OK;
}

/* Answers that are being written are written to their end, if their callers still ask. */
static void deactivate(void *arg, mt_call *c)
{
    self *s = arg;
    models *m = set_models(s, NULL);
    if (m)
        s->kept = models_close(m, s->kept);
}

/* --- opening --- */

/* options.grounded: the answer is to keep to the passages that the messages hold. */
static mt_status read_options(mt_call *c, const mt_llm_engine_in *in, mt_slice *path, bool *grounded)
{
    mt_handle options;
    if (!in->options.len)
        return MT_OK;
    MT_TRY(mt_json_parse(c, in->options, &options));
    *path = mt_json_text(c, options, MT_SLICE("/path"));
    *grounded = mt_slice_eq(mt_json_text(c, options, MT_SLICE("/grounded")), MT_SLICE("true"));
    return MT_OK;
}

/* options.path is a file below DATA/models, which only the operator fills. */
static mt_status find_model(self *s, mt_call *c, const mt_llm_engine_in *in, mt_slice path, generation *g)
{
    mt_slice name = in->model.len ? in->model : mt_str(models_told(g->models)->standard);
    if (path.len) {
        mt_slice text = mt_printf(c, "%.*s", (int)path.len, path.p);
        size_t n = strlen(s->data);
        if (text.len <= n || memcmp(text.p, s->data, n) || memmem(text.p, text.len, "/../", 4))
            return mt_problem(c, 422, MT_SLICE("model_path_outside"), mt_printf(c, "A model's file lies below %s.", s->data), MT_SLICE("/options/path"));
        if (models_add(g->models, text.p, &g->model) == MT_OK)
            return MT_OK;
    } else if ((g->model = models_find(g->models, name))) {
        return MT_OK;
    }
    mt_problem(c, 404, MT_SLICE("model_not_found"), mt_printf(c, "There is no model \"%.*s\" here: mortise model pull fetches one, then switch llm_llamacpp off and on.", (int)name.len, name.p), MT_SLICE("/model"));
    return MT_NOT_FOUND;
}

static uint64_t owner_of(mt_call *c)
{
    mt_slice org = mt_org_id(c);
    uint64_t h = 14695981039346656037u;
    for (size_t i = 0; i < org.len; i++)
        h = (h ^ (unsigned char)org.p[i]) * 1099511628211u;
    return h;
}

/* Too many ask: what is said to those who may come again. */
static mt_status refuse_busy(mt_call *c, generation *g)
{
    int64_t ms = engine_wait_ms(g->engine, owner_of(c));
    g->retry_ms = ms > 1000 ? ms : 1000;
    mt_problem(c, 429, MT_SLICE("model_busy"), mt_printf(c, "Too many ask %s, whose first word would come too late: try again in %lld s.", g->model->name,
               (long long)(g->retry_ms + 999) / 1000), MT_SLICE(""));
    return MT_LIMITED;
}

static mt_status wait_loaded(mt_call *c, generation *g)
{
    char reason[LLAMA_REASON];
    engine_state state;
    bool asked = false;
    for (int waited = 0; waited < LOAD_WAIT_MS; waited += LOAD_STEP_MS) {
        mt_status s = models_want(g->models, g->model, &g->engine, &state, reason);
        if (s == MT_LIMITED)
            return mt_problem(c, 503, MT_SLICE("model_memory"), MT_SLICE("The memory for models is used up: raise memory_mib of llm_llamacpp."), MT_SLICE("/model"));
        if (s != MT_OK)
            return s;
        if (engine_now_us() >= g->due_us)
            return refuse_busy(c, g);
        if (state == ENGINE_READY)
            return MT_OK;
        if (state == ENGINE_FAILED && asked)
            return mt_problem(c, 503, MT_SLICE("model_unavailable"), mt_str(reason), MT_SLICE("/model"));
        asked = true;
        MT_TRY(mt_sleep(c, LOAD_STEP_MS));
    }
    return mt_problem(c, 503, MT_SLICE("model_loading"), MT_SLICE("The model is being loaded: try again shortly."), MT_SLICE("/model"));
}

typedef struct prompt {
    engine *e;
    engine_message *messages;
    size_t n;
    int32_t *tokens;
    size_t n_tokens;
    mt_status status;
} prompt;

static void tokenize_on_pool(void *arg)
{
    prompt *p = arg;
    p->status = engine_tokenize(p->e, p->messages, p->n, &p->tokens, &p->n_tokens);
}

static mt_status read_messages(mt_call *c, const mt_llm_engine_in *in, prompt *p)
{
    mt_handle doc;
    MT_TRY(mt_json_parse(c, in->messages, &doc));
    int64_t n = mt_json_count(c, doc, MT_SLICE(""));
    if (n < 1 || n > 1000)
        return mt_problem(c, 422, MT_SLICE("messages_invalid"), MT_SLICE("Give between one and 1,000 messages."), MT_SLICE("/messages"));
    p->messages = mt_alloc(c, ((size_t)n + 1) * sizeof *p->messages);
    if (!p->messages)
        return MT_TOO_LARGE;
    if (in->system.len)
        p->messages[p->n++] = (engine_message){MT_SLICE("system"), in->system};
    for (int64_t i = 0; i < n; i++)
        p->messages[p->n++] = (engine_message){mt_json_text(c, doc, mt_printf(c, "/%lld/role", (long long)i)),
                                               mt_json_text(c, doc, mt_printf(c, "/%lld/content", (long long)i))};
    return MT_OK;
}

static mt_status read_stops(mt_call *c, mt_slice json, text_out *t)
{
    mt_handle doc;
    if (!json.len)
        return MT_OK;
    MT_TRY(mt_json_parse(c, json, &doc));
    int64_t n = mt_json_count(c, doc, MT_SLICE(""));
    for (int64_t i = 0; i < (n < 0 ? 1 : n); i++) {
        mt_status s = text_out_add_stop(t, mt_json_text(c, doc, n < 0 ? MT_SLICE("") : mt_printf(c, "/%lld", (long long)i)));
        if (s != MT_OK)
            return s == MT_INVALID ? mt_problem(c, 422, MT_SLICE("stop_invalid"), MT_SLICE("stop takes up to 8 strings, none of them empty."), MT_SLICE("/stop")) : s;
    }
    return MT_OK;
}

static mt_status read_format(mt_call *c, mt_slice json, const char **grammar)
{
    mt_handle doc;
    if (!json.len)
        return MT_OK;
    MT_TRY(mt_json_parse(c, json, &doc));
    mt_slice type = mt_json_text(c, doc, MT_SLICE("/type"));
    if (mt_slice_eq(type, MT_SLICE("json_object")))
        *grammar = json_object;
    else if (!mt_slice_eq(type, MT_SLICE("text")))
        return mt_problem(c, 422, MT_SLICE("format_unsupported"), MT_SLICE("Local models write text or json_object."), MT_SLICE("/response_format"));
    return MT_OK;
}

static mt_status make_prompt(mt_call *c, const mt_llm_engine_in *in, generation *g, prompt *p)
{
    p->e = g->engine;
    MT_TRY(read_messages(c, in, p));
    mt_status s = mt_offload_run(c, tokenize_on_pool, p);
    if (s != MT_OK)
        return s;
    if (p->status != MT_OK)
        return mt_problem(c, p->status == MT_UNAVAILABLE ? 503 : 422, MT_SLICE("prompt_invalid"), MT_SLICE("The messages cannot be made a prompt for this model now."), MT_SLICE("/messages"));
    unsigned room = engine_context(g->engine);
    if (p->n_tokens < room)
        return MT_OK;
    return mt_problem(c, 422, MT_SLICE("context_exceeded"), mt_printf(c, "The prompt has %zu tokens; %s takes %u with the answer. Leave messages or passages out.",
                      p->n_tokens, g->model->name, room), MT_SLICE("/messages"));
}

static void let_go(generation *g)
{
    if (!g->job)
        return;
    job_count(g->job, &g->counts);
    job_release(g->job);
    g->job = NULL;
}

static void on_call_end(void *arg)
{
    generation *g = arg;
    let_go(g);
    models_leave(g->models);
}

static mt_status submit(mt_call *c, const mt_llm_engine_in *in, generation *g, job_request *r)
{
    r->owner = owner_of(c);
    r->signal = g->signal;
    r->due_us = g->due_us;
    r->max_tokens = in->max_tokens ? in->max_tokens : models_told(g->models)->max_tokens;
    r->seed = in->seed < 0 ? LLAMA_DEFAULT_SEED : (uint32_t)in->seed;
    r->temperature = in->temperature < 0 ? 0 : in->temperature;
    r->top_p = in->top_p < 0 ? 0.95 : in->top_p;
    mt_status st = engine_submit(g->engine, r, &g->job);
    return st == MT_LIMITED ? refuse_busy(c, g) : st;
}

static mt_status service_open(void *arg, mt_call *c, const mt_llm_engine_in *in, mt_handle *out)
{
    self *s = arg;
    generation *g = mt_alloc(c, sizeof *g);
    prompt p = {0};
    job_request r = {0};
    if (!g)
        return MT_TOO_LARGE;
    if (!(g->models = use_models(s)))
        return MT_UNAVAILABLE;
    MT_TRY(mt_defer_add(c, on_call_end, g));
    g->due_us = engine_now_us() + models_told(g->models)->first_token_us;
    mt_slice path = {0};
    MT_TRY(read_options(c, in, &path, &r.grounded));
    MT_TRY(find_model(s, c, in, path, g));
    MT_TRY(read_format(c, in->response_format, &r.grammar));
    MT_TRY(wait_loaded(c, g));
    MT_TRY(mt_thread_signal(c, &g->signal));
    mt_status st = make_prompt(c, in, g, &p);
    if (st == MT_OK)
        st = read_stops(c, in->stop, &r.text);
    if (st != MT_OK) {
        free(p.tokens);
        text_out_dispose(&r.text);
        return st;
    }
    r.tokens = p.tokens;
    r.n_tokens = p.n_tokens;
    *out = (mt_handle)(uintptr_t)g;
    return submit(c, in, g, &r);
}

/* --- the rest of the service --- */

static mt_status service_next(void *arg, mt_call *c, mt_handle handle, mt_slice *token)
{
    generation *g = (generation *)(uintptr_t)handle;
    for (;;) {
        mt_status s = g->job ? job_take(g->job, token) : MT_DONE;
        if (s == MT_LIMITED)
            return refuse_busy(c, g);
        if (s == MT_UNAVAILABLE || s == MT_INTERNAL)
            return mt_problem(c, 503, MT_SLICE("model_failed"), MT_SLICE("The model stopped before the answer was whole: try again."), MT_SLICE(""));
        if (s != MT_TIMEOUT)
            return s;
        MT_TRY(mt_thread_wait(c, g->signal, -1));
    }
}

static mt_status service_usage(void *arg, mt_call *c, mt_handle handle, mt_llm_engine_counts *out)
{
    const generation *g = (const generation *)(uintptr_t)handle;
    job_counts n = g->counts;
    if (g->job)
        job_count(g->job, &n);
    *out = (mt_llm_engine_counts){.size = sizeof *out, .input_tokens = n.input, .cached_tokens = n.cached, .output_tokens = n.output, .retry_after_ms = g->retry_ms,
                                  .finish = n.by_length ? MT_SLICE("length") : MT_SLICE("stop"), .model = mt_str(g->model->name)};
    return MT_OK;
}

static mt_status service_tool_calls(void *arg, mt_call *c, mt_handle handle, mt_slice *out)
{
    *out = MT_SLICE("[]");
    return MT_OK;
}

static mt_status service_close(void *arg, mt_call *c, mt_handle handle)
{
    let_go((generation *)(uintptr_t)handle);
    return MT_OK;
}

static uint32_t service_count_tokens(void *arg, mt_call *c, mt_slice name, mt_slice text)
{
    self *s = arg;
    models *all = use_models(s);
    uint32_t n;
    const model *m = all ? models_find(all, name.len ? name : mt_str(models_told(all)->standard)) : NULL;
    engine *e = m ? models_engine(all, m) : NULL;
    if (!e || !engine_count(e, text, &n))
        n = (uint32_t)(text.len / 2 + 1);   /* not too low for texts of any language that has words */
    if (all)
        models_leave(all);
    return n;
}

/* The default comes first. */
static const model *model_at(models *all, uint32_t index)
{
    const model *first = models_find(all, mt_str(models_told(all)->standard)), *m;
    if (first && index == 0)
        return first;
    for (unsigned i = 0, left = index - (first != NULL); (m = models_at(all, i)) && (m == first || left--); i++)
        ;
    return m;
}

static mt_status service_models(void *arg, mt_call *c, uint32_t index, mt_llm_engine_model *out)
{
    self *s = arg;
    models *all = use_models(s);
    const model *m = all ? model_at(all, index) : NULL;
    if (m) {
        engine *e = models_engine(all, m);
        unsigned context = e ? engine_context(e) : 0;
        *out = (mt_llm_engine_model){.size = sizeof *out, .model = mt_str(m->name), .provider = MT_SLICE("llm_llamacpp"),
                                     .context_tokens = context ? context : models_told(all)->engine.context, .json = true, .small = m->bytes < SMALL};
    }
    if (all)
        models_leave(all);
    return m ? MT_OK : MT_DONE;
}

static mt_status create(void **out)
{
    self *s = calloc(1, sizeof *s);
    *out = s;
    return s && !pthread_mutex_init(&s->lock, NULL) ? MT_OK : MT_NO_MEMORY;
}

static mt_status load(void *arg, const mt_host *host)
{
    mt_bind(host);
    return MT_OK;
}

static void unload(void *arg)
{
    self *s = arg;
    models_destroy(s->models);
    models_free_kept(s->kept, true);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static const mt_llm_engine_1_provider service = {.size = sizeof service, .version = 1, .open = service_open, .next = service_next, .tool_calls = service_tool_calls,
                                                 .usage = service_usage, .close = service_close, .count_tokens = service_count_tokens, .models = service_models};
static const mt_service_entry services[] = {{"llm_engine/1", &service}};

MT_EXPORT const mt_plugin llm_llamacpp_plugin = {
    .abi = MT_ABI, .size = sizeof(mt_plugin), .slug = "llm_llamacpp", .version = "0.1.0", .create = create, .load = load, .activate = activate,
    .deactivate = deactivate, .unload = unload, .services = services, .n_services = 1};
