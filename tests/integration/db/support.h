/* A managed PostgreSQL in a temporary directory, a loop stepped by hand, and fibers that run
 * queries on it. One a program. */
#ifndef TESTS_INTEGRATION_DB_SUPPORT_H
#define TESTS_INTEGRATION_DB_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/ident.h"
#include "db/db.h"
#include "db/json_rows.h"
#include "db/managed.h"
#include "db/migrate.h"

typedef struct world {
    char dir[64];
    mti_managed *server;
    mti_loop *loop;
    mti_db *db;
} world;

extern world w;
extern const char org_a[], org_b[], nobody[];

int world_start(void **state); /* server, core migrations, lanes; for cmocka_run_group_tests */
int world_stop(void **state);
/* Turns the loop until *flag or ms have passed; fails the test when they have. */
void turn_until(const bool *flag, int ms);
void turn_for(int ms);
/* Runs fn in a fiber with a call of the organization, to its end. */
void in_fiber(const char *org, void (*fn)(mt_call *c));
/* The same without waiting; *done is set at its end. */
void start_fiber(const char *org, void (*fn)(mt_call *c), bool *done);

/* A query from its text ("-- name:" is added); lives until the program ends. */
const mti_query *query(const char *header, const char *sql);
mt_status run(mt_call *c, const char *role, const mti_query *q, mti_result **out,
              ...); /* text parameters */
/* One value of the first row, "" for none; fails the test on an error. */
const char *value(mt_call *c, const char *role, const char *sql);
void exec_ok(mt_call *c, const char *sql);
/* Migrates a plugin from one file's text. */
mt_status migrate(mt_call *c, const char *slug, const char *sql, const char *reference);
void make_notes(mt_call *c); /* the plugin "notes": notes.note with a quota, notes.tag without */

#define assert_ok(expr) assert_status(expr, MT_OK)
#define assert_status(expr, wanted)                                                                \
    do {                                                                                           \
        mt_status got_ = (expr);                                                                   \
        if (got_ != (wanted))                                                                      \
            fail_msg("%s: status %d, code %s, detail %s, sqlstate %s, message %s", #expr, got_,    \
                     c->error.code, c->error.detail, mti_db_sqlstate(c), mti_db_message(c, NULL)); \
    } while (0)

#endif
