/*
 * One turn as a machine that gives one event after the other: ask a model, read what it writes through the checker, run the tools it wants, ask
 * again; and when it wrote nothing that the passages say, answer by quoting them. Nothing is left to release when the caller just goes away.
 */
#include "chat.h"

#include <stdlib.h>

enum { ASTRAY = 4 };     /* so many sentences in a row without support end what a model writes */
enum { SMALL_TOKENS = 128 };    /* what a small model writes after that is seldom of use */

/* --- events --- */

mt_status turn_event(turn *t, mt_slice kind, mt_writer *w)
{
    event *e = mt_alloc(t->c, sizeof *e);
    if (!e)
        return MT_TOO_LARGE;
    e->kind = kind;
    MT_TRY(mt_write_end(w, &e->data));
    if (t->last_event)
        t->last_event->next = e;
    else
        t->events = e;
    t->last_event = e;
    return MT_OK;
}

static mt_status tell_sources(turn *t)
{
    mt_writer w = mt_write_begin(t->c);
    mt_write_object(&w, NULL);
    turn_write_sources(t, &w, "sources");
    mt_write_close(&w);
    return turn_event(t, MT_SLICE("sources"), &w);
}

static mt_status append(turn *t, mt_slice text)
{
    if (t->answer_len + text.len > t->answer_cap) {
        size_t cap = (t->answer_cap + text.len + 256) * 2;
        char *grown = mt_alloc(t->c, cap);
        if (!grown)
            return MT_TOO_LARGE;
        if (t->answer_len)
            memcpy(grown, t->answer, t->answer_len);
        t->answer = grown;
        t->answer_cap = cap;
    }
    memcpy(t->answer + t->answer_len, text.p, text.len);
    t->answer_len += text.len;
    return MT_OK;
}

static mt_status tell_token(turn *t, mt_slice text)
{
    MT_TRY(append(t, text));
    mt_writer w = mt_write_begin(t->c);
    mt_write_object(&w, NULL);
    mt_write_text(&w, "text", text);
    mt_write_close(&w);
    return turn_event(t, MT_SLICE("token"), &w);
}

static size_t characters(const char *p, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += ((unsigned char)p[i] & 0xC0) != 0x80;
    return count;
}

static mt_status tell_citation(turn *t, const checked *one)
{
    const support_verdict *v = &one->verdict;
    passage *p = &t->passages[v->passage];
    citation *q = mt_alloc(t->c, sizeof *q);
    if (!q)
        return MT_TOO_LARGE;
    p->cited = true;
    *q = (citation){.passage = v->passage, .quote = {p->text.p + v->start, v->end - v->start}, .answer_start = one->start, .answer_end = one->end};
    q->start_char = p->start_char + (int64_t)characters(p->text.p, v->start);
    q->end_char = q->start_char + (int64_t)characters(q->quote.p, q->quote.len);
    if (t->last_citation)
        t->last_citation->next = q;
    else
        t->citations = q;
    t->last_citation = q;
    mt_writer w = mt_write_begin(t->c);
    turn_write_citation(t, &w, NULL, q);
    return turn_event(t, MT_SLICE("citation"), &w);
}

static mt_status ask_sentence_hook(turn *t, mt_slice *text)
{
    mt_chat_sentence in = {.size = sizeof in, .workspace_id = mt_workspace_id(t->c), .agent_id = t->agent_id, .session_id = t->session_id,
                         .query = t->query, .text = *text};
    mt_outcome o = mt_hook_emit(t->c, MT_SLICE("chat.sentence"), &in);
    *text = in.text;
    return o == MT_DENY ? MT_DENIED : o == MT_ERROR ? MT_INTERNAL : MT_OK;
}

static mt_status tell_checked(turn *t)
{
    for (checked *one; (one = checker_take(&t->checker)) != NULL;) {
        MT_TRY(ask_sentence_hook(t, &one->text));
        MT_TRY(tell_token(t, one->text));
        if (one->verdict.kind == SUPPORT_FOUND)
            MT_TRY(tell_citation(t, one));
        if (one->verdict.kind != SUPPORT_MISSING)
            continue;
        one->next = NULL;
        if (t->last_unsupported)
            t->last_unsupported->next = one;
        else
            t->unsupported = one;
        t->last_unsupported = one;
    }
    return MT_OK;
}

/* --- before --- */

static mt_status read_agent(turn *t)
{
    mt_call *c = t->c;
    mt_handle row;
    t->prompt_version = (mt_slice){0};
    if (!t->agent_id.p)
        return MT_OK;
    const mt_field arg = {MT_SLICE("agent"), t->agent_id};
    mt_status s = mt_db_one(c, MT_SLICE("agent"), &arg, 1, &row);
    if (s == MT_NOT_FOUND)
        return mt_problem(c, 404, MT_SLICE("agent_not_found"), MT_SLICE("The workspace has no agent of this id."), MT_SLICE("/agent_id"));
    MT_TRY(s);
    if (mt_slice_eq(mt_db_value(c, row, 0, MT_SLICE("is_active")), MT_SLICE("f")))
        return mt_problem(c, 409, MT_SLICE("agent_inactive"), MT_SLICE("This agent is switched off."), MT_SLICE("/agent_id"));
    t->agent_id = mt_db_value(c, row, 0, MT_SLICE("id"));
    t->system = mt_db_value(c, row, 0, MT_SLICE("system_prompt"));
    t->model = mt_db_value(c, row, 0, MT_SLICE("model_name"));
    t->tools = mt_db_value(c, row, 0, MT_SLICE("tools"));
    t->tool_config = mt_db_value(c, row, 0, MT_SLICE("tool_config"));
    t->prompt_version = mt_db_value(c, row, 0, MT_SLICE("prompt_version"));
    if (t->temperature < 0)
        t->temperature = mt_number(mt_db_value(c, row, 0, MT_SLICE("temperature")), t->temperature);
    return MT_OK;
}

static mt_status ask_hook(turn *t)
{
    mt_chat_prepare in = {.size = sizeof in, .workspace_id = mt_workspace_id(t->c), .agent_id = t->agent_id, .session_id = t->session_id,
                          .query = t->query, .system = t->system, .model = t->model, .temperature = t->temperature};
    mt_outcome o = mt_hook_emit(t->c, MT_SLICE("chat.prepare"), &in);
    if (o == MT_DENY || o == MT_ERROR)
        return o == MT_DENY ? MT_DENIED : MT_INTERNAL;
    t->query = in.query;
    t->system = in.system;
    t->model = in.model;
    t->temperature = in.temperature;
    return MT_OK;
}

/* What the model can. One that nobody has fails when it is asked. */
static void find_model(turn *t)
{
    if (mt_llm_describe(t->c, t->model, &t->info) != MT_OK)
        t->info = (mt_llm_model){.size = sizeof t->info, .context_tokens = 4096};
}

static mt_status look_up(turn *t)
{
    mt_slice text;
    size_t added;
    MT_TRY(turn_search_text(t, &text));
    return turn_search(t, text, mt_printf(t->c, "{\"limit\":%u}", turn_config(t->c, MT_SLICE("/passages"), 6)), &added);
}

mt_status turn_prepare(turn *t)
{
    mt_call *c = t->c;
    t->started_us = mt_host_->clock_us();
    t->counts = (mt_llm_counts){.size = sizeof t->counts};
    MT_TRY(read_agent(t));
    if (t->temperature < 0)
        t->temperature = 0;
    MT_TRY(ask_hook(t));
    t->language = mt_language_detect(t->query);
    t->support = support_begin(c, t->query, t->language);
    if (!t->support)
        return MT_NO_MEMORY;
    t->checker = (checker){.c = c, .support = t->support};
    find_model(t);
    if (!t->max_tokens)
        t->max_tokens = turn_config(c, MT_SLICE("/answer_tokens"), 400);
    if (t->info.small && t->max_tokens > SMALL_TOKENS)
        t->max_tokens = SMALL_TOKENS;
    t->checker.watch = t->info.small;
    if (turn_has_tools(t))
        return MT_OK;
    return look_up(t);
}

/* --- the model --- */

static mt_status open_generation(turn *t)
{
    mt_slice messages, passages = {0}, tools = turn_tools(t);
    t->offered = tools.p != NULL;
    MT_TRY(turn_write_messages(t, &messages));
    if (!tools.p)
        MT_TRY(turn_write_passages(t, &passages));
    const mt_llm_in in = {.size = sizeof in, .model = t->model, .system = turn_system(t), .messages = messages, .passages = passages, .tools = tools,
                          .stop = t->stop, .max_tokens = t->max_tokens, .temperature = t->temperature, .top_p = -1, .seed = t->seed};
    return mt_llm_open(t->c, &in, &t->generation);
}

static void end_generation(turn *t)
{
    mt_llm_counts n = {.size = sizeof n};
    if (!t->generation)
        return;
    if (mt_llm_usage(t->c, t->generation, &n) == MT_OK) {
        t->counts.input_tokens += n.input_tokens;
        t->counts.cached_tokens += n.cached_tokens;
        t->counts.output_tokens += n.output_tokens;
        t->counts.cost_microusd += n.cost_microusd;
        t->counts.model = mt_printf(t->c, "%.*s", (int)n.model.len, n.model.p ? n.model.p : "");
        t->counts.provider = mt_printf(t->c, "%.*s", (int)n.provider.len, n.provider.p ? n.provider.p : "");
        t->finish = mt_printf(t->c, "%.*s", (int)n.finish.len, n.finish.p ? n.finish.p : "");
    }
    mt_llm_close(t->c, t->generation);
    t->generation = 0;
}

static mt_status say_nothing_found(turn *t)
{
    t->finish = MT_SLICE("nothing_found");
    t->state = TURN_ENDED;
    t->confidence = 0;
    checker_drop(&t->checker);
    return tell_token(t, nothing_found_text(t->language));
}

/* A model that reads passages itself quotes them: its words are in them. */
static bool find_quoter(turn *t, mt_llm_model *out)
{
    *out = (mt_llm_model){.size = sizeof *out};
    for (uint32_t i = 0; mt_llm_models(t->c, i, out) == MT_OK; i++)
        if (out->reads_passages && !mt_slice_eq(out->model, t->info.model))
            return true;
    return false;
}

/* The model is away, or nothing that it wrote is in the passages: quote them, or say that nothing was found. */
static mt_status fall_back(turn *t)
{
    mt_llm_model quoter;
    checker_drop(&t->checker);
    if (!t->looked)
        MT_TRY(look_up(t));
    if (t->tried_quotes || !t->n_passages || !find_quoter(t, &quoter))
        return say_nothing_found(t);
    t->tried_quotes = true;
    t->checker.watch = false;
    t->info = quoter;
    t->model = quoter.model;
    t->tools = t->rounds = (mt_slice){0};
    t->state = TURN_ASK;
    return MT_OK;
}

static mt_status finish(turn *t)
{
    size_t judged = t->checker.found + t->checker.missing;
    double share = judged ? (double)t->checker.found / (double)judged : 0;
    t->confidence = 0;
    for (size_t i = 0; i < t->n_passages; i++) {
        const passage *p = &t->passages[i];
        double c = p->cited ? confidence_of(relevance_of(p->vector_score), p->text_score, share) : 0;
        t->confidence = c > t->confidence ? c : t->confidence;
    }
    t->state = TURN_ENDED;
    return MT_OK;
}

static mt_status ask(turn *t)
{
    if (!t->n_passages && t->looked && !turn_has_tools(t))
        return say_nothing_found(t);
    mt_status s = open_generation(t);
    if (s == MT_OK)
        t->state = TURN_READ;
    return s == MT_UNAVAILABLE && !t->tried_quotes ? fall_back(t) : s;
}

/* The model has written all it will. */
static mt_status close_round(turn *t)
{
    mt_slice calls = MT_SLICE("[]");
    mt_llm_tool_calls(t->c, t->generation, &calls);
    calls = mt_printf(t->c, "%.*s", (int)calls.len, calls.p);
    end_generation(t);
    bool wants = mt_slice_eq(t->finish, MT_SLICE("tool_calls"));
    if (!mt_slice_eq(t->finish, MT_SLICE("length")))
        t->finish = MT_SLICE("stop");
    if (wants && t->offered) {                /* one that asks when nothing is offered has written all it will */
        checker_drop(&t->checker);            /* what it said of what it would do */
        t->state = TURN_ASK;
        MT_TRY(turn_run_tools(t, calls));
        return tell_sources(t);
    }
    if (!t->looked)
        MT_TRY(look_up(t));
    bool cut = t->info.small && mt_slice_eq(t->finish, MT_SLICE("length")) && t->checker.found;
    if (!cut)                                 /* else what is left is half a sentence */
        MT_TRY(checker_judge(&t->checker, true));
    MT_TRY(tell_checked(t));
    return t->checker.found ? finish(t) : fall_back(t);
}

static mt_status read(turn *t)
{
    mt_slice token;
    mt_status s = mt_llm_next(t->c, t->generation, &token);
    if (s == MT_DONE)
        return close_round(t);
    if (s == MT_UNAVAILABLE && !t->checker.found && !t->tried_quotes) {
        end_generation(t);
        return fall_back(t);
    }
    MT_TRY(s);
    MT_TRY(checker_feed(&t->checker, token));
    if (!t->looked)
        return MT_OK;                         /* it may yet ask for a tool */
    MT_TRY(checker_judge(&t->checker, false));
    MT_TRY(tell_checked(t));
    if (t->checker.row < ASTRAY && !t->checker.over)
        return MT_OK;
    end_generation(t);                        /* it has left the documents, or is through with them: what follows is of no use */
    t->finish = MT_SLICE("stop");
    return t->checker.found ? finish(t) : fall_back(t);
}

static mt_status next_event(turn *t, mt_slice *kind, mt_slice *data)
{
    if (t->state == TURN_ASK && !t->events && !t->generation && !t->n_rounds && !t->answer_len && !t->tried_quotes) {
        mt_status s = ask(t);                 /* first, so that a model that is busy is told by a status and not inside a stream */
        MT_TRY(s);
        event *after = t->events;
        t->events = t->last_event = NULL;
        MT_TRY(tell_sources(t));
        if (after) {
            t->last_event->next = after;
            for (t->last_event = after; t->last_event->next;)
                t->last_event = t->last_event->next;
        }
    }
    while (!t->events) {
        if (t->state == TURN_ENDED)
            return MT_DONE;
        MT_TRY(t->state == TURN_ASK ? ask(t) : read(t));
    }
    event *e = t->events;
    if (!(t->events = e->next))
        t->last_event = NULL;
    *kind = e->kind;
    *data = e->data;
    return MT_OK;
}

static mt_handle answers, times;

mt_status turn_declare_metrics(mt_call *c)
{
    MT_TRY(mt_metrics_family(c, MT_SLICE("counter"), MT_SLICE("answers"),
                             MT_SLICE("Turns by the provider that wrote them and how they ended (stop, length, nothing_found, failed, cancelled)."),
                             MT_SLICE("provider,outcome"), &answers));
    return mt_metrics_family(c, MT_SLICE("histogram"), MT_SLICE("answer_seconds"), MT_SLICE("From the question to the last word of turns that were answered."),
                             MT_SLICE("provider"), &times);
}

static void count_end(turn *t, mt_status s)
{
    const mt_slice labels[] = {t->counts.provider.len ? t->counts.provider : MT_SLICE("none"),
                               s == MT_DONE ? t->finish : s == MT_CANCELLED ? MT_SLICE("cancelled") : MT_SLICE("failed")};
    if (t->counted)
        return;
    t->counted = true;
    mt_metrics_add(answers, labels, 2, 1);
    if (s == MT_DONE)
        mt_metrics_observe(times, labels, 1, (double)(mt_host_->clock_us() - t->started_us) / 1e6);
}

mt_status turn_next(turn *t, mt_slice *kind, mt_slice *data)
{
    mt_status s = next_event(t, kind, data);
    if (s != MT_OK)
        count_end(t, s);
    return s;
}

void turn_close(turn *t)
{
    if (t->state != TURN_ENDED)
        count_end(t, MT_CANCELLED);
    end_generation(t);
    t->state = TURN_ENDED;
}
