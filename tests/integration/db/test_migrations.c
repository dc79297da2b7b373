/* Migrations: what a plugin may leave behind, what it may not, and what a change of files does. */
#include "support.h"

#include <sys/stat.h>

#define TABLE                                                                                      \
    "CREATE TABLE bad.t (org_id uuid NOT NULL DEFAULT mt.org_id(), id uuid NOT NULL, v text, "     \
    "PRIMARY KEY (org_id, id));\n"
#define DECLARED TABLE "SELECT mt.tenant_table('bad.t');\n"

typedef struct refusal {
    const char *sql, *says;
} refusal;

static const refusal refusals[] = {
    {TABLE, "not (or no longer) declared"},
    {"CREATE TABLE bad.t (id uuid PRIMARY KEY);\nSELECT mt.tenant_table('bad.t');",
     "needs a column org_id"},
    {DECLARED "ALTER TABLE bad.t DISABLE ROW LEVEL SECURITY", "not (or no longer) declared"},
    {DECLARED "ALTER TABLE bad.t NO FORCE ROW LEVEL SECURITY", "not (or no longer) declared"},
    {DECLARED "ALTER TABLE bad.t DISABLE TRIGGER mt_change", "not (or no longer) declared"},
    {DECLARED "ALTER TABLE bad.t ADD UNIQUE (v)", "does not begin with org_id"},
    {DECLARED "CREATE UNIQUE INDEX other ON bad.t (lower(v))", "does not begin with org_id"},
    {DECLARED "CREATE TABLE bad.u (org_id uuid NOT NULL, id uuid, t uuid, PRIMARY KEY (org_id, "
              "id));\nALTER TABLE bad.t ADD UNIQUE (org_id, v);\n"
              "ALTER TABLE bad.u ADD CONSTRAINT fk FOREIGN KEY (t, org_id) REFERENCES bad.t (id, "
              "org_id);\nSELECT mt.tenant_table('bad.u')",
     "foreign key fk"},
    {"CREATE TABLE bad.t (org_id uuid NOT NULL, id uuid, PRIMARY KEY (id))",
     "not (or no longer) declared"},
    {DECLARED "CREATE VIEW bad.v AS SELECT * FROM bad.t", "security_invoker"},
    {DECLARED "CREATE MATERIALIZED VIEW bad.m AS SELECT 1 AS x", "may create, alter and drop"},
    {DECLARED "CREATE FUNCTION bad.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
     "may create, alter and drop"},
    {DECLARED "CREATE OR REPLACE /* x */ FUNCTION bad.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
     "may create, alter and drop"},
    {DECLARED "CREATE TYPE bad.r AS RANGE (subtype = int4)", "is a function"},
    {DECLARED "CREATE RULE r AS ON INSERT TO bad.t DO NOTHING", "may create, alter and drop"},
    {DECLARED "CREATE TRIGGER x AFTER INSERT ON bad.t FOR EACH ROW EXECUTE FUNCTION "
              "mt.on_change('', '{}', '')",
     "may create, alter and drop"},
    {DECLARED "RESET ROLE", "may create, alter and drop"},
    {DECLARED "SET ROLE NONE", "may create, alter and drop"},
    {DECLARED "-- x\nset local role none", "_test.sql:4: a plugin's"},
    {DECLARED "COMMIT", "may create, alter and drop"},
    {DECLARED "DO $$ BEGIN END $$", "may create, alter and drop"},
    {DECLARED "GRANT SELECT ON bad.t TO PUBLIC", "may create, alter and drop"},
    {DECLARED "SELECT set_config('role', 'none', false)", "permission denied"},
    {DECLARED "CREATE TABLE mt.mine (x int)", "permission denied"},
    {DECLARED "CREATE TABLE public.mine (x int)", "permission denied"},
    {DECLARED "CREATE TEMP TABLE mine (x int)", "may create, alter and drop"},
    {DECLARED "SELECT mt.put_credential('{}')", "permission denied"},
    {DECLARED "SELECT mt.check_plugin('bad')", "permission denied"},
    {TABLE "SELECT mt.tenant_table('bad.t', directory => 'credential')",
     "may not fill the directory"},
    {DECLARED "INSERT INTO tenancy.workspace DEFAULT VALUES", "does not exist"},
    {DECLARED "UPDATE bad.t SET v = 'unclosed", "ends inside"},
    {DECLARED "\n\nALTER TABLE bad.t\n  ADD w textt", "_test.sql:6: type \"textt\" does not exist"},
};

static void refuse_all(mt_call *c)
{
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        mt_status status = migrate(c, "bad", refusals[i].sql, NULL);
        if (status != MT_INVALID || !strstr(c->error.detail, refusals[i].says))
            fail_msg("%s\n→ %d %s", refusals[i].sql, status, c->error.detail);
        assert_string_equal(
            value(c, NULL,
                  "SELECT count(*) FROM pg_class WHERE relnamespace = to_regnamespace('bad')"),
            "0");
        assert_string_equal(value(c, NULL, "SELECT current_user = session_user"), "t");
    }
}

static void test_refusals(void **state)
{
    in_fiber(nobody, refuse_all);
}

static void allowed(mt_call *c)
{
    assert_ok(migrate(
        c, "good-one",
        "CREATE TYPE good_one.kind AS ENUM ('a;b', 'c''d');\nCREATE DOMAIN good_one.name AS text "
        "CHECK (VALUE <> '');\nCREATE SEQUENCE good_one.seq;\n"
        "CREATE TABLE good_one.t (org_id uuid NOT NULL DEFAULT mt.org_id(), id uuid NOT NULL, k "
        "good_one.kind, n good_one.name, s bigint DEFAULT nextval('good_one.seq'), PRIMARY KEY "
        "(org_id, id));\n"
        "CREATE INDEX t_n ON good_one.t (org_id, n);\nSELECT mt.tenant_table('good_one.t');\n"
        "CREATE VIEW good_one.v WITH (security_invoker = true) AS SELECT id, n FROM "
        "good_one.t;\nCOMMENT ON TABLE good_one.t IS 'semi;colon $x$';\n",
        NULL));
    assert_ok(run(c, "mt_p_good-one",
                  query("a :exec", "INSERT INTO good_one.t (id, n) VALUES (:id, 'x')"), NULL,
                  "0190c000-0000-7000-8000-000000000001"));
    assert_string_equal(value(c, "mt_p_good-one", "SELECT n FROM good_one.v"), "x");
}

static void view_of_other(mt_call *c)
{
    assert_string_equal(value(c, "mt_p_good-one", "SELECT count(*) FROM good_one.v"), "0");
}

static void test_allowed(void **state)
{
    in_fiber(org_a, allowed);
    in_fiber(org_b, view_of_other);
}

static void references(mt_call *c)
{
    static const char sql[] =
        "CREATE TABLE leaf.t (org_id uuid NOT NULL DEFAULT mt.org_id(), id uuid NOT NULL, note_id "
        "uuid NOT NULL, PRIMARY KEY (org_id, id), "
        "FOREIGN KEY (org_id, note_id) REFERENCES notes.note (org_id, id) ON DELETE "
        "CASCADE);\nSELECT mt.tenant_table('leaf.t', quota => 'leaves');";
    make_notes(c);
    assert_status(migrate(c, "leaf", sql, NULL), MT_INVALID); /* not asked for: denied */
    assert_status(migrate(c, "leaf", sql, "absent.table"), MT_INVALID);
    assert_ok(migrate(c, "leaf", sql, "notes.note"));
    assert_ok(run(c, "mt_p_notes",
                  query("n :exec", "INSERT INTO notes.note (id, title) VALUES (:id, 't')"), NULL,
                  "0190c000-0000-7000-8000-000000000001"));
    assert_ok(run(c, "mt_p_leaf",
                  query("n :exec", "INSERT INTO leaf.t (id, note_id) VALUES (:id, :id)"), NULL,
                  "0190c000-0000-7000-8000-000000000001"));
    assert_string_equal(value(c, "mt_p_leaf", "SELECT title FROM notes.note"), "t");
    assert_status(run(c, "mt_p_leaf", query("n :exec", "DELETE FROM notes.note"), NULL),
                  MT_INTERNAL);
    assert_status(run(c, "mt_p_notes", query("n :one", "SELECT id FROM leaf.t"), NULL),
                  MT_INTERNAL);
    assert_string_equal(value(c, NULL, "SELECT used FROM mt.quota WHERE resource = 'leaves'"), "1");
    assert_ok(run(c, "mt_p_notes", query("n :exec", "DELETE FROM notes.note"), NULL));
    assert_string_equal(value(c, NULL, "SELECT used FROM mt.quota WHERE resource = 'leaves'"),
                        "0"); /* given back through the cascade */
}

static void other_org_is_no_reference(mt_call *c)
{
    assert_status(run(c, "mt_p_leaf",
                      query("n :exec", "INSERT INTO leaf.t (id, note_id) VALUES (:id, :id)"), NULL,
                      "0190c000-0000-7000-8000-000000000001"),
                  MT_INVALID);
    assert_string_equal(mti_db_sqlstate(c), "23503");
}

static void test_references(void **state)
{
    in_fiber(org_a, references);
    in_fiber(org_b, other_org_is_no_reference);
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

#define STEP                                                                                       \
    "CREATE TABLE step.t (org_id uuid NOT NULL DEFAULT mt.org_id(), id uuid NOT NULL, v text, "    \
    "PRIMARY KEY (org_id, id));\nSELECT mt.tenant_table('step.t');\n"

static void files(mt_call *c)
{
    char dir[128], one[160], two[160];
    snprintf(dir, sizeof dir, "%s/step", w.dir);
    snprintf(one, sizeof one, "%s/001_a.sql", dir);
    snprintf(two, sizeof two, "%s/002_b.sql", dir);
    mkdir(dir, 0700);
    write_file(one, STEP);
    mti_plugin_schema p = {.slug = "step", .dir = dir};
    assert_ok(mti_migrate_plugin(c, &p));
    assert_ok(mti_migrate_plugin(c, &p)); /* nothing to do */
    p.previous = query("step_get :one", "SELECT v FROM step.t WHERE id = :id");
    p.n_previous = 1;
    write_file(two, "ALTER TABLE step.t RENAME v TO vv;");
    assert_status(mti_migrate_plugin(c, &p), MT_INVALID); /* the version before still reads v */
    assert_string_equal(c->error.code, "migration_breaks_previous");
    assert_non_null(strstr(c->error.detail, "step_get"));
    write_file(two, "ALTER TABLE step.t ADD w text;");
    assert_ok(mti_migrate_plugin(c, &p));
    write_file(one, STEP "-- changed");
    assert_status(mti_migrate_plugin(c, &p), MT_CONFLICT);
    assert_string_equal(c->error.code, "migration_changed");
    remove(one);
    remove(two);
    assert_ok(mti_migrate_plugin(c, &p)); /* a rolled-back host knows fewer files */
    assert_ok(
        mti_migrate_plugin(c, &(mti_plugin_schema){.slug = "none", .dir = "/nonexistent/dir"}));
}

static void test_files(void **state)
{
    in_fiber(nobody, files);
}

static void describe(mt_call *c)
{
    mti_description *d;
    assert_ok(mti_db_describe(
        c, &(mti_db_role){"mt_p_step"},
        query("d :one", "UPDATE step.t SET v = :v WHERE id = :id RETURNING id, v AS _etag"), &d));
    assert_int_equal(d->n_params, 2);
    assert_int_equal(d->params[0], 25);
    assert_int_equal(d->params[1], 2950);
    assert_int_equal(d->n_columns, 2);
    assert_string_equal(d->columns[1].name, "_etag");
    assert_string_equal(mti_rows_json_type(d->columns[0].type), "string");
    assert_status(mti_db_describe(c, &(mti_db_role){"mt_p_step"},
                                  query("d :one", "SELECT id FROM bad.t"), &d),
                  MT_INTERNAL);
    bool closed = false;
    assert_ok(mti_migrate_closed(c, &closed));
    assert_true(closed);
    assert_ok(mti_migrate_core(c, "sql"));
}

static void test_describe(void **state)
{
    in_fiber(nobody, describe);
}

static int migrated;

static void same_time(mt_call *c)
{
    char dir[128], one[160];
    snprintf(dir, sizeof dir, "%s/twin", w.dir);
    snprintf(one, sizeof one, "%s/001_a.sql", dir);
    mkdir(dir, 0700);
    write_file(one, "CREATE TABLE twin.t (org_id uuid NOT NULL, PRIMARY KEY (org_id));\nSELECT "
                    "mt.tenant_table('twin.t');");
    assert_ok(mti_migrate_plugin(c, &(mti_plugin_schema){.slug = "twin", .dir = dir}));
    migrated++;
}

static void test_hosts_at_the_same_time(void **state)
{
    bool done[3];
    for (int i = 0; i < 3; i++)
        start_fiber(nobody, same_time, &done[i]);
    for (int i = 0; i < 3; i++)
        turn_until(&done[i], 5000);
    assert_int_equal(migrated, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals),   cmocka_unit_test(test_allowed),
        cmocka_unit_test(test_references), cmocka_unit_test(test_files),
        cmocka_unit_test(test_describe),   cmocka_unit_test(test_hosts_at_the_same_time),
    };
    return cmocka_run_group_tests(tests, world_start, world_stop);
}
