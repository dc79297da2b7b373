/* Migrations of the core. The lock is a row of nothing: an advisory lock held by the transaction
 * that applies a file. */
#include "db/migrate_impl.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/ident.h"
#include "base/log.h"
#include "db/lockdown.h"

enum { MAX_FILE = 4 << 20, MAX_FILES = 1000 };

static int by_number(const void *a, const void *b)
{
    return ((const mti_migration *)a)->number - ((const mti_migration *)b)->number;
}

/* NNN_name.sql, else 0. */
static int number_of(const char *name)
{
    char *end;
    size_t n = strlen(name);
    long number = strtol(name, &end, 10);
    return n > 5 && end - name == 3 && *end == '_' && !strcmp(name + n - 4, ".sql") ? (int)number
                                                                                    : 0;
}

static mt_status read_one(mt_call *c, const char *dir, const char *name, mti_migration *m)
{
    mti_buf text;
    uint8_t hash[32];
    m->number = number_of(name);
    m->name = mti_arena_strndup(&c->arena, name, strlen(name));
    m->path = mti_arena_printf(&c->arena, "%s/%s", dir, name);
    mt_status status = mti_buf_read_file(&text, m->path, MAX_FILE);
    if (status) {
        mti_buf_dispose(&text);
        return mti_fail(&c->error, status, "migration_unreadable", "%s cannot be read: %s.",
                        m->path, strerror(errno));
    }
    mti_sha256(text.p ? text.p : "", text.len, hash);
    mti_hex(hash, 32, m->checksum);
    m->text = mti_arena_slice(&c->arena, mti_buf_slice(&text));
    mti_buf_dispose(&text);
    return MT_OK;
}

mt_status mti_migrations_read(mt_call *c, const char *dir, mti_migration **out, size_t *n)
{
    DIR *d = opendir(dir);
    mt_status status = MT_OK;
    *n = 0;
    *out = NULL;
    if (!d)
        return errno == ENOENT ? MT_OK
                               : mti_fail(&c->error, MT_INTERNAL, "migration_unreadable", "%s: %s.",
                                          dir, strerror(errno));
    mti_migration *list = mti_arena_alloc(&c->arena, sizeof *list * MAX_FILES);
    for (struct dirent *f; !status && (f = readdir(d));)
        if (number_of(f->d_name) && *n < MAX_FILES)
            status = read_one(c, dir, f->d_name, &list[(*n)++]);
    closedir(d);
    qsort(list, *n, sizeof *list, by_number);
    for (size_t i = 1; !status && i < *n; i++)
        if (list[i].number == list[i - 1].number)
            status = mti_fail(&c->error, MT_INVALID, "migration_number",
                              "%s and %s have the same number.", list[i - 1].path, list[i].path);
    *out = list;
    return status;
}

mt_status mti_migration_sql(mt_call *c, const mti_db_role *role, const char *sql, size_t n,
                            const char *const *values, mti_result **out)
{
    mti_result *ignored;
    mti_param params[4];
    const char *names[4] = {"", "", "", ""};
    for (size_t i = 0; i < n; i++)
        params[i] = (mti_param){mt_str(values[i]), false};
    mti_query q = {.name = "migration",
                   .sql = sql,
                   .file = "",
                   .lane = MTI_LANE_WRITE,
                   .custom_plan = true,
                   .n_params = (unsigned)n,
                   .params = names};
    return mti_db_run(c, role, &q, params, out ? out : &ignored);
}

mt_status mti_migration_begin(mt_call *c)
{
    MT_TRY(mti_db_begin(c, NULL));
    return mti_db_exec(
        c,
        "SET LOCAL lock_timeout = '60s'; SET LOCAL statement_timeout = 0;"
        "SET LOCAL idle_in_transaction_session_timeout = 0; SELECT pg_advisory_xact_lock(7239002)");
}

mt_status mti_migration_mark(mt_call *c, const char *owner, mti_migration *list, size_t n)
{
    mti_result *r;
    MT_TRY(
        mti_migration_sql(c, NULL, "SELECT to_regclass('mt.migration') IS NOT NULL", 0, NULL, &r));
    if (mti_result_get(r, 0, 0).p[0] != 't')
        return MT_OK;
    MT_TRY(mti_migration_sql(c, NULL, "SELECT number, checksum FROM mt.migration WHERE owner = $1",
                             1, &owner, &r));
    for (unsigned row = 0; row < mti_result_rows(r); row++) {
        int number = atoi(mti_result_get(r, row, 0).p);
        for (size_t i = 0; i < n; i++) {
            if (list[i].number != number)
                continue;
            if (strcmp(list[i].checksum, mti_result_get(r, row, 1).p))
                return mti_fail(&c->error, MT_CONFLICT, "migration_changed",
                                "%s was changed after it was applied: put it back, and make the "
                                "change in a new file.",
                                list[i].path);
            list[i].applied = true;
        }
    }
    return MT_OK;
}

mt_status mti_migration_record(mt_call *c, const char *owner, const mti_migration *m)
{
    char number[12];
    snprintf(number, sizeof number, "%d", m->number);
    const char *values[] = {owner, number, m->name, m->checksum};
    mti_log(MTI_LOG_INFO, "migration.applied", "owner=%s file=%s", *owner ? owner : "core",
            m->name);
    return mti_migration_sql(
        c, NULL,
        "INSERT INTO mt.migration (owner, number, name, checksum) VALUES ($1, $2::int, $3, $4)", 4,
        values, NULL);
}

int mti_migration_line(const char *text, int position, int line)
{
    for (; *text && position > 1; text++, position -= ((unsigned char)*text & 0xc0) != 0x80)
        line += *text == '\n';
    return line;
}

mt_status mti_migration_fail(mt_call *c, const mti_migration *m, const char *text, int line)
{
    int position;
    char message[384];
    if (!mti_db_sqlstate(c)[0])
        return c->error.status; /* not the file's fault */
    if (!strncmp(mti_db_sqlstate(c), "MT", 2))
        snprintf(message, sizeof message, "%s", c->error.detail);
    else
        snprintf(message, sizeof message, "%s", mti_db_message(c, NULL));
    mti_db_message(c, &position);
    return mti_fail(&c->error, MT_INVALID, "migration_failed", "%s:%d: %s", mti_migration_file(m),
                    mti_migration_line(text, position, line), message);
}

static mt_status apply_core(mt_call *c, mti_migration *m)
{
    MT_TRY(mti_migration_begin(c));
    MT_TRY(mti_migration_mark(c, "", m, 1)); /* another host may have been faster */
    if (m->applied)
        return MT_OK;
    if (mti_db_exec(c, m->text.p))
        return mti_migration_fail(c, m, m->text.p, 1);
    return mti_migration_record(c, "", m);
}

static mt_status is_closed(mt_call *c, bool *closed, bool *superuser)
{
    mti_result *r;
    MT_TRY(mti_migration_sql(c, NULL,
                             "SELECT has_function_privilege('mt_member', "
                             "'pg_catalog.set_config(text,text,boolean)', 'EXECUTE'),"
                             " (SELECT rolsuper FROM pg_roles WHERE rolname = session_user)",
                             0, NULL, &r));
    *closed = mti_result_get(r, 0, 0).p[0] == 'f';
    *superuser = mti_result_get(r, 0, 1).p[0] == 't';
    return MT_OK;
}

/* Where the database does not let us take set_config from PUBLIC, that is written down: untrusted
 * plugins then may not bring SQL. */
static mt_status lock_down(mt_call *c)
{
    bool closed, superuser;
    MT_TRY(is_closed(c, &closed, &superuser));
    if (!closed && superuser) {
        MT_TRY(mti_db_exec(c, MTI_LOCKDOWN_SQL));
        closed = true;
    }
    if (!closed)
        mti_log(MTI_LOG_WARN, "db.not_locked_down", "effect=%s",
                "untrusted plugins may not bring SQL");
    const char *value = closed ? "closed" : "open";
    return mti_migration_sql(c, NULL,
                             "INSERT INTO mt.setting VALUES ('plugin_sql', $1) ON CONFLICT (name) "
                             "DO UPDATE SET value = excluded.value "
                             "WHERE setting.value <> excluded.value",
                             1, &value, NULL);
}

mt_status mti_migrate_core(mt_call *c, const char *dir)
{
    mti_migration *list;
    size_t n;
    MT_TRY(mti_migrations_read(c, dir, &list, &n));
    if (!n)
        return mti_fail(&c->error, MT_INTERNAL, "migration_unreadable",
                        "There are no migrations in %s.", dir);
    MT_TRY(mti_migration_mark(c, "", list, n));
    for (size_t i = 0; i < n; i++) {
        if (list[i].applied)
            continue;
        mt_status status = apply_core(c, &list[i]);
        if (status) {
            mti_db_rollback(c);
            return status;
        }
        MT_TRY(mti_db_commit(c));
    }
    return lock_down(c);
}

mt_status mti_migrate_closed(mt_call *c, bool *closed)
{
    mti_result *r;
    MT_TRY(mti_migration_sql(c, NULL, "SELECT value FROM mt.setting WHERE name = 'plugin_sql'", 0,
                             NULL, &r));
    *closed = mti_result_rows(r) && !strcmp(mti_result_get(r, 0, 0).p, "closed");
    return MT_OK;
}
