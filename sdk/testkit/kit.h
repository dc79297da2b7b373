/* The testkit's inside: a kit outlives its calls; a call owns its memory, its documents and what was seen during it. One thread. */
#ifndef MORTISE_TESTKIT_KIT_H
#define MORTISE_TESTKIT_KIT_H

#include "base/error.h"
#include "bus/catalogue.h"
#include "plugin/proxies.gen.h"

#include <mortise/hooks.h>
#include <mortise/testkit.h>

#include <jansson.h>

enum { KIT_HANDLES = 256, KIT_SEEN = 1024, KIT_MEMORY = 64 << 20 };

/* A canned answer of a query or an exchange; given in order, the last of a name again and again. */
typedef struct kit_answer {
    struct kit_answer *next;
    char *name;
    json_t *rows;                /* queries */
    int64_t affected;
    int http;                    /* problem's or answer's status */
    char *text;                  /* problem's code, or answer's body */
    bool fails, used;
} kit_answer;

typedef struct kit_emit {
    struct kit_emit *next;
    char *hook;
    mt_outcome (*run)(void *arg, mt_call *c, void *payload);
    void *arg;
} kit_emit;

typedef struct kit_defer {
    void (*work)(void *arg);
    void *arg;
} kit_defer;

typedef struct kit_file {
    mt_slice field, name, type, data;
} kit_file;

typedef enum kit_kind { KIT_REQUEST, KIT_JOB, KIT_PLATFORM } kit_kind;

struct mt_testkit {
    const mt_plugin *plugin;
    void *self;
    mt_host host;
    json_t *manifest, *api;      /* NULL without a dir */
    char *queries;               /* text of queries.sql; NULL without one */
    json_t *config, *settings, *store; /* store: what the fakes of cache/1 and blob/1 keep, by org and key */
    kit_answer *answers, *exchanges;
    kit_emit *emits;
    mti_provider providers[MTI_SVC_COUNT];
    mt_call *call;
    uint64_t ids;
    bool created, loaded, active;
};

struct mt_call {
    mti_error error;             /* these two are used by the generated proxies */
    uint16_t plugin, caller;
    const struct mti_instance *instance;     /* the testkit has default ones only: NULL */
    mt_testkit *kit;
    kit_kind kind;
    bool ran;
    struct kit_block *memory;
    size_t allocated;
    void *objects[KIT_HANDLES];  /* by handle - 1: json_t * of documents and results */
    unsigned n_objects;
    kit_defer defers[64];
    unsigned n_defers;
    json_t *params, *headers, *body;
    mt_slice payload;            /* of a job */
    kit_file files[32];
    unsigned n_files;
    const char *org_id, *workspace_id, *subject_id, *permissions;
    int cancel_in;               /* suspensions until the client leaves; -1: stays */
    unsigned transactions;
    /* the answer */
    int status;
    bool streaming, ended;
    mt_slice answer;
    json_t *answer_json;
    mt_status returned;
    const json_t *operation;     /* of api.json, while its handler runs */
    mt_seen seen[KIT_SEEN];
    unsigned n_seen;
};

struct mt_patch {
    mt_call *c;
    const mti_hook_info *hook;
    json_t *ops;                 /* [[pointer, value], …] */
};

/* Prints a sentence about a mistake of the test and aborts. */
_Noreturn void kit_wrong(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* call.c */
mt_call *kit_call_create(mt_testkit *kit, kit_kind kind);
void kit_call_destroy(mt_call *c);
void *kit_alloc(mt_call *c, size_t bytes);
char *kit_copy(mt_call *c, mt_slice s);               /* NUL-terminated */
mt_slice kit_copy_slice(mt_call *c, mt_slice s);      /* the null slice stays null */
char *kit_printf(mt_call *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void kit_see(mt_call *c, mt_seen_kind kind, mt_slice name, mt_slice text);
/* A suspending function begins: MT_CANCELLED once the client has left. */
mt_status kit_suspend(mt_call *c);
mt_handle kit_handle(mt_call *c, json_t *take);
json_t *kit_object(mt_call *c, mt_handle h);
mt_status kit_status_of(int http);

/* text.c */
json_t *kit_parse(mt_slice text);                     /* NULL: not JSON, or deeper than 64 */
json_t *kit_at(json_t *root, mt_slice pointer);
bool kit_set_at(json_t **root, mt_slice pointer, json_t *take);
mt_slice kit_text(mt_call *c, const json_t *v);       /* strings bare, others as JSON */
mt_slice kit_dump(mt_call *c, const json_t *v);
json_t *kit_string(mt_slice s);                       /* null for the null slice */
void kit_apply_defaults(const json_t *schema, json_t *object);

/* bus.c */
const mti_hook_info *kit_hook_info(mt_slice name);
mt_outcome kit_run_hook(mt_call *c, const mti_hook_info *hook, mt_hook_fn run, void *payload);
mt_hook_fn kit_hook_handler(const mt_testkit *kit, const char *name);

kit_answer *kit_next_answer(kit_answer *list, mt_slice name);
/* The host's tables by interface id; NULL for services and unknown ids. */
const void *kit_host_interface(mt_slice id);
const void *kit_fake_service(int service);
void kit_clock_add(int64_t us);

extern const mt_request_1 kit_request;
extern const mt_stream_1 kit_stream;
extern const mt_db_1 kit_db;
extern const mt_json_1 kit_json;
extern const mt_hook_1 kit_hook;
extern const mt_offload_1 kit_offload;
extern const mt_defer_1 kit_defer_table;
extern const mt_http_1 kit_http;
extern const mt_auth_1 kit_auth;
extern const mt_service_1 kit_service;
extern const mt_thread_1 kit_thread;
void kit_thread_end(mt_call *c);                      /* its signals are gone */

#endif
