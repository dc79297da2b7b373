#include "plugin/checks.h"

#include <dlfcn.h>
#include <stdatomic.h>

#include "base/log.h"
#include "plugin/manager.h"
#include "plugin/record.h"

enum { INDEX_BITS = 20 };

typedef struct granted {
    mt_handle value;         /* 0: gone */
    unsigned interface;
} granted;

/* In the call's arena. */
struct mti_handles {
    uint64_t tag;            /* of the call: the numbers' upper part */
    unsigned n, cap;
    granted *list;
};

static struct mti_plugins *plugins;

bool mti_checks_wanted(const char *option)
{
#if !defined(NDEBUG) || defined(__SANITIZE_ADDRESS__)
    return strcmp(option, "off") != 0;
#else
    return !strcmp(option, "on");
#endif
}

void mti_checks_begin(struct mti_plugins *p)
{
    plugins = p;
}

const void *mti_checks_table(unsigned interface, const void *real)
{
    mti_checks_real[interface] = real;
    return real ? mti_checks_tables[interface] : NULL;
}

/* Who runs here, by the fiber's or thread's word; a thread of the plugin's own has none: then by the object that the call came from. */
static const char *culprit(const mti_check *k)
{
    Dl_info info;
    uint32_t slot = mti_fiber_tag();
    if (slot && slot < plugins->n)
        return plugins->records[slot]->slug;
    return dladdr(k->from, &info) && info.dli_fname ? info.dli_fname : "?";
}

static bool refuse(mt_call *c, const mti_check *k, const char *what)
{
    const char *plugin = culprit(k);
    mti_log(MTI_LOG_ERROR, "plugin.misuse", "plugin=%s function=%s what=%s", plugin, k->function, what);
    if (c)
        mti_fail(&c->error, MT_INTERNAL, "plugin_misuse", "%s: %s %s.", plugin, k->function, what);
    return false;
}

static bool is_mine(const mt_call *c)
{
    const mt_call *mine = mti_fiber_data();
    while (mine && mine != c)
        mine = mine->outer;
    return mine != NULL;
}

/* Nothing is read of a call before it is known to live. */
bool mti_check_call(mt_call *c, const mti_check *k)
{
    if (!mti_fiber_current())
        return k->pool || refuse(NULL, k, "was called on a thread that is no loop's");
    if (!is_mine(c))
        return refuse(NULL, k, "was called with a call that has ended or is another fiber's");
    const mti_plugin_record *r = c->plugin && c->plugin < plugins->n ? plugins->records[c->plugin] : NULL;
    int64_t ended_us = r ? atomic_load(&r->ended_us) : 0;
    return !ended_us || c->started_us < ended_us || refuse(c, k, "was called after deactivate");
}

bool mti_check_handle(mt_call *c, const mti_check *k, mt_handle *h)
{
    const struct mti_handles *own = c->handles;
    uint64_t index = *h & ((1u << INDEX_BITS) - 1);
    if (!*h)
        return true;
    if (!own || *h >> INDEX_BITS != own->tag || index >= own->n)
        return refuse(c, k, "was given a handle that is none of this call's");
    if (own->list[index].interface != k->interface)
        return refuse(c, k, "was given a handle of another interface");
    if (!own->list[index].value)
        return refuse(c, k, "was given a handle that is gone");
    *h = own->list[index].value;
    return true;
}

static struct mti_handles *handles_of(mt_call *c)
{
    static _Atomic(uint64_t) tags;
    if (!c->handles) {
        c->handles = mti_arena_alloc(&c->arena, sizeof *c->handles);
        *c->handles = (struct mti_handles){.tag = atomic_fetch_add(&tags, 1) + 1};
    }
    return c->handles;
}

mt_handle mti_check_grant(mt_call *c, const mti_check *k, mt_handle h)
{
    struct mti_handles *own = handles_of(c);
    if (own->n == own->cap) {
        granted *list = mti_arena_alloc(&c->arena, (own->cap * 2 + 16) * sizeof *list);
        if (own->n)
            memcpy(list, own->list, own->n * sizeof *list);
        own->list = list;
        own->cap = own->cap * 2 + 16;
    }
    own->list[own->n] = (granted){h, k->interface};
    return own->tag << INDEX_BITS | own->n++;
}

void mti_check_end(mt_call *c, mt_handle number)
{
    if (number)
        c->handles->list[number & ((1u << INDEX_BITS) - 1)].value = 0;
}
