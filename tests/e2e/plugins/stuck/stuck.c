/* Never returns where its configuration says so: it waits, or it turns. Or it says that it cannot now. */
#include <mortise/entry.h>

enum { FOR_EVER_MS = 100000000 };

static mt_status load(void *self, const mt_host *host)
{
    mt_bind(host);
    return MT_OK;
}

static mt_status act(mt_call *c, mt_slice how)
{
    for (volatile unsigned n = 1; mt_slice_eq(how, MT_SLICE("turn")); n++)
        ;
    if (mt_slice_eq(how, MT_SLICE("wait")))
        return mt_sleep(c, FOR_EVER_MS);
    return mt_slice_eq(how, MT_SLICE("refuse")) ? mt_problem(c, 503, MT_SLICE("not_now"), MT_SLICE("Another time."), MT_SLICE("")) : MT_OK;
}

static mt_status activate(void *self, mt_call *c)
{
    mt_log(1, "stuck.tried", NULL, 0);
    return act(c, mt_config(c, MT_SLICE("/activate")));
}

static void deactivate(void *self, mt_call *c)
{
    act(c, mt_config(c, MT_SLICE("/deactivate")));
}

static mt_status hand_over(void *self, mt_call *c, mt_slice *state)
{
    return act(c, mt_config(c, MT_SLICE("/hand_over")));
}

static mt_status take_over(void *self, mt_call *c, mt_slice from, mt_slice state)
{
    return MT_OK;
}

MT_EXPORT const mt_plugin stuck_plugin = {.abi = MT_ABI, .size = sizeof(mt_plugin), .slug = "stuck", .version = "0.1.0", .load = load,
                                          .activate = activate, .deactivate = deactivate, .hand_over = hand_over, .take_over = take_over};
