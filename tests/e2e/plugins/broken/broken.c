/* One source for the plugins that must fail: FAULT says how. */
#include <mortise/entry.h>

#include <time.h>

enum { ABI = 1, SIZE, SLUG_, VERSION, CREATE, LOAD, ACTIVATE, SLOW };

#define NAME_(slug) slug##_plugin
#define NAME(slug) NAME_(slug)
#define TEXT_(slug) #slug
#define TEXT(slug) TEXT_(slug)

static mt_status create(void **self)
{
    return FAULT == CREATE ? MT_NO_MEMORY : MT_OK;
}

static mt_status load(void *self, const mt_host *host)
{
    mt_bind(host);
    return FAULT == LOAD ? MT_UNSUPPORTED : MT_OK;
}

static mt_status activate(void *self, mt_call *c)
{
    if (FAULT == SLOW)
        return mt_sleep(c, 3000);
    return FAULT == ACTIVATE ? mt_problem(c, 500, MT_SLICE("no_luck"), MT_SLICE("today is not the day"), MT_SLICE("")) : MT_OK;
}

MT_EXPORT const mt_plugin NAME(SLUG) = {.abi = FAULT == ABI ? 999 : MT_ABI,
                                        .size = FAULT == SIZE ? 8 : sizeof(mt_plugin),
                                        .slug = FAULT == SLUG_ ? "another" : TEXT(SLUG),
                                        .version = FAULT == VERSION ? "9.9.9" : "0.1.0",
                                        .create = create,
                                        .load = load,
                                        .activate = activate};
