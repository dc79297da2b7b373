/* What active plugins registered, made visible at once: routes, hooks, policies, services, the OpenAPI document. Loop 0 (or before the loops run). */
#ifndef MTI_PLUGIN_PUBLISH_H
#define MTI_PLUGIN_PUBLISH_H

#include "plugin/record.h"

mt_status mti_publish(mti_plugins *p, mti_error *e);
void mti_publish_services(mti_plugins *p);
/* Whether the routes and schemas of with fit beside all others but without. MT_CONFLICT says what collides. */
mt_status mti_publish_check(const mti_plugins *p, const mti_plugin_record *without, const mti_plugin_record *with, mti_error *e);
/* Whether no other active plugin provides the interface. */
bool mti_publish_only_provider(const mti_plugins *p, const mti_plugin_record *r, const char *interface);
void mti_publish_dispose(mti_plugins *p);

#endif
