/* llm_engine/1 without a model: the whole answer is made at open, on the pool, and handed out word by word. */
#include "extract.h"

#include <mortise/entry.h>

typedef struct generation {
    mt_slice question;
    extract_passage *passages;
    size_t n;
    extract_options options;
    extract_answer answer;
    mt_status status;
    size_t at;                   /* bytes handed out */
    int64_t input_bytes;
} generation;

static void work(void *arg)
{
    generation *g = arg;
    g->status = extract_answer_make(&g->answer, g->question, g->passages, g->n, &g->options);
}

static mt_status read_passages(mt_call *c, mt_slice json, generation *g)
{
    mt_handle doc = 0;
    if (json.p)
        MT_TRY(mt_json_parse(c, json, &doc));
    int64_t n = doc ? mt_json_count(c, doc, MT_SLICE("")) : 0;
    g->n = n > 0 ? (size_t)n : 0;
    g->passages = mt_alloc(c, (g->n + 1) * sizeof *g->passages);
    for (size_t i = 0; g->passages && i < g->n; i++) {
        g->passages[i].text = mt_json_text(c, doc, mt_printf(c, "/%zu/text", i));
        g->passages[i].score = (float)mt_json_number(c, doc, mt_printf(c, "/%zu/score", i), 0);
        g->input_bytes += (int64_t)g->passages[i].text.len;
    }
    return g->passages ? MT_OK : MT_TOO_LARGE;
}

/* The question is the last message. */
static mt_status read_question(mt_call *c, mt_slice json, generation *g)
{
    mt_handle doc;
    MT_TRY(mt_json_parse(c, json, &doc));
    int64_t n = mt_json_count(c, doc, MT_SLICE(""));
    g->question = n > 0 ? mt_json_text(c, doc, mt_printf(c, "/%lld/content", (long long)n - 1)) : (mt_slice){0};
    g->input_bytes += (int64_t)g->question.len;
    return g->question.len ? MT_OK : mt_problem(c, 422, MT_SLICE("question_missing"), MT_SLICE("There is no question to answer."), MT_SLICE("/messages"));
}

/* Moves the answer into the call's memory, so that nothing is left to free when the caller just goes away. */
static mt_status keep_answer(mt_call *c, generation *g)
{
    char *text = mt_alloc(c, g->answer.len + 1);
    if (text)
        memcpy(text, g->answer.text, g->answer.len);
    size_t len = g->answer.len, quotes = g->answer.n_quotes;
    extract_answer_dispose(&g->answer);
    g->answer = (extract_answer){.text = text, .len = len, .n_quotes = quotes};
    return text ? MT_OK : MT_TOO_LARGE;
}

static mt_status llm_open(void *self, mt_call *c, const mt_llm_engine_in *in, mt_handle *out)
{
    if (in->model.p && !mt_slice_eq(in->model, MT_SLICE("extractive")))
        return mt_problem(c, 404, MT_SLICE("model_unknown"), MT_SLICE("This engine has one model: extractive."), MT_SLICE("/model"));
    generation *g = mt_alloc(c, sizeof *g);
    mt_slice quotes = mt_config(c, MT_SLICE("/max_quotes")), threshold = mt_config(c, MT_SLICE("/threshold"));
    if (!g)
        return MT_TOO_LARGE;
    g->options.max_quotes = (size_t)mt_int(quotes, 0);
    g->options.threshold = (float)mt_number(threshold, 0);
    MT_TRY(read_passages(c, in->passages, g));
    MT_TRY(read_question(c, in->messages, g));
    mt_status s = mt_offload_run(c, work, g);
    if (s == MT_OK)
        s = g->status;
    if (s == MT_OK)
        s = keep_answer(c, g);
    else
        extract_answer_dispose(&g->answer);
    *out = (mt_handle)(uintptr_t)g;
    return s;
}

static mt_status llm_next(void *self, mt_call *c, mt_handle handle, mt_slice *token)
{
    generation *g = (generation *)(uintptr_t)handle;
    if (g->at >= g->answer.len)
        return MT_DONE;
    const char *start = g->answer.text + g->at, *space = memchr(start, ' ', g->answer.len - g->at);
    size_t n = space ? (size_t)(space - start) + 1 : g->answer.len - g->at;
    *token = (mt_slice){start, n};
    g->at += n;
    return mt_cancelled(c) ? MT_CANCELLED : MT_OK;
}

/* Counted in words of about four bytes: there is no tokenizer here. */
static mt_status llm_usage(void *self, mt_call *c, mt_handle handle, mt_llm_engine_counts *out)
{
    const generation *g = (const generation *)(uintptr_t)handle;
    *out = (mt_llm_engine_counts){.size = sizeof *out, .input_tokens = (g->input_bytes + 3) / 4, .output_tokens = (int64_t)(g->at + 3) / 4,
                           .finish = g->answer.n_quotes ? MT_SLICE("stop") : MT_SLICE("nothing_found"), .model = MT_SLICE("extractive"), .provider = MT_SLICE("llm_extractive")};
    return MT_OK;
}

static mt_status llm_tool_calls(void *self, mt_call *c, mt_handle handle, mt_slice *out)
{
    *out = MT_SLICE("[]");
    return MT_OK;
}

static uint32_t llm_count_tokens(void *self, mt_call *c, mt_slice model, mt_slice text)
{
    return (uint32_t)((text.len + 3) / 4);
}

static mt_status llm_models(void *self, mt_call *c, uint32_t index, mt_llm_engine_model *out)
{
    if (index)
        return MT_DONE;
    *out = (mt_llm_engine_model){.size = sizeof *out, .model = MT_SLICE("extractive"), .provider = MT_SLICE("llm_extractive"), .context_tokens = 65536, .reads_passages = true};
    return MT_OK;
}

static mt_status llm_close(void *self, mt_call *c, mt_handle handle)
{
    return MT_OK;
}

static mt_status load(void *self, const mt_host *host)
{
    mt_bind(host);
    return MT_OK;
}

static const mt_llm_engine_1_provider service = {.size = sizeof service, .version = 1, .open = llm_open, .next = llm_next, .tool_calls = llm_tool_calls,
                                          .usage = llm_usage, .close = llm_close, .count_tokens = llm_count_tokens, .models = llm_models};
static const mt_service_entry services[] = {{"llm_engine/1", &service}};

MT_EXPORT const mt_plugin llm_extractive_plugin = {
    .abi = MT_ABI, .size = sizeof(mt_plugin), .slug = "llm_extractive", .version = "0.1.0", .load = load, .services = services, .n_services = 1};
