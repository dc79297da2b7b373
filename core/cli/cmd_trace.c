/* mortise trace: what happened inside a request, as a tree. */
#include "cli/client.h"

#include <ctype.h>
#include <stdio.h>
#include <unistd.h>

static const char *text_or(const json_t *o, const char *key, const char *fallback)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s && *s ? s : fallback;
}

static double number(const json_t *o, const char *key)
{
    return json_number_value(json_object_get(o, key));
}

/* "/system 120 bytes, /model = \"small\"" */
static void print_patches(const json_t *patches)
{
    size_t i;
    json_t *p;
    json_array_foreach((json_t *)patches, i, p)
    {
        json_t *value = json_object_get(p, "value");
        char *text = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
        if (json_object_get(p, "refused"))
            printf("  not applied (%s)", text_or(p, "detail", text_or(p, "refused", "?")));
        else if (json_object_get(p, "more"))
            printf("%s and %.0f more", i ? "," : "  sets", number(p, "more"));
        else if (text)
            printf("%s %s = %s", i ? "," : "  sets", text_or(p, "pointer", "?"), text);
        else
            printf("%s %s (%.0f bytes)", i ? "," : "  sets", text_or(p, "pointer", "?"), number(p, "bytes"));
        free(text);
    }
}

static void print_span(const json_t *s)
{
    int indent = 2 * (int)number(s, "depth");
    const char *kind = text_or(s, "kind", "?"), *owner = text_or(s, "owner", ""), *outcome = text_or(s, "outcome", "");
    char what[160], times[24] = "";
    if (number(s, "count") > 1)
        snprintf(times, sizeof times, " ×%.0f", number(s, "count"));
    snprintf(what, sizeof what, "%*s%s %s%s%s%s", indent, "", kind, text_or(s, "name", "?"), times, *owner ? "  " : "", owner);
    printf("%10.3f %10.3f  %s", number(s, "start_ms"), number(s, "duration_ms"), what);
    if (*outcome && strcmp(outcome, "continue") != 0 && strcmp(outcome, "ok") != 0)
        printf("  → %s", outcome);
    print_patches(json_object_get(s, "patches"));
    if (*text_or(s, "detail", ""))
        printf("  %s", text_or(s, "detail", ""));
    putchar('\n');
}

static void print_trace(const json_t *t)
{
    size_t i;
    json_t *s;
    const char *code = text_or(t, "code", "");
    printf("%s  %.0f%s%s  %.3f ms  %s\n", text_or(t, "operation", "(no operation)"), number(t, "status"), *code ? " " : "", code,
           number(t, "duration_ms"), text_or(t, "started_at", ""));
    printf("trace %s  request %s\n\n", text_or(t, "trace_id", "?"), text_or(t, "request_id", "?"));
    if (!json_is_true(json_object_get(t, "recorded"))) {
        puts("It was not recorded: this outline was kept because it failed or was slow. See the option trace.every.");
        return;
    }
    printf("%10s %10s  what\n", "at ms", "took ms");
    json_array_foreach(json_object_get(t, "spans"), i, s) print_span(s);
    if (number(t, "dropped") > 0)
        printf("%22s… and %.0f more\n", "", number(t, "dropped"));
}

static void print_list(const json_t *items)
{
    size_t i;
    json_t *t;
    printf("%-36s  %-27s  %6s  %10s  %s\n", "request", "at", "status", "ms", "operation");
    json_array_foreach((json_t *)items, i, t)
        printf("%-36s  %-27s  %6.0f  %10.3f  %s%s%s\n", text_or(t, "request_id", "?"), text_or(t, "started_at", "?"), number(t, "status"),
               number(t, "duration_ms"), text_or(t, "operation", "-"), *text_or(t, "code", "") ? "  " : "", text_or(t, "code", ""));
}

/* patience_ms: a trace is kept when the hooks behind the answer have ended, which may be a moment after it. */
static mt_status get(mti_cli *cli, const char *path, int patience_ms, mti_reply *r, mti_error *e)
{
    enum { STEP_MS = 20 };
    for (;; patience_ms -= STEP_MS) {
        mt_status s = mti_client_call(cli, "GET", path, NULL, r, e);
        if (s != MT_NOT_FOUND || patience_ms <= 0)
            return s;
        mti_reply_dispose(r);
        usleep(STEP_MS * 1000);
    }
}

static int show(mti_cli *cli, const char *path, bool list, int patience_ms)
{
    mti_reply r;
    mti_error e = {0};
    int status = 0;
    if (get(cli, path, patience_ms, &r, &e) != MT_OK)
        status = mti_cli_fail(&e);
    else if (cli->json)
        printf("%.*s\n", (int)r.body.len, r.body.p);
    else if (list)
        print_list(json_object_get(r.json, "items"));
    else
        print_trace(r.json);
    mti_reply_dispose(&r);
    return status;
}

static int show_one(mti_cli *cli, const char *id, int patience_ms)
{
    char path[64];
    size_t n = strspn(id, "0123456789abcdef-");
    if (id[n] || (n != 32 && n != 36))
        return mti_cli_usage(cli, "An id has 32 hexadecimal digits (a trace) or is a UUID (a request).");
    snprintf(path, sizeof path, "/v1/traces/%s", id);
    return show(cli, path, false, patience_ms);
}

/* What --body says: JSON, or @FILE that holds it. NULL: broken, and said so. */
static json_t *read_body(mti_cli *cli, const char *body)
{
    mti_buf text;
    mti_error e = {0};
    json_t *json = NULL;
    mti_buf_init(&text, 64 << 20);
    if (*body != '@')
        mti_buf_adds(&text, body);
    else if (mti_buf_read_file(&text, body + 1, 64 << 20) != MT_OK)
        mti_fail(&e, MT_NOT_FOUND, "file_unreadable", "%.300s cannot be read.", body + 1);
    if (!e.detail[0] && mti_json_parse(mti_buf_slice(&text), 0, &json, &e) != MT_OK && !e.detail[0])
        mti_fail(&e, MT_INVALID, "body_invalid", "The body is no JSON.");
    if (!json)
        mti_cli_fail(&e);
    mti_buf_dispose(&text);
    return json;
}

/* Sends the request and shows its trace; the answer itself is not shown. */
static int run_request(mti_cli *cli, const char *method, const char *path, const char *body)
{
    char id[33], verb[12];
    mti_reply r;
    mti_error e = {0};
    json_t *json = body ? read_body(cli, body) : NULL;
    if (body && !json)
        return 1;
    size_t n = 0;
    for (; method[n] && n < sizeof verb - 1; n++)
        verb[n] = (char)toupper((unsigned char)method[n]);
    verb[n] = 0;
    mti_client_traced(cli, verb, path, json, id, &r, &e);
    bool answered = r.status != 0;
    mti_reply_dispose(&r);
    json_decref(json);
    if (!answered)
        return mti_cli_fail(&e);
    if (id[0])
        return show_one(cli, id, 5000);
    fprintf(stderr, "mortise: The server kept no trace of this request.\n");
    return 1;
}

static int run(mti_cli *cli)
{
    const char *body = mti_cli_value(cli, "--body");
    bool failed = mti_cli_flag(cli, "--failed");
    if (!mti_cli_args(cli, 0, 2))
        return 2;
    if (cli->argc == 0)
        return show(cli, failed ? "/v1/traces?failed=true" : "/v1/traces", true, 0);
    if (cli->argc == 1)
        return show_one(cli, cli->argv[0], 0);
    if (cli->argv[1][0] != '/')
        return mti_cli_usage(cli, "A path begins with /.");
    return run_request(cli, cli->argv[0], cli->argv[1], body);
}

const mti_command mti_cmd_trace = {
    .name = "trace",
    .arguments = "[ID | METHOD PATH [--body JSON]]",
    .summary = "Show what happened inside a request.",
    .help = "Without arguments: the latest requests; --failed: those that were answered 400 and up.\n"
            "  ID                the trace of this id, or of the request of this id (X-Request-Id)\n"
            "  METHOD PATH       sends the request as the operator, and shows its trace\n"
            "  --body JSON       its body; @FILE reads it from a file\n\n"
            "The tree shows stages, hooks with what each handler changed, handlers, queries, service calls and when each began and how long it took.\n"
            "Values are not shown, only their sizes: see the option trace.values.\n\n"
            "examples:\n  mortise trace GET /v1/plugins\n  mortise trace POST "
            "/v1/workspaces/00000000-0000-0000-0000-000000000002/chat --body '{\"query\": \"What is apt?\"}'\n"
            "  mortise trace --failed\n  mortise trace 4bf92f3577b34da6a3ce929d0e0e4736 --json",
    .run = run,
};
