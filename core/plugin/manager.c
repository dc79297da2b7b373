#include "plugin/manager.h"
#include "plugin/record.h"
#include "plugin/publish.h"

#include "base/log.h"
#include "db/migrate.h"
#include "json/writer.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>


void mti_record_state(mti_plugin_record *r, mti_plugin_state s, const char *reason)
{
    int before = atomic_exchange(&r->state, s);
    pthread_mutex_lock(&r->host->plugins->lock);
    bool same = before == (int)s && !strcmp(r->reason, reason ? reason : "");
    if (before != (int)s)
        atomic_store(&r->host->plugins->dirty, true);
    snprintf(r->reason, sizeof r->reason, "%s", reason ? reason : "");
    pthread_mutex_unlock(&r->host->plugins->lock);
    if (!same)
        mti_log(s == MTI_PLUGIN_FAILED ? MTI_LOG_ERROR : MTI_LOG_INFO, "plugin.state", "plugin=%s state=%s reason=%s", r->slug, mti_record_state_name(s), reason ? reason : "");
}

static json_t *read_profile(const char *root)
{
    char path[4096];
    mti_buf text;
    json_t *profile = NULL;
    snprintf(path, sizeof path, "%s/manifests/profiles/default.json", root);
    if (mti_buf_read_file(&text, path, 1 << 20) == MT_OK)
        mti_json_parse(mti_buf_slice(&text), 0, &profile, NULL);
    mti_buf_dispose(&text);
    return profile;
}

mt_status mti_plugins_create(mti_host *h, mti_contract *builtin, mti_plugins **out, mti_error *e)
{
    mti_plugins *p = calloc(1, sizeof *p);
    if (!p)
        return mti_fail(e, MT_NO_MEMORY, "no_memory", "out of memory at start");
    mt_status s = mti_manifest_schema(h->root, &p->schema, e);
    if (s != MT_OK) {
        free(p);
        return s;
    }
    p->host = h;
    p->n = 1;
    p->builtin = builtin;
    p->profile = read_profile(h->root);
    pthread_mutex_init(&p->lock, NULL);
    h->plugins = p;
    *out = p;
    return mti_publish(p, e);
}

static void destroy_record(mti_plugin_record *r)
{
    if (r->created && r->entry->unload)
        r->entry->unload(r->self);
    for (unsigned i = 0; i < r->n_policies; i++)
        mti_policy_release(r->policies[i]);
    mti_contract_destroy(r->contract);
    json_decref(atomic_load(&r->config));
    mti_manifest_destroy(r->manifest);
    free((char *)r->slug);
    free(r);
}

void mti_plugins_destroy(mti_plugins *p)
{
    for (unsigned i = p->n; i-- > 1;)
        destroy_record(p->records[i]);
    mti_publish_dispose(p);
    mti_schema_destroy(p->schema);
    json_decref(p->profile);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

static bool in_profile(const mti_plugins *p, const char *slug)
{
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(p->profile, "plugins"), i, v)
        if (!strcmp(json_string_value(v), slug))
            return true;
    return false;
}

static mti_plugin_record *find(const mti_plugins *p, mt_slice slug)
{
    for (unsigned i = 1; i < p->n; i++)
        if (mt_slice_eq(slug, mt_str(p->records[i]->slug)))
            return p->records[i];
    return NULL;
}

static void load_or_fail(mti_plugin_record *r)
{
    mti_error e = {0};
    if (mti_record_load(r, &e) == MT_OK)
        mti_record_state(r, MTI_PLUGIN_LOADED, NULL);
    else
        mti_record_state(r, MTI_PLUGIN_FAILED, e.detail);
}

/* One folder. The slug of a broken manifest is the folder's name, so that it can be shown. */
static void discover_one(mti_plugins *p, const char *dir, const char *name)
{
    mti_error e = {0};
    if (find(p, mt_str(name)) || p->n == MTI_MAX_PLUGINS)
        return;
    mti_plugin_record *r = aligned_alloc(64, (sizeof *r + 63) & ~(size_t)63);
    memset(r, 0, sizeof *r);
    r->host = p->host;
    r->slug = strdup(name);
    r->slot = (uint16_t)p->n;
    p->records[p->n++] = r;
    atomic_store(&r->wanted, in_profile(p, name));
    if (mti_manifest_load(p->schema, dir, &r->manifest, &e) != MT_OK) {
        mti_record_state(r, MTI_PLUGIN_FAILED, e.detail);
        return;
    }
    bool reserved = !strcmp(name, "core") || !strcmp(name, "host");   /* the names of the host's own contract and code */
    if (reserved || strcmp(r->manifest->slug, name)) {
        mti_record_state(r, MTI_PLUGIN_FAILED, reserved ? "this name is the host's own" : "the slug in plugin.json is not the folder's name");
        mti_manifest_destroy(r->manifest);
        r->manifest = NULL;
        return;
    }
    if (r->manifest->db) {
        snprintf(r->role_name, sizeof r->role_name, "mt_p_%s", r->slug);
        r->role.name = r->role_name;
    }
    if (atomic_load(&r->wanted))
        load_or_fail(r);
    else
        mti_record_state(r, MTI_PLUGIN_INACTIVE, NULL);
}

static void discover_folder(mti_plugins *p, const char *folder)
{
    struct dirent **list;
    char dir[4096], file[4400];
    struct stat st;
    int n = scandir(folder, &list, NULL, alphasort);
    if (n < 0)
        mti_log(MTI_LOG_WARN, "plugin.folder_unreadable", "folder=%s", folder);
    for (int i = 0; i < n; i++) {
        snprintf(dir, sizeof dir, "%s/%s", folder, list[i]->d_name);
        snprintf(file, sizeof file, "%s/plugin.json", dir);
        if (list[i]->d_name[0] != '.' && !stat(file, &st))
            discover_one(p, dir, list[i]->d_name);
        free(list[i]);
    }
    if (n >= 0)
        free(list);
}

void mti_plugins_discover(mti_plugins *p, const char *dirs)
{
    char *copy = strdup(dirs), *rest = copy, *folder;
    while ((folder = strsep(&rest, ":")))
        if (*folder)
            discover_folder(p, folder);
    free(copy);
}

/* It may come up while a turn is under way, before the core has migrated it. */
static bool database_usable(const mti_host *h)
{
    return mti_db_up(h->db) && atomic_load(&h->migrated);
}

/* What keeps r from starting now: "" when nothing does. */
static void find_obstacle(mti_plugins *p, const mti_plugin_record *r, char *why, size_t size)
{
    why[0] = 0;
    for (size_t i = 0; i < r->manifest->n_dependencies; i++) {
        const mti_manifest_dependency *d = &r->manifest->dependencies[i];
        const mti_plugin_record *on = find(p, mt_str(d->slug));
        if (!on || !on->manifest)
            snprintf(why, size, "needs plugin %s %s, which is not installed", d->slug, d->range);
        else if (!mti_semver_match(on->manifest->version, d->range))
            snprintf(why, size, "needs plugin %s %s, installed is %s", d->slug, d->range, on->manifest->version);
        else if (atomic_load(&on->state) != MTI_PLUGIN_ACTIVE)
            snprintf(why, size, "needs plugin %s, which is not active", d->slug);
        if (why[0])
            return;
    }
    for (size_t i = 0; i < r->manifest->n_requires; i++)
        for (unsigned n = 0; n < mti_interface_count; n++) {
            const mti_interface_info *info = &mti_interface_catalogue[n];
            if (strcmp(info->id, r->manifest->requires_[i]) || info->service < 0 || mti_service_ready(p, info->service))
                continue;
            snprintf(why, size, "needs a provider of %s, and none is active", info->id);
            return;
        }
    if ((r->manifest->db || r->manifest->n_dependencies) && !database_usable(p->host))
        snprintf(why, size, "the database is down");
}

static void read_wish(mti_plugin_record *r, mt_call *c)
{
    bool enabled;
    json_t *given = NULL;
    mt_status s = database_usable(r->host) ? mti_store_read(c, r->slug, &enabled, &given) : MT_NOT_FOUND;
    if (s == MT_OK)
        atomic_store(&r->wanted, enabled);
    else if (atomic_load(&r->config))
        return;
    json_t *config = given ? given : json_object();
    if (r->manifest->config_schema) {
        mti_schema *schema;
        if (mti_schema_compile(r->manifest->config_schema, NULL, NULL, 0, &schema, &c->error) == MT_OK) {
            mti_schema_apply_defaults(schema, config);
            mti_schema_destroy(schema);
        }
    }
    const json_t *old = atomic_load(&r->config);
    if (old && json_equal(old, config)) {
        json_decref(config);
        return;
    }
    /* readers may hold the old one: it stays until the process ends (configurations are small and change rarely) */
    atomic_store(&r->config, config);
}

static mt_status prepare_database(mti_plugin_record *r, mt_call *c)
{
    char dir[4096];
    if (!r->manifest->db)
        return MT_OK;
    snprintf(dir, sizeof dir, "%s/sql", r->manifest->dir);
    if (!r->migrated) {
        mti_plugin_schema schema = {.slug = r->slug, .dir = dir, .references = r->manifest->references, .n_references = r->manifest->n_references};
        MT_TRY(mti_migrate_plugin(c, &schema));
        r->migrated = true;
    }
    return r->contract->descriptions ? MT_OK : mti_contract_check(c, &r->role, r->contract);
}

/* Trouble that may be over by the next attempt. */
static bool passes(mt_status s)
{
    return s == MT_UNAVAILABLE || s == MT_TIMEOUT || s == MT_CANCELLED || s == MT_LIMITED;
}

static void activate(mti_plugin_record *r, mt_call *c)
{
    mti_identity who = c->who;
    mt_status s = prepare_database(r, c);
    if (s == MT_OK && r->entry && r->entry->activate) {
        c->plugin = r->slot;
        mti_fiber_set_tag(r->slot);
        s = r->entry->activate(r->self, c);
        mti_db_abandon(c);
        c->who = who;
        c->plugin = 0;
        mti_fiber_set_tag(0);
    }
    if (s == MT_OK) {
        r->turn = ++r->host->plugins->activations;
        mti_record_state(r, MTI_PLUGIN_ACTIVE, NULL);
        return;
    }
    const char *why = c->error.detail[0] ? c->error.detail : mti_status_name(s);
    mti_record_state(r, passes(s) ? MTI_PLUGIN_WAITING : MTI_PLUGIN_FAILED, why);
    memset(&c->error, 0, sizeof c->error);
}

/* One attempt; true when the plugin became active. */
static bool advance(mti_plugins *p, mti_plugin_record *r, mt_call *c)
{
    char why[384];
    int state = atomic_load(&r->state);
    if (!r->manifest || state == MTI_PLUGIN_ACTIVE || state == MTI_PLUGIN_FAILED)
        return false;
    if (!r->loaded)
        load_or_fail(r);
    if (atomic_load(&r->state) == MTI_PLUGIN_FAILED)
        return false;
    find_obstacle(p, r, why, sizeof why);
    if (why[0]) {
        mti_record_state(r, MTI_PLUGIN_WAITING, why);
        return false;
    }
    activate(r, c);
    if (atomic_load(&r->state) != MTI_PLUGIN_ACTIVE)
        return false;
    mti_publish_services(p);
    return true;
}

enum { PUBLISH_MS = 30 };

static mt_status take_turn(mti_plugins *p)
{
    while (p->busy)
        MT_TRY(mti_wait(&p->turn, -1));
    p->busy = true;
    return MT_OK;
}

static void end_turn(mti_plugins *p)
{
    p->busy = false;
    mti_wake_one(&p->turn);
}

static void publish_changes(mti_plugins *p)
{
    mti_error e = {0};
    if (atomic_exchange(&p->dirty, false) && mti_publish(p, &e) != MT_OK)
        mti_log(MTI_LOG_ERROR, "plugin.publish_failed", "reason=%s", e.detail);
    for (unsigned i = 1; i < p->n; i++)
        if (atomic_load(&p->records[i]->state) == MTI_PLUGIN_ACTIVE)
            mti_consumers_start(p->records[i]);
}

/* What is up serves while others still start: a plugin that takes its time (a model, a migration) holds up nobody. */
static void publish_meanwhile(void *arg)
{
    mti_plugins *p = arg;
    while (mti_sleep(PUBLISH_MS) == MT_OK && p->busy)
        publish_changes(p);
}

/* The essential ones come first: nobody is known without them. */
static bool advance_all(mti_plugins *p, mt_call *c)
{
    bool progress = false;
    for (int pass = 0; pass < 2; pass++)
        for (unsigned i = 1; i < p->n; i++) {
            mti_plugin_record *r = p->records[i];
            bool essential = r->manifest && r->manifest->essential;
            if (essential == !pass && atomic_load(&r->wanted))
                progress |= advance(p, r, c);
        }
    return progress;
}

/* One that was switched off before this process began was loaded before the database could say so. */
static void rest(mti_plugin_record *r)
{
    int state = atomic_load(&r->state);
    if (!atomic_load(&r->wanted) && (state == MTI_PLUGIN_LOADED || state == MTI_PLUGIN_WAITING))
        mti_record_state(r, MTI_PLUGIN_INACTIVE, NULL);
}

static void settle(mti_plugins *p, mt_call *c)
{
    for (unsigned i = 1; i < p->n; i++)
        if (p->records[i]->manifest) {
            read_wish(p->records[i], c);
            rest(p->records[i]);
        }
    mti_fiber_spawn(c->loop, publish_meanwhile, p);
    while (advance_all(p, c))
        ;
    publish_changes(p);
}

void mti_plugins_settle(mti_plugins *p, mt_call *c)
{
    if (take_turn(p) != MT_OK)
        return;
    settle(p, c);
    end_turn(p);
}

/* Waits until no operation or job of r runs, at most ten seconds. */
static void drain(mti_plugin_record *r)
{
    for (int round = 0; round < 1000; round++) {
        int inside = 0;
        for (unsigned i = 0; i < r->host->n_loops; i++)
            inside += atomic_load(&r->inflight[i].n);
        if (!inside || mti_sleep(10) != MT_OK)
            return;
    }
    mti_log(MTI_LOG_WARN, "plugin.drain_timeout", "plugin=%s", r->slug);
}

static void deactivate(mti_plugins *p, mti_plugin_record *r, mt_call *c, const char *reason)
{
    mti_error e = {0};
    mti_record_state(r, MTI_PLUGIN_INACTIVE, reason);
    mti_publish_services(p);
    mti_publish(p, &e);
    mti_consumers_stop(r);
    drain(r);
    if (r->entry && r->entry->deactivate) {
        c->plugin = r->slot;
        r->entry->deactivate(r->self, c);
        c->plugin = 0;
    }
}

/* The active plugin that was activated last; NULL: none is active. */
static mti_plugin_record *find_last(const mti_plugins *p)
{
    mti_plugin_record *last = NULL;
    for (unsigned i = 1; i < p->n; i++)
        if (atomic_load(&p->records[i]->state) == MTI_PLUGIN_ACTIVE && (!last || p->records[i]->turn > last->turn))
            last = p->records[i];
    return last;
}

void mti_plugins_stop(mti_plugins *p, mt_call *c)
{
    mti_plugin_record *r;
    if (take_turn(p) != MT_OK)
        return;
    while ((r = find_last(p)))
        deactivate(p, r, c, "the host stops");
    end_turn(p);
}

/* The active plugins that cannot stay without r, as "a, b". */
static void find_dependents(mti_plugins *p, const mti_plugin_record *r, char *names, size_t size)
{
    names[0] = 0;
    for (unsigned i = 1; i < p->n; i++) {
        const mti_plugin_record *d = p->records[i];
        bool needs = false;
        if (atomic_load(&d->state) != MTI_PLUGIN_ACTIVE)
            continue;
        for (size_t n = 0; n < d->manifest->n_dependencies; n++)
            needs |= !strcmp(d->manifest->dependencies[n].slug, r->slug);
        for (size_t n = 0; n < d->manifest->n_requires; n++)
            for (size_t m = 0; r->manifest && m < r->manifest->n_provides; m++)
                needs |= !strcmp(d->manifest->requires_[n], r->manifest->provides[m]) && mti_publish_only_provider(p, r, r->manifest->provides[m]);
        if (needs)
            snprintf(names + strlen(names), size - strlen(names), "%s%s", names[0] ? ", " : "", d->slug);
    }
}

mt_status mti_manager_enable(mti_plugins *p, mt_call *c, mti_plugin_record *r)
{
    if (!r->manifest)
        return mti_fail(&c->error, MT_CONFLICT, "plugin_broken", "plugin %s cannot be switched on: %s", r->slug, r->reason);
    MT_TRY(take_turn(p));
    mt_status s = mti_store_enable(c, r->slug, true);
    if (s == MT_OK) {
        if (atomic_load(&r->state) == MTI_PLUGIN_FAILED)
            mti_record_state(r, MTI_PLUGIN_INACTIVE, NULL);
        settle(p, c);
        if (atomic_load(&r->state) == MTI_PLUGIN_FAILED)
            s = mti_fail(&c->error, MT_CONFLICT, "plugin_failed", "%s", r->reason);
    }
    end_turn(p);
    return s;
}

/* Against the plugin's own schema; a plugin without one takes only {}. */
static mt_status check_config(mti_plugin_record *r, const json_t *config, mt_call *c)
{
    mti_schema *schema;
    const json_t *given = r->manifest ? r->manifest->config_schema : NULL;
    if (!given)
        return json_object_size(config) ? mti_fail(&c->error, MT_INVALID, "config_not_taken", "Plugin %s takes no configuration.", r->slug) : MT_OK;
    MT_TRY(mti_schema_compile((json_t *)given, NULL, NULL, 0, &schema, &c->error));
    mt_status s = mti_schema_validate(schema, config, &(mti_schema_options){.closed = true, .formats = true}, &c->error);
    mti_schema_destroy(schema);
    return s;
}

mt_status mti_manager_configure(mti_plugins *p, mt_call *c, mti_plugin_record *r, const json_t *config)
{
    MT_TRY(check_config(r, config, c));
    MT_TRY(take_turn(p));
    mt_status s = mti_store_configure(c, r->slug, atomic_load(&r->wanted), config);
    if (s == MT_OK && r->manifest)
        read_wish(r, c);
    end_turn(p);
    return s;
}

mt_status mti_manager_disable(mti_plugins *p, mt_call *c, mti_plugin_record *r)
{
    char names[256];
    if (r->manifest && r->manifest->essential)
        return mti_fail(&c->error, MT_CONFLICT, "plugin_essential", "plugin %s is essential and stays on", r->slug);
    MT_TRY(take_turn(p));
    mt_status s = MT_OK;
    find_dependents(p, r, names, sizeof names);
    if (names[0])
        s = mti_fail(&c->error, MT_CONFLICT, "plugin_needed", "plugin %s is needed by %s: switch them off first", r->slug, names);
    if (s == MT_OK)
        s = mti_store_enable(c, r->slug, false);
    if (s == MT_OK) {
        atomic_store(&r->wanted, false);
        if (atomic_load(&r->state) == MTI_PLUGIN_ACTIVE) {
            deactivate(p, r, c, NULL);
        } else {
            mti_record_state(r, MTI_PLUGIN_INACTIVE, NULL);
            s = mti_publish(p, &c->error);
        }
    }
    end_turn(p);
    return s;
}

mti_plugin_record *mti_manager_find(mti_plugins *p, mt_slice slug)
{
    return find(p, slug);
}

