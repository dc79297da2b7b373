/* mortise ingest: uploads a directory to a workspace of the running server and waits until it is indexed. What was sent before is known by its content, so a
 * run that broke off is simply repeated. */
#include "cli/client.h"

#include <fnmatch.h>
#include <fts.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { WORKERS = 4, MAX_FILE = 1 << 30, MAX_PATTERNS = 32, ASK_MS = 500, RETRY_MS = 1000, RETRIES = 30 };

typedef enum outcome { WAITS, INDEXED, KNOWN, FAILED } outcome;

typedef struct file {
    char *path;
    const char *name;                        /* below the directory */
    outcome outcome;
    char id[37], reason[400];
    long long chunks;
} file;

typedef struct ingest {
    mti_cli *cli;
    const char *workspace, *collection, *directory;
    const char *include[MAX_PATTERNS + 1], *exclude[MAX_PATTERNS + 1];
    bool dry, bar;
    file *files;
    size_t n, room, skipped;
    _Atomic size_t next, done;
    pthread_mutex_t said;
} ingest;

static const char *const endings[] = {".txt", ".text", ".md", ".markdown", ".html", ".htm", ".pdf", ".docx", ".csv", ".tsv"};

static bool is_readable_kind(const char *name)
{
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < sizeof endings / sizeof *endings; i++)
        if (!strcasecmp(dot, endings[i]))
            return true;
    return false;
}

/* A pattern is for the path below the directory, or for the name alone. */
static bool matches(const char *const *patterns, const char *path)
{
    const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    for (; *patterns; patterns++)
        if (!fnmatch(*patterns, path, 0) || !fnmatch(*patterns, base, 0))
            return true;
    return false;
}

static void skip(ingest *g, const char *name, const char *why)
{
    g->skipped++;
    if (!g->cli->json)
        printf("skipped  %s (%s)\n", name, why);
}

static void add(ingest *g, const char *path, const char *name)
{
    if (g->n == g->room) {
        g->room = g->room ? 2 * g->room : 256;
        g->files = realloc(g->files, g->room * sizeof *g->files);
    }
    file *f = &g->files[g->n++];
    *f = (file){.path = strdup(path)};
    f->name = f->path + (name - path);
}

static void look_at(ingest *g, FTS *tree, FTSENT *e, size_t prefix)
{
    const char *name = e->fts_path + prefix;
    while (*name == '/')
        name++;
    bool hidden = e->fts_level > 0 && e->fts_name[0] == '.';
    if (hidden && e->fts_info != FTS_DP)
        skip(g, name, "hidden");
    if (hidden && e->fts_info == FTS_D)
        fts_set(tree, e, FTS_SKIP);
    if (hidden || e->fts_info == FTS_D || e->fts_info == FTS_DP)
        return;
    if (e->fts_info == FTS_DNR || e->fts_info == FTS_ERR || e->fts_info == FTS_NS)
        skip(g, name, strerror(e->fts_errno));
    else if (e->fts_info != FTS_F)
        skip(g, name, e->fts_info == FTS_SL || e->fts_info == FTS_SLNONE ? "a link" : "no plain file");
    else if (g->include[0] && !matches(g->include, name))
        skip(g, name, "not included");
    else if (matches(g->exclude, name))
        skip(g, name, "excluded");
    else if (!is_readable_kind(name))
        skip(g, name, "its ending is none of those that can be read");
    else if (!e->fts_statp->st_size)
        skip(g, name, "empty");
    else
        add(g, e->fts_path, name);
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

static mt_status walk(ingest *g, mti_error *e)
{
    char *roots[] = {(char *)g->directory, NULL};
    FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_COMFOLLOW | FTS_NOCHDIR, by_name);
    FTSENT *entry = tree ? fts_read(tree) : NULL;
    bool is_folder = entry && entry->fts_info == FTS_D;
    while (is_folder && (entry = fts_read(tree)))
        look_at(g, tree, entry, strlen(g->directory));
    if (tree)
        fts_close(tree);
    return is_folder ? MT_OK : mti_fail(e, MT_INVALID, "directory_unreadable", "%.300s is no directory that can be read.", g->directory);
}

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

static void take_document(file *f, const json_t *document, bool duplicate)
{
    mt_slice status = mti_json_get_string(document, "status", MT_SLICE("")), id = mti_json_get_string(document, "id", MT_SLICE("")),
             reason = mti_json_get_string(document, "reason", MT_SLICE(""));
    snprintf(f->id, sizeof f->id, "%.*s", (int)id.len, id.p);
    snprintf(f->reason, sizeof f->reason, "%.*s", (int)reason.len, reason.p);
    f->chunks = mti_json_get_int(document, "chunk_count", 0);
    f->outcome = mt_slice_eq(status, MT_SLICE("indexed")) ? (duplicate ? KNOWN : INDEXED) : mt_slice_eq(status, MT_SLICE("failed")) ? FAILED : WAITS;
}

static void fail(file *f, const mti_error *e)
{
    f->outcome = FAILED;
    snprintf(f->reason, sizeof f->reason, "%s", *e->detail ? e->detail : e->code);
}

/* The server may be restarting, or ask for patience: both pass. */
static mt_status send_file(ingest *g, file *f, mt_slice data, mti_reply *r, mti_error *e)
{
    char path[300];
    snprintf(path, sizeof path, "/v1/workspaces/%.36s/documents/upload?wait=true%s%.36s", g->workspace, g->collection ? "&collection_id=" : "",
             g->collection ? g->collection : "");
    const char *base = strrchr(f->name, '/') ? strrchr(f->name, '/') + 1 : f->name;
    for (int i = 0;; i++) {
        *e = (mti_error){0};
        mt_status s = mti_client_upload(g->cli, path, base, "application/octet-stream", data, r, e);
        if (s == MT_OK || i == RETRIES || (s != MT_UNAVAILABLE && r->status != 429))
            return s;
        mti_reply_dispose(r);
        pause_ms(RETRY_MS);
    }
}

static void wait_for(ingest *g, file *f)
{
    char path[200];
    snprintf(path, sizeof path, "/v1/workspaces/%.36s/documents/%s", g->workspace, f->id);
    for (int lost = 0; f->outcome == WAITS;) {
        mti_reply r;
        mti_error e = {0};
        pause_ms(ASK_MS);
        mt_status s = mti_client_call(g->cli, "GET", path, NULL, &r, &e);
        if (s == MT_OK)
            take_document(f, r.json, false);
        else if (s != MT_UNAVAILABLE || ++lost > RETRIES * RETRY_MS / ASK_MS)
            fail(f, &e);
        mti_reply_dispose(&r);
    }
}

static void handle(ingest *g, file *f)
{
    mti_buf data;
    mti_reply r = {0};
    mti_error e = {0};
    mt_status s = mti_buf_read_file(&data, f->path, MAX_FILE);
    if (s != MT_OK)
        mti_fail(&e, s, "file_unreadable", "The file cannot be read (%s).", mti_status_name(s));
    else
        s = send_file(g, f, mti_buf_slice(&data), &r, &e);
    mti_buf_dispose(&data);
    const json_t *item = s == MT_OK ? json_array_get(json_object_get(r.json, "items"), 0) : NULL;
    if (item)
        take_document(f, json_object_get(item, "document"), mti_json_get_bool(item, "duplicate", false));
    else
        fail(f, &e);
    mti_reply_dispose(&r);
    wait_for(g, f);
}

static void say(ingest *g, const file *f)
{
    static const char *const words[] = {"", "indexed", "known", "failed"};
    size_t done = atomic_fetch_add(&g->done, 1) + 1;
    pthread_mutex_lock(&g->said);
    if (g->bar) {
        int full = (int)(done * 40 / g->n);
        if (f->outcome == FAILED)
            fprintf(stderr, "\r\033[Kfailed   %s: %s\n", f->name, f->reason);
        fprintf(stderr, "\r\033[K[%.*s%*s] %zu of %zu", full, "########################################", 40 - full, "", done, g->n);
        if (done == g->n)
            fputc('\n', stderr);
    } else if (!g->cli->json) {
        printf("%-8s %s%s%s\n", words[f->outcome], f->name, f->outcome == FAILED ? ": " : "", f->outcome == FAILED ? f->reason : "");
        fflush(stdout);
    }
    pthread_mutex_unlock(&g->said);
}

static void *work(void *arg)
{
    ingest *g = arg;
    for (size_t i; (i = atomic_fetch_add(&g->next, 1)) < g->n;) {
        handle(g, &g->files[i]);
        say(g, &g->files[i]);
    }
    return NULL;
}

static void run_workers(ingest *g)
{
    pthread_t threads[WORKERS];
    int started = 0;
    while (started < WORKERS && pthread_create(&threads[started], NULL, work, g) == 0)
        started++;
    if (!started)
        work(g);
    while (started)
        pthread_join(threads[--started], NULL);
}

static size_t count(const ingest *g, outcome of)
{
    size_t n = 0;
    for (size_t i = 0; i < g->n; i++)
        n += g->files[i].outcome == of;
    return n;
}

static void print_json(const ingest *g)
{
    static const char *const words[] = {"found", "indexed", "known", "failed"};
    json_t *list = json_array();
    for (size_t i = 0; i < g->n; i++) {
        const file *f = &g->files[i];
        json_array_append_new(list, json_pack("{s:s,s:s,s:s*,s:s*,s:I}", "path", f->name, "status", words[f->outcome], "document_id", *f->id ? f->id : NULL,
                                              "reason", f->outcome == FAILED ? f->reason : NULL, "chunks", (json_int_t)f->chunks));
    }
    json_t *all = json_pack("{s:o,s:I,s:I,s:I,s:I}", "files", list, "indexed", (json_int_t)count(g, INDEXED), "known", (json_int_t)count(g, KNOWN), "failed",
                            (json_int_t)count(g, FAILED), "skipped", (json_int_t)g->skipped);
    json_dumpf(all, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(all);
}

static int report(const ingest *g)
{
    size_t failed = count(g, FAILED);
    if (g->cli->json)
        print_json(g);
    else if (g->dry)
        printf("%zu files would be sent, %zu skipped\n", g->n, g->skipped);
    else
        printf("%zu indexed, %zu known before, %zu failed, %zu skipped\n", count(g, INDEXED), count(g, KNOWN), failed, g->skipped);
    return failed ? 1 : 0;
}

static int ingest_directory(ingest *g)
{
    mti_error e = {0};
    mti_reply r;
    char path[100];
    if (walk(g, &e) != MT_OK)
        return mti_cli_fail(&e);
    for (size_t i = 0; g->dry && !g->cli->json && i < g->n; i++)
        printf("found    %s\n", g->files[i].name);
    if (!g->dry) {
        snprintf(path, sizeof path, "/v1/workspaces/%.36s", g->workspace);
        mt_status s = mti_client_call(g->cli, "GET", path, NULL, &r, &e);
        mti_reply_dispose(&r);
        if (s == MT_NOT_FOUND)
            mti_fail(&e, s, "workspace_not_found", "There is no workspace %.36s: its id is what the API answers when it is made.", g->workspace);
        if (s != MT_OK)
            return mti_cli_fail(&e);
        run_workers(g);
    }
    return report(g);
}

/* A flag that may be given several times. False: too often. */
static bool take_patterns(mti_cli *cli, const char *flag, const char **out)
{
    const char *value;
    for (int n = 0; (value = mti_cli_value(cli, flag)); n++) {
        if (n == MAX_PATTERNS)
            return false;
        out[n] = value;
    }
    return true;
}

static bool is_uuid(const char *s)
{
    return strlen(s) == 36 && strspn(s, "0123456789abcdefABCDEF-") == 36;
}

static int run(mti_cli *cli)
{
    ingest g = {.cli = cli, .workspace = mti_cli_value(cli, "--workspace-id"), .directory = mti_cli_value(cli, "--directory"),
                .collection = mti_cli_value(cli, "--collection"), .dry = mti_cli_flag(cli, "--dry-run"), .said = PTHREAD_MUTEX_INITIALIZER};
    if (!take_patterns(cli, "--include", g.include) || !take_patterns(cli, "--exclude", g.exclude))
        return mti_cli_usage(cli, "There are too many patterns.");
    if (!mti_cli_args(cli, 0, 0))
        return 2;
    if (!g.workspace || !g.directory)
        return mti_cli_usage(cli, "Name the workspace with --workspace-id and the files with --directory.");
    if (!is_uuid(g.workspace) || (g.collection && !is_uuid(g.collection)))
        return mti_cli_usage(cli, "Workspaces and collections are named by their ids.");
    g.bar = !cli->json && isatty(STDERR_FILENO) && isatty(STDOUT_FILENO);
    int status = ingest_directory(&g);
    for (size_t i = 0; i < g.n; i++)
        free(g.files[i].path);
    free(g.files);
    return status;
}

const mti_command mti_cmd_ingest = {
    .name = "ingest",
    .arguments = "--workspace-id ID --directory DIR",
    .summary = "Upload a directory and wait until it is indexed.",
    .help = "Sends every file below DIR whose ending can be read, four at a time, and waits. Hidden files, links and other endings are skipped, and said "
            "to be.\nThe same content is one document, so a run that broke off is simply repeated: what was sent is \"known\".\n\n"
            "  --collection ID    put the documents into this collection\n"
            "  --include PATTERN  only files whose path below DIR, or name, matches; may be repeated\n"
            "  --exclude PATTERN  not these; may be repeated\n"
            "  --dry-run          only say what would be sent\n\n"
            "Exit status 0 when everything sent is indexed, 1 when a file failed, 2 for a wrong use.\n\n"
            "examples:\n  mortise ingest --workspace-id 00000000-0000-0000-0000-000000000002 --directory ./manuals\n"
            "  mortise ingest --workspace-id ID --directory . --include '*.md' --exclude 'drafts/*' --json",
    .run = run,
};
