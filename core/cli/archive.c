#include "cli/archive.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/process.h"
#include "secrets/keyring.h"
#include "supervisor/supervisor.h"

enum { MAX_ARGUMENTS = 24 };

const char *const mti_archive_folders[] = {"blobs", "models", "plugins/store", NULL};

static mt_status start_database(mti_archive *a, mti_error *e)
{
    MT_TRY(mti_managed_start(a->dir, &a->db, e));
    MT_TRY(mti_managed_wait(a->db, (int)mti_config_int(a->cli->config, "supervisor.start_timeout"),
                            e));
    snprintf(a->url, sizeof a->url, "%s", mti_managed_admin_url(a->db));
    return MT_OK;
}

/* The running supervisor has written where its PostgreSQL listens. */
static mt_status find_database(mti_archive *a, mti_error *e)
{
    char path[PATH_MAX + 16];
    mti_buf text;
    snprintf(path, sizeof path, "%s/postgres.url", a->dir);
    mt_status s = mti_buf_read_file(&text, path, sizeof a->url - 1);
    if (s == MT_OK && text.len)
        snprintf(a->url, sizeof a->url, "%.*s", (int)text.len, text.p);
    mti_buf_dispose(&text);
    return *a->url ? MT_OK
                   : mti_fail(e, MT_UNAVAILABLE, "no_database",
                              "%.200s does not say where the running server's database is: it may "
                              "be starting; try again.",
                              path);
}

static mt_status make_work(mti_archive *a, mti_error *e)
{
    snprintf(a->work, sizeof a->work, "%.*s/.archive-XXXXXX", (int)sizeof a->work - 32, a->dir);
    if (mkdtemp(a->work))
        return MT_OK;
    *a->work = 0;
    return mti_fail(e, MT_INTERNAL, "bad_data_dir", "%.200s cannot be written to: %s.", a->dir,
                    strerror(errno));
}

/* Each part of the connection string in the variable that PostgreSQL's programs read it from. */
static mt_status export_address(mti_archive *a, mti_error *e)
{
    PQconninfoOption *parts = PQconninfoParse(a->url, NULL);
    if (!parts)
        return mti_fail(e, MT_INVALID, "bad_option",
                        "database.url is no PostgreSQL connection string.");
    for (PQconninfoOption *p = parts; p->keyword; p++) {
        if (p->val && p->envvar)
            setenv(p->envvar, p->val, 1);
        if (p->val && strcmp(p->keyword, "dbname") == 0)
            snprintf(a->database, sizeof a->database, "%s", p->val);
    }
    PQconninfoFree(parts);
    return *a->database ? MT_OK
                        : mti_fail(e, MT_INVALID, "bad_option", "database.url names no database.");
}

static mt_status choose_database(mti_archive *a, bool running, mti_error *e)
{
    const char *given = mti_config_str(a->cli->config, "database.url");
    if (!*given)
        return running ? find_database(a, e) : start_database(a, e);
    if (snprintf(a->url, sizeof a->url, "%s", given) >= (int)sizeof a->url)
        return mti_fail(e, MT_INVALID, "bad_option", "database.url is too long.");
    return MT_OK;
}

mt_status mti_archive_open(mti_archive *a, mti_cli *cli, bool must_be_stopped, mti_error *e)
{
    *a = (mti_archive){.cli = cli, .lock_fd = -1};
    int holder = mti_supervisor_holder(mti_cli_data(cli));
    if (holder && must_be_stopped)
        return mti_fail(e, MT_CONFLICT, "already_running",
                        "A server (process %d) runs on %.200s: stop it first.", holder,
                        mti_cli_data(cli));
    if (!holder)
        MT_TRY(mti_supervisor_lock(mti_cli_data(cli), &a->lock_fd, e));
    if (!realpath(mti_cli_data(cli), a->dir))
        return mti_fail(e, MT_NOT_FOUND, "bad_data_dir", "%.200s: %s.", mti_cli_data(cli),
                        strerror(errno));
    MT_TRY(make_work(a, e));
    MT_TRY(choose_database(a, holder != 0, e));
    return export_address(a, e);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    return remove(path);
}

void mti_archive_close(mti_archive *a)
{
    if (*a->work)
        nftw(a->work, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    if (a->db)
        mti_managed_stop(a->db);
    if (a->lock_fd >= 0)
        close(a->lock_fd);
    a->db = NULL;
    a->lock_fd = -1;
}

void mti_archive_path(const mti_archive *a, const char *name, char out[PATH_MAX])
{
    if (snprintf(out, PATH_MAX, "%s/%s", a->work, name) >= PATH_MAX)
        abort(); /* work was cut to leave room */
}

mt_status mti_archive_pg(mti_archive *a, const char *program, char *const arguments[], mti_buf *out,
                         bool quiet, mti_error *e)
{
    char path[PATH_MAX];
    char *argv[MAX_ARGUMENTS + 2] = {path};
    if (!mti_cli_pg_program(program, path, sizeof path))
        return mti_fail(e, MT_UNAVAILABLE, "postgresql_missing",
                        "%s is not installed: apt-get install postgresql-client-15.", program);
    for (int i = 0; arguments[i] && i < MAX_ARGUMENTS; i++)
        argv[i + 1] = arguments[i];
    return mti_process_run(argv, out, quiet, 0, e);
}

mt_status mti_archive_copy_key(const char *from, const char *to, mti_error *e)
{
    mti_buf text;
    mt_status s = mti_buf_read_file(&text, from, 65536);
    int fd = s == MT_OK ? open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
    bool ok = fd >= 0 && write(fd, text.p, text.len) == (ssize_t)text.len && fsync(fd) == 0;
    if (!ok)
        s = mti_fail(e, MT_INTERNAL, "key_not_copied", "%.150s cannot be copied to %.150s: %s.", from, to, strerror(errno));
    if (fd >= 0)
        close(fd);
    mti_buf_wipe(&text);
    return s;
}
