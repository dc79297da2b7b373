/*
 * Named queries: the text between "-- name:" lines of a queries.sql file, with :name parameters turned into $1 … $n.
 * Grammar of the header line:   -- name: NAME :one|:many|:exec [cursor=COLUMN] [slow] [custom] [write] [tx]
 * `-- slow` and `-- custom` may also stand on lines of their own inside a query.
 */
#ifndef MTI_DB_QUERY_H
#define MTI_DB_QUERY_H

#include "base/arena.h"
#include "base/error.h"

typedef enum mti_query_kind { MTI_QUERY_ONE, MTI_QUERY_MANY, MTI_QUERY_EXEC } mti_query_kind;
typedef enum mti_lane { MTI_LANE_READ, MTI_LANE_WRITE, MTI_LANE_SLOW } mti_lane;

typedef struct mti_query {
    const char *name;
    const char *sql;             /* one statement, $n parameters, comments removed */
    const char *file;            /* for messages */
    int line;                    /* of its "-- name:" */
    mti_query_kind kind;
    mti_lane lane;               /* READ for SELECT/VALUES without a data-modifying WITH or FOR UPDATE; else WRITE; "slow" → SLOW */
    bool custom_plan;
    const char *cursor;          /* column, or NULL */
    unsigned n_params;           /* at most 64 */
    const char **params;         /* names without the colon, by position */
    char statement[36];          /* prepared-statement name: "q" + hash of the text */
} mti_query;

/* Parses a file's text. String literals, quoted identifiers, dollar quotes, comments, and "::" casts are respected.
 * Refused: two statements in one query, two queries of one name, anything but SELECT/INSERT/UPDATE/DELETE/MERGE/WITH/VALUES.
 * The queries live in the arena. */
mt_status mti_query_parse(mti_arena *a, const char *file, mt_slice text, mti_query **out, size_t *n, mti_error *e);
/* Line and column (characters) in the file of what stands at a position (characters, from 1: as PostgreSQL tells it) of a query's sql; those of its "-- name:" where the
 * text has no such place any more. */
void mti_query_place(mt_slice text, const mti_query *q, int position, int *line, int *column);

#endif
