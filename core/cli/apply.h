/* `mortise apply`: from a file that says how things shall be to the steps that make them so. Blocking; one thread. */
#ifndef MTI_CLI_APPLY_H
#define MTI_CLI_APPLY_H

#include <limits.h>

#include "cli/client.h"

struct mti_apply;

/* One request, or a few that belong together, with what it changes. */
typedef struct mti_apply_step {
    char subject[128];           /* "plugin hello" */
    const char *action;          /* static: "configure" */
    json_t *changes;             /* [{op, pointer, before, after}]: without secrets */
    mt_status (*run)(struct mti_apply *a, const struct mti_apply_step *s, mti_error *e);
    char path[PATH_MAX];         /* of the request, or of a package */
    const char *method;
    json_t *body;                /* may hold secrets */
    char etag[40];               /* what it was when it was looked at; "" unknown */
    struct mti_apply_step *next;
} mti_apply_step;

typedef struct mti_apply {
    mti_cli *cli;
    const char *file;
    char dir[PATH_MAX];          /* of the file */
    mti_buf text;                /* of the file */
    json_t *wanted;              /* its tree */
    bool prune;
    json_t *plugins;             /* what /v1/plugins says, by slug */
    json_t *notes;               /* sentences that are no changes */
    mti_apply_step *steps, **end;
} mti_apply;

/* apply_file.c: reads and checks FILE. Errors begin with FILE:LINE:COLUMN. */
mt_status mti_apply_read(mti_apply *a, mti_error *e);
/* A copy of what the pointer's value says, {"$env"} and {"$file"} replaced. Holds secrets. */
mt_status mti_apply_resolve(const mti_apply *a, const char *pointer, const json_t *value, json_t **out, mti_error *e);
/* An error at that place of the file. Answers MT_INVALID. */
mt_status mti_apply_refuse(const mti_apply *a, const char *pointer, mti_error *e, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* What the server refuses of the entry at pointer, told with its line; a server that cannot answer now is no mistake of the file's. */
mt_status mti_apply_refused(const mti_apply *a, const char *pointer, const mti_reply *r, mt_status s, mti_error *e);
/* A path as the file means it. */
void mti_apply_path(const mti_apply *a, const char *path, char out[PATH_MAX]);

/* apply_diff.c: what makes b of a, as [{op, pointer, before, after}], members in their order. Pure. */
json_t *mti_apply_diff(const json_t *a, const json_t *b);
/* The same of configurations as they are shown: secrets_changed are pointers whose text differs although both show alike. */
json_t *mti_apply_diff_config(const json_t *before, const json_t *after, const json_t *secrets_changed);
/* Of two settings or instances as they are shown, the second of a dry run. */
json_t *mti_apply_diff_shown(const json_t *present, const json_t *after);
/* In place of a difference that only the next version of a plugin can tell. */
json_t *mti_apply_unknown(void);
json_t *mti_apply_change(const char *op, const char *pointer, const json_t *before, const json_t *after);

/* apply_order.c: items are {slug, removed, needs: [slug]}; answers their indices so that each comes after what it needs, and what goes before what it needed.
 * Those in a circle keep their order. Pure. order has room for all. */
void mti_apply_order(const json_t *items, size_t *order);
/* Adds the slugs of what a plugin, as the host describes it (NULL: none), depends on, and of those among all ({slug: plugin}) that provide what it requires. Pure. */
void mti_apply_add_needs(json_t *to, const json_t *plugin, const json_t *all);

/* Adds an empty step at the end. */
mti_apply_step *mti_apply_add(mti_apply *a, const char *action, const char *subject, const char *name);
/* Takes the last step away: it would change nothing. */
void mti_apply_drop(mti_apply *a, mti_apply_step *s);
void mti_apply_note(mti_apply *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A run that sends method, path, body and etag as they stand. */
mt_status mti_apply_send(mti_apply *a, const mti_apply_step *s, mti_error *e);
/* All items of a list. */
mt_status mti_apply_list(const mti_apply *a, const char *path, json_t **items, mti_error *e);
/* The answer's tree; a new reference. */
mt_status mti_apply_get(const mti_apply *a, const char *path, json_t **out, char etag[40], mti_error *e);

/* apply_plugins.c, apply_policies.c: look at what there is, and add steps. */
mt_status mti_apply_plan_plugins(mti_apply *a, mti_error *e);
mt_status mti_apply_plan_policies(mti_apply *a, const char *org, const char *id, const json_t *wanted, mti_error *e);
/* Whether a step before sends a package of the plugin: then what the host says of its configuration counts no more. */
bool mti_apply_sends_package(const mti_apply *a, const char *slug);
/* apply_instances.c: after the plugins' steps. */
mt_status mti_apply_plan_instances(mti_apply *a, mti_error *e);
/* apply_settings.c: name as it is told; base: /v1/organizations/ID or /v1/workspaces/ID; pointer: of wanted in the file. After the plugins' steps. */
mt_status mti_apply_plan_settings(mti_apply *a, const char *name, const char *base, const char *pointer, const json_t *wanted, mti_error *e);
/* apply_orgs.c. The id of the one among all (of a list) that name, a slug or an id, means: one that reads as an id is nothing else. False: there is none. */
bool mti_apply_find(const json_t *all, const char *name, char id[40]);
mt_status mti_apply_plan_organizations(mti_apply *a, mti_error *e);
/* apply_export.c: `mortise apply --export`. */
int mti_apply_export(mti_cli *cli);

#endif
