/* The operations: a turn in a session, and a question without one. */
#include "chat.h"

#include <mortise/entry.h>

static mt_slice title_of(mt_slice query)
{
    size_t n = query.len < 80 ? query.len : 80;
    while (n < query.len && n && ((unsigned char)query.p[n] & 0xc0) == 0x80)
        n--;
    return (mt_slice){query.p, n};
}

static mt_status check_session(turn *t)
{
    mt_handle row;
    if (!t->session_id.p)
        return MT_OK;
    const mt_field arg = {MT_SLICE("session_id"), t->session_id};
    mt_status s = mt_db_one(t->c, MT_SLICE("session_get"), &arg, 1, &row);
    if (s == MT_NOT_FOUND)
        return mt_problem(t->c, 404, MT_SLICE("session_not_found"), MT_SLICE("The workspace has no session of this id."), MT_SLICE("/session_id"));
    return s;
}

static mt_status add_message(turn *t, mt_slice id, mt_slice role, mt_slice content, mt_slice sources, mt_slice confidence, mt_slice finish)
{
    const mt_field args[] = {{MT_SLICE("session"), t->session_id}, {MT_SLICE("id"), id}, {MT_SLICE("role"), role}, {MT_SLICE("content"), content},
                             {MT_SLICE("sources"), sources}, {MT_SLICE("confidence"), confidence}, {MT_SLICE("finish"), finish}};
    return mt_db_exec(t->c, MT_SLICE("message_add"), args, sizeof args / sizeof *args, NULL);
}

static mt_status write_turn(turn *t, bool fresh)
{
    mt_call *c = t->c;
    if (fresh) {
        const mt_field args[] = {{MT_SLICE("id"), t->session_id}, {MT_SLICE("agent"), t->agent_id}, {MT_SLICE("subject"), mt_subject_id(c)},
                                 {MT_SLICE("title"), title_of(t->query)}};
        MT_TRY(mt_db_exec(c, MT_SLICE("session_add"), args, 4, NULL));
    }
    MT_TRY(add_message(t, mt_new_id(c), MT_SLICE("user"), t->query, MT_SLICE("[]"), (mt_slice){0}, (mt_slice){0}));
    t->message_id = mt_new_id(c);
    return add_message(t, t->message_id, MT_SLICE("assistant"), (mt_slice){t->answer, t->answer_len}, t->sources, mt_printf(c, "%.6f", t->confidence), t->finish);
}

/* Question and answer are kept together, after the answer is complete: a broken turn leaves nothing. */
static mt_status keep(turn *t)
{
    bool fresh = !t->session_id.p;
    if (fresh)
        t->session_id = mt_new_id(t->c);
    MT_TRY(mt_db_begin(t->c));
    mt_status s = write_turn(t, fresh);
    if (s == MT_OK)
        return mt_db_commit(t->c);
    mt_db_rollback(t->c);
    return s;
}

static mt_status write_answer(turn *t, const char *id_name, mt_slice id, bool session, mt_slice *json)
{
    mt_writer w = mt_write_begin(t->c);
    mt_write_object(&w, NULL);
    mt_write_text(&w, id_name, id);
    if (session)
        mt_write_text(&w, "session_id", t->session_id);
    else
        mt_write_text(&w, "language", (mt_slice){0});
    mt_write_text(&w, "answer", (mt_slice){t->answer, t->answer_len});
    mt_write_double(&w, "confidence", t->confidence);
    mt_write_text(&w, "finish", t->finish);
    mt_write_raw(&w, "sources", t->sources);
    mt_write_close(&w);
    return mt_write_end(&w, json);
}

static void announce(turn *t)
{
    mt_chat_answered in = {.size = sizeof in, .workspace_id = mt_workspace_id(t->c), .session_id = t->session_id, .query = t->query,
                           .answer = {t->answer, t->answer_len}, .confidence = t->confidence};
    mt_hook_emit(t->c, MT_SLICE("chat.answered"), &in);
}

static mt_status begin_stream(turn *t)
{
    mt_slice json;
    mt_writer w = mt_write_begin(t->c);
    MT_TRY(mt_stream_begin(t->c));
    mt_write_object(&w, NULL);
    mt_write_raw(&w, "sources", t->passages);
    mt_write_close(&w);
    MT_TRY(mt_write_end(&w, &json));
    return mt_stream_event(t->c, MT_SLICE("sources"), json);
}

static mt_slice optional(mt_call *c, mt_slice pointer)
{
    return mt_body_text(c, pointer);
}

static mt_status on_chat(void *self, mt_call *c)
{
    turn t = {.c = c, .query = mt_param(c, MT_SLICE("query")), .agent_id = optional(c, MT_SLICE("/agent_id")), .session_id = optional(c, MT_SLICE("/session_id")),
              .stream = mt_slice_eq(mt_param(c, MT_SLICE("stream")), MT_SLICE("true"))};
    mt_slice json;
    MT_TRY(check_session(&t));
    MT_TRY(turn_prepare(&t));
    if (t.stream)
        MT_TRY(begin_stream(&t));
    MT_TRY(turn_generate(&t));
    MT_TRY(turn_judge(&t));
    MT_TRY(keep(&t));
    MT_TRY(write_answer(&t, "message_id", t.message_id, true, &json));
    announce(&t);
    if (!t.stream)
        return mt_respond(c, 200, json);
    MT_TRY(mt_stream_event(c, MT_SLICE("done"), json));
    return mt_stream_end(c);
}

static mt_status on_query(void *self, mt_call *c)
{
    turn t = {.c = c, .query = mt_param(c, MT_SLICE("query"))};
    mt_slice json;
    MT_TRY(mt_enter_workspace(c, mt_param(c, MT_SLICE("workspace_id"))));
    MT_TRY(turn_prepare(&t));
    MT_TRY(turn_generate(&t));
    MT_TRY(turn_judge(&t));
    MT_TRY(write_answer(&t, "query_id", mt_new_id(c), false, &json));
    announce(&t);
    return mt_respond(c, 200, json);
}

static mt_status load(void *self, const mt_host *host)
{
    mt_bind(host);
    return MT_OK;
}

static const mt_handler_entry handlers[] = {{"on_chat", on_chat}, {"on_query", on_query}};

MT_EXPORT const mt_plugin chat_plugin = {
    .abi = MT_ABI, .size = sizeof(mt_plugin), .slug = "chat", .version = "0.1.0", .load = load, .handlers = handlers, .n_handlers = 2};
