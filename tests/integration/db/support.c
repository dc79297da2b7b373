#include "support.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

world w;
const char org_a[] = "0190a000-0000-7000-8000-00000000000a",
           org_b[] = "0190b000-0000-7000-8000-00000000000b", nobody[] = "";

typedef struct job {
    const char *org;
    void (*fn)(mt_call *c);
    bool *done;
} job;

static void migrate_core(mt_call *c)
{
    assert_ok(mti_migrate_core(c, "sql"));
}

int world_start(void **state)
{
    (void)state;
    mti_error e = {0};
    setenv("CMOCKA_TEST_ABORT", "1", 1); /* a failed assertion cannot jump out of a fiber */
    mti_log_setup(2, getenv("TEST_LOG") ? MTI_LOG_DEBUG : MTI_LOG_ERROR + 1, MTI_LOG_LOGFMT);
    strcpy(w.dir, "/tmp/mortise-test-XXXXXX");
    assert_non_null(mkdtemp(w.dir));
    chmod(w.dir, 0711);
    if (mti_managed_start(w.dir, &w.server, &e) || mti_managed_wait(w.server, 20000, &e))
        fail_msg("%s: %s", e.code, e.detail);
    w.loop = mti_loop_create(0);
    w.db = mti_db_create(&(mti_db_options){.url = mti_managed_url(w.server)});
    mti_db_attach(w.db, w.loop);
    in_fiber(nobody, migrate_core);
    return 0;
}

int world_stop(void **state)
{
    (void)state;
    char command[128];
    mti_db_detach(w.db, w.loop);
    mti_db_destroy(w.db);
    turn_for(20);
    mti_loop_destroy(w.loop);
    mti_managed_stop(w.server);
    snprintf(command, sizeof command, "rm -rf %s", w.dir);
    return system(command);
}

void turn_until(const bool *flag, int ms)
{
    int64_t end = mti_mono_us() + ms * 1000LL;
    while (!*flag) {
        if (mti_mono_us() > end)
            fail_msg("not within %d ms", ms);
        mti_loop_step(w.loop, 20);
    }
}

void turn_for(int ms)
{
    int64_t end = mti_mono_us() + ms * 1000LL;
    while (mti_mono_us() < end)
        mti_loop_step(w.loop, 5);
}

static void fiber(void *arg)
{
    job j = *(job *)arg;
    mt_call c;
    free(arg);
    mti_call_init(&c, w.loop);
    mti_uuid_parse(mt_str(j.org), &c.who.org_id);
    c.request_id = mti_uuid_v7();
    c.operation = "test.run";
    j.fn(&c);
    mti_call_dispose(&c);
    *j.done = true;
}

void start_fiber(const char *org, void (*fn)(mt_call *c), bool *done)
{
    job *j = malloc(sizeof *j);
    *j = (job){org, fn, done};
    *done = false;
    assert_int_equal(mti_fiber_spawn(w.loop, fiber, j), MT_OK);
}

void in_fiber(const char *org, void (*fn)(mt_call *c))
{
    bool done;
    start_fiber(org, fn, &done);
    turn_until(&done, 20000);
}

const mti_query *query(const char *header, const char *sql)
{
    static mti_arena arena = {.limit = 64 << 20};
    mti_query *q;
    size_t n;
    mti_error e;
    char *text = mti_arena_printf(&arena, "-- name: %s\n%s", header, sql);
    if (mti_query_parse(&arena, "test.sql", mt_str(text), &q, &n, &e))
        fail_msg("%s", e.detail);
    return q;
}

mt_status run(mt_call *c, const char *role, const mti_query *q, mti_result **out, ...)
{
    mti_param params[64];
    mti_result *ignored;
    va_list list;
    va_start(list, out);
    for (unsigned i = 0; i < q->n_params; i++)
        params[i] = (mti_param){mt_str(va_arg(list, const char *)), false};
    va_end(list);
    return mti_db_run(c, &(mti_db_role){role}, q, params, out ? out : &ignored);
}

const char *value(mt_call *c, const char *role, const char *sql)
{
    mti_result *r;
    assert_ok(run(c, role, query("v :one", sql), &r));
    return mti_result_rows(r) && !mti_result_null(r, 0, 0) ? mti_result_get(r, 0, 0).p : "";
}

void exec_ok(mt_call *c, const char *sql)
{
    assert_ok(mti_db_exec(c, sql));
}

mt_status migrate(mt_call *c, const char *slug, const char *sql, const char *reference)
{
    static int number;
    char dir[128], path[160];
    snprintf(dir, sizeof dir, "%s/plugin-%d", w.dir, ++number);
    snprintf(path, sizeof path, "%s/%03d_test.sql", dir, number);
    mkdir(dir, 0700);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(sql, f);
    fclose(f);
    mti_plugin_schema p = {
        .slug = slug, .dir = dir, .references = &reference, .n_references = reference ? 1 : 0};
    return mti_migrate_plugin(c, &p);
}

void make_notes(mt_call *c)
{
    assert_ok(
        migrate(c, "notes",
                "CREATE TABLE notes.note (\n"
                "  org_id uuid NOT NULL DEFAULT mt.org_id(), id uuid NOT NULL, title text NOT "
                "NULL, secret text, rank integer CHECK (rank > 0),\n"
                "  version bigint NOT NULL DEFAULT 1, PRIMARY KEY (org_id, id), CONSTRAINT "
                "note_title UNIQUE (org_id, title));\n"
                "CREATE TABLE notes.tag (org_id uuid NOT NULL DEFAULT mt.org_id(), note_id uuid "
                "NOT NULL, name text NOT NULL,\n"
                "  PRIMARY KEY (org_id, note_id, name), FOREIGN KEY (org_id, note_id) REFERENCES "
                "notes.note (org_id, id) ON DELETE CASCADE);\n"
                "SELECT mt.tenant_table('notes.note', quota => 'notes', mask => '{secret}');\n"
                "SELECT mt.tenant_table('notes.tag'); -- end\n",
                NULL));
}
