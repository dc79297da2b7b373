/* GET /v1/events: what changes in an organization, as server-sent events; for the platform also what becomes of plugins. */
#include "request/api.h"
#include "request/request.h"

#include "plugin/feed.h"

#include <stdio.h>

/* A stream ends after a while: who comes back shows a credential that is still good, and misses nothing. */
enum { HEARTBEAT_MS = 15 * 1000, LIFETIME_MS = 15 * 60 * 1000, ONCE_MS = 2000 };

static mt_status write_frame(mt_call *c, mti_feed_key key, bool with_id, const char *name, mt_slice data)
{
    mti_buf b;
    mti_buf_init(&b, 1 << 17);
    if (with_id)
        mti_buf_addf(&b, "id: %llu-%llu\n", (unsigned long long)key.tx, (unsigned long long)key.id);
    mti_buf_addf(&b, "event: %s\ndata: ", name);
    mti_buf_add(&b, data.p, data.len);   /* JSON of one line */
    mti_buf_adds(&b, "\n\n");
    mt_status s = b.status == MT_OK ? mti_http_stream_write(c->request->http, mti_buf_slice(&b)) : b.status;
    c->request->bytes_out += b.len;
    mti_buf_dispose(&b);
    return s;
}

static mt_status write_event(mt_call *c, mti_event *e)
{
    mt_status s = write_frame(c, e->key, !e->plugin, e->plugin ? "plugin" : "change", (mt_slice){e->json, e->len});
    mti_event_release(e);
    return s;
}

static mt_status tell(mt_call *c, mti_feed_reader *r)
{
    int64_t end_us = mti_mono_us() + LIFETIME_MS * 1000ll;
    mti_event *e;
    MT_TRY(write_frame(c, r->key, true, "ready", MT_SLICE("{}")));
    for (;;) {
        mt_status s = mti_feed_next(r, c, r->once ? ONCE_MS : HEARTBEAT_MS, &e);
        if (s == MT_OK)
            s = write_event(c, e);
        else if (s == MT_TIMEOUT && !r->once)
            s = write_frame(c, r->key, true, "heartbeat", MT_SLICE("{}"));
        else if (s == MT_TIMEOUT || s == MT_DONE)
            break;
        MT_TRY(s);
        if (mti_mono_us() >= end_us)
            break;
    }
    return write_frame(c, r->key, true, "end", MT_SLICE("{}"));
}

static mt_slice query_text(const mt_call *c, const char *name)
{
    const json_t *v = json_object_get(c->values->query, name);
    return json_is_string(v) ? (mt_slice){json_string_value(v), json_string_length(v)} : (mt_slice){0};
}

/* Whose: the one that is named, which must be the caller's unless it is the platform; else the caller's own. */
static mt_status choose_organization(mt_call *c)
{
    mti_uuid id;
    mt_slice named = query_text(c, "organization_id");
    if (named.p && mti_uuid_parse(named, &id))
        return mti_scope_enter(c, id, "organization");
    if (!mti_uuid_is_nil(c->who.org_id))
        return MT_OK;
    return mti_fail(&c->error, MT_INVALID, "organization_missing", "Say whose events: organization_id.");
}

static mt_status choose_start(mt_call *c, mti_feed_key *key, bool *given)
{
    mt_slice text = mti_http_header(c->request->http, "last-event-id");
    if (!text.len)
        text = query_text(c, "after");
    *given = text.len > 0;
    if (!*given || mti_feed_key_parse(text, key))
        return MT_OK;
    mti_fail(&c->error, MT_INVALID, "event_id_invalid", "Last-Event-ID (or after) is not an id that an event carried.");
    c->error.http = 400;
    return MT_INVALID;
}

mt_status mti_on_events(void *self, mt_call *c)
{
    mti_feed_key after = {0};
    bool given;
    MT_TRY(choose_organization(c));
    MT_TRY(choose_start(c, &after, &given));
    mti_feed_reader r = {.org_id = c->who.org_id, .workspace_id = c->who.workspace_id, .plugins = c->who.platform,
                         .once = !json_is_true(json_object_get(c->values->query, "follow")),
                         .resource = json_string_value(json_object_get(c->values->query, "resource"))};
    mt_status s = mti_feed_open(&r, c, given ? &after : NULL);
    if (s == MT_OK)
        s = mti_api_stream.begin(c);
    if (s == MT_OK)
        s = tell(c, &r);
    mti_feed_close(&r);
    return s == MT_OK ? mti_api_stream.end(c) : s;
}
