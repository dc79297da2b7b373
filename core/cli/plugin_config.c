/* mortise plugin config, and enable and disable for one organization: what an operator sets of a plugin for everybody, an instance, an organization or a
 * workspace. */
#include "base/ident.h"
#include "cli/client.h"
#include "cli/plugin_work.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct target {
    mti_cli *cli;
    const char *slug, *instance, *workspace;
    char organization[37];       /* its id; "" none */
    mti_reply reply;             /* the last one */
    mti_error error;
} target;

static mt_slice text(const json_t *o, const char *key)
{
    return mti_json_get_string(o, key, MT_SLICE(""));
}

/* Takes body; the answer before is gone. */
static mt_status ask(target *t, const char *method, const char *path, json_t *body)
{
    mti_reply_dispose(&t->reply);
    mt_status s = mti_client_call(t->cli, method, path, body, &t->reply, &t->error);
    json_decref(body);
    return s;
}

static int finish(target *t, mt_status s)
{
    int status = s == MT_OK ? 0 : mti_cli_fail(&t->error);
    mti_reply_dispose(&t->reply);
    return status;
}

/* ---- who ---- */

static mt_status find_in_page(target *t, const char *slug, bool *more)
{
    size_t i;
    json_t *one;
    char path[160];
    mt_slice cursor = text(t->reply.json, "next_cursor");
    snprintf(path, sizeof path, "/v1/organizations?limit=200%s%.*s", cursor.len ? "&cursor=" : "", (int)cursor.len, cursor.p);
    MT_TRY(ask(t, "GET", path, NULL));
    *more = text(t->reply.json, "next_cursor").len > 0;
    json_array_foreach(json_object_get(t->reply.json, "items"), i, one)
        if (mt_slice_eq(text(one, "slug"), mt_str(slug)))
            snprintf(t->organization, sizeof t->organization, "%.*s", (int)text(one, "id").len, text(one, "id").p);
    return MT_OK;
}

/* An id, or a slug, which is looked for. */
static mt_status find_organization(target *t, const char *name)
{
    mti_uuid id;
    bool more = true;
    if (mti_uuid_parse(mt_str(name), &id)) {
        mti_uuid_format(id, t->organization);
        return MT_OK;
    }
    while (more && !t->organization[0])
        MT_TRY(find_in_page(t, name, &more));
    return t->organization[0] ? MT_OK : mti_fail(&t->error, MT_NOT_FOUND, "organization_unknown", "There is no organization %.80s.", name);
}

/* ---- where ---- */

static bool at_operator(const target *t)
{
    return !t->organization[0] && !t->workspace;
}

static void effective_path(const target *t, char *path, size_t size)
{
    snprintf(path, size, "/v1/plugins/%s/effective-config?%s%s%s%s%s%s", t->slug, t->organization[0] ? "&organization_id=" : "", t->organization, t->workspace ? "&workspace_id=" : "",
             t->workspace ? t->workspace : "", t->instance ? "&instance=" : "", t->instance ? t->instance : "");
}

/* Of the layer that is asked for. */
static void layer_path(const target *t, char *path, size_t size)
{
    const char *query = t->instance ? "?instance=" : "", *instance = t->instance ? t->instance : "";
    if (t->workspace)
        snprintf(path, size, "/v1/workspaces/%.36s/plugins/%s%s%s", t->workspace, t->slug, query, instance);
    else if (t->organization[0])
        snprintf(path, size, "/v1/organizations/%s/plugins/%s%s%s", t->organization, t->slug, query, instance);
    else if (t->instance)
        snprintf(path, size, "/v1/plugins/%s/instances/%s", t->slug, t->instance);
    else
        snprintf(path, size, "/v1/plugins/%s/config", t->slug);
}

/* ---- the layer as it is ---- */

static void set_at(json_t *config, const char *pointer, json_t *value)
{
    char part[160];
    for (const char *end; (end = strchr(pointer + 1, '/')); pointer = end) {
        snprintf(part, sizeof part, "%.*s", (int)(end - pointer), pointer);
        json_t *inner = mti_json_at(config, mt_str(part));
        if (!inner)
            mti_json_set_at(&config, mt_str(part), inner = json_object(), NULL);
        config = inner;
    }
    mti_json_set_at(&config, mt_str(pointer), json_incref(value), NULL);
}

/* The operator's own is what comes from nowhere else: the defaults must go on being defaults. */
static mt_status read_operators(target *t, json_t **config)
{
    char path[512];
    const char *pointer;
    json_t *origin;
    *config = json_object();
    effective_path(t, path, sizeof path);
    mt_status s = ask(t, "GET", path, NULL);
    if (s != MT_OK && t->instance && !strcmp(t->error.code, "instance_unknown")) {
        t->error = (mti_error){0};
        return MT_OK;            /* it is made */
    }
    json_object_foreach(json_object_get(t->reply.json, "origins"), pointer, origin)
        if (!strcmp(json_string_value(origin), "operator"))
            set_at(*config, pointer, mti_json_at(json_object_get(t->reply.json, "config"), mt_str(pointer)));
    return s;
}

/* What is sent back with the configuration, which PUT replaces too. */
static void keep_others(const target *t, json_t *body)
{
    static const char *const kept[] = {"enabled", "scope", "priority"};
    size_t i, at;
    json_t *one, *from = at_operator(t) ? NULL : t->reply.json;
    json_array_foreach(json_object_get(t->reply.json, "items"), at, one)
        if (t->instance && mt_slice_eq(text(one, "instance"), mt_str(t->instance)))
            from = one;
    for (i = t->workspace ? 3 : 0; i < sizeof kept / sizeof *kept; i++)
        if (json_object_get(from, kept[i]) && !(i == 0 && at_operator(t)) && !(i == 2 && !at_operator(t)))
            json_object_set(body, kept[i], json_object_get(from, kept[i]));
}

static mt_status read_layer(target *t, json_t **config)
{
    char path[512];
    layer_path(t, path, sizeof path);
    *config = NULL;
    if (at_operator(t))
        return read_operators(t, config);
    MT_TRY(ask(t, "GET", path, NULL));
    *config = json_incref(json_object_get(t->reply.json, "config"));
    return MT_OK;
}

static mt_status write_layer(target *t, json_t *config)
{
    char path[512], list[128];
    json_t *body = json_object();
    layer_path(t, path, sizeof path);
    if (at_operator(t) && !t->instance) {
        json_decref(body);
        return ask(t, "PUT", path, json_incref(config));
    }
    if (at_operator(t)) {
        snprintf(list, sizeof list, "/v1/plugins/%s/instances", t->slug);
        mt_status s = ask(t, "GET", list, NULL);
        if (s != MT_OK) {
            json_decref(body);
            return s;
        }
    }
    json_object_set(body, "config", config);
    keep_others(t, body);
    return ask(t, "PUT", path, body);
}

/* ---- what is told ---- */

static void print_value(const char *name, const json_t *v, const char *origin)
{
    char *value = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);
    printf("%-32s %s%s%s%s\n", name, value ? value : "", origin ? "  (" : "", origin ? origin : "", origin ? ")" : "");
    free(value);
}

static void print_effective(const json_t *answer)
{
    const char *pointer;
    size_t i;
    json_t *origin, *one;
    json_object_foreach(json_object_get(answer, "origins"), pointer, origin)
        print_value(pointer + 1, mti_json_at(json_object_get(answer, "config"), mt_str(pointer)), json_string_value(origin));
    json_array_foreach(json_object_get(answer, "ignored"), i, one)
        printf("the %s's does not fit and counts for nothing: %s %s\n", text(one, "level").p, text(one, "pointer").p, text(one, "detail").p);
}

static void print_layer(const mti_cli *cli, const json_t *config)
{
    const char *name;
    json_t *v;
    char *all = cli->json ? json_dumps(config, JSON_COMPACT) : NULL;
    if (all)
        puts(all);
    else if (!json_object_size(config))
        puts("nothing is set here");
    else
        json_object_foreach((json_t *)config, name, v)
            print_value(name, v, NULL);
    free(all);
}

/* ---- the verbs ---- */

static int show_effective(target *t)
{
    char path[512];
    effective_path(t, path, sizeof path);
    mt_status s = ask(t, "GET", path, NULL);
    if (s == MT_OK && t->cli->json)
        printf("%.*s\n", (int)t->reply.body.len, t->reply.body.p);
    else if (s == MT_OK)
        print_effective(t->reply.json);
    return finish(t, s);
}

/* "retry.times": members within members. */
static void unset(json_t *config, const char *name)
{
    for (const char *dot; config && (dot = strchr(name, '.')); name = dot + 1)
        config = json_object_getn(config, name, (size_t)(dot - name));
    json_object_del(config, name);
}

static int change(target *t, const char *const *unsets, int n)
{
    json_t *config;
    mt_status s = read_layer(t, &config);
    bool changes = n || t->cli->argc > 1;
    for (int i = 1; s == MT_OK && i < t->cli->argc; i++)
        if (!mti_plugin_add_value(config, t->cli->argv[i]))
            s = mti_fail(&t->error, MT_INVALID, "name_value", "%.100s is not NAME=VALUE.", t->cli->argv[i]);
    for (int i = 0; s == MT_OK && i < n; i++)
        unset(config, unsets[i]);
    if (s == MT_OK && changes)
        s = write_layer(t, config);
    if (s == MT_OK)
        print_layer(t->cli, config);
    json_decref(config);
    return finish(t, s);
}

static bool begin(target *t, mti_cli *cli, const char *organization, int most)
{
    *t = (target){.cli = cli};
    mti_buf_init(&t->reply.body, 0);
    if (!mti_cli_args(cli, 1, most))
        return false;
    t->slug = cli->argv[0];
    if (!mti_plugin_is_slug(t->slug)) {
        mti_cli_usage(cli, "A plugin's slug has lower-case letters, digits, - and _ only.");
        return false;
    }
    if (organization && find_organization(t, organization) != MT_OK) {
        finish(t, MT_NOT_FOUND);
        return false;
    }
    return true;
}

int mti_plugin_config(mti_cli *cli)
{
    enum { MOST = 64 };
    target t;
    int n = 0;
    const char *unsets[MOST], *name, *organization = mti_cli_value(cli, "--organization"), *workspace = mti_cli_value(cli, "--workspace"), *instance = mti_cli_value(cli, "--instance");
    bool effective = mti_cli_flag(cli, "--effective");
    while (n < MOST && (name = mti_cli_value(cli, "--unset")))
        unsets[n++] = name;
    if (!begin(&t, cli, organization, effective ? 1 : MOST))
        return 2;
    t.workspace = workspace;
    t.instance = instance && strcmp(instance, "default") ? instance : NULL;
    if (t.instance && !mti_plugin_is_slug(t.instance))
        return mti_cli_usage(cli, "An instance's name has lower-case letters, digits, - and _ only.");
    return effective ? show_effective(&t) : change(&t, unsets, n);
}

int mti_plugin_allow(mti_cli *cli, bool allowed, const char *organization)
{
    target t;
    char path[192];
    if (!begin(&t, cli, organization, 1))
        return 2;
    snprintf(path, sizeof path, "/v1/organizations/%s/plugins/%s/allowed", t.organization, t.slug);
    mt_status s = ask(&t, "PUT", path, json_pack("{s:b}", "allowed", allowed));
    if (s == MT_OK && cli->json)
        printf("%.*s\n", (int)t.reply.body.len, t.reply.body.p);
    else if (s == MT_OK)
        printf("%s is %s for %s\n", t.slug, !allowed ? "off" : mti_json_get_bool(t.reply.json, "enabled", true) ? "on" : "allowed, and switched off by its own administrators,", organization);
    return finish(&t, s);
}
