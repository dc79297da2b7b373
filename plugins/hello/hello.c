/* The smallest plugin: api.json names the operation, its permission and this handler; the host has
 * checked key, rights and parameters. */
#include <mortise/entry.h>

static mt_status on_greet(void *self, mt_call *c)
{
    mt_slice greeting = mt_config(c, MT_SLICE("/greeting")), name = mt_param(c, MT_SLICE("name")),
             json;
    mt_writer w = mt_write_begin(c);
    mt_write_object(&w, NULL);
    mt_write_text(
        &w, "message",
        mt_printf(c, "%.*s, %.*s!", (int)greeting.len, greeting.p, (int)name.len, name.p));
    mt_write_close(&w);
    MT_TRY(mt_write_end(&w, &json));
    return mt_respond(c, 200, json);
}

static mt_status load(void *self, const mt_host *host)
{
    mt_bind(host);
    return MT_OK;
}

static const mt_handler_entry handlers[] = {{"on_greet", on_greet}};

MT_EXPORT const mt_plugin hello_plugin = {.abi = MT_ABI,
                                          .size = sizeof(mt_plugin),
                                          .slug = "hello",
                                          .version = "0.1.0",
                                          .load = load,
                                          .handlers = handlers,
                                          .n_handlers = 1};
