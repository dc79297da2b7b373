/* What keeps tenants apart: row-level security, roles, the lock-down; and what the core's triggers
 * and functions do for every table. */
#include "support.h"

static const char P[] = "mt_p_notes";
static const char note_1[] = "0190c000-0000-7000-8000-000000000001",
                  note_2[] = "0190c000-0000-7000-8000-000000000002";

static const mti_query *q_add(void)
{
    return query("note_add :one", "INSERT INTO notes.note (id, title, secret) VALUES (:id, :title, "
                                  "'hidden') RETURNING id, version AS _etag");
}

static void add_note_a(mt_call *c)
{
    make_notes(c);
    assert_ok(run(c, P, q_add(), NULL, note_1, "first"));
}

static void see_nothing(mt_call *c)
{
    assert_string_equal(value(c, P, "SELECT count(*) FROM notes.note"), "0");
    assert_string_equal(value(c, P, "UPDATE notes.note SET title = 'stolen' RETURNING 1"), "");
    assert_string_equal(value(c, P, "DELETE FROM notes.note RETURNING 1"), "");
}

static void see_one(mt_call *c)
{
    assert_string_equal(value(c, P, "SELECT count(*) FROM notes.note"), "1");
    assert_string_equal(value(c, P, "SELECT title FROM notes.note"), "first");
}

static void test_rows_are_invisible_to_others(void **state)
{
    in_fiber(org_a, add_note_a);
    in_fiber(org_b, see_nothing);
    in_fiber(nobody, see_nothing);
    in_fiber(org_a, see_one);
}

static void insert_for_other(mt_call *c)
{
    const mti_query *q =
        query("x :exec",
              "INSERT INTO notes.note (org_id, id, title) VALUES (:org::uuid, :id, 'planted')");
    assert_status(run(c, P, q, NULL, org_a, note_2), MT_INTERNAL);
    assert_string_equal(mti_db_sqlstate(c), "42501");
    q = query("x :exec", "INSERT INTO notes.tag (note_id, name) VALUES (:id, 'x')");
    assert_status(run(c, P, q, NULL, note_1),
                  MT_INVALID); /* org_a's note: the composite key does not see it */
    assert_string_equal(c->error.code, "reference_not_found");
    assert_int_equal(mti_error_http(&c->error), 422);
}

static void test_rows_cannot_be_planted(void **state)
{
    in_fiber(org_b, insert_for_other);
}

static void planted(mt_call *c)
{
    static const char *const attacks[] = {
        "SELECT set_config('app.org_id', '0190a000-0000-7000-8000-00000000000a', true)",
        "SELECT pg_catalog.set_config('role', 'none', true)",
        "WITH x AS MATERIALIZED (SELECT set_config('app.org_id', "
        "'0190a000-0000-7000-8000-00000000000a', true) AS v) SELECT n.title FROM x, notes.note n",
        "SELECT query_to_xml('SELECT set_config(''app.org_id'', "
        "''0190a000-0000-7000-8000-00000000000a'', true)', true, true, '')",
        "SELECT query_to_xml('SET app.org_id = ''0190a000-0000-7000-8000-00000000000a''', true, "
        "true, '')",
        "UPDATE pg_settings SET setting = '0190a000-0000-7000-8000-00000000000a' WHERE name = "
        "'app.org_id'",
        "UPDATE pg_settings SET setting = 'off' WHERE name = 'row_security'",
        "SELECT pg_notify('mt_cache', 'x')",
        "SELECT pg_advisory_lock(1)",
        "SELECT pg_try_advisory_xact_lock(1)",
        "SELECT pg_sleep(0)",
        "SELECT lo_create(4711)",
        "SELECT lo_from_bytea(0, 'x')",
        "SELECT pg_terminate_backend(pg_backend_pid())",
        "SELECT * FROM mt.credential",
        "SELECT * FROM mt.job",
        "SELECT * FROM mt.idempotency",
        "SELECT * FROM mt.change",
        "SELECT * FROM mt.find_credential('x')",
        "SELECT mt.quota_set('0190a000-0000-7000-8000-00000000000a', 'notes', 99)",
        "SELECT mt.job_take('q', 1, 1, 'w')",
        "SELECT mt.count_change('0190a000-0000-7000-8000-00000000000a', 'notes', '{}', 1)",
    };
    for (size_t i = 0; i < sizeof attacks / sizeof *attacks; i++) {
        if (run(c, P, query("attack :many write", attacks[i]), NULL) == MT_OK)
            fail_msg("not denied: %s", attacks[i]);
        if (strcmp(mti_db_sqlstate(c), "42501") && strcmp(mti_db_sqlstate(c), "0A000"))
            fail_msg("%s: %s %s", attacks[i], mti_db_sqlstate(c), mti_db_message(c, NULL));
    }
}

static void planted_in_transaction(mt_call *c)
{
    assert_ok(mti_db_begin(c, &(mti_db_role){P}));
    assert_string_equal(value(c, P, "SELECT count(*) FROM notes.note"), "0");
    assert_status(run(c, P, query("attack :one", "SELECT set_config('role', 'none', true)"), NULL),
                  MT_INTERNAL);
    assert_string_equal(mti_db_sqlstate(c), "42501");
    mti_db_rollback(c);
}

static void test_planted_queries_are_denied(void **state)
{
    in_fiber(org_b, planted);
    in_fiber(org_b, planted_in_transaction);
}

static void use_quota(mt_call *c)
{
    exec_ok(c, "SELECT mt.quota_set('0190b000-0000-7000-8000-00000000000b', 'notes', 2)");
    assert_ok(run(c, P, q_add(), NULL, note_1, "one"));
    assert_ok(run(c, P, q_add(), NULL, note_2, "two"));
    assert_status(run(c, P, q_add(), NULL, "0190c000-0000-7000-8000-000000000003", "three"),
                  MT_LIMITED);
    assert_int_equal(mti_error_http(&c->error), 429);
    assert_string_equal(c->error.code, "quota_exceeded");
    assert_string_equal(value(c, P, "SELECT count(*) FROM notes.note"), "2");
    assert_string_equal(value(c, P, "DELETE FROM notes.note WHERE title = 'two' RETURNING title"),
                        "two");
    assert_ok(run(c, P, q_add(), NULL, "0190c000-0000-7000-8000-000000000003", "three"));
    assert_string_equal(
        value(c, NULL,
              "SELECT used FROM mt.quota WHERE org_id = mt.org_id() AND resource = 'notes'"),
        "2");
}

static void test_quota(void **state)
{
    in_fiber(org_b, use_quota);
}

static void conflicts(mt_call *c)
{
    assert_status(run(c, P, q_add(), NULL, note_2, "first"), MT_CONFLICT);
    assert_string_equal(mti_db_constraint(c), "note_title");
    assert_int_equal(mti_error_http(&c->error), 409);
    assert_status(run(c, P, query("x :exec", "UPDATE notes.note SET rank = 0"), NULL), MT_INVALID);
    assert_status(
        run(c, P, query("x :one", "SELECT id FROM notes.note WHERE id = :id"), NULL, "no uuid"),
        MT_INVALID);
    assert_string_equal(mti_db_sqlstate(c), "22P02");
    mti_param nul = {{"a\0b", 3}, false};
    mti_result *r;
    assert_status(mti_db_run(c, &(mti_db_role){P}, query("x :one", "SELECT :t::text"), &nul, &r),
                  MT_INVALID);
    assert_string_equal(c->error.code, "nul_character");
}

static void test_errors(void **state)
{
    in_fiber(org_a, conflicts);
}

static const mti_query *q_patch(void)
{
    return query("patch :one", "UPDATE notes.note a SET (title, secret, rank, version) = (SELECT "
                               "p.title, p.secret, p.rank, mt.next_version(a.version, :if_match) "
                               "FROM jsonb_populate_record(a, :body) p) WHERE a.id = :id RETURNING "
                               "a.title, a.secret, a.version AS _etag");
}

static void patch(mt_call *c)
{
    mti_result *r;
    assert_ok(
        run(c, P, q_patch(), &r, NULL, "{\"secret\":null,\"version\":99,\"unknown\":1}", note_1));
    assert_string_equal(mti_result_get(r, 0, 0).p, "first");
    assert_true(mti_result_null(r, 0, 1));
    assert_string_equal(mti_result_get(r, 0, 2).p, "2");
    assert_status(run(c, P, q_patch(), NULL, "\"1\"", "{\"title\":\"late\"}", note_1),
                  MT_PRECONDITION);
    assert_int_equal(mti_error_http(&c->error), 412);
    assert_ok(run(c, P, q_patch(), NULL, "\"2\"", "{\"title\":\"renamed\"}", note_1));
}

static int won, stale;

static void race(mt_call *c)
{
    mt_status status = run(c, P, q_patch(), NULL, "3", "{\"rank\":7}", note_1);
    won += status == MT_OK;
    stale += status == MT_PRECONDITION;
}

static void test_patch_and_if_match(void **state)
{
    bool done[6];
    in_fiber(org_a, patch);
    for (int i = 0; i < 6; i++)
        start_fiber(org_a, race, &done[i]);
    for (int i = 0; i < 6; i++)
        turn_until(&done[i], 5000);
    assert_int_equal(won, 1);
    assert_int_equal(stale, 5);
}

static void read_log(mt_call *c)
{
    assert_string_equal(
        value(c, NULL,
              "SELECT before->>'title' || '>' || (after->>'title') FROM mt.change WHERE org_id = "
              "mt.org_id() AND op = 'U' "
              "AND operation = 'test.run' AND after->>'title' = 'renamed' ORDER BY id LIMIT 1"),
        "first>renamed");
    assert_string_equal(
        value(c, NULL,
              "SELECT count(*) FROM mt.change WHERE before ? 'secret' OR after ? 'secret'"),
        "0");
    assert_string_equal(
        value(
            c, NULL,
            "SELECT count(*) FROM mt.change WHERE \"table\" = 'notes.note' AND request_id IS NULL"),
        "0");
}

static void test_change_log(void **state)
{
    in_fiber(org_a, read_log);
}

static void rows_to_json(mt_call *c)
{
    mti_result *r;
    mti_buf b;
    mt_slice etag;
    mti_buf_init(&b, 4096);
    assert_ok(
        run(c, P,
            query("j :one", "SELECT true AS b, 9007199254740993::bigint AS big, 5::bigint AS "
                            "small, 1.5::real AS f, 'NaN'::float8 AS n, 'a\"b' AS t, "
                            "'2026-01-02 03:04:05.1+00'::timestamptz AS at, date '2026-01-02' AS "
                            "d, '{\"x\":[1]}'::jsonb AS j, 1.10::numeric AS m, '\\x00ff10'::bytea "
                            "AS y, NULL::int AS z, "
                            "ARRAY['a,b', NULL, 'NULL', '\\', 'ü'] AS ts, ARRAY[1,2] AS ns, "
                            "'{}'::uuid[] AS e, ARRAY['{\"k\":\"v,w\"}'::jsonb] AS js, 7 AS _etag"),
            &r));
    assert_int_equal(mti_rows_write_object(&b, r, 0, &etag), MT_OK);
    assert_string_equal(
        b.p, "{\"b\":true,\"big\":\"9007199254740993\",\"small\":5,\"f\":1.5,\"n\":null,\"t\":"
             "\"a\\\"b\",\"at\":\"2026-01-02T03:04:05.100000Z\","
             "\"d\":\"2026-01-02\",\"j\":{\"x\": "
             "[1]},\"m\":\"1.10\",\"y\":\"AP8Q\",\"z\":null,\"ts\":[\"a,b\",null,\"NULL\",\"\\\\\","
             "\"ü\"],\"ns\":[1,2],\"e\":[],\"js\":[{\"k\": \"v,w\"}]}");
    assert_true(mt_slice_eq(etag, MT_SLICE("7")));
    mti_buf_dispose(&b);
}

static void test_rows_to_json(void **state)
{
    in_fiber(org_a, rows_to_json);
}

static void fill_directory(mt_call *c)
{
    static const char T[] = "mt_p_tenancy";
    assert_ok(migrate(
        c, "tenancy",
        "CREATE TABLE tenancy.organization (org_id uuid PRIMARY KEY DEFAULT mt.org_id(), slug text "
        "NOT NULL UNIQUE);\n"
        "CREATE TABLE tenancy.api_key (org_id uuid NOT NULL DEFAULT mt.org_id(), id uuid NOT NULL, "
        "hash bytea NOT NULL UNIQUE, scopes text[] NOT NULL,\n"
        "  is_active boolean NOT NULL DEFAULT true, PRIMARY KEY (org_id, id));\n"
        "SELECT mt.tenant_table('tenancy.organization', directory => 'scope:organization');\n"
        "SELECT mt.tenant_table('tenancy.api_key', mask => '{hash}', directory => 'credential');\n",
        "mt.find_credential"));
    assert_ok(run(c, T, query("o :exec", "INSERT INTO tenancy.organization (slug) VALUES ('acme')"),
                  NULL));
    assert_ok(run(c, T,
                  query("k :exec", "INSERT INTO tenancy.api_key (id, hash, scopes) VALUES (:id, "
                                   "'\\xabcd', '{chat,search}')"),
                  NULL, note_1));
    assert_string_equal(
        value(c, NULL, "SELECT kind FROM mt.find_scope('0190a000-0000-7000-8000-00000000000a')"),
        "organization");
    assert_string_equal(value(c, NULL, "SELECT org_id FROM mt.find_organization('acme')"), org_a);
    assert_string_equal(
        value(c, T, "SELECT scopes::text || is_active FROM mt.find_credential('\\xabcd')"),
        "{chat,search}true");
    assert_ok(run(c, T, query("u :exec", "UPDATE tenancy.api_key SET is_active = false"), NULL));
    assert_string_equal(value(c, T, "SELECT is_active FROM mt.find_credential('\\xabcd')"), "f");
    assert_ok(run(c, T, query("d :exec", "DELETE FROM tenancy.api_key"), NULL));
    assert_string_equal(value(c, T, "SELECT count(*) FROM mt.find_credential('\\xabcd')"), "0");
}

static void test_directory(void **state)
{
    in_fiber(org_a, fill_directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_are_invisible_to_others),
        cmocka_unit_test(test_rows_cannot_be_planted),
        cmocka_unit_test(test_planted_queries_are_denied),
        cmocka_unit_test(test_quota),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_patch_and_if_match),
        cmocka_unit_test(test_change_log),
        cmocka_unit_test(test_rows_to_json),
        cmocka_unit_test(test_directory),
    };
    return cmocka_run_group_tests(tests, world_start, world_stop);
}
