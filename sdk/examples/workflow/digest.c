/*
 * A workflow: a row says which step is next, a job takes it. The slow part of a step (a search, a model) runs outside of a transaction and may be
 * repeated; its result, the row's next step and the next job are one transaction. So wherever the process dies, the job is given again and goes on
 * from the last result, and two jobs of one step do no harm: the second touches no row.
 */
#include <mortise/entry.h>

enum { TEXT_MAX_BYTES = 32768 };

static mt_status put_step(mt_call *c, mt_slice run_id)
{
    return mt_queue_put(c, MT_SLICE("digest.step"), mt_printf(c, "{\"run_id\":\"%.*s\"}", (int)run_id.len, run_id.p), mt_str(NULL), 0);
}

/* The row and its first job are there together, or neither is. */
static mt_status on_start(void *self, mt_call *c)
{
    mt_handle row;
    mt_slice json;
    MT_TRY(mt_db_begin(c));
    MT_TRY(mt_db_one(c, MT_SLICE("run_create"), NULL, 0, &row));
    MT_TRY(put_step(c, mt_db_value(c, row, 0, MT_SLICE("id"))));
    MT_TRY(mt_db_commit(c));
    MT_TRY(mt_db_json(c, row, 0, &json));
    return mt_respond(c, 202, json);
}

/* --- the steps: each makes the value that its query keeps --- */

static mt_status collect(mt_call *c, mt_handle run, mt_slice *passages)
{
    return mt_retrieval_search(c, mt_db_value(c, run, 0, MT_SLICE("subject")), MT_SLICE("{\"limit\":8}"), passages);
}

static mt_status write(mt_call *c, mt_handle run, mt_slice *text)
{
    char *all = mt_alloc(c, TEXT_MAX_BYTES);
    mt_slice messages, piece;
    mt_handle generation;
    mt_status s;
    if (!all)
        return MT_TOO_LARGE;
    mt_writer w = mt_write_begin(c);
    mt_write_array(&w, NULL);
    mt_write_object(&w, NULL);
    mt_write_text(&w, "role", MT_SLICE("user"));
    mt_write_text(&w, "content", mt_db_value(c, run, 0, MT_SLICE("subject")));
    mt_write_close(&w);
    mt_write_close(&w);
    MT_TRY(mt_write_end(&w, &messages));
    const mt_llm_in in = {.size = sizeof in, .system = MT_SLICE("Write a short digest of what the passages say of the subject."), .messages = messages,
                          .passages = mt_db_value(c, run, 0, MT_SLICE("passages")), .max_tokens = 600, .seed = -1, .temperature = 0.2, .top_p = -1};
    MT_TRY(mt_llm_open(c, &in, &generation));
    *text = mt_bytes(all, 0);
    while ((s = mt_llm_next(c, generation, &piece)) == MT_OK && piece.len <= TEXT_MAX_BYTES - text->len) {
        memcpy(all + text->len, piece.p, piece.len);
        text->len += piece.len;
    }
    return s == MT_DONE ? MT_OK : s == MT_OK ? MT_TOO_LARGE : s;
}

static const struct step {
    const char *name;
    mt_status (*make)(mt_call *c, mt_handle run, mt_slice *value);
    const char *keep, *argument; /* the query, and what it calls the value */
    bool last;
} steps[] = {{"collect", collect, "run_collected", "passages", false}, {"write", write, "run_written", "text", true}};

static const struct step *step_of(mt_slice name)
{
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        if (mt_slice_eq(name, mt_str(steps[i].name)))
            return &steps[i];
    return NULL;
}

static mt_status keep(mt_call *c, const struct step *step, mt_slice run_id, mt_slice value)
{
    const mt_field args[] = {{MT_SLICE("run_id"), run_id}, {mt_str(step->argument), value}};
    int64_t taken = 0;
    MT_TRY(mt_db_begin(c));
    MT_TRY(mt_db_exec(c, mt_str(step->keep), args, 2, &taken));
    if (taken && !step->last)
        MT_TRY(put_step(c, run_id));
    return mt_db_commit(c);
}

/* The job. A run that is gone, with its workspace perhaps, or done, is nothing to do. */
static mt_status on_step(void *self, mt_call *c)
{
    mt_handle payload, run;
    mt_slice value;
    MT_TRY(mt_json_parse(c, mt_body(c), &payload));
    const mt_field id = {MT_SLICE("run_id"), mt_json_text(c, payload, MT_SLICE("/run_id"))};
    MT_TRY(mt_db_query(c, MT_SLICE("run_state"), &id, 1, &run));
    const struct step *step = mt_db_rows(c, run) ? step_of(mt_db_value(c, run, 0, MT_SLICE("step"))) : NULL;
    if (!step)
        return MT_OK;
    MT_TRY(step->make(c, run, &value));
    return keep(c, step, id.value, value);
}

static mt_status load(void *self, const mt_host *host)
{
    mt_bind(host);
    return MT_OK;
}

static const mt_handler_entry handlers[] = {{"on_start", on_start}, {"on_step", on_step}};

MT_EXPORT const mt_plugin digest_plugin = {
    .abi = MT_ABI, .size = sizeof(mt_plugin), .slug = "digest", .version = "0.1.0", .load = load, .handlers = handlers, .n_handlers = 2};
