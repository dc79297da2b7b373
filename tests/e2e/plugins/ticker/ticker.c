/* Streams for tests: begun, cancelled and open ones are counted, so that a leak shows. */
#include <mortise/entry.h>

#include <stdatomic.h>
#include <stdlib.h>

static atomic_long begun, ended, cancelled;

static int64_t number(mt_call *c, const char *name)
{
    mt_slice text = mt_param(c, mt_str(name));
    return text.p ? strtoll(mt_printf(c, "%.*s", (int)text.len, text.p).p, NULL, 10) : 0;
}

static mt_status tick(mt_call *c)
{
    int64_t count = number(c, "count"), pause = number(c, "every_ms"), bytes = number(c, "bytes");
    char *filling = malloc((size_t)bytes + 1);
    if (!filling)
        return MT_NO_MEMORY;
    memset(filling, 'x', (size_t)bytes);
    mt_status s = mt_stream_begin(c);
    for (int64_t i = 0; s == MT_OK && i < count; i++) {
        char data[65536 + 64];
        int n = snprintf(data, sizeof data, "{\"n\":%lld,\"x\":\"%.*s\"}", (long long)i, (int)bytes, filling);
        s = mt_stream_event(c, MT_SLICE("tick"), (mt_slice){data, (size_t)n});
        if (s == MT_OK && pause)
            s = mt_sleep(c, pause);
    }
    free(filling);
    return s == MT_OK ? mt_stream_end(c) : s;
}

static mt_status on_tick(void *self, mt_call *c)
{
    atomic_fetch_add(&begun, 1);
    mt_status s = tick(c);
    if (s != MT_OK)
        atomic_fetch_add(&cancelled, 1);
    atomic_fetch_add(&ended, 1);
    return s;
}

static mt_status on_open(void *self, mt_call *c)
{
    long b = atomic_load(&begun), e = atomic_load(&ended), x = atomic_load(&cancelled);
    return mt_respond(c, 200, mt_printf(c, "{\"open\":%ld,\"begun\":%ld,\"cancelled\":%ld}", b - e, b, x));
}

static mt_status load(void *self, const mt_host *host)
{
    mt_bind(host);
    return MT_OK;
}

static const mt_handler_entry handlers[] = {{"on_tick", on_tick}, {"on_open", on_open}};

MT_EXPORT const mt_plugin ticker_plugin = {
    .abi = MT_ABI, .size = sizeof(mt_plugin), .slug = "ticker", .version = "0.1.0", .load = load, .handlers = handlers, .n_handlers = 2};
