/*
 * A plugin of which a test makes as many versions as it needs: by writing another version and another behaviour, of the same lengths, over these bytes
 * of the built object.
 */
#include <mortise/entry.h>

#include <stdlib.h>
#include <string.h>

static const char version[] = "1.0.00000";
static const volatile char behaviour[] = "behaviour=sound...............";

static char handed[64];                      /* what the version before had to tell */

static bool behaves(const char *as)
{
    char name[sizeof behaviour];
    for (size_t i = 0; i < sizeof name; i++)
        name[i] = behaviour[i];
    return strstr(name, as) != NULL;
}

__attribute__((constructor)) static void on_open(void)
{
    if (behaves("abort_on_open"))
        abort();
    while (behaves("hang_on_open"))
        ;
}

static mt_status on_version(void *self, mt_call *c)
{
    mt_slice json;
    if (behaves("fail_on_request"))
        return mt_problem(c, 500, MT_SLICE("evolving_broken"), MT_SLICE("This version is broken."), (mt_slice){0});
    mt_writer w = mt_write_begin(c);
    mt_write_object(&w, NULL);
    mt_write_text(&w, "version", mt_str(version));
    mt_write_text(&w, "greeting", mt_config(c, MT_SLICE("/greeting")));
    if (handed[0])
        mt_write_text(&w, "handed", mt_str(handed));
    mt_write_close(&w);
    MT_TRY(mt_write_end(&w, &json));
    return mt_respond(c, 200, json);
}

static int streams;                          /* under way */

static mt_status stream(mt_call *c)
{
    mt_slice ticks = mt_param(c, MT_SLICE("ticks"));
    MT_TRY(mt_stream_begin(c));
    for (int i = 0, n = atoi(mt_printf(c, "%.*s", (int)ticks.len, ticks.p).p); i < n; i++) {
        MT_TRY(mt_stream_event(c, MT_SLICE("tick"), mt_printf(c, "{\"version\":\"%s\",\"n\":%d}", version, i)));
        MT_TRY(mt_sleep(c, 20));
    }
    return mt_stream_end(c);
}

static mt_status on_stream(void *self, mt_call *c)
{
    streams++;
    mt_status s = stream(c);
    streams--;
    return s;
}

static mt_status on_jobs(void *self, mt_call *c)
{
    MT_TRY(mt_queue_put(c, MT_SLICE("evolving.work"), mt_body(c), (mt_slice){0}, 0));
    return mt_respond(c, 202, (mt_slice){0});
}

static mt_status on_work(void *self, mt_call *c)
{
    mt_handle job, row;
    MT_TRY(mt_sleep(c, 10));
    MT_TRY(mt_json_parse(c, mt_body(c), &job));
    mt_field title = {MT_SLICE("title"), mt_json_text(c, job, MT_SLICE("/title"))};
    return mt_db_one(c, MT_SLICE("evolving_add"), &title, 1, &row);
}

static mt_status load(void *self, const mt_host *host)
{
    mt_bind(host);
    return behaves("fail_on_load") ? MT_INTERNAL : MT_OK;
}

static mt_status activate(void *self, mt_call *c)
{
    if (behaves("fail_on_activate"))
        return mt_problem(c, 500, MT_SLICE("evolving_refuses"), MT_SLICE("This version does not want to."), (mt_slice){0});
    return MT_OK;
}

static void deactivate(void *self, mt_call *c)
{
    mt_log(1, "evolving.deactivated", (mt_field[]){{MT_SLICE("streams"), mt_printf(c, "%d", streams)}}, 1);
}

static mt_status hand_over(void *self, mt_call *c, mt_slice *state)
{
    *state = mt_printf(c, "1 %s", version);  /* the format's version first */
    return MT_OK;
}

static mt_status take_over(void *self, mt_call *c, mt_slice from, mt_slice state)
{
    if (behaves("fail_on_take"))
        return mt_problem(c, 500, MT_SLICE("evolving_refuses"), MT_SLICE("This version cannot read that."), (mt_slice){0});
    size_t n = state.len < sizeof handed ? state.len : sizeof handed - 1;
    memcpy(handed, state.p, n);
    handed[n] = 0;
    return MT_OK;
}

static const mt_handler_entry handlers[] = {{"on_version", on_version}, {"on_stream", on_stream}, {"on_jobs", on_jobs}, {"on_work", on_work}};

MT_EXPORT const mt_plugin evolving_plugin = {.abi = MT_ABI, .size = sizeof(mt_plugin), .slug = "evolving", .version = version,
                                             .load = load, .activate = activate, .deactivate = deactivate, .handlers = handlers, .n_handlers = 4,
                                             .hand_over = hand_over, .take_over = take_over};
