/*
 * Status and progress of a workspace's documents as they change, as server-sent events. The rows are asked twice a second for what is new; a change that
 * was committed late, behind a newer one, is still found, because each look goes a little back, and what was told is not told twice.
 */
#include "documents.h"

#include <stdlib.h>

enum { PAUSE_MS = 500, HEARTBEAT_MS = 10000 };

typedef struct told {
    char id[37], at[40];
} told;

typedef struct feed {
    mt_call *c;
    char since[40];
    told *before, *now;          /* what the last look saw, and this one */
    uint32_t n_before;
    int64_t quiet_ms;
} feed;

static bool was_told(const feed *f, const told *t)
{
    for (uint32_t i = 0; i < f->n_before; i++)
        if (!strcmp(f->before[i].at, t->at) && !strcmp(f->before[i].id, t->id))
            return true;
    return false;
}

static void copy(char *out, size_t size, mt_slice s)
{
    snprintf(out, size, "%.*s", (int)s.len, s.p ? s.p : "");
}

static mt_status tell(feed *f, mt_handle rows, uint32_t i)
{
    static const char *const texts[] = {"id", "file_name", "status", "reason", "updated_at"};
    mt_call *c = f->c;
    mt_writer w = mt_write_begin(c);
    mt_slice json;
    mt_write_object(&w, NULL);
    for (size_t k = 0; k < sizeof texts / sizeof *texts; k++) {
        mt_slice v = mt_db_value(c, rows, i, mt_str(texts[k]));
        if (v.p)
            mt_write_text(&w, texts[k], v);
        else
            mt_write_raw(&w, texts[k], MT_SLICE("null"));
    }
    mt_write_raw(&w, "done", mt_db_value(c, rows, i, MT_SLICE("done")));
    mt_write_raw(&w, "total", mt_db_value(c, rows, i, MT_SLICE("total")));
    mt_write_close(&w);
    MT_TRY(mt_write_end(&w, &json));
    f->quiet_ms = 0;
    return mt_stream_event(c, MT_SLICE("document"), json);
}

/* since moves on only over what is older than the longest that a commit may lag behind. */
static mt_status look(feed *f, mt_handle rows)
{
    mt_call *c = f->c;
    uint32_t n = mt_db_rows(c, rows);
    for (uint32_t i = 0; i < n; i++) {
        told *t = &f->now[i];
        copy(t->id, sizeof t->id, mt_db_value(c, rows, i, MT_SLICE("id")));
        copy(t->at, sizeof t->at, mt_db_value(c, rows, i, MT_SLICE("updated_at")));
        if (!was_told(f, t))
            MT_TRY(tell(f, rows, i));
        if (mt_slice_eq(mt_db_value(c, rows, i, MT_SLICE("fresh")), MT_SLICE("f")) || n == 500)
            memcpy(f->since, t->at, sizeof f->since);
    }
    told *was = f->before;
    f->before = f->now;
    f->now = was;
    f->n_before = n;
    return MT_OK;
}

static mt_status count_open(mt_call *c, bool *open)
{
    mt_handle row;
    MT_TRY(mt_db_one(c, MT_SLICE("events_open"), NULL, 0, &row));
    *open = !mt_slice_eq(mt_db_value(c, row, 0, MT_SLICE("open")), MT_SLICE("0"));
    mt_db_free(c, row);
    return MT_OK;
}

/* The count comes first: what ends between the two is then told by the look. */
static mt_status follow(feed *f, bool for_ever)
{
    mt_call *c = f->c;
    for (bool open = true; open || for_ever; f->quiet_ms += PAUSE_MS) {
        mt_handle rows;
        MT_TRY(count_open(c, &open));
        const mt_field since = {MT_SLICE("since"), mt_str(f->since)};
        MT_TRY(mt_db_query(c, MT_SLICE("document_events"), &since, 1, &rows));
        MT_TRY(look(f, rows));
        mt_db_free(c, rows);
        if (f->quiet_ms >= HEARTBEAT_MS) {
            f->quiet_ms = 0;
            MT_TRY(mt_stream_event(c, MT_SLICE("heartbeat"), MT_SLICE("{}")));
        }
        if (open || for_ever)
            MT_TRY(mt_sleep(c, PAUSE_MS));
    }
    return mt_stream_event(c, MT_SLICE("end"), MT_SLICE("{}"));
}

mt_status documents_on_events(void *self, mt_call *c)
{
    enum { MOST = 500 };
    mt_handle row;
    mt_slice since = mt_param(c, MT_SLICE("since"));
    feed f = {.c = c, .before = mt_alloc(c, MOST * sizeof(told)), .now = mt_alloc(c, MOST * sizeof(told))};
    if (!f.before || !f.now)
        return MT_NO_MEMORY;
    MT_TRY(mt_db_one(c, MT_SLICE("events_begin"), NULL, 0, &row));
    copy(f.since, sizeof f.since, since.p ? since : mt_db_value(c, row, 0, MT_SLICE("since")));
    MT_TRY(mt_stream_begin(c));
    MT_TRY(follow(&f, mt_slice_eq(mt_param(c, MT_SLICE("follow")), MT_SLICE("true"))));
    return mt_stream_end(c);
}
