/* Creating a kit: the plugin's folder, the checks of the host's loader, the life cycle. */
#include "kit.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* The clock has no context in the ABI: one a process. */
static int64_t clock_now;

void kit_clock_add(int64_t us)
{
    clock_now += us;
}

static int64_t clock_us(void)
{
    return clock_now;
}

static bool refuse(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fputs("testkit: ", stderr);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
    va_end(args);
    return false;
}

/* --- the folder --- */

static bool load_json(const char *dir, const char *file, bool optional, json_t **out)
{
    char path[4096];
    json_error_t e;
    snprintf(path, sizeof path, "%s/%s", dir, file);
    *out = json_load_file(path, JSON_REJECT_DUPLICATES, &e);
    if (*out || (optional && e.line == -1))
        return true;
    return refuse("%s:%d: %s", path, e.line, e.text);
}

static char *load_text(const char *dir, const char *file)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", dir, file);
    FILE *f = fopen(path, "r");
    char *text = f ? calloc(1, (1 << 20) + 1) : NULL;
    if (text && fread(text, 1, 1 << 20, f) == 0)
        text[0] = 0;
    if (f)
        fclose(f);
    return text;
}

static const char *member(const json_t *o, const char *name)
{
    const char *text = json_string_value(json_object_get(o, name));
    return text ? text : "";
}

static mt_handler_fn find_handler(const mt_plugin *p, const char *name)
{
    for (uint32_t i = 0; i < p->n_handlers; i++)
        if (!strcmp(p->handlers[i].name, name))
            return p->handlers[i].run;
    return NULL;
}

static bool check_operations(const mt_testkit *kit)
{
    const char *path, *method, *handler;
    json_t *methods, *o;
    json_object_foreach(json_object_get(kit->api, "paths"), path, methods)
        json_object_foreach(methods, method, o) {
            handler = member(o, "x-handler");
            if (*handler && !find_handler(kit->plugin, handler))
                return refuse("api.json: %s %s names handler %s, which the entry table does not have", method, path, handler);
        }
    return true;
}

static bool check_names(const mt_testkit *kit)
{
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(kit->manifest, "hooks"), i, v) {
        if (!kit_hook_info(mt_str(member(v, "name"))))
            return refuse("plugin.json: hook %s is not in the catalogue", member(v, "name"));
        if (!kit_hook_handler(kit, member(v, "handler")))
            return refuse("plugin.json: hook %s names handler %s, which the entry table does not have", member(v, "name"), member(v, "handler"));
    }
    json_array_foreach(json_object_get(kit->manifest, "queues"), i, v)
        if (!find_handler(kit->plugin, member(v, "handler")))
            return refuse("plugin.json: queue %s names handler %s, which the entry table does not have", member(v, "name"), member(v, "handler"));
    return check_operations(kit);
}

static bool read_folder(mt_testkit *kit, const char *dir)
{
    if (!load_json(dir, "plugin.json", false, &kit->manifest) || !load_json(dir, "api.json", true, &kit->api))
        return false;
    kit->queries = load_text(dir, "queries.sql");
    if (strcmp(member(kit->manifest, "slug"), kit->plugin->slug) || strcmp(member(kit->manifest, "version"), kit->plugin->version))
        return refuse("plugin.json says %s %s, the entry table %s %s", member(kit->manifest, "slug"), member(kit->manifest, "version"),
                      kit->plugin->slug, kit->plugin->version);
    return check_names(kit);
}

/* --- interfaces --- */

static bool lists(const json_t *array, const char *id)
{
    size_t i;
    json_t *v;
    json_array_foreach((json_t *)array, i, v)
        if (json_is_string(v) && !strcmp(json_string_value(v), id))
            return true;
    return false;
}

/* As the host: a permission not granted is an interface not given. */
static bool granted(const mt_testkit *kit, const mti_interface_info *info)
{
    const json_t *permissions = json_object_get(kit->manifest, "permissions");
    if (!info->permission || !kit->manifest)
        return true;
    if (!strcmp(info->permission, "db") || !strcmp(info->permission, "http"))
        return json_object_get(permissions, info->permission) != NULL;
    return lists(json_object_get(kit->manifest, "requires"), info->id) || lists(json_object_get(permissions, "services"), info->id);
}

static const mti_interface_info *find_interface(mt_slice id)
{
    for (unsigned i = 0; i < mti_interface_count; i++)
        if (mt_slice_eq(id, mt_str(mti_interface_catalogue[i].id)))
            return &mti_interface_catalogue[i];
    return NULL;
}

static const void *table_of(const mti_interface_info *info)
{
    return info->service >= 0 ? info->proxy : kit_host_interface(mt_str(info->id));
}

static const void *host_get(void *ctx, mt_slice id)
{
    const mti_interface_info *info = find_interface(id);
    return info && granted(ctx, info) ? table_of(info) : NULL;
}

const void *mt_testkit_interface(mt_testkit *kit, const char *id)
{
    const mti_interface_info *info = find_interface(mt_str(id));
    if (!info)
        kit_wrong("%s is no interface of this host", id);
    return table_of(info);
}

static void host_log(void *ctx, int level, mt_slice event, const mt_field *fields, size_t n)
{
    static const char *const levels[] = {"debug", "info", "warn", "error"};
    mt_testkit *kit = ctx;
    if (!kit->call)
        return;
    char *line = kit_printf(kit->call, "%s", levels[level < 0 ? 0 : level > 3 ? 3 : level]);
    for (size_t i = 0; i < n; i++)
        line = kit_printf(kit->call, "%s %.*s=%.*s", line, (int)fields[i].name.len, fields[i].name.p, (int)fields[i].value.len,
                          fields[i].value.p ? fields[i].value.p : "");
    kit_see(kit->call, MT_SEEN_LOG, event, mt_str(line));
}

void mt_testkit_service(mt_testkit *kit, const char *id, const void *provider, void *self)
{
    const mti_interface_info *info = find_interface(mt_str(id));
    if (!info || info->service < 0)
        kit_wrong("%s is no service", id);
    if (provider && *(const uint32_t *)provider < info->least_size)
        kit_wrong("the table for %s is shorter than its interface's", id);
    kit->providers[info->service] = (mti_provider){.table = provider, .self = self, .slot = 1};
}

static bool bind_services(mt_testkit *kit)
{
    for (int i = 0; i < MTI_SVC_COUNT; i++)
        kit->providers[i] = (mti_provider){.table = kit_fake_service(i), .slot = 2};
    for (uint32_t i = 0; i < kit->plugin->n_services; i++) {
        const mt_service_entry *s = &kit->plugin->services[i];
        const mti_interface_info *info = find_interface(mt_str(s->id));
        if (!info || info->service < 0)
            return refuse("the entry table offers %s, which is no service of this host", s->id);
        if (!s->table || *(const uint32_t *)s->table < info->least_size)
            return refuse("the entry table offers %s without a complete table of it", s->id);
        mt_testkit_service(kit, s->id, s->table, kit->self);
    }
    return true;
}

/* --- life cycle --- */

static bool check_table(const mt_plugin *p)
{
    if (p->abi != MT_ABI || p->size < sizeof *p)
        return refuse("the entry table has ABI %u and %u bytes, this host ABI %u and %zu", p->abi, p->size, MT_ABI, sizeof *p);
    return p->slug && p->version ? true : refuse("the entry table lacks its slug or version");
}

static bool start(mt_testkit *kit, const char *dir)
{
    const mt_plugin *p = kit->plugin;
    kit->host = (mt_host){.size = sizeof kit->host, .abi = MT_ABI, .ctx = kit, .get = host_get, .log = host_log, .alloc = kit_alloc, .clock_us = clock_us, .dir = dir ? dir : "."};
    if (p->create && p->create(&kit->self) != MT_OK)
        return refuse("create() failed");
    kit->created = true;
    if (!bind_services(kit))
        return false;
    return !p->load || p->load(kit->self, &kit->host) == MT_OK ? true : refuse("load() failed");
}

mt_testkit *mt_testkit_create(const mt_plugin *plugin, const char *dir)
{
    if (!check_table(plugin))
        return NULL;
    mt_testkit *kit = calloc(1, sizeof *kit);
    if (!kit)
        kit_wrong("out of memory");
    kit->plugin = plugin;
    kit->settings = json_object();
    kit->store = json_object();
    clock_now = 1767225600000000; /* 2026-01-01T00:00:00Z */
    kit->call = kit_call_create(kit, KIT_REQUEST);
    if ((dir && !read_folder(kit, dir)) || !start(kit, dir)) {
        mt_testkit_destroy(kit);
        return NULL;
    }
    mt_testkit_config(kit, "{}");
    return kit;
}

mt_status mt_testkit_activate(mt_testkit *kit)
{
    kit_call_destroy(kit->call);
    kit->call = kit_call_create(kit, KIT_PLATFORM);
    kit->call->ran = true;
    mt_status s = kit->plugin->activate ? kit->plugin->activate(kit->self, kit->call) : MT_OK;
    kit->call->returned = s;
    kit->active = s == MT_OK;
    return s;
}

static void free_answers(kit_answer *list)
{
    for (kit_answer *next; list; list = next) {
        next = list->next;
        json_decref(list->rows);
        free(list->name);
        free(list->text);
        free(list);
    }
}

void mt_testkit_destroy(mt_testkit *kit)
{
    if (!kit)
        return;
    if (kit->active && kit->plugin->deactivate) {
        kit_call_destroy(kit->call);
        kit->call = kit_call_create(kit, KIT_PLATFORM);
        kit->plugin->deactivate(kit->self, kit->call);
    }
    kit_call_destroy(kit->call);
    kit->call = NULL;
    if (kit->created && kit->plugin->unload)
        kit->plugin->unload(kit->self);
    free_answers(kit->answers);
    free_answers(kit->exchanges);
    for (kit_emit *e = kit->emits, *next; e; e = next) {
        next = e->next;
        free(e->hook);
        free(e);
    }
    json_decref(kit->manifest);
    json_decref(kit->api);
    json_decref(kit->config);
    json_decref(kit->settings);
    json_decref(kit->store);
    free(kit->queries);
    free(kit);
}

void *mt_testkit_self(const mt_testkit *kit)
{
    return kit->self;
}
