/* mortise apply: brings the running server to what a file says. */
#include "cli/apply.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { EXIT_DIFFERS = 3, ROUNDS = 3 };

/* ---- steps ---- */

mti_apply_step *mti_apply_add(mti_apply *a, const char *action, const char *subject, const char *name)
{
    mti_apply_step *s = calloc(1, sizeof *s);
    s->action = action;
    s->changes = json_array();
    snprintf(s->subject, sizeof s->subject, "%s %s", subject, name);
    *a->end = s;
    a->end = &s->next;
    return s;
}

static void step_free(mti_apply_step *s)
{
    json_decref(s->changes);
    json_decref(s->body);
    free(s);
}

void mti_apply_drop(mti_apply *a, mti_apply_step *s)
{
    mti_apply_step **at = &a->steps;
    while (*at != s)
        at = &(*at)->next;
    *at = NULL;
    a->end = at;
    step_free(s);
}

void mti_apply_note(mti_apply *a, const char *fmt, ...)
{
    char text[500];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    json_array_append_new(a->notes, json_string(text));
}

bool mti_apply_sends_package(const mti_apply *a, const char *slug)
{
    char subject[128];
    snprintf(subject, sizeof subject, "plugin %s", slug);
    for (const mti_apply_step *s = a->steps; s; s = s->next)
        if (!s->method && !strcmp(s->subject, subject))
            return true;
    return false;
}

static void forget(mti_apply *a)
{
    for (mti_apply_step *s = a->steps, *next; s; s = next) {
        next = s->next;
        step_free(s);
    }
    a->steps = NULL;
    a->end = &a->steps;
    json_array_clear(a->notes);
}

/* ---- asking ---- */

mt_status mti_apply_get(const mti_apply *a, const char *path, json_t **out, char etag[40], mti_error *e)
{
    mti_reply r;
    mt_status s = mti_client_call_if(a->cli, "GET", path, NULL, NULL, &r, e);
    if (s == MT_OK)
        *out = json_incref(r.json);
    if (s == MT_OK && etag)
        snprintf(etag, 40, "%s", r.etag);
    mti_reply_dispose(&r);
    return s;
}

mt_status mti_apply_list(const mti_apply *a, const char *path, json_t **items, mti_error *e)
{
    char page[1024], cursor[600] = "";
    *items = json_array();
    do {
        json_t *answer;
        snprintf(page, sizeof page, "%s?limit=200%s%s", path, cursor[0] ? "&cursor=" : "", cursor);
        mt_status s = mti_apply_get(a, page, &answer, NULL, e);
        if (s != MT_OK) {
            json_decref(*items);
            return s;
        }
        json_array_extend(*items, json_object_get(answer, "items"));
        snprintf(cursor, sizeof cursor, "%s", mti_json_get_string(answer, "next_cursor", MT_SLICE("")).p);
        json_decref(answer);
    } while (cursor[0]);
    return MT_OK;
}

mt_status mti_apply_send(mti_apply *a, const mti_apply_step *s, mti_error *e)
{
    mti_reply r;
    mt_status status = mti_client_call_if(a->cli, s->method, s->path, s->body, s->etag, &r, e);
    mti_reply_dispose(&r);
    return status;
}

/* ---- telling ---- */

static void print_value(const json_t *v)
{
    char *text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
    size_t n = text ? strlen(text) : 0;
    printf("%.*s%s", n > 120 ? 117 : (int)n, text ? text : "", n > 120 ? "…" : "");
    free(text);
}

static void print_change(const json_t *c)
{
    const json_t *before = json_object_get(c, "before"), *after = json_object_get(c, "after");
    printf("    %s %s ", json_string_value(json_object_get(c, "op")), json_string_value(json_object_get(c, "pointer")));
    if (before)
        print_value(before);
    if (before && after)
        printf(" → ");
    if (after)
        print_value(after);
    puts(before && after && json_equal(before, after) ? " (another)" : "");
}

static void print_steps(const mti_apply *a)
{
    size_t i;
    json_t *c;
    for (const mti_apply_step *s = a->steps; s; s = s->next) {
        bool fresh = !strcmp(s->action, "install") || !strcmp(s->action, "create"), gone = !strncmp(s->action, "uninstall", 9) || !strcmp(s->action, "delete");
        printf("%s %s: %s\n", fresh ? "+" : gone ? "-" : "~", s->subject, s->action);
        json_array_foreach(s->changes, i, c)
            print_change(c);
    }
}

static json_t *steps_json(const mti_apply *a)
{
    json_t *list = json_array();
    for (const mti_apply_step *s = a->steps; s; s = s->next)
        json_array_append_new(list, json_pack("{s:s,s:s,s:O}", "subject", s->subject, "action", s->action, "changes", s->changes));
    return list;
}

static void print_notes(const mti_apply *a)
{
    size_t i;
    json_t *note;
    json_array_foreach(a->notes, i, note)
        fprintf(stderr, "mortise: %s\n", json_string_value(note));
}

/* done: how many steps hold; failed: the one that does not, or NULL. */
static void report(const mti_apply *a, unsigned done, const mti_apply_step *failed, const mti_error *e)
{
    if (a->cli->json) {
        json_t *out = json_pack("{s:o,s:i,s:O}", "steps", steps_json(a), "done", done, "notes", a->notes);
        json_object_set_new(out, "failed", failed ? json_pack("{s:s,s:s,s:s,s:s}", "subject", failed->subject, "action", failed->action, "code", e->code, "detail", e->detail) : json_null());
        json_dumpf(out, stdout, JSON_COMPACT);
        puts("");
        json_decref(out);
        return;
    }
    if (failed) {
        fprintf(stderr, "mortise: %s: %s failed: %s\n", failed->subject, failed->action, e->detail);
        unsigned i = 0;
        for (const mti_apply_step *s = a->steps; s; s = s->next, i++)
            fprintf(stderr, "  %s  %s: %s\n", i < done ? "done    " : i == done ? "failed  " : "not done", s->subject, s->action);
    } else {
        printf("%u step%s done\n", done, done == 1 ? "" : "s");
    }
}

/* ---- doing ---- */

/* What is switched on by the file and does not work. */
static mt_status look_whether_it_holds(mti_apply *a, mti_error *e)
{
    char path[128];
    const char *slug;
    json_t *one, *present;
    json_object_foreach(json_object_get(a->wanted, "plugins"), slug, one)
    {
        if (!mti_json_get_bool(one, "enabled", false) || mti_json_get_bool(one, "absent", false))
            continue;
        snprintf(path, sizeof path, "/v1/plugins/%s", slug);
        MT_TRY(mti_apply_get(a, path, &present, NULL, e));
        mt_slice state = mti_json_get_string(present, "state", MT_SLICE("?")), reason = mti_json_get_string(present, "reason", MT_SLICE("no reason is known"));
        if (!mt_slice_eq(state, MT_SLICE("active")))
            mti_apply_note(a, "plugin %s is %s: %s", slug, state.p, reason.p);
        json_decref(present);
    }
    return MT_OK;
}

static mt_status plan(mti_apply *a, mti_error *e)
{
    forget(a);
    MT_TRY(mti_apply_plan_plugins(a, e));
    MT_TRY(mti_apply_plan_instances(a, e));
    return mti_apply_plan_organizations(a, e);
}

/* Somebody changed what the plan was made from: it has to be made again. */
static bool is_stale(const mti_error *e)
{
    return e->http == 412;
}

static mt_status do_steps(mti_apply *a, unsigned *done, const mti_apply_step **failed, mti_error *e)
{
    *done = 0;
    for (const mti_apply_step *s = a->steps; s; s = s->next) {
        mt_status status = s->run(a, s, e);
        if (status != MT_OK) {
            *failed = s;
            return status;
        }
        ++*done;
    }
    return MT_OK;
}

static bool agreed(const mti_apply *a)
{
    char line[16] = "";
    printf("\nApply this? [y/N] ");
    fflush(stdout);
    return fgets(line, sizeof line, stdin) && (line[0] == 'y' || line[0] == 'Y');
}

typedef struct ways {
    bool yes, dry;
} ways;

static int end(mti_apply *a)
{
    mti_error e = {0};
    if (look_whether_it_holds(a, &e) != MT_OK)
        return mti_cli_fail(&e);
    print_notes(a);
    return json_array_size(a->notes) ? 1 : 0;
}

static int no_changes(mti_apply *a)
{
    int status = end(a);
    if (a->cli->json)
        report(a, 0, NULL, NULL);
    else
        puts("no changes");
    return status;
}

static int apply(mti_apply *a, ways w)
{
    mti_error e = {0};
    unsigned done;
    for (int round = 1;; round++) {
        const mti_apply_step *failed = NULL;
        if (plan(a, &e) != MT_OK)
            return mti_cli_fail(&e) + (!strcmp(e.code, "file_invalid"));
        if (!a->steps)
            return no_changes(a);
        if (!a->cli->json)
            print_steps(a);
        if (w.dry) {
            if (a->cli->json)
                report(a, 0, NULL, NULL);
            return EXIT_DIFFERS;
        }
        if (!w.yes && (!isatty(STDIN_FILENO) || a->cli->json))
            return mti_cli_usage(a->cli, "Nobody can be asked here: --yes applies it, --dry-run only shows it.");
        if (!w.yes && !agreed(a)) {
            puts("nothing was changed");
            return 1;
        }
        mt_status s = do_steps(a, &done, &failed, &e);
        if (s != MT_OK && is_stale(&e) && round < ROUNDS) {
            fprintf(stderr, "mortise: %s was changed by someone else meanwhile; looking again\n", failed->subject);
            e = (mti_error){0};
            continue;
        }
        int status = s == MT_OK ? end(a) : 1;
        report(a, done, failed, &e);
        return status;
    }
}

static int run(mti_cli *cli)
{
    mti_error e = {0};
    ways w = {0};
    if (mti_cli_flag(cli, "--export"))
        return mti_apply_export(cli);
    w.yes = mti_cli_flag(cli, "--yes");
    w.dry = mti_cli_flag(cli, "--dry-run");
    mti_apply a = {.cli = cli, .prune = mti_cli_flag(cli, "--prune")};
    if (!mti_cli_args(cli, 1, 1))
        return 2;
    a.file = cli->argv[0];
    a.end = &a.steps;
    a.notes = json_array();
    int status = mti_apply_read(&a, &e) == MT_OK ? apply(&a, w) : mti_cli_fail(&e) + 1;
    forget(&a);
    json_decref(a.wanted);
    json_decref(a.plugins);
    json_decref(a.notes);
    mti_buf_dispose(&a.text);
    return status;
}

const mti_command mti_cmd_apply = {
    .name = "apply",
    .arguments = "FILE [--yes] [--dry-run] [--prune] [--json] | --export [--org ORG]",
    .summary = "Bring the server to what a file says: plugins, configuration, policies.",
    .help = "Shows what differs, asks, and changes it: versions first, then configuration, then what is on or off, each plugin behind those that it needs; then organizations'\n"
            "and workspaces' settings of plugins and policies. It stops at the first failure and tells what was done. A second run changes nothing. What the file does not name is left alone.\n\n"
            "  --dry-run  only show it; 3 when something differs\n"
            "  --yes      do not ask\n"
            "  --prune    also uninstall plugins that were installed and are not named, and delete policies that are not named where the file names an organization's\n"
            "  --json     {steps: [{subject, action, changes}], done, failed, notes}\n"
            "  --export   write the present state as such a file; --org ORG (more than once) adds an organization's settings and policies\n\n"
            "Exit status: 0 it holds, 1 a failure, or a plugin that is switched on and does not work, 2 a wrong use or file, 3 see --dry-run.\n"
            "manifests/schemas/apply.json says what may stand in FILE; sdk/docs/apply.md has an example.\n\n"
            "examples:\n  mortise apply state.json --dry-run\n  mortise apply --export > state.json",
    .run = run,
};
