/* The managed server's surroundings: which programs, which user, who may log in, and what its
 * superuser does once. */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <libpq-fe.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "db/lockdown.h"
#include "db/managed_impl.h"

enum { OLDEST = 15 };

static bool reachable_by(const char *path, uid_t uid, gid_t gid)
{
    char part[600];
    struct stat st;
    for (size_t n = 1; path[n]; n++) {
        if (path[n] != '/')
            continue;
        snprintf(part, sizeof part, "%.*s", (int)n, path);
        if (stat(part, &st))
            return false;
        mode_t bit = st.st_uid == uid ? S_IXUSR : st.st_gid == gid ? S_IXGRP : S_IXOTH;
        if (!(st.st_mode & bit))
            return false;
    }
    return true;
}

mt_status mti_managed_choose_user(mti_managed *m, mti_error *e)
{
    static const char *const candidates[] = {"mortise", "postgres", "nobody"};
    struct passwd *p = geteuid() ? getpwuid(geteuid()) : NULL;
    for (size_t i = 0; !geteuid() && !p && i < sizeof candidates / sizeof *candidates; i++)
        p = getpwnam(candidates[i]);
    if (!p)
        return mti_fail(
            e, MT_UNAVAILABLE, "database_user",
            "PostgreSQL needs a named user that is not root: adduser --system postgres.");
    snprintf(m->user, sizeof m->user, "%s", p->pw_name);
    m->uid = p->pw_uid;
    m->gid = p->pw_gid;
    m->needs_search = !reachable_by(m->dir, m->uid, m->gid);
    return MT_OK;
}

int mti_managed_find_programs(mti_managed *m, int wanted)
{
    glob_t found = {0};
    int best = 0;
    glob("/usr/lib/postgresql/*/bin/postgres", 0, NULL, &found);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        int version = atoi(found.gl_pathv[i] + strlen("/usr/lib/postgresql/"));
        if (version < OLDEST || (wanted && best == wanted) ||
            (version <= best && version != wanted))
            continue;
        best = version;
        snprintf(m->bin, sizeof m->bin, "%.*s",
                 (int)(strlen(found.gl_pathv[i]) - strlen("/postgres")), found.gl_pathv[i]);
    }
    globfree(&found);
    return best;
}

static mt_status write_file(const mti_managed *m, const char *name, const char *text, mti_error *e)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s", m->data, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && fsync(fd) == 0;
    if (ok && geteuid() == 0)
        ok = fchown(fd, m->uid, m->gid) == 0;
    if (fd >= 0)
        close(fd);
    return ok ? MT_OK
              : mti_fail(e, MT_INTERNAL, "database_setup", "cannot write %s: %s.", path,
                         strerror(errno));
}

mt_status mti_managed_write_access(const mti_managed *m, mti_error *e)
{
    char ident[640];
    struct passwd *p = getpwuid(geteuid());
    const char *us = p ? p->pw_name : "root";
    snprintf(ident, sizeof ident,
             "m root mortise\nm root postgres\nm %s mortise\nm %s postgres\nm %s mortise\nm %s "
             "postgres\n",
             us, us, m->user, m->user);
    MT_TRY(write_file(m, "pg_ident.conf", ident, e));
    return write_file(m, "pg_hba.conf", "local all all peer map=m\n", e);
}

static bool try_sql(PGconn *pg, const char *sql, char *value, size_t size)
{
    PGresult *r = PQexec(pg, sql);
    ExecStatusType status = PQresultStatus(r);
    bool ok = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
    if (!ok)
        mti_log(MTI_LOG_ERROR, "postgres.setup", "error=%s", PQerrorMessage(pg));
    if (value)
        snprintf(value, size, "%s", ok && PQntuples(r) ? PQgetvalue(r, 0, 0) : "");
    PQclear(r);
    return ok;
}

static PGconn *connect_admin(const mti_managed *m, const char *database)
{
    char url[700];
    snprintf(url, sizeof url, "%s dbname=%s connect_timeout=5", m->admin_url, database);
    return PQconnectdb(url);
}

static bool create_database(PGconn *pg)
{
    char found[8];
    bool ok = try_sql(pg, "SELECT 1 FROM pg_roles WHERE rolname = 'mortise'", found, sizeof found);
    if (ok && !found[0])
        ok = try_sql(pg, "CREATE ROLE mortise LOGIN NOSUPERUSER NOINHERIT CREATEROLE CREATEDB",
                     NULL, 0);
    ok = ok &&
         try_sql(pg, "SELECT 1 FROM pg_database WHERE datname = 'mortise'", found, sizeof found);
    if (ok && !found[0])
        ok = try_sql(pg, "CREATE DATABASE mortise OWNER mortise", NULL, 0);
    return ok;
}

static bool lock_down(const mti_managed *m)
{
    char open[8] = "";
    PGconn *pg = connect_admin(m, "mortise");
    bool ok = PQstatus(pg) == CONNECTION_OK &&
              try_sql(pg,
                      "SELECT 1 FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', "
                      "p.proowner))) a "
                      "WHERE p.proname = 'set_config' AND a.grantee = 0",
                      open, sizeof open);
    if (ok && open[0])
        ok = try_sql(pg, MTI_LOCKDOWN_SQL, NULL, 0);
    PQfinish(pg);
    return ok;
}

mt_status mti_managed_set_up(mti_managed *m, mti_error *e)
{
    PGconn *pg = connect_admin(m, "postgres");
    bool up = PQstatus(pg) == CONNECTION_OK;
    if (up && !m->ready)
        m->ready = create_database(pg) && lock_down(m);
    PQfinish(pg);
    return up && m->ready ? MT_OK
                          : mti_fail(e, MT_UNAVAILABLE, "database_starting",
                                     "PostgreSQL does not accept connections yet.");
}

/* CAP_DAC_READ_SEARCH, or CAP_DAC_OVERRIDE where a container has only that one. */
static int search_capability(void)
{
    return prctl(PR_CAPBSET_READ, CAP_DAC_READ_SEARCH) == 1 ? CAP_DAC_READ_SEARCH
                                                            : CAP_DAC_OVERRIDE;
}

void mti_managed_keep_search(const mti_managed *m)
{
    if (m->needs_search)
        prctl(PR_SET_KEEPCAPS, 1);
}

void mti_managed_raise_search(const mti_managed *m)
{
    if (!m->needs_search)
        return;
    int capability = search_capability();
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{0}};
    data[0].effective = data[0].permitted = data[0].inheritable = 1u << capability;
    if (syscall(SYS_capset, &header, data) == 0)
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0);
}
