/* From a folder to a loaded plugin: shared object, entry table, contract, policies. */
#include "plugin/instances.h"
#include "plugin/manager.h"
#include "plugin/record.h"
#include "plugin/versions.h"

#include "base/log.h"
#include "json/place.h"
#include "package/package.h"
#include "worker/entry.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static mt_status refuse(mti_error *e, mti_plugin_record *r, const char *why)
{
    return mti_fail(e, MT_INVALID, "plugin_invalid", "plugin %s: %s", r->slug, why);
}

static mt_handler_fn find_handler(const mti_plugin_record *r, const char *name)
{
    for (uint32_t i = 0; r->entry && i < r->entry->n_handlers; i++)
        if (!strcmp(r->entry->handlers[i].name, name))
            return r->entry->handlers[i].run;
    return NULL;
}

/* The place in plugin.json: at is its pointer. */
#define REFUSE(r, e, at, code, ...) mti_json_refuse((r)->manifest->dir, "plugin.json", mt_str(at), e, code, __VA_ARGS__)

static mt_status refuse_handler(const mti_plugin_record *r, const mti_operation *op, mti_error *e)
{
    char method[16];
    mti_buf at;
    snprintf(method, sizeof method, "%s", op->method);
    for (char *p = method; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    const char *const tokens[] = {"paths", op->path, method, "x-handler"};
    mti_buf_init(&at, 4096);
    for (int i = 0; i < 4; i++)
        mti_json_pointer_add(&at, mt_str(tokens[i]));
    mt_status s = mti_json_refuse(r->manifest->dir, "api.json", mti_buf_slice(&at), e, "handler_missing",
                                  "operation %s names handler %s, which the entry table does not have", op->id, op->handler);
    mti_buf_dispose(&at);
    return s;
}

static mt_status bind_operations(mti_plugin_record *r, mti_error *e)
{
    char at[48];
    for (unsigned i = 0; i < r->contract->n_operations; i++) {
        mti_operation *op = &r->contract->operations[i];
        op->plugin = r->slot;
        if (!op->handler)
            continue;
        op->run = find_handler(r, op->handler);
        if (!op->run)
            return refuse_handler(r, op, e);
    }
    for (size_t i = 0; i < r->manifest->n_queues; i++) {
        snprintf(at, sizeof at, "/queues/%zu/handler", i);
        if (!find_handler(r, r->manifest->queues[i].handler))
            return REFUSE(r, e, at, "handler_missing", "queue %s names handler %s, which the entry table does not have", r->manifest->queues[i].name, r->manifest->queues[i].handler);
    }
    return MT_OK;
}

/* Twice on one hook it would run twice in every request, which nobody means. */
static bool stands_before(const mti_manifest *m, size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (!strcmp(m->hooks[i].name, m->hooks[at].name) && !strcmp(m->hooks[i].handler, m->hooks[at].handler))
            return true;
    return false;
}

static mt_status bind_hooks(mti_plugin_record *r, mti_error *e)
{
    char at[48];
    for (size_t i = 0; i < r->manifest->n_hooks; i++) {
        const mti_manifest_hook *h = &r->manifest->hooks[i];
        bool found = false;
        for (uint32_t n = 0; r->entry && n < r->entry->n_hooks && !found; n++)
            found = !strcmp(r->entry->hooks[n].name, h->handler);
        bool known = mti_hook_find(mt_str(h->name)) >= 0;
        snprintf(at, sizeof at, "/hooks/%zu/%s", i, known ? "handler" : "name");
        if (!known)
            return REFUSE(r, e, at, "hook_unknown", "hook %s is not in the catalogue", h->name);
        if (!found)
            return REFUSE(r, e, at, "handler_missing", "hook %s names handler %s, which the entry table does not have", h->name, h->handler);
        if (stands_before(r->manifest, i))
            return REFUSE(r, e, at, "hook_twice", "hook %s names handler %s twice", h->name, h->handler);
    }
    return MT_OK;
}

static mt_status bind_services(mti_plugin_record *r, mti_error *e)
{
    char at[48];
    for (size_t i = 0; i < r->manifest->n_provides; i++) {
        const char *id = r->manifest->provides[i];
        const mti_interface_info *info = NULL;
        const void *table = NULL;
        for (unsigned n = 0; n < mti_interface_count; n++)
            if (!strcmp(mti_interface_catalogue[n].id, id) && mti_interface_catalogue[n].service >= 0)
                info = &mti_interface_catalogue[n];
        for (uint32_t n = 0; r->entry && n < r->entry->n_services; n++)
            if (!strcmp(r->entry->services[n].id, id))
                table = r->entry->services[n].table;
        snprintf(at, sizeof at, "/provides/%zu", i);
        if (!info)
            return REFUSE(r, e, at, "service_unknown", "%s is no service of this host", id);
        if (!table || *(const uint32_t *)table < info->least_size)
            return REFUSE(r, e, at, "service_missing", "it provides %s, but its entry table has no complete table of it", id);
        r->providers[info->service] = (mti_provider){.table = table, .slot = r->slot};
    }
    return MT_OK;
}

static mt_status compile_policy(mti_plugin_record *r, const char *path, const char *name, mti_error *e)
{
    mti_buf text;
    mt_status s = mti_buf_read_file(&text, path, 64 << 10);
    char label[320];
    snprintf(label, sizeof label, "%s/%.80s", r->slug, name);
    if (s == MT_OK && r->n_policies < sizeof r->policies / sizeof *r->policies)
        s = mti_policy_compile(r->host->policies, label, mti_buf_slice(&text), &r->policies[r->n_policies], e);
    else
        s = mti_fail(e, MT_INVALID, "policy_invalid", "plugin %s: %s cannot be read, or there are more than 32 policies", r->slug, path);
    if (s == MT_OK)
        r->n_policies++;
    mti_buf_dispose(&text);
    return s;
}

static int is_lua(const struct dirent *d)
{
    size_t n = strlen(d->d_name);
    return n > 4 && !strcmp(d->d_name + n - 4, ".lua");
}

static mt_status load_policies(mti_plugin_record *r, mti_error *e)
{
    char dir[4096], path[4400];
    struct dirent **list;
    mt_status s = MT_OK;
    while (r->n_policies)
        mti_policy_release(r->policies[--r->n_policies]);
    snprintf(dir, sizeof dir, "%s/policies", r->manifest->dir);
    int n = scandir(dir, &list, is_lua, alphasort);
    for (int i = 0; i < n; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, list[i]->d_name);
        if (s == MT_OK)
            s = compile_policy(r, path, list[i]->d_name, e);
        free(list[i]);
    }
    if (n >= 0)
        free(list);
    return s;
}

void mti_record_log(void *ctx, int level, mt_slice event, const mt_field *fields, size_t n)
{
    const mti_plugin_record *r = ctx;
    char name[128];
    mt_field all[33] = {{MT_SLICE("plugin"), mt_str(r->slug)}};
    snprintf(name, sizeof name, "%.*s", (int)event.len, event.p ? event.p : "");
    if (n > 32)
        n = 32;
    if (n)
        memcpy(all + 1, fields, n * sizeof *fields);
    mti_log_fields(level < 0 ? MTI_LOG_DEBUG : level > 3 ? MTI_LOG_ERROR : (mti_log_level)level, name, all, n + 1);
}

static void *host_alloc(mt_call *c, size_t n)
{
    return mti_arena_try_alloc(&c->arena, n);
}

static mt_status start_object(mti_plugin_record *r, mti_error *e)
{
    r->table = (mt_host){.size = sizeof r->table, .abi = MT_ABI, .ctx = r, .get = mti_record_interface, .log = mti_record_log,
                         .alloc = host_alloc, .clock_us = mti_now_us, .dir = r->manifest->dir};
    if (!r->created && r->entry->create && r->entry->create(&r->self) != MT_OK)
        return refuse(e, r, "create() failed");
    r->created = true;
    for (int i = 0; i < MTI_SVC_COUNT; i++)
        r->providers[i].self = r->self;
    if (r->entry->load && r->entry->load(r->self, &r->table) != MT_OK)
        return refuse(e, r, "load() failed");
    return MT_OK;
}

static bool is_known(const char *id)
{
    for (unsigned i = 0; i < mti_interface_count; i++)
        if (!strcmp(mti_interface_catalogue[i].id, id))
            return true;
    return false;
}

static mt_status check_platform(mti_plugin_record *r, mti_error *e)
{
    const char *min = json_string_value(json_object_get(r->manifest->json, "min_platform_version"));
    if (min && mti_semver_compare(r->host->version, min) < 0)
        return mti_fail(e, MT_UNSUPPORTED, "platform_too_old", "plugin %s needs Mortise %s or later, this is %s", r->slug, min, r->host->version);
    if (mti_json_get_int(r->manifest->json, "abi", 0) != MT_ABI)
        return mti_fail(e, MT_UNSUPPORTED, "abi_mismatch", "plugin %s: the manifest asks for another ABI than %d", r->slug, MT_ABI);
    for (size_t i = 0; i < r->manifest->n_requires; i++)
        if (!is_known(r->manifest->requires_[i]))
            return mti_fail(e, MT_UNSUPPORTED, "interface_unknown", "plugin %s requires %s, which this host does not have", r->slug, r->manifest->requires_[i]);
    return MT_OK;
}

static mt_status open_code(mti_plugin_record *r, const char *object, mti_error *e)
{
    struct stat st;
    const mti_manifest *m = r->manifest;
    r->object_bytes = stat(object, &st) == 0 ? st.st_size : 0;
    if (mti_isolated(r->host, m))
        return mti_record_open_worker(r, object, e);
    return mti_entry_open(r->slug, m->version, object, m->symbol, &r->object, &r->entry, e);
}

static mt_status load_from(mti_plugin_record *r, const char *object, mti_error *e)
{
    MT_TRY(check_platform(r, e));
    if (r->manifest->file && !r->entry)
        MT_TRY(open_code(r, object, e));
    if (r->contract != r->outline)
        mti_contract_destroy(r->contract);   /* of an attempt that failed: no router has it */
    r->contract = NULL;
    MT_TRY(mti_contract_load(r->slug, r->manifest->dir, &r->contract, e));
    MT_TRY(bind_operations(r, e));
    MT_TRY(bind_hooks(r, e));
    MT_TRY(bind_services(r, e));
    MT_TRY(load_policies(r, e));
    if (r->entry)
        MT_TRY(start_object(r, e));
    r->loaded = true;
    mti_instances_bind(r);
    return MT_OK;
}

/* Of a plugin that cannot be loaded nobody will need the process. */
static void end_worker(mti_plugin_record *r)
{
    mti_worker_stop(r->worker);
    r->entry = NULL;                         /* another attempt starts another */
    r->created = false;
}

/* What runs from here on is the plugin's: constructors, create, load. */
mt_status mti_record_load_from(mti_plugin_record *r, const char *object, mti_error *e)
{
    uint32_t before = mti_fiber_tag();
    mti_fiber_set_tag(r->slot);
    mt_status s = load_from(r, object, e);
    mti_fiber_set_tag(before);
    if (s != MT_OK && r->worker)
        end_worker(r);
    return s;
}

typedef struct preparation {
    mti_plugin_record *r;
    char *path;
    mti_error *e;
    mt_status status;
} preparation;

static void prepare(void *arg)
{
    preparation *x = arg;
    mti_plugin_record *r = x->r;
    x->status = mti_package_digest(r->manifest->dir, r->digest, x->e);
    if (x->status == MT_OK && r->manifest->file)
        x->status = mti_object_prepare(r->host, r->manifest, r->digest, r->trusted, x->path, x->e);
}

/* Hashing, copying and scanning block: in a fiber they are the pool's work. */
mt_status mti_record_load(mti_plugin_record *r, mti_error *e)
{
    char path[PATH_MAX] = "";
    preparation x = {.r = r, .path = path, .e = e};
    MT_TRY(check_platform(r, e));
    if (!mti_fiber_current())
        prepare(&x);
    else
        MT_TRY(mti_offload_run(r->host->offload, 0, prepare, &x));
    MT_TRY(x.status);
    return mti_record_load_from(r, path, e);
}
