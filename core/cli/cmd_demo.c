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
#include "cli/own_server.h"
#include "cli/greeting.h"

#define FAQ "/usr/share/doc/debian/FAQ"

enum { MAX_FILE = 16 << 20, WIDTH = 96, POLL_MS = 100 };

static const char *const questions[] = {
    "How is Debian pronounced, and where does the name come from?",
    "What is Debian GNU/Linux?",
    "What is sid?",
};
enum { QUESTIONS = sizeof questions / sizeof *questions };

typedef struct demo {
    mti_cli *cli;
    mti_own_server server;
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

static const char *type_of(const char *name)
{
    return strstr(name, ".html") ? "text/html" : strstr(name, ".pdf") ? "application/pdf" : "text/plain";
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
        mti_client_upload(d->cli, target, name, type_of(name), mti_buf_slice(&text), &r, e);
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
        if (mti_own_server_interrupted())
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
        glob(FAQ "/*.en.html", GLOB_APPEND, NULL, &found) != 0 ||
        glob(FAQ "/*.en.pdf*", GLOB_APPEND, NULL, &found) != 0)
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

/* What a streamed answer looks like while it comes: words wrapped at WIDTH. */
typedef struct printer {
    bool quiet;
    size_t column;
    json_t *reply;               /* of "done" */
} printer;

static void print_text(printer *p, mt_slice text)
{
    for (size_t i = 0; i < text.len;) {
        size_t n = 0;
        while (i + n < text.len && !strchr(" \t\r\n", text.p[i + n]))
            n++;
        if (n && (p->column == 0 || p->column + 1 + n > WIDTH)) {
            printf("%s   %.*s", p->column ? "\n" : "", (int)n, text.p + i);
            p->column = 3 + n;
        } else if (n) {
            printf(" %.*s", (int)n, text.p + i);
            p->column += 1 + n;
        }
        i += n + 1;
    }
    fflush(stdout);
}

static void on_event(void *arg, const char *name, const json_t *data)
{
    printer *p = arg;
    if (!strcmp(name, "token") && !p->quiet)
        print_text(p, mti_json_get_string(data, "text", MT_SLICE("")));
    if (!strcmp(name, "done") && !p->reply)
        p->reply = json_incref((json_t *)data);
}

/* Asks the server for the document's own text in the citation's range: it must be the quote, byte for byte, and hold what the sentence says. */
static mt_status check_citation(demo *d, const json_t *c, mt_slice answer, mti_error *e)
{
    char path[300];
    mti_reply r;
    int64_t start = mti_json_get_int(c, "start_char", -1), end = mti_json_get_int(c, "end_char", -1);
    mt_slice id = mti_json_get_string(c, "document_id", MT_SLICE("")), quote = mti_json_get_string(c, "quote", MT_SLICE(""));
    if (start < 0 || end <= start || !quote.len)
        return mti_fail(e, MT_INVALID, "no_range", "A citation has no character range.");
    snprintf(path, sizeof path, "/v1/workspaces/%s/documents/%.*s/text?start=%lld&end=%lld", d->workspace, (int)id.len, id.p,
             (long long)start, (long long)end);
    mt_status s = mti_client_call(d->cli, "GET", path, NULL, &r, e);
    if (s == MT_OK && !mt_slice_eq(quote, mti_json_get_string(r.json, "text", (mt_slice){0})))
        s = mti_fail(e, MT_INVALID, "range_differs", "Characters %lld to %lld of document %.*s are not the quote.", (long long)start,
                     (long long)end, (int)id.len, id.p);
    if (s == MT_OK)
        s = mti_demo_check(mti_demo_part(answer, mti_json_get_int(c, "answer_start", 0), mti_json_get_int(c, "answer_end", 0)), quote, e);
    mti_reply_dispose(&r);
    return s;
}

static mt_status check_answer(demo *d, const json_t *reply, mti_error *e)
{
    const json_t *citations = json_object_get(reply, "citations");
    size_t i;
    json_t *c;
    if (!json_array_size(citations))
        return mti_fail(e, MT_INVALID, "no_citation", "The answer cites nothing.");
    if (json_array_size(json_object_get(reply, "unsupported")))
        return mti_fail(e, MT_INVALID, "unsupported", "A sentence is in no document.");
    json_array_foreach(citations, i, c)
        MT_TRY(check_citation(d, c, mti_json_get_string(reply, "answer", MT_SLICE("")), e));
    return MT_OK;
}

static void print_citations(const json_t *citations)
{
    size_t i;
    json_t *c;
    json_array_foreach(citations, i, c)
    {
        mt_slice file = mti_json_get_string(c, "file_name", MT_SLICE("?"));
        int64_t page = mti_json_get_int(c, "page", 0);
        printf("  [%lld] %.*s", (long long)mti_json_get_int(c, "number", 0), (int)file.len, file.p);
        if (page)
            printf(", page %lld", (long long)page);
        printf(", characters %lld to %lld\n", (long long)mti_json_get_int(c, "start_char", 0), (long long)mti_json_get_int(c, "end_char", 0));
    }
}

static void print_proof(const json_t *reply, double ms, const mti_error *problem)
{
    puts("");
    print_citations(json_object_get(reply, "citations"));
    mt_slice model = mti_json_get_string(json_object_get(reply, "usage"), "model", MT_SLICE("?"));
    printf("  %s %s in %.0f ms\n", mt_slice_eq(model, MT_SLICE("extractive")) ? "no model wrote what the passages say, so they are quoted by" : "written by", model.p, ms);
    if (problem->status == MT_OK)
        puts("  checked: every quote stands in its document, and holds what is said");
    else
        printf("  NOT PROVED: %s\n", problem->detail);
}

static mt_status ask(demo *d, const char *question, mti_error *e)
{
    char path[128];
    mti_reply r;
    printer p = {.quiet = d->cli->json};
    json_t *body = json_pack("{s:s,s:b}", "query", question, "stream", 1);
    int64_t from = mti_mono_us();
    if (!p.quiet)
        printf("\nQ: %s\n", question);
    snprintf(path, sizeof path, "/v1/workspaces/%s/chat", d->workspace);
    mt_status s = mti_client_stream(d->cli, path, body, on_event, &p, &r, e);
    double ms = (double)(mti_mono_us() - from) / 1000.0;
    json_decref(body);
    if (s == MT_OK && !p.reply)
        s = mti_fail(e, MT_INTERNAL, "stream_cut", "The answer broke off.");
    if (s == MT_OK) {
        mti_error problem = {0};
        bool proved = check_answer(d, p.reply, &problem) == MT_OK;
        d->failed += !proved;
        if (!p.quiet)
            print_proof(p.reply, ms, &problem);
        json_array_append_new(d->report, json_pack("{s:s,s:O,s:f,s:b,s:s?}", "question", question,
                                                   "reply", p.reply, "ms", ms, "proved", proved,
                                                   "problem", proved ? NULL : problem.detail));
    }
    json_decref(p.reply);
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
    MT_TRY(mti_own_server_start(d->cli, "demo", &d->server, e));
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
        mti_own_server_watch(&d->server);
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
    mti_own_server_stop(&d.server);
    json_decref(d.report);
    return status;
}

const mti_command mti_cmd_demo = {
    .name = "demo",
    .arguments = "[--exit] [--json]",
    .summary = "Answer three questions from the Debian FAQ, then serve.",
    .help = "Starts a server on a free port with a throw-away data folder, uploads the Debian FAQ "
            "(package debian-faq; text, HTML and PDF), asks three\n"
            "questions and prints the answers as they are written, with their citations. Every quote is fetched "
            "again from its document and compared.\n"
            "Then it serves until Ctrl-C.\n\n"
            "  --exit    stop after the answers; exit status 0 only if every answer cites passages "
            "that really hold it\n"
            "  --data D  keep the data in D\n\n"
            "examples:\n  mortise demo\n  mortise demo --exit --json",
    .run = run,
};
