/*
 * Configuration in layers: defaults of the plugin's config_schema ← the operator's ← the
 * organization's ← the workspace's. Each layer above the operator's is a merge patch (RFC 7396):
 * objects are merged member by member, anything else replaces, null takes away what the layers
 * below say, so that the default counts again. Who may set a property is in its schema: "x-level":
 * "workspace" (a workspace, or its organization), "organization", or "operator", which is also
 * what it is without. It holds for everything below the property that does not say otherwise. All
 * functions: any thread, never suspend.
 */
#ifndef MTI_PLUGIN_LAYERS_H
#define MTI_PLUGIN_LAYERS_H

#include "base/ident.h"
#include "plugin/manifest.h"

typedef enum mti_level {
    MTI_LEVEL_OPERATOR, MTI_LEVEL_ORGANIZATION, MTI_LEVEL_WORKSPACE
} mti_level;
enum { MTI_LAYERS = 3 };

/* "x-level" stands in "properties" only, nowhere else in a schema: what is found elsewhere would
 * not be obeyed. MT_INVALID with the pointer. */
mt_status mti_layer_schema_check(const json_t *schema, mti_error *e);

/* RFC 7396. Takes target, answers what it became. */
json_t *mti_layer_merge(json_t *target, const json_t *patch);

/* Whose it is, as its secrets are sealed for (secrets/secrets.h). */
#define MTI_LAYER_NAME 160
void mti_layer_name(char out[MTI_LAYER_NAME], mti_uuid org_id, mti_uuid workspace_id,
                    const char *instance);

/* Whether one of this level may set what the layer sets over what is below it (defaults are in
 * that). An object that takes the place of something else, or that would stand there without
 * setting anything, is set as a whole. MT_INVALID setting_not_allowed, with the pointer. */
mt_status mti_layer_check(const json_t *schema, const json_t *below, const json_t *layer,
                          mti_level level, mti_error *e);

/* The layers laid over each other (NULL: none of that level), defaults filled in, valid by the
 * plugin's schema. *out is a new reference; MT_INVALID with the pointer when the result, or what a
 * layer sets, is not as the schema has it. */
mt_status mti_layers_merge(const mti_manifest *m, const json_t *const layers[MTI_LAYERS],
                           json_t **out, mti_error *e);

/* What people may see of layers as they are stored, laid over each other, with defaults: made from
 * the sealed form, so that no secret is in it that a version's schema does not know of. Not
 * checked. A new reference. */
json_t *mti_layers_shown(const mti_manifest *m, const json_t *const stored[MTI_LAYERS]);

/* Which layer each value of merged comes from: an object of JSON pointer → "default", "operator",
 * "organization", "workspace". New reference. */
json_t *mti_layers_origins(const json_t *const layers[MTI_LAYERS], const json_t *merged);

/* A copy with only what somebody of an organization may set: the rest is the operator's, and
 * nobody else's to see. New reference. */
json_t *mti_layer_visible(const json_t *schema, const json_t *config);

#endif
