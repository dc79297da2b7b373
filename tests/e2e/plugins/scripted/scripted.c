/*
 * A model whose system prompt is its script: a JSON object on the first line,
 *   {"rounds": [{"text": "…"} | {"calls": [{"name", "arguments"}], "text": "…"}, …], "echo": true, "per_message": true, "stubborn": true, "fail": "unavailable" | "limited"}
 * Round n is what it says after n rounds of tool results; past the last one the last is repeated. echo: it answers with what it was asked, as JSON;
 * stubborn: it asks for tools that nobody offers; per_message: it says the text as often as it was told messages.
 * "scripted" can call tools and answer JSON; "scripted-small" cannot and has a small context; "scripted-slow" takes two at a time, lets eight wait in
 * order, and refuses the next: a local model under load.
 */
#include <mortise/entry.h>

#include <stdatomic.h>

enum { AT_ONCE = 2, WAITING = 8, PIECE_MS = 20 };

static atomic_int running, most, tickets, served;

typedef struct generation {
    mt_slice text, calls;
    size_t at;
    int64_t delay_ms, pieces;
    bool slow, taken;
} generation;

static int64_t count_rounds(mt_call *c, mt_slice messages)
{
    mt_handle doc;
    int64_t rounds = 0;
    if (mt_json_parse(c, messages, &doc) != MT_OK)
        return 0;
    for (int64_t i = 0, n = mt_json_count(c, doc, MT_SLICE("")); i < n; i++)
        rounds += mt_json_count(c, doc, mt_printf(c, "/%lld/tool_calls", (long long)i)) > 0;
    return rounds;
}

/* The script ends with its line: instructions of others follow it. */
static mt_status read_script(mt_call *c, const mt_llm_engine_in *in, mt_handle *doc)
{
    const char *end = in->system.len ? memchr(in->system.p, '\n', in->system.len) : NULL;
    mt_slice line = {in->system.p, end ? (size_t)(end - in->system.p) : in->system.len};
    bool script = line.len && line.p[0] == '{';
    return mt_json_parse(c, script ? line : MT_SLICE("{\"rounds\":[{\"text\":\"Nothing was scripted.\"}]}"), doc);
}

static mt_slice with_ids(mt_call *c, mt_handle doc, mt_slice at, int64_t round)
{
    mt_writer w = mt_write_begin(c);
    mt_slice json;
    mt_write_array(&w, NULL);
    for (int64_t i = 0, n = mt_json_count(c, doc, at); i < n; i++) {
        mt_write_object(&w, NULL);
        mt_write_text(&w, "id", mt_printf(c, "call_%lld_%lld", (long long)round, (long long)i));
        mt_write_text(&w, "name", mt_json_text(c, doc, mt_printf(c, "%.*s/%lld/name", (int)at.len, at.p, (long long)i)));
        mt_write_raw(&w, "arguments", mt_json_text(c, doc, mt_printf(c, "%.*s/%lld/arguments", (int)at.len, at.p, (long long)i)));
        mt_write_close(&w);
    }
    mt_write_close(&w);
    return mt_write_end(&w, &json) == MT_OK ? json : (mt_slice){0};
}

static mt_slice echo(mt_call *c, const mt_llm_engine_in *in)
{
    mt_writer w = mt_write_begin(c);
    mt_slice json;
    mt_write_object(&w, NULL);
    mt_write_raw(&w, "messages", in->messages);
    mt_write_raw(&w, "tools", in->tools);
    mt_write_raw(&w, "tool_choice", in->tool_choice);
    mt_write_raw(&w, "response_format", in->response_format);
    mt_write_raw(&w, "stop", in->stop);
    mt_write_int(&w, "max_tokens", in->max_tokens);
    mt_write_int(&w, "seed", in->seed);
    mt_write_double(&w, "temperature", in->temperature);
    mt_write_double(&w, "top_p", in->top_p);
    mt_write_close(&w);
    return mt_write_end(&w, &json) == MT_OK ? json : (mt_slice){0};
}

static mt_slice repeated(mt_call *c, mt_slice text, mt_slice messages)
{
    mt_handle doc;
    mt_slice out = text;
    if (mt_json_parse(c, messages, &doc) != MT_OK)
        return text;
    for (int64_t i = 1, n = mt_json_count(c, doc, MT_SLICE("")); i < n; i++)
        out = mt_printf(c, "%.*s %.*s", (int)out.len, out.p, (int)text.len, text.p);
    return out;
}

/* In the order of coming, and no more than may wait. */
static mt_status wait_turn(mt_call *c, generation *g)
{
    int ticket = atomic_fetch_add(&tickets, 1);
    if (ticket - atomic_load(&served) >= WAITING + AT_ONCE) {
        atomic_fetch_sub(&tickets, 1);
        return mt_problem(c, 429, MT_SLICE("model_busy"), MT_SLICE("Too many questions wait for this model: try again shortly."), MT_SLICE(""));
    }
    g->taken = true;
    while (ticket - atomic_load(&served) >= AT_ONCE) {
        mt_status s = mt_sleep(c, 5);
        if (s != MT_OK) {
            atomic_fetch_add(&served, 1);
            return s;
        }
    }
    int now = atomic_fetch_add(&running, 1) + 1;
    if (now > atomic_load(&most))
        atomic_store(&most, now);
    return MT_OK;
}

static mt_status on_open(void *self, mt_call *c, const mt_llm_engine_in *in, mt_handle *out)
{
    generation *g = mt_alloc(c, sizeof *g);
    mt_handle doc;
    if (!g)
        return MT_TOO_LARGE;
    MT_TRY(read_script(c, in, &doc));
    mt_slice fail = mt_json_text(c, doc, MT_SLICE("/fail"));
    if (mt_slice_eq(fail, MT_SLICE("unavailable")))
        return mt_problem(c, 503, MT_SLICE("model_away"), MT_SLICE("The scripted model is away."), MT_SLICE(""));
    if (mt_slice_eq(fail, MT_SLICE("limited")))
        return mt_problem(c, 429, MT_SLICE("model_busy"), MT_SLICE("The scripted model is busy."), MT_SLICE(""));
    int64_t rounds = mt_json_count(c, doc, MT_SLICE("/rounds")), round = count_rounds(c, in->messages);
    mt_slice at = mt_printf(c, "/rounds/%lld", (long long)(round < rounds ? round : rounds - 1));
    g->text = mt_json_text(c, doc, mt_printf(c, "%.*s/text", (int)at.len, at.p));
    g->calls = with_ids(c, doc, mt_printf(c, "%.*s/calls", (int)at.len, at.p), round);
    if (mt_json_text(c, doc, MT_SLICE("/per_message")).p)
        g->text = repeated(c, g->text, in->messages);
    if (!in->tools.p && !mt_json_text(c, doc, MT_SLICE("/stubborn")).p)
        g->calls = MT_SLICE("[]");           /* nobody offers any */
    if (mt_json_text(c, doc, MT_SLICE("/echo")).p)
        g->text = echo(c, in);
    g->slow = mt_slice_eq(in->model, MT_SLICE("scripted-slow"));
    *out = (mt_handle)(uintptr_t)g;
    if (!g->slow)
        return MT_OK;
    g->delay_ms = PIECE_MS;
    return wait_turn(c, g);
}

static mt_status on_next(void *self, mt_call *c, mt_handle handle, mt_slice *token)
{
    generation *g = (generation *)(uintptr_t)handle;
    if (g->at >= g->text.len)
        return MT_DONE;
    if (g->delay_ms)
        MT_TRY(mt_sleep(c, g->delay_ms));
    const char *from = g->text.p + g->at, *space = memchr(from, ' ', g->text.len - g->at);
    size_t n = space ? (size_t)(space - from) + 1 : g->text.len - g->at;
    *token = (mt_slice){from, n};
    g->at += n;
    g->pieces++;
    return mt_cancelled(c) ? MT_CANCELLED : MT_OK;
}

static mt_status on_tool_calls(void *self, mt_call *c, mt_handle handle, mt_slice *out)
{
    *out = ((const generation *)(uintptr_t)handle)->calls;
    return MT_OK;
}

static mt_status on_usage(void *self, mt_call *c, mt_handle handle, mt_llm_engine_counts *out)
{
    const generation *g = (const generation *)(uintptr_t)handle;
    *out = (mt_llm_engine_counts){.size = sizeof *out, .input_tokens = 10, .output_tokens = g->pieces, .model = MT_SLICE("scripted"),
                                  .finish = g->calls.len > 2 ? MT_SLICE("tool_calls") : MT_SLICE("stop")};
    return MT_OK;
}

static mt_status on_close(void *self, mt_call *c, mt_handle handle)
{
    generation *g = (generation *)(uintptr_t)handle;
    if (g->taken) {
        g->taken = false;
        atomic_fetch_sub(&running, 1);
        atomic_fetch_add(&served, 1);
    }
    return MT_OK;
}

static uint32_t on_count(void *self, mt_call *c, mt_slice model, mt_slice text)
{
    return (uint32_t)((text.len + 3) / 4);
}

static mt_status on_models(void *self, mt_call *c, uint32_t index, mt_llm_engine_model *out)
{
    static const mt_llm_engine_model models[] = {
        {.size = sizeof *models, .model = MT_SLICE_INIT("scripted"), .context_tokens = 8192, .tools = true, .json = true},
        {.size = sizeof *models, .model = MT_SLICE_INIT("scripted-small"), .context_tokens = 900},
        {.size = sizeof *models, .model = MT_SLICE_INIT("scripted-slow"), .context_tokens = 8192}};
    if (index >= sizeof models / sizeof *models)
        return MT_DONE;
    *out = models[index];
    return MT_OK;
}

static mt_status load(void *self, const mt_host *host)
{
    mt_bind(host);
    return MT_OK;
}

static const mt_llm_engine_1_provider service = {.size = sizeof service, .version = 1, .open = on_open, .next = on_next, .tool_calls = on_tool_calls,
                                                 .usage = on_usage, .close = on_close, .count_tokens = on_count, .models = on_models};
static const mt_service_entry services[] = {{"llm_engine/1", &service}};

MT_EXPORT const mt_plugin scripted_plugin = {
    .abi = MT_ABI, .size = sizeof(mt_plugin), .slug = "scripted", .version = "0.1.0", .load = load, .services = services, .n_services = 1};
