/*
 * The fake host: runs a plugin's handlers, hooks and services in a unit test, without a server or a database. Link the plugin's own sources
 * with mortise_testkit (and cmocka).
 *
 *     mt_testkit *kit = mt_testkit_create(&hello_plugin, PLUGIN_DIR);
 *     mt_testkit_param(kit, "name", "Ada");
 *     assert_int_equal(mt_testkit_run(kit, "on_greet"), MT_OK);
 *     assert_string_equal(mt_testkit_json(kit, "/message"), "Hello, Ada!");
 *     mt_testkit_destroy(kit);
 *
 * One thread. What suspends in the host runs at once: sleeping moves the clock, offloaded work runs in place. The clock starts at 2026-01-01 and
 * new ids count from 1, so that a test sees the same bytes each time. Memory of a call is malloc's, one block a request: AddressSanitizer and
 * valgrind see uses after the call, overruns, and what the plugin itself leaks. Mistakes of the test (JSON that does not parse, an unknown
 * interface) print a sentence and abort. Every `const char *` argument is copied; every one that is answered lives until the next call begins.
 */
#ifndef MORTISE_TESTKIT_H
#define MORTISE_TESTKIT_H

#include <mortise/interfaces.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mt_testkit mt_testkit;

/* --- life cycle --- */

/*
 * Checks the entry table, then runs create() and load(). dir is the folder of plugin.json, api.json and queries.sql: the manifest decides which
 * interfaces are given, and names in it must be in the table. With NULL everything is granted and nothing is checked. NULL with the reason on
 * stderr when the host would not load the plugin either.
 */
mt_testkit *mt_testkit_create(const mt_plugin *plugin, const char *dir);
/* Ends the call, runs deactivate() when activated, and unload(). NULL is fine. */
void mt_testkit_destroy(mt_testkit *kit);
/* Runs activate() in a call of the platform. */
mt_status mt_testkit_activate(mt_testkit *kit);
/* The plugin's instance, as its functions get it. */
void *mt_testkit_self(const mt_testkit *kit);

/* --- the next call: what the handler will find --- */

/* Ends the call (its memory is freed, what was seen is forgotten) and begins a fresh one. The first one is there after create. Canned answers,
 * configuration, settings and services stay. */
void mt_testkit_begin(mt_testkit *kit);
/* The call, for calling a provider or a helper of the plugin directly. */
mt_call *mt_testkit_call(mt_testkit *kit);
/* A path or query parameter, as text. Defaults of api.json are applied to what is not set. */
void mt_testkit_param(mt_testkit *kit, const char *name, const char *value);
void mt_testkit_header(mt_testkit *kit, const char *name, const char *value);
/* A JSON body; its members are parameters too. Defaults of api.json are applied to an object. */
void mt_testkit_body(mt_testkit *kit, const char *json);
/* One file of a multipart body. The bytes are copied. */
void mt_testkit_file(mt_testkit *kit, const char *field, const char *name, const char *type, mt_slice data);
/* Who asks; NULL leaves out. permissions: names parted by spaces, "*" for all. Without this: fixed ids and "*". */
void mt_testkit_identity(mt_testkit *kit, const char *org_id, const char *workspace_id, const char *subject_id, const char *permissions);
/* The client leaves at the n-th suspending call from here (0: it has left): MT_CANCELLED. */
void mt_testkit_cancel_after(mt_testkit *kit, unsigned n);

/* --- the host's side --- */

/* The plugin's configuration, a JSON object; defaults of config_schema are applied. */
void mt_testkit_config(mt_testkit *kit, const char *json);
/* A host option, for mt_setting(). */
void mt_testkit_setting(mt_testkit *kit, const char *name, const char *value);
/* The rows that a named query answers: a JSON array of objects. Several answers are given in turn, the last one again and again. Without one the
 * query fails with testkit_no_answer. With a dir, a name that queries.sql lacks is refused. Values become PostgreSQL's texts: true is t. */
void mt_testkit_query(mt_testkit *kit, const char *name, const char *rows);
/* As query, for a statement without rows. */
void mt_testkit_exec(mt_testkit *kit, const char *name, int64_t affected);
/* As query: it fails with this problem; the status follows from http. */
void mt_testkit_query_fails(mt_testkit *kit, const char *name, int http, const char *code);
/* What "METHOD URL" answers. Several: in turn, the last one again. status 0: MT_UNAVAILABLE. Hosts are checked against the manifest. */
void mt_testkit_http(mt_testkit *kit, const char *request, int status, const char *body);
/* Who provides a service: the table is the interface's mt_…_1_provider, kept by reference. Given already: the plugin's own; else cache/1, queue/1,
 * blob/1 and limiter/1 in memory (the limiter never refuses). */
void mt_testkit_service(mt_testkit *kit, const char *id, const void *provider, void *self);
/* What runs for a hook that is emitted, in place of the plugin's own handlers; it may change the payload. */
void mt_testkit_on_emit(mt_testkit *kit, const char *hook, mt_outcome (*run)(void *arg, mt_call *c, void *payload), void *arg);
/* The consumer's side of an interface ("limiter/1"), as a plugin gets it. */
const void *mt_testkit_interface(mt_testkit *kit, const char *id);

/* --- running --- */

/* A handler of api.json, as a request. Answers what it returned; the answer is read below. A call that already ran begins anew first. */
mt_status mt_testkit_run(mt_testkit *kit, const char *handler);
/* A queue's handler, as a job with this payload. */
mt_status mt_testkit_job(mt_testkit *kit, const char *handler, const char *payload);
/* A hook handler of the manifest. payload is the hook's struct (size set); a filter's patches are applied to it as the host does, with all that
 * they may not do. When handlers share a name, the first hook of the manifest counts. Needs a dir. */
mt_outcome mt_testkit_hook(mt_testkit *kit, const char *handler, void *payload);

/* --- what was seen --- */

/* The HTTP status that the client gets; 0 before a run. */
int mt_testkit_status(const mt_testkit *kit);
/* The body of the answer; "" without one. */
const char *mt_testkit_answer(mt_testkit *kit);
/* A value of the JSON answer by pointer, strings bare, others as JSON; NULL when absent. */
const char *mt_testkit_json(mt_testkit *kit, const char *pointer);
/* The code of the problem; "" without one. */
const char *mt_testkit_problem(const mt_testkit *kit);

typedef enum mt_seen_kind {
    MT_SEEN_EVENT,   /* a stream's event: name, data. The end of a stream is "(end)" */
    MT_SEEN_LOG,     /* event, "level key=value …" */
    MT_SEEN_EMIT,    /* hook, payload as JSON */
    MT_SEEN_PATCH,   /* pointer, value as JSON */
    MT_SEEN_QUERY,   /* query, arguments as a JSON object; also BEGIN, COMMIT, ROLLBACK */
    MT_SEEN_JOB,     /* queue, payload */
    MT_SEEN_HTTP,    /* "METHOD URL", body */
    MT_SEEN_HEADER,  /* response header, value */
} mt_seen_kind;

typedef struct mt_seen {
    mt_seen_kind kind;
    const char *name, *text;
} mt_seen;

unsigned mt_testkit_count(const mt_testkit *kit, mt_seen_kind kind);
/* The n-th of a kind since the call began; NULL past the last. */
const mt_seen *mt_testkit_seen(const mt_testkit *kit, mt_seen_kind kind, unsigned n);

#ifdef __cplusplus
}
#endif
#endif
