/* Rows to JSON by PostgreSQL type (CONTRACT.md rules 1 and 10): straight into the buffer, no tree. */
#ifndef MTI_DB_JSON_ROWS_H
#define MTI_DB_JSON_ROWS_H

#include "base/buf.h"
#include "db/db.h"

/* True when a column of this type can be written (bool, int2/4/8, float4/8, numeric as string, text kinds, uuid, timestamptz, date, json, jsonb, bytea as base64,
 * and one-dimensional arrays of these). json_type answers "boolean", "integer", "number", "string", "array", "json" (any). */
const char *mti_rows_json_type(unsigned oid);
/* Writes one row as an object; columns whose name starts with '_' are left out; *etag (may be NULL) borrows _etag's text.
 * int8 is written as a number within ±2^53, else as a string. */
mt_status mti_rows_write_object(mti_buf *b, const mti_result *r, unsigned row, mt_slice *etag);
/* Writes one column's value, as object does. */
mt_status mti_rows_write_value(mti_buf *b, const mti_result *r, unsigned row, unsigned column);

#endif
