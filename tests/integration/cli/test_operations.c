/*
 * What an operator does, over a real PostgreSQL: PostgreSQL killed under a running host, backup
 * beside a running server, restore. The host is a fake that only waits. The tests are steps of one
 * story and run in order.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <libpq-fe.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"
#include "db/managed.h"
#include "supervisor/supervisor.h"

enum { PATIENCE_MS = 60000 };

static char root[] = "/tmp/mortise-operations-XXXXXX";
static pid_t server;
static char host_before[64];

static int fake_host(const mti_host_setup *h)
{
    struct pollfd p = {.fd = h->stop_fd, .events = POLLIN};
    if (write(h->ready_fd, "r", 1) != 1)
        return 1;
    poll(&p, 1, -1);
    return 0;
}

static int serve(const mti_config *c)
{
    mti_error e = {0};
    return mti_supervisor_run(c, fake_host, false, &e);
}

/* Runs mortise in a child: `mortise a b --data ROOT/folder …`. */
static pid_t start(const char *command, const char *file, const char *folder, const char *flag)
{
    char data[200], path[200], *argv[9] = {"mortise", (char *)command};
    int argc = 2;
    snprintf(data, sizeof data, "--data=%s/%s", root, folder);
    snprintf(path, sizeof path, "%s/%s", root, file ? file : "");
    if (file)
        argv[argc++] = path;
    argv[argc++] = data;
    argv[argc++] = "--port=0";
    if (flag)
        argv[argc++] = (char *)flag;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        char log[200];
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        snprintf(log, sizeof log, "%s/log", root);
        int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
        if (dup2(fd, 1) < 0 || dup2(fd, 2) < 0)
            _exit(9);
        int status = mti_cli_main(argc, argv, serve);
        fflush(NULL);
        _exit(status);
    }
    return pid;
}

static int finish(pid_t pid)
{
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}

static void read_file(const char *folder, const char *name, char *out, size_t size)
{
    char path[300];
    mti_buf b;
    snprintf(path, sizeof path, "%s/%s/%s", root, folder, name);
    *out = 0;
    if (mti_buf_read_file(&b, path, 65536) == MT_OK && b.len)
        snprintf(out, size, "%s", b.p);
    mti_buf_dispose(&b);
}

static void write_file(const char *folder, const char *name, const char *text)
{
    char path[300];
    snprintf(path, sizeof path, "%s/%s/%s", root, folder, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

/* The first value of a statement's answer; waits while the server is down. */
static void query(const char *url, const char *sql, char *out, size_t size)
{
    *out = 0;
    for (int ms = 0; ms < PATIENCE_MS; ms += 20) {
        PGconn *c = PQconnectdb(url);
        PGresult *r = PQstatus(c) == CONNECTION_OK ? PQexec(c, sql) : NULL;
        bool ok =
            r && (PQresultStatus(r) == PGRES_TUPLES_OK || PQresultStatus(r) == PGRES_COMMAND_OK);
        if (ok && PQntuples(r))
            snprintf(out, size, "%s", PQgetvalue(r, 0, 0));
        PQclear(r);
        PQfinish(c);
        if (ok)
            return;
        poll(NULL, 0, 20);
    }
    fail_msg("no answer to %s", sql);
}

static void wait_file(const char *folder, const char *name, char *out, size_t size)
{
    for (int ms = 0; ms < PATIENCE_MS; ms += 20, poll(NULL, 0, 20)) {
        read_file(folder, name, out, size);
        if (*out)
            return;
    }
    fail_msg("%s was never written", name);
}

static void test_the_server_starts_its_database(void **state)
{
    char url[600], out[64];
    server = start("serve", NULL, "a", NULL);
    wait_file("a", "host.pid", host_before, sizeof host_before);
    wait_file("a", "postgres.url", url, sizeof url);
    query(url, "CREATE ROLE operations_reader NOLOGIN", out, sizeof out);
    query(url,
          "CREATE SCHEMA shop; CREATE TABLE shop.item (id int PRIMARY KEY, name text); INSERT INTO "
          "shop.item SELECT g, 'item ' || g FROM generate_series(1, 1000) g;"
          "ALTER TABLE shop.item ENABLE ROW LEVEL SECURITY; ALTER TABLE shop.item FORCE ROW LEVEL "
          "SECURITY;"
          "CREATE POLICY reader ON shop.item TO operations_reader USING (id < 10); GRANT USAGE ON "
          "SCHEMA shop TO operations_reader;"
          "GRANT SELECT ON shop.item TO operations_reader",
          out, sizeof out);
}

static void test_a_killed_database_comes_back_and_the_host_stays(void **state)
{
    char pid[32], url[600], out[64];
    wait_file("a", "postgres/data/postmaster.pid", pid, sizeof pid);
    wait_file("a", "postgres.url", url, sizeof url);
    assert_int_equal(kill(atoi(pid), SIGKILL), 0);
    for (int ms = 0; ms < PATIENCE_MS && kill(atoi(pid), 0) == 0; ms += 5)
        poll(NULL, 0, 5);
    query(url, "SELECT count(*) FROM shop.item", out, sizeof out);
    assert_string_equal(out, "1000");
    char host[64];
    read_file("a", "host.pid", host, sizeof host);
    assert_string_equal(host, host_before);
}

static void test_backup_beside_the_running_server(void **state)
{
    char path[200];
    snprintf(path, sizeof path, "%s/a/blobs", root);
    mkdir(path, 0700);
    write_file("a", "blobs/one", "blob one");
    write_file("a", "admin.key", "sk_live_x");
    assert_int_equal(finish(start("backup", "b.tar", "a", NULL)), 0);
    struct stat st;
    snprintf(path, sizeof path, "%s/b.tar", root);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void test_restore_refuses_a_running_server(void **state)
{
    assert_int_equal(finish(start("restore", "b.tar", "a", "--force")), 1);
}

static void test_stop_ends_the_database_too(void **state)
{
    char pid[32];
    wait_file("a", "postgres/data/postmaster.pid", pid, sizeof pid);
    kill(server, SIGTERM);
    assert_int_equal(finish(server), 0);
    assert_int_not_equal(kill(atoi(pid), 0), 0);
    read_file("a", "postgres/data/postmaster.pid", pid, sizeof pid);
    assert_string_equal(pid, "");
}

static void test_restore_refuses_a_full_database(void **state)
{
    assert_int_equal(finish(start("restore", "b.tar", "a", NULL)), 1);
}

static void check_restored(const char *folder)
{
    char dir[200], out[64];
    mti_managed *m;
    mti_error e = {0};
    snprintf(dir, sizeof dir, "%s/%s", root, folder);
    assert_int_equal(mti_managed_start(dir, &m, &e), MT_OK);
    assert_int_equal(mti_managed_wait(m, PATIENCE_MS, &e), MT_OK);
    query(mti_managed_admin_url(m),
          "SELECT string_agg(name, ',' ORDER BY id) FROM shop.item WHERE id IN (1, 1000)", out,
          sizeof out);
    assert_string_equal(out, "item 1,item 1000");
    query(mti_managed_admin_url(m), "SET ROLE operations_reader; SELECT count(*) FROM shop.item",
          out, sizeof out);
    assert_string_equal(out, "9"); /* the policy came along */
    query(mti_managed_admin_url(m), "SELECT count(*) FROM pg_namespace WHERE nspname = 'extra'",
          out, sizeof out);
    assert_string_equal(out, "0");
    mti_managed_stop(m);
    read_file(folder, "blobs/one", out, sizeof out);
    assert_string_equal(out, "blob one");
    read_file(folder, "admin.key", out, sizeof out);
    assert_string_equal(out, "sk_live_x");
    read_file(folder, "blobs/later", out, sizeof out);
    assert_string_equal(out, "");
}

static void test_restore_into_an_empty_folder(void **state)
{
    assert_int_equal(finish(start("restore", "b.tar", "new", NULL)), 0);
    check_restored("new");
}

static void test_force_replaces_everything(void **state)
{
    char dir[200], out[64];
    mti_managed *m;
    mti_error e = {0};
    snprintf(dir, sizeof dir, "%s/new", root);
    assert_int_equal(mti_managed_start(dir, &m, &e), MT_OK);
    assert_int_equal(mti_managed_wait(m, PATIENCE_MS, &e), MT_OK);
    query(mti_managed_admin_url(m),
          "CREATE SCHEMA extra; CREATE TABLE extra.t (); DELETE FROM shop.item", out, sizeof out);
    mti_managed_stop(m);
    write_file("new", "blobs/later", "blob");
    assert_int_equal(finish(start("restore", "b.tar", "new", "--force")), 0);
    check_restored("new");
}

static void test_what_is_no_backup_is_refused(void **state)
{
    write_file(".", "junk.tar", "junk");
    assert_int_equal(finish(start("restore", "junk.tar", "other", NULL)), 1);
}

static int make_root(void **state)
{
    return mkdtemp(root) && chmod(root, 0711) == 0 ? 0 : -1;
}

static int remove_root(void **state)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_server_starts_its_database),
        cmocka_unit_test(test_a_killed_database_comes_back_and_the_host_stays),
        cmocka_unit_test(test_backup_beside_the_running_server),
        cmocka_unit_test(test_restore_refuses_a_running_server),
        cmocka_unit_test(test_stop_ends_the_database_too),
        cmocka_unit_test(test_restore_refuses_a_full_database),
        cmocka_unit_test(test_restore_into_an_empty_folder),
        cmocka_unit_test(test_force_replaces_everything),
        cmocka_unit_test(test_what_is_no_backup_is_refused),
    };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}
