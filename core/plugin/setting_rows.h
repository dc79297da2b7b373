/* The rows of mt.plugin_setting that setting_store.c works on: the queries, and what a list of
 * rows says. In the call's fiber. */
#ifndef MTI_PLUGIN_SETTING_ROWS_H
#define MTI_PLUGIN_SETTING_ROWS_H

#include "plugin/setting_store.h"

/* The queries on one row of the call's organization: written as given; deleted unless the
 * operator's word stands in it, emptied if it does; the operator's word alone; rows of a plugin
 * that say nothing. */
enum mti_setting_query {
    MTI_SETTING_PUT = 1, MTI_SETTING_DELETE, MTI_SETTING_EMPTY, MTI_SETTING_ALLOW,
    MTI_SETTING_TIDY
};

/* What a query is given, as far as it asks for it. */
typedef struct mti_setting_values {
    mti_setting_at at;
    mt_slice enabled, config, scope;
} mti_setting_values;

mt_status mti_setting_run(mt_call *c, enum mti_setting_query which, const mti_setting_values *v,
                          mti_result **out);

/* The rows of the call's organization, of a plugin or (slug.len 0) of all, as an array of objects;
 * the call keeps it. */
mt_status mti_setting_rows(mt_call *c, mt_slice slug, json_t **rows);
/* One of them; NULL when there is none. */
json_t *mti_setting_row(const json_t *rows, mt_slice slug, mt_slice instance,
                        mti_uuid workspace_id);
/* What they say of a plugin: what the operator allows, and whether the organization has it. */
bool mti_setting_allows(const json_t *rows, mt_slice slug);
bool mti_setting_on(const json_t *rows, mt_slice slug);
/* The text that is stored of a configuration or scope (NULL: {}); the call keeps it. MT_CONFLICT
 * settings_full when it is over MTI_SETTINGS_BYTES. */
mt_status mti_setting_text(mt_call *c, const json_t *v, mt_slice *out);
/* In a transaction: what the call's organization has set is nobody else's to change until it ends,
 * on no host. */
mt_status mti_setting_lock(mt_call *c);
/* For mti_arena_defer. */
void mti_setting_free(void *json);

#endif
