/* Tools in the model's hands: searches, whose passages the answer may cite. A call that cannot be run is answered to the model, which may do better. */
#include "chat.h"

static const char *const names[] = {"vector_search", "hybrid_search"};
static const char *const modes[] = {"vector", "hybrid"};
enum { TOOLS = sizeof names / sizeof *names };

static bool is_enabled(const turn *t, const char *name)
{
    char quoted[40];
    int n = snprintf(quoted, sizeof quoted, "\"%s\"", name);
    return t->tools.len && memmem(t->tools.p, t->tools.len, quoted, (size_t)n) != NULL;
}

bool turn_has_tools(const turn *t)
{
    bool any = false;
    for (size_t i = 0; i < TOOLS; i++)
        any |= is_enabled(t, names[i]);
    return any && t->info.tools;
}

static bool has_room(const turn *t)
{
    int64_t ms = (mt_host_->clock_us() - t->started_us) / 1000;
    return t->n_rounds < turn_config(t->c, MT_SLICE("/tool_rounds"), 4) && t->n_calls < turn_config(t->c, MT_SLICE("/tool_calls"), 8) &&
           t->counts.input_tokens + t->counts.output_tokens < turn_config(t->c, MT_SLICE("/tool_tokens"), 50000) &&
           ms < turn_config(t->c, MT_SLICE("/tool_ms"), 60000);
}

mt_slice turn_tools(turn *t)
{
    static const char *const tells[] = {"Finds passages of the documents that mean what the query means.",
                                        "Finds passages of the documents by the query's words and meaning together."};
    mt_writer w = mt_write_begin(t->c);
    mt_slice json;
    if (!turn_has_tools(t) || !has_room(t))
        return (mt_slice){0};
    mt_write_array(&w, NULL);
    for (size_t i = 0; i < TOOLS; i++)
        if (is_enabled(t, names[i]))
            mt_write_raw(&w, NULL, mt_printf(t->c, "{\"type\":\"function\",\"function\":{\"name\":\"%s\",\"description\":\"%s\",\"parameters\":{\"type\":\"object\","
                                                   "\"required\":[\"query\"],\"additionalProperties\":false,\"properties\":{\"query\":{\"type\":\"string\",\"minLength\":1},"
                                                   "\"limit\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":20}}}}}", names[i], tells[i]));
    mt_write_close(&w);
    return mt_write_end(&w, &json) == MT_OK ? json : (mt_slice){0};
}

/* One call of the model. */
typedef struct call {
    mt_slice id, name, arguments;
    mt_slice query;
    uint32_t limit;
    const char *mode;
    mt_slice refusal;            /* why it was not run, for the model */
} call;

static void check_name(const turn *t, call *k)
{
    for (size_t i = 0; i < TOOLS; i++)
        if (mt_slice_eq(k->name, mt_str(names[i])) && is_enabled(t, names[i]))
            k->mode = modes[i];
    if (mt_slice_eq(k->name, MT_SLICE("graph_search")))
        k->refusal = MT_SLICE("graph_search is not available here: use another tool.");
    else if (!k->mode)
        k->refusal = mt_printf(t->c, "There is no tool called %.*s.", (int)(k->name.len < 64 ? k->name.len : 64), k->name.p ? k->name.p : "");
}

static void check_arguments(const turn *t, call *k)
{
    mt_handle doc;
    if (mt_json_parse(t->c, k->arguments, &doc) != MT_OK || mt_json_count(t->c, doc, MT_SLICE("")) < 0 || k->arguments.p[0] != '{') {
        k->refusal = MT_SLICE("The arguments are no JSON object.");
        return;
    }
    double limit = mt_json_number(t->c, doc, MT_SLICE("/limit"), 6);
    k->query = mt_json_text(t->c, doc, MT_SLICE("/query"));
    k->limit = limit >= 1 && limit <= 20 ? (uint32_t)limit : 0;
    if (!k->query.len || k->query.len > 4000)
        k->refusal = MT_SLICE("The argument query is missing: a text of 1 to 4000 characters.");
    else if (!k->limit)
        k->refusal = MT_SLICE("The argument limit must be 1 to 20.");
}

static mt_status tell_call(turn *t, const call *k)
{
    mt_writer w = mt_write_begin(t->c);
    mt_write_object(&w, NULL);
    mt_write_text(&w, "id", k->id);
    mt_write_text(&w, "name", k->name);
    mt_write_text(&w, "arguments", k->arguments);
    mt_write_close(&w);
    return turn_event(t, MT_SLICE("tool_call"), &w);
}

static mt_status tell_result(turn *t, const call *k, size_t passages)
{
    mt_writer w = mt_write_begin(t->c);
    mt_write_object(&w, NULL);
    mt_write_text(&w, "id", k->id);
    mt_write_text(&w, "name", k->name);
    mt_write_text(&w, "error", k->refusal);
    mt_write_int(&w, "passages", (int64_t)passages);
    mt_write_close(&w);
    return turn_event(t, MT_SLICE("tool_result"), &w);
}

/* Passages for the model, as text inside the tool's message. */
static mt_status write_found(turn *t, size_t from, mt_slice *json)
{
    mt_writer w = mt_write_begin(t->c);
    mt_write_object(&w, NULL);
    mt_write_array(&w, "passages");
    for (size_t i = from; i < t->n_passages; i++) {
        const passage *p = &t->passages[i];
        mt_write_object(&w, NULL);
        mt_write_int(&w, "number", (int64_t)i + 1);
        mt_write_text(&w, "file_name", p->file_name);
        mt_write_raw(&w, "page", p->page);
        mt_write_text(&w, "text", p->text);
        mt_write_close(&w);
    }
    mt_write_close(&w);
    if (from == t->n_passages)
        mt_write_text(&w, "note", MT_SLICE("Nothing new was found."));
    mt_write_close(&w);
    return mt_write_end(&w, json);
}

static mt_status write_refusal(turn *t, const call *k, mt_slice *json)
{
    mt_writer w = mt_write_begin(t->c);
    mt_write_object(&w, NULL);
    mt_write_text(&w, "error", k->refusal);
    mt_write_close(&w);
    return mt_write_end(&w, json);
}

/* What the search cannot do is the model's to know, what is broken is ours. */
static mt_status search(turn *t, call *k)
{
    size_t added;
    mt_status s = turn_search(t, k->query, mt_printf(t->c, "{\"limit\":%u,\"mode\":\"%s\"}", k->limit, k->mode), &added);
    if (s == MT_INVALID)
        k->refusal = mt_printf(t->c, "The search failed: %.*s", (int)mt_problem_detail(t->c).len, mt_problem_detail(t->c).p);
    return s == MT_INVALID ? MT_OK : s;
}

/* Who may use it is the organization's matter; a refusal is the model's to know. */
static mt_status ask_hook(turn *t, call *k)
{
    mt_tool_call in = {.size = sizeof in, .workspace_id = mt_workspace_id(t->c), .agent_id = t->agent_id, .session_id = t->session_id,
                       .tool = k->name, .arguments = k->arguments};
    mt_outcome o = mt_hook_emit(t->c, MT_SLICE("tool.call"), &in);
    if (o == MT_DENY)
        k->refusal = mt_printf(t->c, "%.*s", (int)mt_problem_detail(t->c).len, mt_problem_detail(t->c).p);
    return o == MT_ERROR ? MT_INTERNAL : MT_OK;
}

static mt_status run(turn *t, call *k, mt_writer *results)
{
    mt_slice content;
    size_t from = t->n_passages;
    check_name(t, k);
    if (!k->refusal.p)
        check_arguments(t, k);
    if (!k->refusal.p && t->n_calls++ >= turn_config(t->c, MT_SLICE("/tool_calls"), 8))
        k->refusal = MT_SLICE("No more calls are allowed: answer from what was found.");
    MT_TRY(tell_call(t, k));
    if (!k->refusal.p)
        MT_TRY(ask_hook(t, k));
    if (!k->refusal.p)
        MT_TRY(search(t, k));
    MT_TRY(k->refusal.p ? write_refusal(t, k, &content) : write_found(t, from, &content));
    MT_TRY(tell_result(t, k, t->n_passages - from));
    mt_write_object(results, NULL);
    mt_write_text(results, "role", MT_SLICE("tool"));
    mt_write_text(results, "tool_call_id", k->id);
    mt_write_text(results, "content", content);
    mt_write_close(results);
    return MT_OK;
}

static void write_call(mt_writer *w, const call *k)
{
    mt_write_object(w, NULL);
    mt_write_text(w, "id", k->id);
    mt_write_text(w, "type", MT_SLICE("function"));
    mt_write_object(w, "function");
    mt_write_text(w, "name", k->name);
    mt_write_text(w, "arguments", k->arguments);
    mt_write_close(w);
    mt_write_close(w);
}

mt_status turn_run_tools(turn *t, mt_slice json)
{
    mt_call *c = t->c;
    mt_handle doc;
    mt_slice asked, answered;
    MT_TRY(mt_json_parse(c, json, &doc));
    mt_writer said = mt_write_begin(c), results = mt_write_begin(c);
    mt_write_object(&said, NULL);
    mt_write_text(&said, "role", MT_SLICE("assistant"));
    mt_write_raw(&said, "content", MT_SLICE("null"));
    mt_write_array(&said, "tool_calls");
    mt_write_array(&results, NULL);
    t->n_rounds++;
    t->looked = true;
    for (int64_t i = 0, n = mt_json_count(c, doc, MT_SLICE("")); i < n; i++) {
        call k = {.id = mt_json_text(c, doc, mt_printf(c, "/%lld/id", (long long)i)), .name = mt_json_text(c, doc, mt_printf(c, "/%lld/name", (long long)i)),
                  .arguments = mt_json_text(c, doc, mt_printf(c, "/%lld/arguments", (long long)i))};
        if (!k.arguments.p)
            k.arguments = MT_SLICE("{}");
        write_call(&said, &k);
        MT_TRY(run(t, &k, &results));
    }
    mt_write_close(&said);
    mt_write_close(&said);
    mt_write_close(&results);
    MT_TRY(mt_write_end(&said, &asked));
    MT_TRY(mt_write_end(&results, &answered));
    const char *comma = answered.len > 2 ? "," : "";
    t->rounds = mt_printf(c, "%.*s%s%.*s%s%.*s", (int)t->rounds.len, t->rounds.p ? t->rounds.p : "", t->rounds.len ? "," : "", (int)asked.len, asked.p, comma,
                          (int)answered.len - 2, answered.p + 1);
    return t->rounds.p ? MT_OK : MT_TOO_LARGE;
}
