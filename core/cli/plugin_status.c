/* mortise plugin info and mortise plugin doctor: one plugin's status, to read. */
#include "cli/client.h"

#include <stdio.h>

static const char *text_or(const json_t *o, const char *key, const char *fallback)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s && *s ? s : fallback;
}

static long long number(const json_t *o, const char *key)
{
    return (long long)json_number_value(json_object_get(o, key));
}

static void print_text(const json_t *o, const char *key)
{
    if (*text_or(o, key, ""))
        printf("%-14s %s\n", key, text_or(o, key, ""));
}

/* As compact JSON; nothing for an empty object or array. */
static void print_json(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    if (!json_object_size(v) && !json_array_size(v))
        return;
    char *text = json_dumps(v, JSON_COMPACT);
    printf("%-14s %s\n", key, text ? text : "");
    free(text);
}

static void print_words(const json_t *o, const char *key)
{
    size_t i;
    json_t *v, *list = json_object_get(o, key);
    if (!json_array_size(list))
        return;
    printf("%-14s", key);
    json_array_foreach(list, i, v) printf(" %s", json_string_value(v) ? json_string_value(v) : "?");
    putchar('\n');
}

static void print_operations(const json_t *status)
{
    size_t i;
    json_t *op;
    json_array_foreach(json_object_get(status, "operations"), i, op)
        printf("%-14s %-6s %-58s %s (%s)\n", i ? "" : "operations", text_or(op, "method", "?"), text_or(op, "path", "?"), text_or(op, "id", "?"),
               text_or(op, "permission", "public"));
}

static void print_handlers(const json_t *status)
{
    size_t i;
    json_t *h;
    json_array_foreach(json_object_get(status, "handlers"), i, h)
    {
        long long calls = number(h, "calls");
        printf("%-14s %-20s %-28s priority %lld, budget %lld µs; %lld calls, %lld errors, %.1f µs each%s\n", i ? "" : "hooks", text_or(h, "hook", "?"),
               text_or(h, "handler", "?"), number(h, "priority"), number(h, "budget_us"), calls, number(h, "errors"),
               calls ? (double)number(h, "total_us") / (double)calls : 0, json_is_true(json_object_get(h, "bypassed")) ? "; BYPASSED" : "");
    }
}

static void print_queues(const json_t *status)
{
    size_t i;
    json_t *q;
    json_array_foreach(json_object_get(status, "queues"), i, q)
        printf("%-14s %s: %lld at a time; %lld wait, %lld run, %lld dead\n", i ? "" : "queues", text_or(q, "name", "?"), number(q, "concurrency"),
               number(q, "ready"), number(q, "running"), number(q, "dead"));
}

static void print_counters(const json_t *status)
{
    static const char *const kinds[] = {"operation", "service", "job", "hook"};
    const json_t *counters = json_object_get(status, "counters");
    bool first = true;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const json_t *k = json_object_get(counters, kinds[i]);
        if (!number(k, "calls"))
            continue;
        printf("%-14s %ss: %lld calls, %lld errors, %.3f s\n", first ? "so far" : "", kinds[i], number(k, "calls"), number(k, "errors"),
               json_number_value(json_object_get(k, "seconds")));
        first = false;
    }
    if (number(counters, "crashes"))
        printf("%-14s %lld\n", "crashes", number(counters, "crashes"));
}

static void print_info(const json_t *s)
{
    static const char *const facts[] = {"slug", "name", "version", "state", "reason", "description", "category", "author", "license", "homepage", "digest"};
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++)
        print_text(s, facts[i]);
    printf("%-14s %s\n", "enabled", json_is_true(json_object_get(s, "enabled")) ? "true" : "false");
    print_words(s, "quarantined_for");
    print_json(s, "dependencies");
    print_words(s, "requires");
    print_words(s, "provides");
    print_words(s, "dependents");
    print_json(s, "permissions");
    print_operations(s);
    print_handlers(s);
    print_queues(s);
    print_counters(s);
    print_json(s, "config");
}

/* Slugs go into a path as they are. */
static bool is_slug(const char *s)
{
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-_");
    return n && n <= 63 && !s[n];
}

static int get_status(mti_cli *cli, const char *slug, mti_reply *r)
{
    char path[128];
    mti_error e = {0};
    snprintf(path, sizeof path, "/v1/plugins/%.63s/status", slug);
    return mti_client_call(cli, "GET", path, NULL, r, &e) == MT_OK ? 0 : mti_cli_fail(&e);
}

int mti_plugin_info(mti_cli *cli)
{
    mti_reply r;
    if (!mti_cli_args(cli, 1, 1))
        return 2;
    if (!is_slug(cli->argv[0]))
        return mti_cli_usage(cli, "A plugin's slug has lower-case letters, digits, - and _ only.");
    int status = get_status(cli, cli->argv[0], &r);
    if (!status && cli->json)
        printf("%.*s\n", (int)r.body.len, r.body.p);
    else if (!status)
        print_info(r.json);
    mti_reply_dispose(&r);
    return status;
}

/* What is wrong, and what helps; for one plugin also what is right. Whether there is an error. */
static bool print_checks(const json_t *s, bool all)
{
    size_t i;
    json_t *c;
    unsigned warnings = 0, errors = 0;
    json_array_foreach(json_object_get(s, "checks"), i, c)
    {
        warnings += !strcmp(text_or(c, "status", ""), "warning");
        errors += !strcmp(text_or(c, "status", ""), "error");
    }
    printf("%-8s %s %s\n", errors ? "error" : warnings ? "warning" : "ok", text_or(s, "slug", "?"), text_or(s, "version", ""));
    json_array_foreach(json_object_get(s, "checks"), i, c)
    {
        const char *verdict = text_or(c, "status", "?"), *advice = text_or(c, "advice", "");
        if (!all && !strcmp(verdict, "ok"))
            continue;
        printf("  %-8s %-14s %s\n", verdict, text_or(c, "check", "?"), text_or(c, "detail", ""));
        if (*advice)
            printf("  %-8s %-14s → %s\n", "", "", advice);
    }
    return errors;
}

static bool has_error(const json_t *s)
{
    size_t i;
    json_t *c;
    json_array_foreach(json_object_get(s, "checks"), i, c)
        if (!strcmp(text_or(c, "status", ""), "error"))
            return true;
    return false;
}

/* Adds what it found to found, or prints it. -1: it could not be asked. */
static int examine(mti_cli *cli, const char *slug, bool all, json_t *found)
{
    mti_reply r;
    int status = get_status(cli, slug, &r) ? -1 : cli->json ? has_error(r.json) : print_checks(r.json, all);
    if (cli->json && status >= 0) {
        json_t *one = json_pack("{s:O, s:O, s:O}", "slug", json_object_get(r.json, "slug"), "state", json_object_get(r.json, "state"),
                                "checks", json_object_get(r.json, "checks"));
        json_array_append_new(json_object_get(found, "items"), one);
    }
    mti_reply_dispose(&r);
    return status;
}

static int examine_all(mti_cli *cli, json_t *found)
{
    mti_reply r;
    mti_error e = {0};
    size_t i;
    json_t *p;
    int worst = 0;
    if (mti_client_call(cli, "GET", "/v1/plugins", NULL, &r, &e) != MT_OK)
        worst = mti_cli_fail(&e);
    json_array_foreach(json_object_get(r.json, "items"), i, p)
        worst |= examine(cli, text_or(p, "slug", "?"), false, found) != 0;
    mti_reply_dispose(&r);
    return worst;
}

int mti_plugin_doctor(mti_cli *cli)
{
    if (!mti_cli_args(cli, 0, 1))
        return 2;
    if (cli->argc && !is_slug(cli->argv[0]))
        return mti_cli_usage(cli, "A plugin's slug has lower-case letters, digits, - and _ only.");
    json_t *found = json_pack("{s:[]}", "items");
    int status = cli->argc ? examine(cli, cli->argv[0], true, found) != 0 : examine_all(cli, found);
    if (cli->json) {
        char *text = json_dumps(found, JSON_COMPACT);
        puts(text ? text : "{}");
        free(text);
    }
    json_decref(found);
    return status;
}
