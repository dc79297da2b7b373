/*
 * The plugin ABI: one exported const entry table. See sdk/docs for a guided tour.
 *
 * The host loads the shared object named by plugin.json's entry_point ("agents.so:agents_plugin"), reads the table, checks abi, size, slug and
 * version against the manifest, and calls the life-cycle functions in the order create, load, activate … deactivate, unload.
 */
#ifndef MORTISE_PLUGIN_H
#define MORTISE_PLUGIN_H

#include <mortise/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MT_ABI 1

/* What a hook handler decides. */
typedef enum mt_outcome {
    MT_CONTINUE = 0,
    MT_STOP = 1,      /* no later handler runs; the patches so far stand */
    MT_DENY = 2,      /* the operation is refused with the problem set by mt_deny() (403 without one) */
    MT_ERROR = 3,     /* the handler failed: the hook's fail-open or fail-closed rule decides */
} mt_outcome;

/* Collects a filter's changes; belongs to the host. */
typedef struct mt_patch mt_patch;

/* Handlers named in api.json ("x-handler"), and queue consumers. self is what create() gave. Runs in a fiber, plugin active. */
typedef mt_status (*mt_handler_fn)(void *self, mt_call *c);
/* Hook handlers; in points to the hook's payload struct (mortise/hooks.h), valid for the call. Thread and fiber rules are the hook's. */
typedef mt_outcome (*mt_hook_fn)(void *self, mt_call *c, const void *in, mt_patch *out);

typedef struct mt_handler_entry { const char *name; mt_handler_fn run; } mt_handler_entry;
typedef struct mt_hook_entry { const char *name; mt_hook_fn run; } mt_hook_entry;        /* name: the manifest's "handler" */
/* A provided service: id as in "provides" ("embedder/1"), table the interface struct filled with the plugin's functions. */
typedef struct mt_service_entry { const char *id; const void *table; } mt_service_entry;

/* The frozen part of the host; more through get(). Valid from load to unload. Any thread. */
typedef struct mt_host {
    uint32_t size;
    uint32_t abi;
    void *ctx;
    /* An interface by id ("db/1"); NULL when the manifest was not granted it or the host does not have it. Borrowed, valid until unload. */
    const void *(*get)(void *ctx, mt_slice id);
    /* level 0 debug, 1 info, 2 warn, 3 error. Copies. Never pass a secret. */
    void (*log)(void *ctx, int level, mt_slice event, const mt_field *fields, size_t n);
    /* Zeroed memory from the call's arena: freed with the call. NULL over the limit of 64 MiB a call. The call's own thread. */
    void *(*alloc)(mt_call *c, size_t bytes);
    /* UTC microseconds since 1970. */
    int64_t (*clock_us)(void);
    /* The plugin's own folder, read-only: files/ in it holds what the plugin ships beside its code. NUL-terminated. Absent when size says so. */
    const char *dir;
} mt_host;

typedef struct mt_plugin {
    uint32_t abi;                /* MT_ABI */
    uint32_t size;               /* sizeof(mt_plugin) */
    const char *slug;
    const char *version;         /* equals the manifest's */
    /* Allocates the instance. May not call the host. NULL members are skipped. */
    mt_status (*create)(void **self);
    /* Fetches interfaces from the host. Main thread, no fiber: may not suspend. */
    mt_status (*load)(void *self, const mt_host *host);
    /* In a fiber, with a call of the platform: may suspend. Failing leaves the plugin "failed" with the call's problem. */
    mt_status (*activate)(void *self, mt_call *c);
    /* In a fiber, after the plugin's registrations are gone and its calls have drained. */
    void (*deactivate)(void *self, mt_call *c);
    /* Frees the instance. Main thread. */
    void (*unload)(void *self);
    const mt_handler_entry *handlers; uint32_t n_handlers;
    const mt_hook_entry *hooks;       uint32_t n_hooks;
    const mt_service_entry *services; uint32_t n_services;
    /*
     * What an instance has only in memory, for the version that takes its place (an upgrade or a rollback in one process; a restart or a reload of the
     * host hands nothing over). hand_over is asked while this version still serves: what changes after it is not told. *state is of its call's memory; a
     * format of its own, which says its version. take_over gets it in the version that comes, after its activate and before it serves; from is the other
     * one's version; what it does not understand it ignores. In fibers, with a call of the platform: may suspend. Failing refuses the change.
     */
    mt_status (*hand_over)(void *self, mt_call *c, mt_slice *state);
    mt_status (*take_over)(void *self, mt_call *c, mt_slice from, mt_slice state);
} mt_plugin;

/* A table of an earlier SDK ends before the members that came later: whether this one has a member. */
#define MT_PLUGIN_HAS(table, member) (MT_HAS(table, member) && (table)->member)
/* The first SDK's table. */
#define MT_PLUGIN_LEAST offsetof(mt_plugin, hand_over)

/* Puts the table in the shared object's exports: MT_EXPORT const mt_plugin agents_plugin = { … }; */
#ifdef __cplusplus
#define MT_EXPORT extern "C" __attribute__((visibility("default")))
#else
#define MT_EXPORT __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
}
#endif
#endif
