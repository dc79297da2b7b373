/* The operations: a turn in a session, and a question without one. */
#include "chat.h"
#include "service.h"

#include <mortise/entry.h>

static mt_slice title_of(mt_slice query)
{
    size_t n = query.len < 80 ? query.len : 80;
    while (n < query.len && n && ((unsigned char)query.p[n] & 0xc0) == 0x80)
        n--;
    return (mt_slice){query.p, n};
}

/* A session that exists, and the agent that it was begun with. */
static mt_status check_session(turn *t, bool *untitled)
{
    mt_handle row;
    *untitled = false;
    if (!t->session_id.p)
        return MT_OK;
    const mt_field arg = {MT_SLICE("session_id"), t->session_id};
    mt_status s = mt_db_one(t->c, MT_SLICE("session_get"), &arg, 1, &row);
    if (s == MT_NOT_FOUND)
        return mt_problem(t->c, 404, MT_SLICE("session_not_found"), MT_SLICE("The workspace has no session of this id."), MT_SLICE("/session_id"));
    MT_TRY(s);
    if (!t->agent_id.p)
        t->agent_id = mt_db_value(t->c, row, 0, MT_SLICE("agent_id"));
    *untitled = !mt_db_value(t->c, row, 0, MT_SLICE("title")).len;
    return MT_OK;
}

static mt_status add_question(turn *t)
{
    const mt_field args[] = {{MT_SLICE("session"), t->session_id}, {MT_SLICE("id"), mt_new_id(t->c)}, {MT_SLICE("content"), t->query}};
    return mt_db_exec(t->c, MT_SLICE("question_add"), args, 3, NULL);
}

static mt_status add_answer(turn *t)
{
    mt_call *c = t->c;
    mt_slice said;
    mt_writer w = mt_write_begin(c);
    mt_write_object(&w, NULL);
    turn_write_answer(t, &w);
    mt_write_close(&w);
    MT_TRY(mt_write_end(&w, &said));
    t->message_id = mt_new_id(c);
    const mt_field args[] = {{MT_SLICE("session"), t->session_id}, {MT_SLICE("id"), t->message_id}, {MT_SLICE("said"), said}};
    return mt_db_exec(c, MT_SLICE("answer_add"), args, 3, NULL);
}

static mt_status write_turn(turn *t, bool fresh, bool untitled)
{
    mt_call *c = t->c;
    const mt_field args[] = {{MT_SLICE("id"), t->session_id}, {MT_SLICE("title"), title_of(t->query)}, {MT_SLICE("agent"), t->agent_id},
                             {MT_SLICE("subject"), mt_subject_id(c)}};
    if (fresh)
        MT_TRY(mt_db_exec(c, MT_SLICE("session_add"), args, 4, NULL));
    else if (untitled)
        MT_TRY(mt_db_exec(c, MT_SLICE("session_title"), args, 2, NULL));
    MT_TRY(add_question(t));
    return add_answer(t);
}

/* Question and answer are kept together, after the answer is complete: a broken turn leaves nothing. */
static mt_status keep(turn *t, bool untitled)
{
    bool fresh = !t->session_id.p;
    if (fresh)
        t->session_id = mt_new_id(t->c);
    MT_TRY(mt_db_begin(t->c));
    mt_status s = write_turn(t, fresh, untitled);
    if (s == MT_OK)
        return mt_db_commit(t->c);
    mt_db_rollback(t->c);
    return s;
}

static mt_status write_answer(turn *t, const char *id_name, mt_slice id, mt_slice *json)
{
    mt_writer w = mt_write_begin(t->c);
    mt_write_object(&w, NULL);
    mt_write_text(&w, id_name, id);
    if (t->session_id.p)
        mt_write_text(&w, "session_id", t->session_id);
    turn_write_answer(t, &w);
    mt_write_close(&w);
    return mt_write_end(&w, json);
}

static void announce(turn *t)
{
    mt_chat_answered in = {.size = sizeof in, .workspace_id = mt_workspace_id(t->c), .session_id = t->session_id, .query = t->query,
                           .answer = {t->answer, t->answer_len}, .confidence = t->confidence};
    mt_hook_emit(t->c, MT_SLICE("chat.answered"), &in);
}

static mt_status tell(turn *t, bool stream)
{
    mt_slice kind, data;
    mt_status s = turn_next(t, &kind, &data);
    if (s == MT_LIMITED)
        mt_respond_header(t->c, MT_SLICE("retry-after"), MT_SLICE("1"));
    if (s == MT_OK && stream)
        MT_TRY(mt_stream_begin(t->c));
    for (; s == MT_OK; s = turn_next(t, &kind, &data))
        if (stream)
            MT_TRY(mt_stream_event(t->c, kind, data));
    return s == MT_DONE ? MT_OK : s;
}

/* Runs the turn; the stream begins with its first event, so that what fails before is told by a status. However it ends, the model is let go. */
static mt_status run(turn *t, bool stream)
{
    mt_status s = tell(t, stream);
    turn_close(t);
    return s;
}

static turn begin(mt_call *c)
{
    return (turn){.c = c, .query = mt_param(c, MT_SLICE("query")), .temperature = -1, .seed = -1};
}

static mt_status on_chat(void *self, mt_call *c)
{
    turn t = begin(c);
    t.agent_id = mt_body_text(c, MT_SLICE("/agent_id"));
    t.session_id = mt_body_text(c, MT_SLICE("/session_id"));
    bool stream = mt_slice_eq(mt_param(c, MT_SLICE("stream")), MT_SLICE("true")), untitled;
    mt_slice json;
    MT_TRY(check_session(&t, &untitled));
    MT_TRY(turn_prepare(&t));
    MT_TRY(run(&t, stream));
    MT_TRY(keep(&t, untitled));
    MT_TRY(write_answer(&t, "message_id", t.message_id, &json));
    announce(&t);
    if (!stream)
        return mt_respond(c, 200, json);
    MT_TRY(mt_stream_event(c, MT_SLICE("done"), json));
    return mt_stream_end(c);
}

static mt_status on_query(void *self, mt_call *c)
{
    turn t = begin(c);
    mt_slice json;
    MT_TRY(mt_enter_workspace(c, mt_param(c, MT_SLICE("workspace_id"))));
    MT_TRY(turn_prepare(&t));
    MT_TRY(run(&t, false));
    MT_TRY(write_answer(&t, "query_id", mt_new_id(c), &json));
    announce(&t);
    return mt_respond(c, 200, json);
}

static mt_status activate(void *self, mt_call *c)
{
    return turn_declare_metrics(c);
}

static mt_status load(void *self, const mt_host *host)
{
    mt_bind(host);
    return MT_OK;
}

static const mt_service_entry services[] = {{"chat/1", &chat_service}};
static const mt_handler_entry handlers[] = {{"on_chat", on_chat}, {"on_query", on_query}};

MT_EXPORT const mt_plugin chat_plugin = {
    .abi = MT_ABI, .size = sizeof(mt_plugin), .slug = "chat", .version = "0.1.0", .load = load, .activate = activate, .handlers = handlers, .n_handlers = 2,
    .services = services, .n_services = 1};
