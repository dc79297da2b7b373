/*
 * Rows of mt.plugin_setting: read, checked, written (settings.h is what calls see of them). In a
 * fiber of any loop. A change counts for the next call once it is answered, on every loop of this
 * host; on other hosts when they are told.
 */
#ifndef MTI_PLUGIN_SETTING_STORE_H
#define MTI_PLUGIN_SETTING_STORE_H

#include "plugin/instances.h"

/* Of one organization: rows, and the bytes of their configurations. */
enum { MTI_SETTINGS_MAX = 1000, MTI_SETTINGS_BYTES = 1 << 20 };

/* Which row. The organization is the call's. */
typedef struct mti_setting_at {
    mt_slice slug, instance;                 /* instance.len 0: the default one */
    mti_uuid workspace_id;                   /* nil: the whole organization */
} mti_setting_at;

/* All of these: MT_NOT_FOUND plugin_unknown (also what the operator does not let the organization
 * have) or instance_unknown. *out is a new reference. */

/* {slug, instance, organization_id, workspace_id, allowed, enabled, config, scope, changed_at};
 * without a row, what that amounts to. */
mt_status mti_setting_get(mt_call *c, const mti_setting_at *at, json_t **out);
/* {enabled, config, scope}. MT_INVALID with the pointer into it; MT_CONFLICT plugin_essential,
 * plugin_mandatory, plugin_guards, plugin_serves_host, plugin_needed, settings_full. */
mt_status mti_setting_put(mt_call *c, const mti_setting_at *at, const json_t *body);
/* What get would answer then, and secrets_changed: pointers into config of secrets that would be
 * others. Changes nothing; fails as put does. */
mt_status mti_setting_preview(mt_call *c, const mti_setting_at *at, const json_t *body,
                              json_t **out);
/* Nothing of the organization's own any more; what the operator allows stays. */
mt_status mti_setting_delete(mt_call *c, const mti_setting_at *at);
/* The operator's word. MT_CONFLICT plugin_essential, plugin_needed. */
mt_status mti_setting_allow(mt_call *c, mt_slice slug, bool allowed);
/* {items: [{slug, name, version, description, category, allowed, enabled, settings: [as get]}]}:
 * what the organization may have, all for the operator. */
mt_status mti_setting_list(mt_call *c, json_t **out);
/* {slug, instance, organization_id, workspace_id, config, origins, ignored}. whole: with what is
 * the operator's alone; organization: with the layers of the call's organization. */
mt_status mti_setting_effective(mt_call *c, const mti_setting_at *at, bool organization, bool whole,
                                json_t **out);

/* MT_CONFLICT settings_unfit when rows of organizations do not fit another layer of the operator's
 * for a named instance. */
mt_status mti_settings_refuse_instance(mt_call *c, const mti_manifest *m, const char *instance,
                                       const json_t *config);
/* How many of all organizations' and instances' rows do not fit a version with this configuration
 * of the operator's, and the first of them in a sentence. */
mt_status mti_settings_unfit(mt_call *c, const mti_manifest *m, const json_t *config, unsigned *n,
                             char *first, size_t size);
/* MT_CONFLICT settings_unfit when there are any. */
mt_status mti_settings_refuse(mt_call *c, const mti_manifest *m, const json_t *config);

#endif
