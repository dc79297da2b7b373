/*
 * What organizations have otherwise than everybody (mt.plugin_setting): plugins that are off for
 * them, configuration over the operator's, hook handlers limited to some operations and keys. Read
 * when an organization's first call in a while begins on a loop, kept there (loop/org_cache.h),
 * let go of when a change is told. Calls carry it: c->settings, and in c->skip the handlers that
 * they do not meet; both are NULL for an organization that has nothing otherwise. A call keeps
 * what it began with to its end.
 */
#ifndef MTI_PLUGIN_SETTINGS_H
#define MTI_PLUGIN_SETTINGS_H

#include "plugin/instances.h"

typedef struct mti_settings mti_settings;

/* On each loop's thread, at its start and before its end. */
void mti_settings_start(mti_host *h, mti_loop *l);
void mti_settings_stop(mti_host *h, mti_loop *l);

/* Gives the call what its organization has, for its whole life. Suspends on a miss, for one round
 * trip. The database's failures. */
mt_status mti_settings_attach(mt_call *c);
/* Its operation or key is another one: scopes are looked at anew. */
void mti_settings_fit(mt_call *c);
/* The organization of the call is another one: what it carries is not that one's. */
void mti_settings_detach(mt_call *c);
/* After it answered no loop of this host starts a call with what it kept of the organization. */
void mti_settings_changed(mt_call *c, mti_uuid org_id);

/* Whether the call's organization has the plugin (or only the instance of it) switched off. */
bool mti_settings_off(const mt_call *c, const uint16_t seats[2]);
/* What mt_config reads: of the plugin whose code runs, of its instance, for the call's
 * organization and workspace. Borrowed, as long as the call lives; NULL: nothing. Merged once for
 * each organization and workspace that say something. Never suspends. */
const json_t *mti_settings_config(mt_call *c);

#endif
