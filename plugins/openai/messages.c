/* The request's messages as the pipeline takes them. */
#include "openai.h"

typedef struct reader {
    mt_call *c;
    mt_handle doc;
    mt_slice system;
    mt_writer messages, dialogue;
} reader;

static mt_slice at(const reader *r, int64_t i, const char *rest)
{
    return mt_json_text(r->c, r->doc, mt_printf(r->c, "/messages/%lld%s", (long long)i, rest));
}

static mt_status refuse_content(const reader *r, int64_t i, const char *detail)
{
    return refuse(r->c, "content_unsupported", detail, mt_printf(r->c, "/messages/%lld/content", (long long)i).p);
}

/* A text, or an array of text parts, which are joined. */
static mt_status read_content(const reader *r, int64_t i, mt_slice *text)
{
    mt_call *c = r->c;
    int64_t parts = mt_json_count(c, r->doc, mt_printf(c, "/messages/%lld/content", (long long)i));
    *text = at(r, i, "/content");
    if (parts < 0)
        return MT_OK;
    *text = MT_SLICE("");
    for (int64_t k = 0; k < parts; k++) {
        mt_slice type = at(r, i, mt_printf(c, "/content/%lld/type", (long long)k).p), part = at(r, i, mt_printf(c, "/content/%lld/text", (long long)k).p);
        if (!mt_slice_eq(type, MT_SLICE("text")) || !part.p)
            return refuse_content(r, i, "Only text parts can be read here.");
        *text = mt_printf(c, "%.*s%s%.*s", (int)text->len, text->p, text->len ? "\n" : "", (int)part.len, part.p);
        if (!text->p)
            return MT_TOO_LARGE;
    }
    return MT_OK;
}

static void write_plain(mt_writer *w, mt_slice role, mt_slice text)
{
    mt_write_object(w, NULL);
    mt_write_text(w, "role", role);
    mt_write_text(w, "content", text);
    mt_write_close(w);
}

static mt_status read_one(reader *r, int64_t i)
{
    mt_slice role = at(r, i, "/role"), text, calls = at(r, i, "/tool_calls"), answered = at(r, i, "/tool_call_id");
    MT_TRY(read_content(r, i, &text));
    if (!text.p && !calls.p)
        return refuse_content(r, i, "A message needs a content.");
    if (mt_slice_eq(role, MT_SLICE("system")) || mt_slice_eq(role, MT_SLICE("developer"))) {
        r->system = mt_printf(r->c, "%.*s%s%.*s", (int)r->system.len, r->system.p ? r->system.p : "", r->system.len ? "\n" : "", (int)text.len, text.p);
        return MT_OK;
    }
    if (text.len && !mt_slice_eq(role, MT_SLICE("tool")))
        write_plain(&r->dialogue, role, text);
    mt_write_object(&r->messages, NULL);
    mt_write_text(&r->messages, "role", role);
    mt_write_text(&r->messages, "content", text);
    if (calls.p)
        mt_write_raw(&r->messages, "tool_calls", calls);
    if (answered.p)
        mt_write_text(&r->messages, "tool_call_id", answered);
    mt_write_close(&r->messages);
    return MT_OK;
}

mt_status read_asked(mt_call *c, asked *out)
{
    reader r = {.c = c, .messages = mt_write_begin(c), .dialogue = mt_write_begin(c)};
    MT_TRY(mt_json_parse(c, mt_body(c), &r.doc));
    mt_write_array(&r.messages, NULL);
    mt_write_array(&r.dialogue, NULL);
    for (int64_t i = 0, n = mt_json_count(c, r.doc, MT_SLICE("/messages")); i < n; i++)
        MT_TRY(read_one(&r, i));
    mt_write_close(&r.messages);
    mt_write_close(&r.dialogue);
    MT_TRY(mt_write_end(&r.messages, &out->messages));
    out->system = r.system;
    return mt_write_end(&r.dialogue, &out->dialogue);
}
