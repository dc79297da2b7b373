/* mortise restore: puts a backup into an empty data folder, or with --force in the place of what is
 * there. */
#include <errno.h>
#include <ftw.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/archive.h"
#include "cli/process.h"

static mt_status unpack(mti_archive *a, const char *file, mti_error *e)
{
    char path[PATH_MAX];
    mti_buf text;
    json_t *manifest = NULL;
    MT_TRY(mti_process_run(
        (char *[]){"tar", "-xf", (char *)file, "-C", a->work, "--no-same-owner", NULL}, NULL, false, 0,
        e));
    mti_archive_path(a, "manifest.json", path);
    if (mti_buf_read_file(&text, path, 65536) == MT_OK)
        mti_json_parse(mti_buf_slice(&text), 0, &manifest, NULL);
    bool ours = mt_slice_eq(mti_json_get_string(manifest, "format", MT_SLICE("")),
                            MT_SLICE(MTI_ARCHIVE_FORMAT));
    json_decref(manifest);
    mti_buf_dispose(&text);
    return ours ? MT_OK
                : mti_fail(e, MT_INVALID, "no_backup",
                           "%.300s is no backup of mortise (format %s).", file, MTI_ARCHIVE_FORMAT);
}

static mt_status check_empty(mti_archive *a, mti_error *e)
{
    mti_buf out;
    mti_buf_init(&out, 4096);
    mt_status s = mti_archive_pg(
        a, "psql",
        (char *[]){
            "-XAtwqc",
            "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema')",
            NULL},
        &out, false, e);
    if (s == MT_OK && atoi(out.p ? out.p : "1") != 0)
        s = mti_fail(e, MT_CONFLICT, "not_empty",
                     "The database already has %d tables: restore into an empty --data folder, or "
                     "replace it all with --force.",
                     atoi(out.p));
    mti_buf_dispose(&out);
    return s;
}

/* Everything goes, whatever a newer version has added: extra schemas would otherwise stay behind.
 */
static mt_status empty_database(mti_archive *a, mti_error *e)
{
    static char sql[] = "DO $$ DECLARE s name; BEGIN FOR s IN SELECT nspname FROM pg_namespace "
                        "WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' "
                        "LOOP EXECUTE format('DROP SCHEMA %I CASCADE', s); END LOOP; EXECUTE "
                        "'CREATE SCHEMA public'; END $$";
    return mti_archive_pg(a, "psql",
                          (char *[]){"-XAtwq", "-v", "ON_ERROR_STOP=1", "-c",
                                     "SET client_min_messages = warning", "-c", sql, NULL},
                          NULL, false, e);
}

static mt_status load_database(mti_archive *a, mti_error *e)
{
    char dump[PATH_MAX], roles[PATH_MAX];
    mti_archive_path(a, "database.dump", dump);
    mti_archive_path(a, "roles.sql", roles);
    /* Roles that exist already are errors there and no harm; one that is missing afterwards fails
     * below. */
    MT_TRY(mti_archive_pg(a, "psql", (char *[]){"-Xqw", "-f", roles, NULL}, NULL, true, e));
    return mti_archive_pg(a, "pg_restore",
                          (char *[]){"-w", "--single-transaction", "--exit-on-error", "--clean",
                                     "--if-exists", "-d", a->database, dump, NULL},
                          NULL, false, e);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    return remove(path);
}

static void remove_all(const mti_archive *a, const char *name)
{
    char path[PATH_MAX + 256];
    snprintf(path, sizeof path, "%s/%s", a->dir, name);
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Moves name from the work folder into the data folder, in the place of what is there. */
static mt_status put(mti_archive *a, const char *name, mti_error *e)
{
    char from[PATH_MAX], to[PATH_MAX + 256];
    mti_archive_path(a, name, from);
    snprintf(to, sizeof to, "%s/%s", a->dir, name);
    if (strchr(name, '/')) { /* plugins/ of plugins/store */
        char *end = strrchr(to, '/');
        *end = 0;
        mkdir(to, 0700);
        *end = '/';
    }
    remove_all(a, name);
    if (rename(from, to) == 0)
        return MT_OK;
    return mti_fail(e, MT_INTERNAL, "cannot_write", "%.300s: %s.", to, strerror(errno));
}

/* Into the data folder; the keys of secrets to where the configuration has them. A file that is there
 * is other hosts' too, and stays. */
static mt_status put_key(mti_archive *a, const char *path, mti_error *e)
{
    char to[PATH_MAX];
    const char *name = strrchr(path, '/') + 1;
    if (strcmp(name, "secret.key") != 0 || !*mti_config_str(a->cli->config, "secrets.key_file"))
        return put(a, name, e);
    mti_config_key_file(a->cli->config, to);
    return access(to, F_OK) == 0 ? MT_OK : mti_archive_copy_key(path, to, e);
}

static mt_status put_files(mti_archive *a, bool force, mti_error *e)
{
    char path[PATH_MAX];
    glob_t found;
    mt_status s = MT_OK;
    for (const char *const *folder = mti_archive_folders; *folder; folder++) {
        mti_archive_path(a, *folder, path);
        if (access(path, F_OK) == 0)
            MT_TRY(put(a, *folder, e));
        else if (force)
            remove_all(a, *folder);
    }
    mti_archive_path(a, "*.key", path);
    if (glob(path, 0, NULL, &found) == 0)
        for (size_t i = 0; i < found.gl_pathc && s == MT_OK; i++)
            s = put_key(a, found.gl_pathv[i], e);
    globfree(&found);
    return s;
}

static mt_status restore(mti_archive *a, mti_cli *cli, bool force, mti_error *e)
{
    MT_TRY(mti_archive_open(a, cli, true, e));
    MT_TRY(unpack(a, cli->argv[0], e));
    MT_TRY(force ? empty_database(a, e) : check_empty(a, e));
    MT_TRY(load_database(a, e));
    MT_TRY(put_files(a, force, e));
    remove_all(a, "indexes"); /* derived from rows: those of the old database would be ahead, or foreign */
    return MT_OK;
}

static int run(mti_cli *cli)
{
    mti_archive a;
    mti_error e = {0};
    bool force = mti_cli_flag(cli, "--force");
    if (!mti_cli_args(cli, 1, 1))
        return 2;
    mt_status s = restore(&a, cli, force, &e);
    mti_archive_close(&a);
    if (s != MT_OK)
        return mti_cli_fail(&e);
    if (cli->json)
        puts("{\"restored\":true}");
    else
        printf("restored into %s; start it with mortise serve --data %s\n", mti_cli_data(cli),
               mti_cli_data(cli));
    return 0;
}

const mti_command mti_cmd_restore = {
    .name = "restore",
    .arguments = "FILE [--data DIR] [--force]",
    .summary = "Put a backup into an empty data folder.",
    .help = "Refuses while a server runs on DIR, and refuses a database that has tables.\n\n"
            "  --force   remove what is there first: database, files and keys\n\n"
            "With the option secrets.key_file the keys of secrets are written there, unless that file exists: then it stays.\n\n"
            "examples:\n  mortise restore monday.tar --data /srv/new\n  mortise restore monday.tar "
            "--force",
    .run = run,
};
