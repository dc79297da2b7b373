/* What the host process holds together: made by main, read by every layer above the bus. Pointers are set once before the loops run. */
#ifndef MTI_PLUGIN_HOST_H
#define MTI_PLUGIN_HOST_H

#include "bus/bus.h"
#include "config/config.h"
#include "db/db.h"
#include "loop/offload.h"
#include "loop/watchdog.h"
#include "policy/policy.h"
#include "router/router.h"

#include <stdatomic.h>

enum { MTI_MAX_PLUGINS = 256, MTI_MAX_LOOPS = 64 };

typedef struct mti_host {
    const mti_config *config;
    mti_loop *loops[MTI_MAX_LOOPS];
    unsigned n_loops;
    mti_db *db;
    mti_offload *offload;
    mti_bus *bus;
    mti_policies *policies;
    struct mti_plugins *plugins;
    const mti_crash_row *crashes;            /* shared with the supervisor; NULL: none is */
    struct mti_feed *feed;                   /* changes as they happen (feed.h) */
    struct mti_meters *meters;                /* what plugins did (meter.h) */
    struct mti_keyring *secrets;             /* keys of the secrets in configurations (secrets/keyring.h); a process that only scans has none */
    struct mti_identities *identities;       /* caches of credentials and scopes (identity.h) */
    unsigned settings_slot;                  /* of each loop: what it keeps of organizations' settings (settings.h) */
    unsigned org_policies_slot;              /* of each loop: what it keeps of them (org_policies.h) */
    const char *root;                        /* installation folder: sql/, manifests/, plugins/ below it */
    const char *version;
    const char *cors_origins;                /* whose web pages may call, as configured; NULL or "": none */
    _Atomic(const mti_router *) router;      /* current snapshot; never NULL once serving */
    _Atomic(const char *) openapi;           /* its document as JSON text */
    _Atomic(const char *) openapi_page;
    int engine_fd;                           /* where the supervisor is asked for engine workers; 0: there are none, and their plugins run here */
    int reload_fd;                           /* where the supervisor is asked for a fresh host */
    const char *scanner;                     /* the program that loads new plugins for the first time; NULL: nothing is scanned */
    const char *plugin_home;                 /* DATA/plugins: installed versions and the copies that are loaded */
    mti_tag_name *names;                     /* plugins by slot, where the supervisor reads them after a crash; NULL: nowhere */
    _Atomic(bool) migrated;                  /* the core's own schema is there; before that the database counts as down for plugins */
    _Atomic(bool) stopping;
} mti_host;

#endif
