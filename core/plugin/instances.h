/*
 * Instances of a plugin: its default one, and those that the operator made beside it, each with a
 * configuration and a scope of its own. They share the plugin's code and its self (what create()
 * gave, all that activate() prepared): an instance is a name, under which hook handlers run once
 * more and services are offered, and mt_config reads its configuration meanwhile. Operations,
 * queues and Lua policies are the default instance's alone.
 */
#ifndef MTI_PLUGIN_INSTANCES_H
#define MTI_PLUGIN_INSTANCES_H

#include "plugin/record.h"

typedef struct mti_instance {
    /* "" is the default one, always the first of its plugin */
    const char *name;
    uint16_t seats[2];                       /* of its plugin and its own (bus/bus.h) */
    bool has_priority;
    int priority;                            /* of its hook handlers, in place of the manifest's */
    /* the operator's layer, and what that comes to; NULL for the default one: the record's */
    json_t *given, *config;
    const json_t *stored;                    /* the layer as it is stored; of the rows */
    json_t *scope;                           /* as given; NULL: every call */
    mti_provider providers[MTI_SVC_COUNT];   /* as the record's */
} mti_instance;

struct mti_instances {
    /* that readers may hold: all stay until the process ends */
    struct mti_instances *older;
    json_t *rows;                            /* what they were made from */
    unsigned n;
    mti_instance items[];
};

/* Reads the operator's rows of all current plugins, and of `also` (NULL: none): what changed is
 * published with the next publication. In a fiber of loop 0. An instance whose configuration does
 * not fit the version is left out, which the log tells. */
mt_status mti_instances_read(mti_plugins *p, mt_call *c, mti_plugin_record *also);
/* The default one only: for a record that was just made. */
void mti_instances_init(mti_plugin_record *r);
/* Whether the process has a place for an instance of this name; one that was there before keeps
 * it. Any thread, never suspends. */
bool mti_instances_room(const mti_plugin_record *r, const char *instance);
/* The record's services are known now. Nothing for a record of no host's (the scanner's). */
void mti_instances_bind(mti_plugin_record *r);
void mti_instances_dispose(mti_plugin_record *r);
/* The operator's layer of one as it is stored; NULL when there is none. Loop 0. */
const json_t *mti_instance_stored(const mti_plugin_record *r, const char *name);
/* By name; NULL when there is none. Any thread; stays valid. */
const mti_instance *mti_instance_find(const mti_plugin_record *r, mt_slice name);

/* How the default one is called where a name must stand. */
#define MTI_INSTANCE_DEFAULT "default"

/* What the operator makes of them: {config, scope, priority}. On any loop, in a fiber.
 * MT_NOT_FOUND plugin_unknown, instance_unknown; MT_INVALID with the pointer; MT_CONFLICT
 * instances_full, settings_full, settings_unfit. Taking one away takes along what organizations
 * have set of it. */
mt_status mti_plugins_put_instance(mti_plugins *p, mt_call *c, mt_slice slug, mt_slice instance,
                                   const json_t *body);
/* {items: [the one as it would be, and secrets_changed]}; changes nothing, fails as put does. *out
 * is a new reference. */
mt_status mti_plugins_preview_instance(mti_plugins *p, mt_call *c, mt_slice slug, mt_slice instance,
                                       const json_t *body, json_t **out);
mt_status mti_plugins_delete_instance(mti_plugins *p, mt_call *c, mt_slice slug, mt_slice instance);
/* {items: [{instance, config, given, scope, priority}]}, given but for the default one; *out is a
 * new reference. Any thread. */
mt_status mti_plugins_instances(mti_plugins *p, mt_call *c, mt_slice slug, json_t **out);

/* The provider that "SLUG" or "SLUG:INSTANCE" names, when r is it, active, and provides the
 * service. Any thread. */
const mti_provider *mti_record_provider(const mti_plugin_record *r, int service, mt_slice name);

#endif
