/*
 * The plugin manager: discovers folders, resolves the order, loads, activates and deactivates at run time. A missing or failing plugin is
 * reported and its dependents wait; the rest serves. Changes run one at a time in a fiber of loop 0; readers see published snapshots.
 */
#ifndef MTI_PLUGIN_MANAGER_H
#define MTI_PLUGIN_MANAGER_H

#include "plugin/host.h"

typedef struct mti_plugins mti_plugins;

/* builtin: the host's own contract (handlers bound). Any thread, before the loops run. */
mt_status mti_plugins_create(mti_host *h, mti_contract *builtin, mti_plugins **out, mti_error *e);
/* After the loops ended: unload in reverse. */
void mti_plugins_destroy(mti_plugins *p);
/* Gives the host's implementation of an interface ("request/1") to plugins that are loaded later. The table is static. */
void mti_plugins_provide(mti_plugins *p, const char *interface, const void *table);
/* Looks at what is installed, at the operator's folders (':' separated) and at the one that was built with the program, in this order: the first of a name
 * counts. Reads manifests and loads the code of those that are wished for. Not in a fiber. Never fails: what is wrong is in the plugin's state. */
void mti_plugins_discover(mti_plugins *p, const char *dirs, const char *built);
/* Brings every wished-for plugin as far as it can get now, and publishes. In a fiber of loop 0. Called at start, after the database came up,
 * and after each change. */
void mti_plugins_settle(mti_plugins *p, mt_call *c);

/* The operator's configuration of a plugin (NULL: of all) and instances are read again: somebody, perhaps on another host, changed them. In a fiber of
 * loop 0. What the operator switched on or off there is not followed: that is each host's own. */
void mti_plugins_reread(mti_plugins *p, mt_call *c, const char *slug);

/* On any loop, in a fiber. MT_NOT_FOUND plugin_unknown; MT_CONFLICT when others depend on it (they are named) or it is essential; the problem of activation. */
mt_status mti_plugins_enable(mti_plugins *p, mt_call *c, mt_slice slug);
mt_status mti_plugins_disable(mti_plugins *p, mt_call *c, mt_slice slug);
/* A package file: installed when it is new, else it takes the place of the version that serves, newer or older, while that one goes on until the switch. config
 * (may be NULL) is laid over the configuration, or takes its place. slug becomes the plugin's. On a failure all is as before. On any loop, in a fiber, as all that follow. */
mt_status mti_plugins_install(mti_plugins *p, mt_call *c, mt_slice file, const json_t *config, bool replace, char slug[64]);
/* What installing it would do and what is in its way, as JSON; changes nothing. */
mt_status mti_plugins_check(mti_plugins *p, mt_call *c, mt_slice file, const json_t *config, bool replace, mti_buf *out);
/* Moves the version that serves into a process of its own, or into the host, where it is trusted with everything; the choice outlives restarts and goes
 * before plugins.isolated. MT_CONFLICT not_isolable, plugin_not_active; what the scanner says of code that comes into the host for the first time. */
mt_status mti_plugins_isolate(mti_plugins *p, mt_call *c, mt_slice slug, bool on);
/* Back to the version before. MT_CONFLICT no_previous_version. */
mt_status mti_plugins_rollback(mti_plugins *p, mt_call *c, mt_slice slug);
/* Takes an installed plugin away, with its tables when purge says so. MT_CONFLICT names what holds it, or says that it was never installed. */
mt_status mti_plugins_uninstall(mti_plugins *p, mt_call *c, mt_slice slug, bool purge);
/* Out of quarantine, for everybody and every organization: it starts at once, and its crashes are forgotten. Nothing to
 * release is no error. MT_NOT_FOUND plugin_unknown. On any loop, in a fiber. */
mt_status mti_plugins_release(mti_plugins *p, mt_call *c, mt_slice slug);
/* Whether this start loads essential plugins only. Any thread. */
bool mti_plugins_safe_mode(const mti_plugins *p);
/* Validates a configuration by the plugin's config_schema, keeps it and puts it into effect. On any loop, in a fiber. MT_INVALID with the pointer; MT_PRECONDITION when
 * if_match (the null slice: no matter) is no longer its etag;
 * a plugin that reads its configuration only when it becomes active sees it after the next activation. */
mt_status mti_plugins_configure(mti_plugins *p, mt_call *c, mt_slice slug, const json_t *config, mt_slice if_match);
/* What that would come to, as JSON (mti_config_preview), and the etag of what there is. Changes nothing. On any loop, in a fiber. */
mt_status mti_plugins_preview(mti_plugins *p, mt_call *c, mt_slice slug, const json_t *config, json_t **out);
/* The configuration in effect as JSON. Any thread. */
mt_status mti_plugins_config(mti_plugins *p, mt_slice slug, mti_buf *out);

/* While another host is being started in this one's place nothing may change here: changes are refused with host_reloading. Loop 0. */
void mti_plugins_freeze(mti_plugins *p, bool frozen);
/* Another host serves: queues are left to it, jobs that run here come to their end. In a fiber of loop 0. */
void mti_plugins_quiet(mti_plugins *p);
/* The host stops: nothing more is brought up, and isolated plugins that are being activated are not waited for. In a fiber of loop 0. */
void mti_plugins_hasten(mti_plugins *p);
/* Deactivates all in reverse order. In a fiber of loop 0. */
void mti_plugins_stop(mti_plugins *p, mt_call *c);

/* JSON of one plugin, or of all as an array. Any thread. */
mt_status mti_plugins_describe(mti_plugins *p, mt_slice slug, mti_buf *out);
void mti_plugins_describe_all(mti_plugins *p, mti_buf *out);

/* By slot, for the request layer. Any thread. */
const char *mti_plugin_slug(const mti_plugins *p, uint16_t slot);       /* "host" for 0 */
/* Whether the call's organization has it switched off. */
bool mti_plugin_off(const mti_plugins *p, const mt_call *c, uint16_t slot);
void *mti_plugin_self(const mti_plugins *p, uint16_t slot);
const mti_db_role *mti_plugin_role(const mti_plugins *p, uint16_t slot);
/* Counts somebody in, whose loop it is; a version that is held is not closed before it is released. False: it is closed already, and the route must be
 * looked up again (the newer version stands there). */
bool mti_plugin_hold(mti_plugins *p, unsigned loop, uint16_t slot);
void mti_plugin_release(mti_plugins *p, unsigned loop, uint16_t slot);
/* Counts an answer of a version that is held. */
void mti_plugin_note(mti_plugins *p, unsigned loop, uint16_t slot, bool failed);
/* Held: MT_OK when its code may run now; or MT_UNAVAILABLE with the reason in c->error (waiting, failed) or MT_NOT_FOUND (switched off). */
mt_status mti_plugin_enter(mti_plugins *p, mt_call *c, uint16_t slot);
/* Whether the wished-for plugins are active. Degraded: some that are not essential failed, and will not come by themselves; the rest serves.
 * why: one sentence about the first that is missing, or "". Any thread. */
typedef enum mti_readiness { MTI_NOT_READY, MTI_READY_DEGRADED, MTI_READY } mti_readiness;
mti_readiness mti_plugins_readiness(mti_plugins *p, char *why, size_t size);
/* Whether somebody provides an interface now. */
bool mti_service_ready(const mti_plugins *p, int service);
/* Whether somebody should: its provider is switched on, and may yet be waiting or have failed. */
bool mti_service_wanted(const mti_plugins *p, int service);

#endif
