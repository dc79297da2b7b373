/* Shared by migrate.c and migrate_plugin.c. */
#ifndef MTI_DB_MIGRATE_IMPL_H
#define MTI_DB_MIGRATE_IMPL_H

#include "base/buf.h"
#include "db/migrate.h"

typedef struct mti_migration {
    int number;
    const char *name, *path;
    mt_slice text; /* NUL-terminated */
    char checksum[65];
    bool applied;
} mti_migration;

/* The file as people know it: "sql/001_item.sql". */
static inline const char *mti_migration_file(const mti_migration *m)
{
    const char *slash = strrchr(m->path, '/');
    while (slash > m->path && slash[-1] != '/')
        slash--;
    return slash ? slash : m->path;
}

/* The files of dir in order, in the call's arena; none when dir does not exist. */
mt_status mti_migrations_read(mt_call *c, const char *dir, mti_migration **out, size_t *n);
/* A transaction that holds the lock of all hosts. */
mt_status mti_migration_begin(mt_call *c);
/* Marks what is applied; MT_CONFLICT when a file changed after that. */
mt_status mti_migration_mark(mt_call *c, const char *owner, mti_migration *list, size_t n);
mt_status mti_migration_record(mt_call *c, const char *owner, const mti_migration *m);
/* One statement with at most four text parameters, on the write lane or in the open transaction;
 * out may be NULL. */
mt_status mti_migration_sql(mt_call *c, const mti_db_role *role, const char *sql, size_t n,
                            const char *const *values, mti_result **out);
/* The line of a position (1-based, in characters) in a text that begins on line. */
int mti_migration_line(const char *text, int position, int line);
/* Turns the database's refusal of a file's statement into MT_INVALID with file and line. */
mt_status mti_migration_fail(mt_call *c, const mti_migration *m, const char *text, int line);

#endif
