/* mortise demo: a server with the Debian FAQ in it, three questions, their answers, and a proof
 * that the answers are really there. */
#include <glob.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

#include "base/ident.h"
#include "cli/client.h"
#include "cli/demo_check.h"
#include "cli/demo_server.h"
#include "cli/greeting.h"

#define FAQ "/usr/share/doc/debian/FAQ"

enum { MAX_FILE = 16 << 20, MAX_SOURCES = 32, WIDTH = 96, POLL_MS = 100 };

static const char *const questions[] = {
    "How is Debian pronounced, and where does the name come from?",
    "What is a virtual package?",
    "Who wrote all that software for Debian?",
};
enum { QUESTIONS = sizeof questions / sizeof *questions };

typedef struct demo {
    mti_cli *cli;
    mti_demo_server server;
    const char *workspace;
    json_t *report; /* answers, for --json */
    unsigned files, failed;
} demo;

/* Plain files pass through gzread unchanged. */
static mt_status read_gz(const char *path, mti_buf *out, mti_error *e)
{
    char piece[65536];
    int n = -1;
    mti_buf_init(out, MAX_FILE);
    gzFile f = gzopen(path, "rb");
    while (f && (n = gzread(f, piece, sizeof piece)) > 0 &&
           mti_buf_add(out, piece, (size_t)n) == MT_OK)
        ;
    if (f)
        gzclose(f);
    if (n == 0)
        return MT_OK;
    mti_buf_dispose(out);
    return mti_fail(e, MT_INTERNAL, "file_unreadable", "%.300s cannot be read.", path);
}

/* Adds the document's id to ids. */
static mt_status upload_file(demo *d, const char *path, json_t *ids, mti_error *e)
{
    char name[256], target[200];
    mti_buf text;
    mti_reply r;
    const char *base = strrchr(path, '/') + 1;
    size_t len = strlen(base), cut = len > 3 && strcmp(base + len - 3, ".gz") == 0 ? len - 3 : len;
    snprintf(name, sizeof name, "%.*s", (int)cut, base);
    snprintf(target, sizeof target, "/v1/workspaces/%s/documents/upload", d->workspace);
    MT_TRY(read_gz(path, &text, e));
    mt_status s =
        mti_client_upload(d->cli, target, name, strstr(name, ".html") ? "text/html" : "text/plain",
                          mti_buf_slice(&text), &r, e);
    json_t *document =
        json_object_get(json_array_get(json_object_get(r.json, "items"), 0), "document");
    if (s == MT_OK)
        json_array_append(ids, json_object_get(document, "id"));
    mti_reply_dispose(&r);
    mti_buf_dispose(&text);
    return s;
}

static mt_status read_status(demo *d, const char *id, bool *indexed, mti_error *e)
{
    char path[200];
    mti_reply r;
    snprintf(path, sizeof path, "/v1/workspaces/%s/documents/%s", d->workspace, id);
    mt_status s = mti_client_call(d->cli, "GET", path, NULL, &r, e);
    mt_slice status = mti_json_get_string(r.json, "status", MT_SLICE("?"));
    *indexed = s == MT_OK && mt_slice_eq(status, MT_SLICE("indexed"));
    if (s == MT_OK && mt_slice_eq(status, MT_SLICE("failed")))
        s = mti_fail(e, MT_INTERNAL, "not_indexed", "%.100s was not indexed: %.200s",
                     mti_json_get_string(r.json, "file_name", MT_SLICE("A file")).p,
                     mti_json_get_string(r.json, "reason", MT_SLICE("no reason given")).p);
    mti_reply_dispose(&r);
    return s;
}

/* On a terminal one line that changes; elsewhere one line at the beginning. */
static void show_progress(const demo *d, size_t done, size_t all)
{
    bool terminal = isatty(STDOUT_FILENO);
    if (d->cli->json || (!terminal && done))
        return;
    if (terminal)
        printf("\rreading and indexing the Debian FAQ: %zu of %zu files ", done, all);
    else
        printf("reading and indexing the Debian FAQ: %zu files\n", all);
    fflush(stdout);
}

/* Files are indexed about in the order in which they came, so the first that is not done is asked
 * for. */
static mt_status wait_indexed(demo *d, const json_t *ids, mti_error *e)
{
    size_t all = json_array_size(ids);
    for (size_t i = 0; i < all;) {
        bool indexed = false;
        if (mti_demo_server_interrupted())
            return mti_fail(e, MT_CANCELLED, "interrupted", "Interrupted.");
        MT_TRY(read_status(d, json_string_value(json_array_get(ids, i)), &indexed, e));
        if (indexed)
            show_progress(d, d->files = (unsigned)++i, all);
        else
            poll(NULL, 0, POLL_MS);
    }
    return MT_OK;
}

static mt_status upload_all(demo *d, mti_error *e)
{
    glob_t found;
    int64_t from = mti_mono_us();
    mt_status s = MT_OK;
    json_t *ids = json_array();
    if (glob(FAQ "/*.en.txt.gz", 0, NULL, &found) != 0 ||
        glob(FAQ "/*.en.html", GLOB_APPEND, NULL, &found) != 0)
        s = mti_fail(e, MT_NOT_FOUND, "no_documents",
                     "The Debian FAQ is not installed: apt-get install debian-faq.");
    else
        show_progress(d, 0, found.gl_pathc);
    for (size_t i = 0; i < found.gl_pathc && s == MT_OK; i++)
        s = upload_file(d, found.gl_pathv[i], ids, e);
    if (s == MT_OK)
        s = wait_indexed(d, ids, e);
    globfree(&found);
    json_decref(ids);
    if (s == MT_OK && !d->cli->json)
        printf("%s%u files of the Debian FAQ read and indexed in %.1f s\n",
               isatty(STDOUT_FILENO) ? "\r" : "", d->files, (double)(mti_mono_us() - from) / 1e6);
    return s;
}

static void print_wrapped(const char *indent, mt_slice text)
{
    size_t column = 0;
    for (size_t i = 0; i < text.len;) {
        size_t n = 0;
        while (i + n < text.len && !strchr(" \t\r\n", text.p[i + n]))
            n++;
        if (n && (column == 0 || column + 1 + n > WIDTH)) {
            printf("%s%s%.*s", column ? "\n" : "", indent, (int)n, text.p + i);
            column = strlen(indent) + n;
        } else if (n) {
            printf(" %.*s", (int)n, text.p + i);
            column += 1 + n;
        }
        i += n + 1;
    }
    puts("");
}

/* Ranges are called start and end; chunks elsewhere say start_char and end_char. */
static int64_t range_end(const json_t *source, const char *key, const char *other)
{
    return mti_json_get_int(source, key, mti_json_get_int(source, other, -1));
}

/* Asks the server for the document's own text in the source's range: it must be the passage, byte
 * for byte. */
static mt_status check_range(demo *d, const json_t *source, mti_error *e)
{
    char path[300];
    mti_reply r;
    int64_t start = range_end(source, "start", "start_char"),
            end = range_end(source, "end", "end_char");
    mt_slice id = mti_json_get_string(source, "document_id", MT_SLICE("")),
             text = mti_json_get_string(source, "text", MT_SLICE(""));
    mt_slice quote = mti_json_get_string(source, "quote", (mt_slice){0});
    snprintf(path, sizeof path, "/v1/workspaces/%s/documents/%.*s/text?start=%lld&end=%lld",
             d->workspace, (int)id.len, id.p, (long long)start, (long long)end);
    mt_status s = start < 0 || end <= start
                      ? mti_fail(e, MT_INVALID, "no_range", "A source has no character range.")
                      : MT_OK;
    if (s != MT_OK)
        return s;
    s = mti_client_call(d->cli, "GET", path, NULL, &r, e);
    if (s == MT_OK &&
        (!text.len || !mt_slice_eq(text, mti_json_get_string(r.json, "text", (mt_slice){0}))))
        s = mti_fail(e, MT_INVALID, "range_differs",
                     "Characters %lld to %lld of document %.*s are not the passage that is cited.",
                     (long long)start, (long long)end, (int)id.len, id.p);
    if (s == MT_OK && quote.len)
        s = mti_demo_check(quote, &text, 1, e);
    mti_reply_dispose(&r);
    return s;
}

static mt_status check_answer(demo *d, const json_t *reply, mti_error *e)
{
    const json_t *sources = json_object_get(reply, "sources");
    mt_slice passages[MAX_SOURCES];
    size_t n = json_array_size(sources) < MAX_SOURCES ? json_array_size(sources) : MAX_SOURCES;
    for (size_t i = 0; i < n; i++) {
        passages[i] = mti_json_get_string(json_array_get(sources, i), "text", MT_SLICE(""));
        MT_TRY(check_range(d, json_array_get(sources, i), e));
    }
    return mti_demo_check(mti_json_get_string(reply, "answer", MT_SLICE("")), passages, n, e);
}

/* The cited ones; how many more passages were found. */
static void print_sources(const json_t *sources)
{
    size_t i, more = 0;
    json_t *s;
    json_array_foreach(sources, i, s)
    {
        mt_slice file = mti_json_get_string(s, "file_name", MT_SLICE("?")),
                 section = mti_json_get_string(s, "section", MT_SLICE(""));
        if (json_is_true(json_object_get(s, "cited")))
            printf("  [%lld] %.*s%s%.*s, score %.2f\n",
                   (long long)mti_json_get_int(s, "number", (int64_t)i + 1), (int)file.len, file.p,
                   section.len ? ": " : "", (int)section.len, section.p,
                   mti_json_get_double(s, "score", 0));
        else
            more++;
    }
    if (more)
        printf("  and %zu more passages that were not used\n", more);
}

static void print_answer(const char *question, const json_t *reply, double ms,
                         const mti_error *problem)
{
    printf("\nQ: %s\n", question);
    print_wrapped("   ", mti_json_get_string(reply, "answer", MT_SLICE("")));
    print_sources(json_object_get(reply, "sources"));
    if (problem->status == MT_OK)
        printf(
            "  (%.0f ms; checked: every passage stands in its document, and holds what is said)\n",
            ms);
    else
        printf("  NOT PROVED: %s\n", problem->detail);
}

static mt_status ask(demo *d, const char *question, mti_error *e)
{
    char path[128];
    mti_reply r;
    json_t *body = json_pack("{s:s,s:b}", "query", question, "stream", 0);
    int64_t from = mti_mono_us();
    snprintf(path, sizeof path, "/v1/workspaces/%s/chat", d->workspace);
    mt_status s = mti_client_call(d->cli, "POST", path, body, &r, e);
    double ms = (double)(mti_mono_us() - from) / 1000.0;
    json_decref(body);
    if (s == MT_OK) {
        mti_error problem = {0};
        bool proved = check_answer(d, r.json, &problem) == MT_OK;
        d->failed += !proved;
        if (!d->cli->json)
            print_answer(question, r.json, ms, &problem);
        json_array_append_new(d->report, json_pack("{s:s,s:O,s:f,s:b,s:s?}", "question", question,
                                                   "reply", r.json, "ms", ms, "proved", proved,
                                                   "problem", proved ? NULL : problem.detail));
    }
    mti_reply_dispose(&r);
    return s;
}

static void print_ending(const demo *d)
{
    char key[256];
    mti_greeting_read_key(d->cli, key, sizeof key);
    printf("\nserver: %s   (documentation: %s/v1/docs)\nkey:    %s\n\n", d->server.url,
           d->server.url, key);
    mti_greeting_print_ask(d->server.url, d->workspace, key,
                           "How do I report a bug in Debian?");
}

static mt_status show(demo *d, mti_error *e)
{
    int64_t from = mti_mono_us();
    MT_TRY(mti_demo_server_start(d->cli, &d->server, e));
    if (!d->cli->json)
        printf("server started in %.1f s (%s, data in %s)\n", (double)(mti_mono_us() - from) / 1e6,
               d->server.url, d->server.dir);
    MT_TRY(upload_all(d, e));
    for (int i = 0; i < QUESTIONS; i++)
        MT_TRY(ask(d, questions[i], e));
    return MT_OK;
}

static int finish(demo *d, mt_status s, bool leave, const mti_error *e)
{
    bool ok = s == MT_OK && d->failed == 0;
    if (s != MT_OK)
        mti_cli_fail(e);
    else if (!d->cli->json)
        print_ending(d);
    if (d->cli->json) {
        json_t *root = json_pack("{s:b,s:s,s:i,s:O}", "ok", ok, "url", d->server.url, "files",
                                 (int)d->files, "answers", d->report);
        json_dumpf(root, stdout, JSON_INDENT(2));
        puts("");
        json_decref(root);
    }
    if (s == MT_OK && !leave) {
        if (!d->cli->json)
            puts("\nserving until Ctrl-C");
        fflush(stdout);
        mti_demo_server_watch(&d->server);
    }
    return ok ? 0 : 1;
}

static int run(mti_cli *cli)
{
    bool leave = mti_cli_flag(cli, "--exit");
    if (!mti_cli_args(cli, 0, 0))
        return 2;
    demo d = {.cli = cli,
              .workspace = mti_config_str(cli->config, "tenancy.default_workspace_id"),
              .report = json_array()};
    mti_error e = {0};
    mt_status s = show(&d, &e);
    int status = finish(&d, s, leave, &e);
    mti_demo_server_stop(&d.server);
    json_decref(d.report);
    return status;
}

const mti_command mti_cmd_demo = {
    .name = "demo",
    .arguments = "[--exit] [--json]",
    .summary = "Answer three questions from the Debian FAQ, then serve.",
    .help = "Starts a server on a free port with a throw-away data folder, uploads the Debian FAQ "
            "(package debian-faq), asks three\n"
            "questions and prints the answers with their sources. Every cited passage is fetched "
            "again from its document and compared.\n"
            "Then it serves until Ctrl-C.\n\n"
            "  --exit    stop after the answers; exit status 0 only if every answer cites passages "
            "that really hold it\n"
            "  --data D  keep the data in D\n\n"
            "examples:\n  mortise demo\n  mortise demo --exit --json",
    .run = run,
};
