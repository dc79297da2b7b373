/* From the shorthand of api.json to OpenAPI 3.1 paths and components. */
#ifndef MTI_CONTRACT_EXPAND_H
#define MTI_CONTRACT_EXPAND_H

#include "json/json.h"

/* *out is {"paths": …, "components": {"schemas": …}}: each operation with parameters, body, answers, security and standard errors added, the x-
 * shorthand kept, and "x-query-schema" (an object schema of the query parameters) where there are any. Schemas with properties get their type; those
 * used as a body refuse unknown members. MT_INVALID names the place: with line and column where dir, the folder of api.json, is no NULL. Any thread. */
mt_status mti_contract_expand(const char *slug, const char *dir, const json_t *api, json_t **out, mti_error *e);

#endif
