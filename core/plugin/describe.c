/* What people are told of plugins: one, all, and whether the host is ready. */
#include "plugin/hold.h"
#include "plugin/manager.h"
#include "plugin/record.h"

#include "json/writer.h"

#include <stdio.h>

static void write_reason(mti_plugins *p, mti_plugin_record *r, int state, mti_writer *w)
{
    if (state == MTI_PLUGIN_WAITING && atomic_load(&r->state) == MTI_PLUGIN_ACTIVE) {
        mti_writer_key_string(w, "reason", MT_SLICE("the database is down"));
        return;
    }
    pthread_mutex_lock(&p->lock);
    mti_writer_key_string(w, "reason", r->reason[0] ? mt_str(r->reason) : (mt_slice){0});
    pthread_mutex_unlock(&p->lock);
}

static void write_worker(const mti_plugin_record *r, mti_writer *w)
{
    mti_worker_state s = mti_worker_look(r->worker);
    mti_writer_key(w, MT_SLICE("worker"));
    mti_writer_object(w);
    mti_writer_key_string(w, "state", mt_str(s.state));
    mti_writer_key_int(w, "pid", s.pid);
    mti_writer_key_int(w, "restarts", s.restarts);
    mti_writer_key_int(w, "activations", s.activations);
    mti_writer_object_end(w);
}

void mti_record_describe(mti_plugins *p, mti_plugin_record *r, mti_writer *w)
{
    static const char *const members[] = {"name", "version", "description", "category", "author", "license", "homepage", "repository", "dependencies", "provides", "requires", "hooks", "permissions", "config_schema"};
    mti_buf text;
    mti_buf_init(&text, 1 << 20);
    mti_writer_key_string(w, "slug", mt_str(r->slug));
    int state = mti_record_effective(r);
    mti_writer_key_string(w, "state", mt_str(mti_record_state_name(state)));
    write_reason(p, r, state, w);
    mti_writer_key_bool(w, "enabled", atomic_load(&r->wanted));
    mti_writer_key_bool(w, "installed", mti_record_is_installed(r));
    mti_writer_key_string(w, "isolation", !r->worker ? MT_SLICE("none") : mti_worker_look(r->worker).engine ? MT_SLICE("engine") : MT_SLICE("process"));
    if (r->worker)
        write_worker(r, w);
    mti_record_describe_holds(r, w);
    if (r->digest[0])
        mti_writer_key_string(w, "digest", mt_str(r->digest));
    for (size_t i = 0; r->manifest && i < sizeof members / sizeof *members; i++) {
        const json_t *v = json_object_get(r->manifest->json, members[i]);
        mti_buf_clear(&text);
        if (!v || mti_json_dump(v, &text) != MT_OK)
            continue;
        mti_writer_key(w, mt_str(members[i]));
        mti_writer_raw(w, mti_buf_slice(&text));
    }
    mti_buf_dispose(&text);
}

static void describe(mti_plugins *p, mti_plugin_record *r, mti_writer *w)
{
    mti_writer_object(w);
    mti_record_describe(p, r, w);
    mti_writer_object_end(w);
}

mt_status mti_plugins_describe(mti_plugins *p, mt_slice slug, mti_buf *out)
{
    mti_plugin_record *r = mti_manager_find(p, slug);
    mti_writer w;
    if (!r)
        return MT_NOT_FOUND;
    mti_writer_init(&w, out);
    describe(p, r, &w);
    return out->status;
}

void mti_plugins_describe_all(mti_plugins *p, mti_buf *out)
{
    mti_writer w;
    mti_writer_init(&w, out);
    mti_writer_array(&w);
    for (unsigned i = 1; i < p->n; i++)
        if (atomic_load(&p->records[i]->current))
            describe(p, p->records[i], &w);
    mti_writer_array_end(&w);
}

static bool lost(mti_plugins *p, const mti_plugin_record *r, int depth);

static bool provider_lost(mti_plugins *p, const char *interface, int depth)
{
    for (unsigned i = 1; i < p->n; i++) {
        const mti_plugin_record *r = p->records[i];
        for (size_t n = 0; r->manifest && atomic_load(&r->current) && n < r->manifest->n_provides; n++)
            if (!strcmp(r->manifest->provides[n], interface) && !lost(p, r, depth))
                return false;
    }
    return true;
}

/* It will not come up by itself: it failed, is switched off, or needs what is not there, is lost too, or needs it in turn. */
static bool lost(mti_plugins *p, const mti_plugin_record *r, int depth)
{
    if (!depth || !r || !r->manifest || !atomic_load(&r->wanted) || atomic_load(&r->state) == MTI_PLUGIN_FAILED || atomic_load(&r->state) == MTI_PLUGIN_QUARANTINED || atomic_load(&r->locked))
        return true;
    if (atomic_load(&r->state) == MTI_PLUGIN_ACTIVE)
        return false;
    for (size_t i = 0; i < r->manifest->n_dependencies; i++) {
        const mti_manifest_dependency *d = &r->manifest->dependencies[i];
        const mti_plugin_record *on = mti_manager_find(p, mt_str(d->slug));
        if (lost(p, on, depth - 1) || !mti_semver_match(on->manifest->version, d->range))
            return true;
    }
    for (size_t i = 0; i < r->manifest->n_requires; i++)
        if (provider_lost(p, r->manifest->requires_[i], depth - 1))
            return true;
    return false;
}

enum { LONGEST_CHAIN = 6 };

/* A wished-for plugin that is not active, those that still may come first; NULL: all are. */
static mti_plugin_record *find_missing(mti_plugins *p)
{
    mti_plugin_record *failed = NULL;
    for (unsigned i = 1; i < p->n; i++) {
        mti_plugin_record *r = p->records[i];
        int state = atomic_load(&r->state);
        if (!atomic_load(&r->current) || !atomic_load(&r->wanted) || state == MTI_PLUGIN_ACTIVE || mti_record_rests(r))
            continue;
        if (!lost(p, r, LONGEST_CHAIN))
            return r;
        if (!failed || (r->manifest && r->manifest->essential))
            failed = r;
    }
    return failed;
}

mti_readiness mti_plugins_readiness(mti_plugins *p, char *why, size_t size)
{
    mti_plugin_record *r = find_missing(p);
    why[0] = 0;
    if (!r)
        return MTI_READY;
    int state = atomic_load(&r->state);
    bool gone = lost(p, r, LONGEST_CHAIN), essential = r->manifest && r->manifest->essential;
    pthread_mutex_lock(&p->lock);
    snprintf(why, size, "plugin %s is %s%s%s", r->slug, mti_record_state_name(state), r->reason[0] ? ": " : "", r->reason);
    pthread_mutex_unlock(&p->lock);
    return gone && !essential ? MTI_READY_DEGRADED : MTI_NOT_READY;
}

json_t *mti_config_show(const mti_manifest *m, const json_t *object, const char *member)
{
    json_t *shown = json_copy((json_t *)object);
    json_object_set_new(shown, member, mti_config_shown(m, json_object_get(object, member)));
    return shown;
}

mt_status mti_plugins_config(mti_plugins *p, mt_slice slug, mti_buf *out)
{
    mti_plugin_record *r = mti_manager_find(p, slug);
    if (!r)
        return MT_NOT_FOUND;
    const json_t *config = atomic_load(&r->shown);
    return config ? mti_json_dump(config, out) : mti_buf_adds(out, "{}");
}
