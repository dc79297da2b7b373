/* @NAME@: one handler and one hook. Listing and adding items need no C: see api.json and queries.sql. */
#include <mortise/entry.h>
#include <mortise/hooks.h>

/* GET /@NAME@/summary. The host has checked key, permission and parameters. */
static mt_status on_summary(void *self, mt_call *c)
{
    mt_slice greeting = mt_config(c, MT_SLICE("/greeting")), name = mt_param(c, MT_SLICE("name")), json;
    mt_handle row;
    MT_TRY(mt_db_one(c, MT_SLICE("item_count"), NULL, 0, &row));
    mt_writer w = mt_write_begin(c);
    mt_write_object(&w, NULL);
    mt_write_text(&w, "message", mt_printf(c, "%.*s, %.*s!", (int)greeting.len, greeting.p, (int)name.len, name.p));
    mt_write_raw(&w, "items", mt_db_value(c, row, 0, MT_SLICE("items")));
    mt_write_close(&w);
    MT_TRY(mt_write_end(&w, &json));
    return mt_respond(c, 200, json);
}

static bool ends_with(mt_slice s, mt_slice end)
{
    return end.len && s.len >= end.len && memcmp(s.p + s.len - end.len, end.p, end.len) == 0;
}

static mt_outcome on_document_uploaded(void *self, mt_call *c, const void *in, mt_patch *out)
{
    const mt_document_uploaded *d = in;
    if (ends_with(d->file_name, mt_config(c, MT_SLICE("/refused_ending"))))
        return mt_hook_deny(c, 422, MT_SLICE("@IDENT@_refused"), MT_SLICE("Files of this kind are not stored here."));
    return MT_CONTINUE;
}

static mt_status load(void *self, const mt_host *host)
{
    mt_bind(host);
    return MT_OK;
}

static const mt_handler_entry handlers[] = {{"on_summary", on_summary}};
static const mt_hook_entry hooks[] = {{"on_document_uploaded", on_document_uploaded}};

MT_EXPORT const mt_plugin @IDENT@_plugin = {
    .abi = MT_ABI, .size = sizeof(mt_plugin), .slug = "@IDENT@", .version = "0.1.0", .load = load,
    .handlers = handlers, .n_handlers = sizeof handlers / sizeof *handlers, .hooks = hooks, .n_hooks = sizeof hooks / sizeof *hooks};
