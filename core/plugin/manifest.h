/* plugin.json, checked against manifests/schemas/plugin.json and read into plain members. Immutable; any thread. */
#ifndef MTI_PLUGIN_MANIFEST_H
#define MTI_PLUGIN_MANIFEST_H

#include "base/arena.h"
#include "json/json.h"
#include "json/schema.h"

typedef struct mti_manifest_hook { const char *name, *handler; int priority; } mti_manifest_hook;
typedef struct mti_manifest_queue { const char *name, *handler; unsigned concurrency; int64_t lease_ms; } mti_manifest_queue;
typedef struct mti_manifest_dependency { const char *slug, *range; } mti_manifest_dependency;

typedef struct mti_manifest {
    mti_arena arena;
    json_t *json;
    const char *dir;                         /* the plugin's folder */
    const char *slug, *version, *category, *description;
    const char *file, *symbol;               /* of entry_point; NULL: no code */
    const char *in_process;                  /* why it cannot run in a worker; NULL: it can, as far as it knows */
    bool essential;
    bool mandatory;                          /* an organization cannot be rid of it */
    bool engine;                             /* made to run in an engine worker */
    mti_manifest_dependency *dependencies; size_t n_dependencies;
    const char **provides; size_t n_provides;
    const char **requires_; size_t n_requires;
    const char **services; size_t n_services;/* granted interfaces beyond requires */
    mti_manifest_hook *hooks; size_t n_hooks;
    mti_manifest_queue *queues; size_t n_queues;
    bool db;                                 /* has a schema of its own */
    const char **references; size_t n_references;
    const char **hosts; size_t n_hosts;      /* granted to http/1 */
    json_t *config_schema;                   /* borrowed from json; NULL: takes no configuration */
    mti_schema *config_check;                /* compiled; NULL as config_schema */
} mti_manifest;

/* The manifest schema, compiled once from ROOT/manifests/schemas/plugin.json. */
mt_status mti_manifest_schema(const char *root, mti_schema **out, mti_error *e);
/* Reads DIR/plugin.json. MT_NOT_FOUND when there is none; MT_INVALID names the pointer. */
mt_status mti_manifest_load(const mti_schema *schema, const char *dir, mti_manifest **out, mti_error *e);
void mti_manifest_destroy(mti_manifest *m);

/* What people may see of an object that has a configuration, or a layer of one, as its member: a copy. Whatever shows a configuration shows this. */
json_t *mti_config_show(const mti_manifest *m, const json_t *object, const char *member);

/* Semantic versions: "^1", "^1.2", "~1.2.3", ">=1.0", "1.2.3", "*". False for a version or range that is malformed. */
bool mti_semver_match(const char *version, const char *range);
/* -1, 0, 1 by precedence (pre-release below release). */
int mti_semver_compare(const char *a, const char *b);

#endif
