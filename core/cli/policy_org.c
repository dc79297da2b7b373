#include "cli/policy_org.h"
#include "cli/client.h"

#include <limits.h>
#include <stdio.h>

#define FIRST_ORG "00000000-0000-0000-0000-000000000001"

mt_status mti_policy_read(const char *path, mti_buf *out, mti_error *e)
{
    mt_status s = mti_buf_read_file(out, path, 1 << 20);
    return s == MT_OK ? MT_OK : mti_fail(e, s, "file_unreadable", "%.300s cannot be read (%s).", path, mti_status_name(s));
}

/* --- asking --- */

/* One verb: the organization's path, the last answer, and what went wrong. */
typedef struct verb {
    mti_cli *cli;
    char base[96];               /* /v1/organizations/ID/policies */
    mti_reply reply;
    mti_error error;
} verb;

static bool begin(verb *v, mti_cli *cli, int min, int max)
{
    *v = (verb){.cli = cli};
    const char *org = mti_cli_value(cli, "--org");
    snprintf(v->base, sizeof v->base, "/v1/organizations/%.36s/policies", org ? org : FIRST_ORG);
    mti_buf_init(&v->reply.body, 0);
    return mti_cli_args(cli, min, max);
}

/* below: "/ID" …; the answer before is gone. Takes body. */
static mt_status ask(verb *v, const char *method, const char *below, json_t *body)
{
    char path[256];
    mti_reply_dispose(&v->reply);
    snprintf(path, sizeof path, "%s%s", v->base, below);
    mt_status s = mti_client_call(v->cli, method, path, body, &v->reply, &v->error);
    json_decref(body);
    return s;
}

static int finish(verb *v, mt_status s, int status, void (*print)(const json_t *answer))
{
    if (s != MT_OK)
        status = mti_cli_fail(&v->error);
    else if (v->cli->json)
        printf("%.*s\n", (int)v->reply.body.len, v->reply.body.p);
    else if (print)
        print(v->reply.json);
    mti_reply_dispose(&v->reply);
    return status;
}

static mt_slice text(const json_t *o, const char *key)
{
    return mti_json_get_string(o, key, MT_SLICE(""));
}

/* "/ID" of the policy of that name; MT_NOT_FOUND. There are at most 32, fewer than a page. */
static mt_status find(verb *v, const char *name, char below[64])
{
    size_t i;
    json_t *one;
    MT_TRY(ask(v, "GET", "", NULL));
    json_array_foreach(json_object_get(v->reply.json, "items"), i, one)
        if (mt_slice_eq(text(one, "name"), mt_str(name))) {
            snprintf(below, 64, "/%.*s", (int)text(one, "id").len, text(one, "id").p);
            return MT_OK;
        }
    return mti_fail(&v->error, MT_NOT_FOUND, "policy_unknown", "The organization has no policy %s: see mortise policy list.", name);
}

/* quiet_hours.lua is the policy quiet_hours. */
static void name_of(const char *file, char out[64])
{
    const char *base = strrchr(file, '/') ? strrchr(file, '/') + 1 : file;
    size_t n = strlen(base);
    n = n > 4 && strcmp(base + n - 4, ".lua") == 0 ? n - 4 : n;
    snprintf(out, 64, "%.*s", (int)n, base);
}

/* {source: the file's text}. */
static mt_status read_source(verb *v, const char *file, json_t **out)
{
    mti_buf source;
    mt_status s = mti_policy_read(file, &source, &v->error);
    if (s == MT_OK && !(*out = json_pack("{s:s%}", "source", source.p ? source.p : "", source.len)))
        s = mti_fail(&v->error, MT_INVALID, "file_unreadable", "%.300s is not UTF-8 text.", file);
    mti_buf_dispose(&source);
    return s;
}

/* --- the verbs --- */

static void print_policy(const json_t *p)
{
    long long enabled = mti_json_get_int(p, "enabled_version", 0), shadow = mti_json_get_int(p, "shadow_version", 0);
    printf("%-24.*s %-20.*s", (int)text(p, "name").len, text(p, "name").p, (int)text(p, "hook").len, text(p, "hook").p);
    if (enabled)
        printf(" version %lld decides", enabled);
    if (shadow)
        printf("%s version %lld is a shadow (%lld same, %lld different)", enabled ? "," : "", shadow,
               (long long)mti_json_get_int(p, "shadow_same", 0), (long long)mti_json_get_int(p, "shadow_differs", 0));
    printf("%s%s\n", enabled || shadow ? "" : " off", mti_json_get_bool(p, "record", false) ? ", recorded" : "");
}

static void print_policies(const json_t *answer)
{
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(answer, "items"), i, one)
        print_policy(one);
}

int mti_policy_list(mti_cli *cli)
{
    verb v;
    if (!begin(&v, cli, 1, 1))
        return 2;
    return finish(&v, ask(&v, "GET", "?limit=200", NULL), 0, print_policies);
}

/* The file's text as the newest version, the policy made when there is none. */
static mt_status upload(verb *v, const char *file, char below[64], json_int_t *number)
{
    char name[64], versions[80];
    json_t *body;
    name_of(file, name);
    MT_TRY(read_source(v, file, &body));
    mt_status s = find(v, name, below);
    if (s == MT_NOT_FOUND && v->reply.status == 200) {
        json_object_set_new(body, "name", json_string(name));
        MT_TRY(ask(v, "POST", "", body));
        snprintf(below, 64, "/%.*s", (int)text(v->reply.json, "id").len, text(v->reply.json, "id").p);
        *number = 1;
        return MT_OK;
    }
    if (s != MT_OK) {
        json_decref(body);
        return s;
    }
    snprintf(versions, sizeof versions, "%s/versions", below);
    MT_TRY(ask(v, "POST", versions, body));
    *number = mti_json_get_int(v->reply.json, "number", 0);
    return MT_OK;
}

static int run_version(mti_cli *cli, const char *as)
{
    verb v;
    char below[64];
    json_int_t number;
    bool record = mti_cli_flag(cli, "--record");
    if (!begin(&v, cli, 2, 2))
        return 2;
    mt_status s = upload(&v, cli->argv[1], below, &number);
    if (s == MT_OK) {
        json_t *patch = json_pack("{s:I}", as, number);
        if (record)
            json_object_set_new(patch, "record", json_true());
        s = ask(&v, "PATCH", below, patch);
    }
    return finish(&v, s, 0, print_policy);
}

int mti_policy_enable(mti_cli *cli)
{
    return run_version(cli, "enabled_version");
}

int mti_policy_shadow(mti_cli *cli)
{
    return run_version(cli, "shadow_version");
}

int mti_policy_disable(mti_cli *cli)
{
    verb v;
    char below[64];
    if (!begin(&v, cli, 2, 2))
        return 2;
    mt_status s = find(&v, cli->argv[1], below);
    if (s == MT_OK)
        s = ask(&v, "PATCH", below, json_pack("{s:n,s:n}", "enabled_version", "shadow_version"));
    return finish(&v, s, 0, print_policy);
}

/* "deny 429 too_many (line 3)" */
static void print_decision(const char *who, const json_t *d)
{
    size_t i;
    json_t *p;
    long long status = mti_json_get_int(d, "status", 0), line = mti_json_get_int(d, "line", 0);
    if (!json_is_object(d))
        return;
    printf("  %s%.*s", who, (int)text(d, "outcome").len, text(d, "outcome").p);
    if (status)
        printf(" %lld %.*s", status, (int)text(d, "code").len, text(d, "code").p);
    if (line)
        printf(" (line %lld)", line);
    if (status)
        printf(": %.*s", (int)text(d, "detail").len, text(d, "detail").p);
    json_array_foreach(json_object_get(d, "patches"), i, p)
        printf("%s sets %.*s (line %lld)", i ? "," : "", (int)text(p, "pointer").len, text(p, "pointer").p, (long long)mti_json_get_int(p, "line", 0));
    printf("\n");
}

static void print_decisions(const json_t *answer)
{
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(answer, "items"), i, one)
    {
        printf("%.*s %.*s version %lld\n", (int)text(one, "created_at").len, text(one, "created_at").p,
               (int)text(one, "operation").len, text(one, "operation").p, (long long)mti_json_get_int(one, "version", 0));
        print_decision("", json_object_get(one, "decision"));
        print_decision("shadow: ", json_object_get(one, "shadow"));
    }
}

int mti_policy_decisions(mti_cli *cli)
{
    verb v;
    char below[64], path[128];
    bool differing = mti_cli_flag(cli, "--differing");
    if (!begin(&v, cli, 2, 2))
        return 2;
    mt_status s = find(&v, cli->argv[1], below);
    snprintf(path, sizeof path, "%s/decisions?limit=200%s", below, differing ? "&differs=true" : "");
    if (s == MT_OK)
        s = ask(&v, "GET", path, NULL);
    return finish(&v, s, 0, print_decisions);
}

static void print_replay(const json_t *report)
{
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(report, "differences"), i, one)
    {
        printf("%.*s\n", (int)text(one, "id").len, text(one, "id").p);
        print_decision("was: ", json_object_get(one, "before"));
        print_decision("now: ", json_object_get(one, "after"));
    }
    printf("%lld replayed, %lld same, %lld different, %lld skipped\n", (long long)mti_json_get_int(report, "replayed", 0),
           (long long)mti_json_get_int(report, "same", 0), (long long)mti_json_get_int(report, "different", 0),
           (long long)mti_json_get_int(report, "skipped", 0));
}

int mti_policy_replay_file(mti_cli *cli)
{
    verb v;
    char name[64], below[64], path[80];
    json_t *body = NULL;
    if (!begin(&v, cli, 2, 2))
        return 2;
    name_of(cli->argv[1], name);
    mt_status s = find(&v, name, below);
    snprintf(path, sizeof path, "%s/replay", below);
    if (s == MT_OK)
        s = read_source(&v, cli->argv[1], &body);
    if (s == MT_OK)
        s = ask(&v, "POST", path, body);
    return finish(&v, s, mti_json_get_int(v.reply.json, "different", 0) ? 1 : 0, print_replay);
}

static void print_explanation(const json_t *report)
{
    size_t i, k;
    json_t *hook, *one;
    printf("%.*s\n", (int)text(report, "operation").len, text(report, "operation").p);
    json_array_foreach(json_object_get(report, "hooks"), i, hook)
    {
        printf("%.*s\n", (int)text(hook, "hook").len, text(hook, "hook").p);
        json_array_foreach(json_object_get(hook, "handlers"), k, one)
        {
            printf("  %4lld %.*s (%.*s)\n", (long long)mti_json_get_int(one, "priority", 0), (int)text(one, "label").len, text(one, "label").p,
                   (int)text(one, "owner").len, text(one, "owner").p);
            print_decision("     ", json_object_get(one, "decision"));
        }
    }
}

/* The JSON object of a flag into body; MT_INVALID says which. */
static mt_status take_object(verb *v, const char *flag, const char *key, json_t *body)
{
    const char *given = mti_cli_value(v->cli, flag);
    json_t *value = NULL;
    if (given && (mti_json_parse(mt_str(given), 0, &value, NULL) != MT_OK || !json_is_object(value))) {
        json_decref(value);
        return mti_fail(&v->error, MT_INVALID, "json_invalid", "%s wants a JSON object.", flag);
    }
    if (value)
        json_object_set_new(body, key, value);
    return MT_OK;
}

int mti_policy_explain(mti_cli *cli)
{
    verb v = {.cli = cli};
    json_t *body = json_object();
    mt_status s = take_object(&v, "--body", "body", body);
    if (s == MT_OK)
        s = take_object(&v, "--ctx", "ctx", body);
    mti_error error = v.error;
    if (!begin(&v, cli, 3, 3)) {
        json_decref(body);
        return 2;
    }
    v.error = error;
    json_object_set_new(body, "method", json_string(cli->argv[1]));
    json_object_set_new(body, "path", json_string(cli->argv[2]));
    if (s == MT_OK)
        s = ask(&v, "POST", "/explain", body);
    else
        json_decref(body);
    return finish(&v, s, 0, print_explanation);
}
