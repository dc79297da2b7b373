/*
 * Migrations: numbered files, checksummed, each in one transaction under a lock that all hosts share. Core ones (sql/) run as the
 * connection's role; a plugin's run as its owner role mt_o_SLUG, which with its runtime role mt_p_SLUG and schema is created here.
 */
#ifndef MTI_DB_MIGRATE_H
#define MTI_DB_MIGRATE_H

#include "db/db.h"

/* Applies what is missing of DIR/NNN_name.sql in order. A file whose checksum changed after it was applied is refused
 * (MT_CONFLICT, names the file). A schema newer than the files is accepted (a rolled-back host). */
mt_status mti_migrate_core(mt_call *c, const char *dir);
/* False where the database does not let us take set_config and its like from plugin roles: untrusted plugins may not bring SQL then. */
mt_status mti_migrate_closed(mt_call *c, bool *closed);

typedef struct mti_plugin_schema {
    const char *slug;                         /* schema = slug with '-' as '_' */
    const char *dir;                          /* of NNN_name.sql files; may not exist: only roles and references */
    const char *const *references;            /* "tenancy.workspace" …: tables of others it may reference (REFERENCES, SELECT) */
    size_t n_references;
    const mti_query *previous;                /* the previous version's queries, prepared inside the transaction; may be NULL */
    size_t n_previous;
} mti_plugin_schema;

/* Creates roles and schema when missing, grants the references, applies the files and, in the same transaction, checks that only what rule 21
 * allows was left (mt.check_plugin). Fails with MT_INVALID and file:line or object name in c->error. */
mt_status mti_migrate_plugin(mt_call *c, const mti_plugin_schema *p);

#endif
