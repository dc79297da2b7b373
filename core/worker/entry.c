#include "worker/entry.h"

#include <dlfcn.h>

static mt_status check_table(const mt_plugin *t, const char *slug, const char *version, mti_error *e)
{
    if (t->abi != MT_ABI)
        return mti_fail(e, MT_UNSUPPORTED, "abi_mismatch", "plugin %s was built for ABI %u, this host has %u: rebuild it", slug, t->abi, MT_ABI);
    if (t->size < MT_PLUGIN_LEAST)
        return mti_fail(e, MT_INVALID, "plugin_invalid", "plugin %s: its entry table is shorter than this ABI's", slug);
    if (strcmp(t->slug, slug) || strcmp(t->version, version))
        return mti_fail(e, MT_INVALID, "version_mismatch", "plugin %s %s: the shared object says %s %s", slug, version, t->slug, t->version);
    return MT_OK;
}

mt_status mti_entry_open(const char *slug, const char *version, const char *file, const char *symbol, void **object, const mt_plugin **entry, mti_error *e)
{
    void *o = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (!o)
        return mti_fail(e, MT_INVALID, "plugin_unloadable", "plugin %s: %s", slug, dlerror());
    const mt_plugin *t = dlsym(o, symbol);
    mt_status s = t ? check_table(t, slug, version, e)
                    : mti_fail(e, MT_INVALID, "plugin_unloadable", "plugin %s: %s has no symbol %s", slug, file, symbol);
    if (s != MT_OK) {
        dlclose(o);          /* nothing of it but constructors has run: it may go */
        return s;
    }
    *object = o;
    *entry = t;
    return MT_OK;
}
