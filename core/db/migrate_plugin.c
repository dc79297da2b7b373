/* Migrations of a plugin: its statements one by one as its owner role, and before COMMIT the checks
 * of CONTRACT rules 20–22 and 26. */
#include <ctype.h>
#include <stdio.h>

#include "db/migrate_impl.h"
#include "db/split.h"

static mt_status fail_line(mt_call *c, const mti_migration *m, int line, const char *what)
{
    return mti_fail(&c->error, MT_INVALID, "migration_failed", "%s:%d: %s", mti_migration_file(m), line, what);
}

static mt_status apply(mt_call *c, const mti_db_role *owner, const mti_migration *m)
{
    mti_splitter s = {m->text.p, m->text.p + m->text.len, 1};
    for (;;) {
        mt_slice statement;
        int line = s.line;
        mt_status status = mti_split_next(&s, &statement, &line);
        if (status == MT_DONE)
            return MT_OK;
        if (status)
            return fail_line(c, m, line,
                             "the file ends inside a literal, a quoted name or a comment.");
        if (!mti_split_allowed(statement))
            return fail_line(c, m, line,
                             "a plugin's migration may create, alter and drop tables, indexes, "
                             "types, sequences and views, and change rows.");
        const char *sql = mti_arena_strndup(&c->arena, statement.p, statement.len);
        if (mti_migration_sql(c, owner, sql, 0, NULL, NULL))
            return mti_migration_fail(c, m, sql, line);
    }
}

static mt_status apply_all(mt_call *c, const mti_plugin_schema *p, const mti_db_role *owner,
                           mti_migration *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (list[i].applied)
            continue;
        MT_TRY(apply(c, owner, &list[i]));
        MT_TRY(mti_migration_record(c, p->slug, &list[i]));
    }
    return MT_OK;
}

/* Migrations only expand: the queries that another host, or this one after a rollback, still runs
 * must go on working. */
static mt_status check_previous(mt_call *c, const mti_plugin_schema *p, const mti_db_role *runtime)
{
    for (size_t i = 0; i < p->n_previous; i++) {
        const mti_query *q = &p->previous[i];
        mti_description *d;
        if (mti_db_describe(c, runtime, q, &d) == MT_OK)
            continue;
        if (!mti_db_sqlstate(c)[0])
            return c->error.status;
        return mti_fail(&c->error, MT_INVALID, "migration_breaks_previous",
                        "The query %s of the version before (%s:%d) would fail after this "
                        "migration: %s. Drop things a version later.",
                        q->name, q->file, q->line, mti_db_message(c, NULL));
    }
    return MT_OK;
}

static mt_status call(mt_call *c, const char *sql, const char *slug)
{
    return mti_migration_sql(c, NULL, sql, 1, &slug, NULL);
}

static mt_status work(mt_call *c, const mti_plugin_schema *p, mti_migration *list, size_t n)
{
    char owner_name[80], runtime_name[80];
    snprintf(owner_name, sizeof owner_name, "mt_o_%s", p->slug);
    snprintf(runtime_name, sizeof runtime_name, "mt_p_%s", p->slug);
    mti_db_role owner = {owner_name}, runtime = {runtime_name};
    MT_TRY(mti_migration_begin(c));
    MT_TRY(mti_migration_mark(c, p->slug, list, n));
    MT_TRY(call(c, "SELECT mt.ensure_plugin($1)", p->slug));
    for (size_t i = 0; i < p->n_references; i++)
        MT_TRY(mti_migration_sql(c, NULL, "SELECT mt.grant_reference($1, $2)", 2,
                                 (const char *[]){p->slug, p->references[i]}, NULL));
    MT_TRY(apply_all(c, p, &owner, list, n));
    MT_TRY(call(c, "SELECT mt.grant_own($1)", p->slug));
    MT_TRY(call(c, "SELECT mt.check_plugin($1)", p->slug));
    return check_previous(c, p, &runtime);
}

mt_status mti_migrate_plugin(mt_call *c, const mti_plugin_schema *p)
{
    mti_migration *list;
    size_t n;
    if (strlen(p->slug) > 48)
        return mti_fail(&c->error, MT_INVALID, "slug_too_long",
                        "%s: a plugin with tables has a slug of at most 48 characters.", p->slug);
    MT_TRY(mti_migrations_read(c, p->dir ? p->dir : "", &list, &n));
    mt_status status = work(c, p, list, n);
    if (status) {
        mti_db_rollback(c);
        return status == MT_PRECONDITION || status == MT_INVALID ? MT_INVALID : status;
    }
    return mti_db_commit(c);
}
