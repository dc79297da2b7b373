/* One plugin as the manager keeps it. Internal to plugin/ (and read by request/ through manager.h's functions). */
#ifndef MTI_PLUGIN_RECORD_H
#define MTI_PLUGIN_RECORD_H

#include "base/names.h"
#include "json/writer.h"
#include "plugin/host.h"
#include "plugin/manifest.h"
#include "plugin/proxies.gen.h"
#include "worker/worker.h"

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>

typedef struct mti_plugins mti_plugins;

typedef enum mti_plugin_state {
    MTI_PLUGIN_DISCOVERED, MTI_PLUGIN_LOADED, MTI_PLUGIN_ACTIVE, MTI_PLUGIN_INACTIVE, MTI_PLUGIN_WAITING, MTI_PLUGIN_FAILED,
    MTI_PLUGIN_STAGED,           /* a version that is being prepared beside the one that serves */
    MTI_PLUGIN_RETIRED,          /* a version that was replaced: who is inside goes on, nobody new comes in */
    MTI_PLUGIN_QUARANTINED,      /* the host died in its code too often: not loaded (hold.h) */
} mti_plugin_state;

/* Who is inside a version, by loop. A call's services count apart: a plugin that is switched off does not wait for them. */
typedef struct mti_inflight {
    _Alignas(64) _Atomic(int) n; /* requests whose route it is, and jobs */
    _Atomic(int) services;       /* calls that it serves as a provider */
    _Atomic(uint32_t) answers, failures; /* requests that ended, and those with a 5xx of its own making */
} mti_inflight;

/* One version of a plugin that was loaded, in a slot of its own. A slug may have several; one of them is current, the others are retired, staged or refused. */
typedef struct mti_plugin_record {
    uint16_t slot;
    _Atomic(bool) current;                   /* what the slug means now */
    _Atomic(bool) closed;                    /* retired, and empty: whoever still wants in takes the route anew */
    bool trusted;                            /* built with the program: not scanned before its first load */
    const char *slug;
    uint16_t seats[2];                       /* of the plugin, whichever version, and of its default instance (bus/bus.h) */
    _Atomic(struct mti_instances *) instances;   /* never NULL (instances.h) */
    mti_host *host;
    mti_manifest *manifest;                  /* NULL when plugin.json is broken: then the state is failed */
    mti_contract *contract;
    mti_contract *outline;                   /* the contract of a version in quarantine, which is not loaded; routers have it, so it stays */
    _Atomic(struct mti_held *) held;         /* organizations that it may not serve (hold.h); NULL: none */
    char digest[65];                         /* of its files (package/package.h); "" before it was loaded */
    void *object;                            /* of dlopen; never closed once its code ran */
    int64_t object_bytes;
    const mt_plugin *entry;                  /* NULL without code */
    mti_worker *worker;                      /* it runs in a process of its own: entry and self are the worker's, object is NULL */
    void *self;
    _Atomic(int64_t) ended_us;               /* when its deactivate had ended, monotonic; 0: not since it was activated */
    unsigned turn;                           /* its place in the order of activations: who came later may depend on it */
    bool starting;                           /* a fiber of loop 0 brings it up */
    bool tried;                              /* in this settling, and did not come up: by the next one its trouble may be over */
    bool created, loaded, migrated;           /* loaded: everything of the folder; a load that failed is tried again from its start */
    mt_host table;                           /* what the plugin sees of the host; ctx is this record */
    char role_name[48];
    mti_db_role role;                        /* mt_p_SLUG; name NULL without a schema */
    _Atomic(int) state;                      /* mti_plugin_state */
    _Atomic(bool) wanted;                    /* the operator's or the profile's wish */
    char reason[384];                        /* of waiting and failed; under the manager's lock */
    _Atomic(json_t *) config;                /* effective: given over defaults; replaced whole, old ones are kept until the end */
    _Atomic(json_t *) shown;                 /* the same without its secrets, for people */
    _Atomic(bool) locked;                    /* a secret of its configuration cannot be read: it waits */
    char lock[384];                          /* why (loop 0) */
    mti_policy *policies[32];
    unsigned n_policies;
    mti_provider providers[MTI_SVC_COUNT];   /* table NULL: does not provide it */
    mti_inflight inflight[MTI_MAX_LOOPS];    /* operations and jobs inside, by loop */
} mti_plugin_record;

struct mti_plugins {
    mti_host *host;
    mti_schema *schema;
    mti_plugin_record *records[MTI_MAX_PLUGINS];   /* by slot; 0 is the host */
    _Atomic(unsigned) n;                     /* slots used + 1; read by any thread */
    pthread_mutex_t lock;                    /* reasons */
    mti_names seats;                         /* "SLUG" and "SLUG:INSTANCE"; 0 is the host */
    const char *seat_names[MTI_BUS_SEATS];
    _Atomic(unsigned) epoch;                 /* goes on when what settings are made for changes: versions, instances, operations */
    mti_waitlist turn;                       /* one change at a time (loop 0) */
    bool busy;
    unsigned activations;                    /* so far */
    mti_waitlist retiring;                   /* fibers that wait for a retired version to be left (loop 0) */
    unsigned n_retiring;
    bool ending, frozen, quiet;  /* the host stops; another starts in its place; another serves already (loop 0) */
    bool asked;                  /* for a fresh host */
    char *dirs, *built;                      /* where plugins' folders lie */
    _Atomic(bool) dirty;                     /* a state changed since the last publishing */
    _Atomic(const mti_provider *) chosen[MTI_SVC_COUNT];
    mti_contract *builtin;                   /* the host's own operations */
    const mti_interface_info *interfaces;
    const void *host_tables[64];             /* by catalogue index */
    struct mti_consumer *consumers;
    json_t *profile;                         /* slugs that are on by default */
    json_t *quarantine;                      /* as the file has it (loop 0) */
    bool safe_mode;
    bool sealed;                             /* what mti_reseal_start does was begun (loop 0) */
    bool checked;                /* plugins get tables that check (checks.h) */
};

/* hold.c: who must not run; record_hold when its manifest is known; release in a fiber of loop 0. */
typedef struct mti_held mti_held;
void mti_record_hold(mti_plugin_record *r);
mt_status mti_manager_release(mti_plugins *p, mt_call *c, mti_plugin_record *r);
/* record.c. NULL when every slot is used. */
mti_plugin_record *mti_record_create(mti_plugins *p, const char *slug);
void mti_record_take(mti_plugin_record *r, mti_manifest *m);
void mti_record_destroy(mti_plugin_record *r);
/* discover.c: where a plugin's folder lies outside of what was installed. */
bool mti_discover_find(const mti_plugins *p, const char *slug, char dir[PATH_MAX], bool *trusted);
/* The current version. Any thread. */
mti_plugin_record *mti_manager_find(const mti_plugins *p, mt_slice slug);
/* The changes themselves, in a fiber of loop 0 (manager.h's enable and disable carry them there). */
mt_status mti_manager_enable(mti_plugins *p, mt_call *c, mti_plugin_record *r);
mt_status mti_manager_disable(mti_plugins *p, mt_call *c, mti_plugin_record *r);
mt_status mti_manager_configure(mti_plugins *p, mt_call *c, mti_plugin_record *r, const json_t *config, mt_slice if_match);
void mti_record_state(mti_plugin_record *r, mti_plugin_state s, const char *reason);
const char *mti_record_state_name(int state);
/* The state as it is told: an active plugin with tables waits while the database is down. */
int mti_record_effective(const mti_plugin_record *r);
/* activate.c, in a fiber of loop 0. deactivate publishes first, then waits for what runs inside. */
void mti_record_load_or_fail(mti_plugin_record *r);
void mti_record_read_wish(mti_plugin_record *r, mt_call *c);
/* As it is stored; applies defaults. MT_UNAVAILABLE when a secret in it cannot be read: then nothing changes. */
mt_status mti_record_set_config(mti_plugin_record *r, const json_t *stored, mt_call *c);
/* sealed.c. Of what is given (MTI_SECRET_SHOWN keeps a secret) the form that is stored, checked: laid over what is stored (which may be NULL),
 * or in its place. layer: "" for the platform, else a name for whose it is. A new reference. MT_INVALID with the pointer; MT_UNAVAILABLE: the key. */
mt_status mti_config_seal(mt_call *c, const mti_manifest *m, const char *layer, const json_t *given, const json_t *stored, bool over, json_t **out);
/* What a plugin may read of what is stored: a new reference. MT_UNAVAILABLE. */
mt_status mti_config_open(mt_call *c, const char *slug, const char *layer, const json_t *stored, json_t **out);
/* What mti_config_seal would come to, for people: {config: with defaults, without secrets; secrets_changed: pointers; etag: of what is stored now}. */
mt_status mti_config_preview(mt_call *c, const mti_manifest *m, const json_t *given, const json_t *stored, bool over, json_t **out);
/* Tells one stored configuration (NULL: none) from another. */
void mti_config_etag(const json_t *stored, char out[21]);
/* Adds what the schema says is there when nothing else is. */
void mti_config_defaults(const mti_manifest *m, json_t *config);
/* What people may see of it: a new reference. */
json_t *mti_config_shown(const mti_manifest *m, const json_t *config);
/* Against the manifest's own schema; a plugin without one takes only {}. */
mt_status mti_config_check(const mti_manifest *m, const json_t *config, mt_call *c);
/* Database and contract; previous: the version whose queries must go on working, or NULL. */
mt_status mti_record_prepare(mti_plugin_record *r, const mti_plugin_record *previous, mt_call *c);
/* The plugin's own activate and deactivate. */
mt_status mti_record_start(mti_plugin_record *r, mt_call *c);
void mti_record_end(mti_plugin_record *r, mt_call *c);
/* How many requests and jobs (and calls that it serves) are inside. */
int mti_record_inside(const mti_plugin_record *r, bool services);
/* All of it, with the outcome as its state. */
void mti_record_activate(mti_plugin_record *r, mt_call *c);
void mti_record_deactivate(mti_plugins *p, mti_plugin_record *r, mt_call *c, const char *reason);
/* settle.c: the turn is the right to change anything; settling is done within one. */
mt_status mti_turn_take(mti_plugins *p);
/* The same for a change that somebody asks for: MT_UNAVAILABLE host_reloading while another host is about to take over. */
mt_status mti_turn_ask(mti_plugins *p, mt_call *c);
/* retire.c: asks for a fresh host when too much of this one is retired; it comes at a quiet moment. */
void mti_retire_check(mti_plugins *p);
void mti_turn_end(mti_plugins *p);
void mti_settle(mti_plugins *p, mt_call *c);
/* resolve.c: what keeps r from starting now, "" when nothing does; the active plugins that cannot stay without r, as "a, b". */
bool mti_database_usable(const mti_host *h);
void mti_resolve_obstacle(mti_plugins *p, const mti_plugin_record *r, char *why, size_t size);
/* Everything that is in the way of m in the place of old (NULL: a new plugin), or of old's going (m NULL): an array of {code, detail}. The caller's. */
json_t *mti_resolve_change(mti_plugins *p, const mti_manifest *m, const mti_plugin_record *old);
void mti_resolve_dependents(mti_plugins *p, const mti_plugin_record *r, char *names, size_t size);
/* Whether d is one of those. */
bool mti_resolve_needs(mti_plugins *p, const mti_plugin_record *d, const mti_plugin_record *r);
/* loader.c: a private copy of the object, the scanner, then what load_from does. Main thread, or a fiber of loop 0, which then suspends. */
mt_status mti_record_load(mti_plugin_record *r, mti_error *e);
void mti_record_log(void *record, int level, mt_slice event, const mt_field *fields, size_t n);    /* the host's log(), with the plugin's name */
/* isolate.c: whether the operator wants it in a worker; starts that, MT_UNSUPPORTED with the reason when it cannot run in one; ends all, in a fiber
 * of loop 0, when no plugin is active any more. */
bool mti_isolated(const mti_host *h, const mti_manifest *m);
/* What was chosen at run time, over plugins.isolated: "process", "host" or "". Small files: pool thread or main thread. */
const char *mti_place_kept(const mti_host *h, const char *slug);
mt_status mti_place_keep(const mti_host *h, const char *slug, const char *place, mti_error *e);
mt_status mti_record_open_worker(mti_plugin_record *r, const char *object, mti_error *e);
void mti_isolate_stop(mti_plugins *p);
/* dlopen of object, table checks, contract, create and load. */
mt_status mti_record_load_from(mti_plugin_record *r, const char *object, mti_error *e);
/* services.c: the interfaces a record may have. */
const void *mti_record_interface(void *record, mt_slice id);
/* consumers.c */
void mti_consumers_start(mti_plugin_record *r);
/* upgrade.c: r lies in the store, not in a folder of the program's or of the operator's. */
bool mti_record_is_installed(const mti_plugin_record *r);
/* describe.c: the members of an object. */
void mti_record_describe(mti_plugins *p, mti_plugin_record *r, mti_writer *w);
/* Stops leasing at once and waits until the jobs have ended. finish: they come to their end; else they are cancelled (and taken again by another). */
void mti_consumers_stop(mti_plugin_record *r, bool finish);
/* upgrade.c: another version in the place of the current one (NULL: a new plugin), in a turn of loop 0. Takes v's manifest. config: what is given of the
 * configuration, NULL nothing; replace: all of it. On a failure the current one serves on, and c->error says why. */
struct mti_version;
mt_status mti_manager_upgrade(mti_plugins *p, mt_call *c, struct mti_version *v, const json_t *config, bool replace);
/* uninstall: r is current, lies in the store, and nothing needs it. */
mt_status mti_manager_uninstall(mti_plugins *p, mt_call *c, mt_slice slug, bool purge);
/* Back to the version before. reason: why, when nobody asked for it. MT_CONFLICT no_previous_version. */
mt_status mti_manager_rollback(mti_plugins *p, mt_call *c, mt_slice slug, const char *reason);
/* MT_CONFLICT with all that is in the way of m in the place of old (either may be NULL). */
mt_status mti_manager_refuse(mti_plugins *p, mt_call *c, const mti_manifest *m, const mti_plugin_record *old);
/* The version that serves, anew in a process of its own (isolated) or in the host, as an upgrade to itself. MT_CONFLICT when it is not active or cannot. */
mt_status mti_manager_move(mti_plugins *p, mt_call *c, mt_slice slug, bool isolated);
/* budget.c: whether a version that was just switched to fails too often, for a while; then it is rolled back. */
void mti_budget_watch(mti_plugin_record *r);
/* retire.c: a version that was replaced, until the last one has left it. */
void mti_retire_begin(mti_plugin_record *r);
void mti_retire_end_all(mti_plugins *p, mt_call *c);
/* store.c: wishes and configuration, as it is stored, in mt.plugin; MT_NOT_FOUND when the row is absent. */
mt_status mti_store_read(mt_call *c, const char *slug, bool *enabled, json_t **config);
/* In a transaction: nobody else changes the row until it ends, on another host either. */
mt_status mti_store_lock(mt_call *c, const char *slug, json_t **config);
mt_status mti_store_enable(mt_call *c, const char *slug, bool enabled);
/* The configuration before the last upgrade; *config stays NULL when none is known. */
mt_status mti_store_previous(mt_call *c, const char *slug, json_t **config);
/* Enabled, with this version and configuration; the configuration that was there is kept as the previous one. */
mt_status mti_store_switch(mt_call *c, const char *slug, const char *version, const json_t *config);
mt_status mti_store_forget(mt_call *c, const char *slug);
/* reseal.c: once a start, in a fiber of loop 0: seals the secrets that are stored plainly or under an older key. A row that cannot be is logged. */
void mti_reseal_start(mti_plugins *p);
mt_status mti_store_configure(mt_call *c, const char *slug, bool enabled, const json_t *config);

#endif
