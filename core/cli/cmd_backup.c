/* mortise backup: database, files and keys in one tar file. */
#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/ident.h"
#include "cli/archive.h"
#include "cli/process.h"

static mt_status write_manifest(const mti_archive *a, mti_error *e)
{
    char path[PATH_MAX], now[28];
    mti_archive_path(a, "manifest.json", path);
    mti_time_rfc3339(mti_now_us(), now);
    FILE *f = fopen(path, "w");
    if (!f ||
        fprintf(f, "{\"format\":\"%s\",\"version\":\"%s\",\"created_at\":\"%s\"}\n",
                MTI_ARCHIVE_FORMAT, mti_cli_version(), now) < 0 ||
        fclose(f) != 0)
        return mti_fail(e, MT_INTERNAL, "cannot_write", "%.300s: %s.", path, strerror(errno));
    return MT_OK;
}

/* Roles come first: the dump's tables belong to them. Then rows, then blobs: a row never names a
 * blob that the backup lacks. */
static mt_status dump_database(mti_archive *a, mti_error *e)
{
    char dump[PATH_MAX], roles[PATH_MAX];
    mti_archive_path(a, "database.dump", dump);
    mti_archive_path(a, "roles.sql", roles);
    MT_TRY(mti_archive_pg(a, "pg_dumpall",
                          (char *[]){"--roles-only", "--no-role-passwords", "-w", "-l", a->database,
                                     "-f", roles, NULL},
                          NULL, false, e));
    return mti_archive_pg(a, "pg_dump", (char *[]){"-Fc", "-w", "-f", dump, NULL}, NULL, false, e);
}

/* The keys of secrets, where they lie elsewhere than in the data folder: a copy in the work folder. */
static mt_status copy_keys(const mti_archive *a, bool *copied, mti_error *e)
{
    char from[PATH_MAX], to[PATH_MAX];
    *copied = false;
    mti_config_key_file(a->cli->config, from);
    if (!*mti_config_str(a->cli->config, "secrets.key_file") || access(from, F_OK) != 0)
        return MT_OK;
    mti_archive_path(a, "secret.key", to);
    *copied = true;
    return mti_archive_copy_key(from, to, e);
}

/* Folders and key files straight from the data folder, the rest from the work folder. tar exits
 * with 1 when a file went while it read: a server that works deletes documents. */
static mt_status write_tar(mti_archive *a, const char *file, bool keys_copied, mti_error *e)
{
    enum { SOME_FILES_DIFFER = 1 };
    char part[PATH_MAX], pattern[PATH_MAX + 16];
    char *argv[64] = {"tar",       "-cf",           part, "-C",  a->work, "manifest.json",
                      "roles.sql", "database.dump"};
    int n = 8;
    glob_t found = {0};
    snprintf(part, sizeof part, "%.4000s.part", file);
    if (keys_copied)
        argv[n++] = "secret.key";
    argv[n++] = "-C";
    argv[n++] = a->dir;
    for (const char *const *folder = mti_archive_folders; *folder; folder++) {
        snprintf(pattern, sizeof pattern, "%s/%s", a->dir, *folder);
        if (access(pattern, F_OK) == 0)
            argv[n++] = (char *)*folder;
    }
    snprintf(pattern, sizeof pattern, "%s/*.key", a->dir);
    if (glob(pattern, 0, NULL, &found) == 0)
        for (size_t i = 0; i < found.gl_pathc && n < 62; i++)
            if (!keys_copied || strcmp(strrchr(found.gl_pathv[i], '/'), "/secret.key") != 0)
                argv[n++] = strrchr(found.gl_pathv[i], '/') + 1;
    mode_t old = umask(077);
    mt_status s = mti_process_run(argv, NULL, false, SOME_FILES_DIFFER, e);
    umask(old);
    globfree(&found);
    if (s == MT_OK && rename(part, file) != 0)
        s = mti_fail(e, MT_INTERNAL, "cannot_write", "%.300s: %s.", file, strerror(errno));
    if (s != MT_OK)
        unlink(part);
    return s;
}

static int run(mti_cli *cli)
{
    mti_archive a;
    mti_error e = {0};
    struct stat st = {0};
    if (!mti_cli_args(cli, 1, 1))
        return 2;
    bool keys_copied = false;
    mt_status s = mti_archive_open(&a, cli, false, &e);
    if (s == MT_OK)
        s = write_manifest(&a, &e);
    if (s == MT_OK)
        s = dump_database(&a, &e);
    if (s == MT_OK)
        s = copy_keys(&a, &keys_copied, &e);
    if (s == MT_OK)
        s = write_tar(&a, cli->argv[0], keys_copied, &e);
    mti_archive_close(&a);
    if (s != MT_OK)
        return mti_cli_fail(&e);
    stat(cli->argv[0], &st);
    json_t *report = json_pack("{s:s,s:I}", "file", cli->argv[0], "bytes", (json_int_t)st.st_size);
    if (cli->json)
        json_dumpf(report, stdout, JSON_COMPACT);
    else
        printf("backed up to %s (%.1f MiB); it holds keys, so keep it as safe as they are",
               cli->argv[0], (double)st.st_size / 1048576);
    puts("");
    json_decref(report);
    return 0;
}

const mti_command mti_cmd_backup = {
    .name = "backup",
    .arguments = "FILE [--data DIR]",
    .summary = "Write database, files and keys to one tar file.",
    .help = "Works beside a running server, or starts its PostgreSQL for the time. The file is a "
            "tar of manifest.json, roles.sql,\n"
            "database.dump (pg_dump's custom format), blobs/, models/ (organizations' own), "
            "plugins/store/ (what was installed)\nand the key files, and readable by its owner only. With a database URL its\n"
            "role must be allowed to read every row (a superuser, or BYPASSRLS).\n\n"
            "examples:\n  mortise backup monday.tar\n  mortise backup /backup/mortise.tar --data "
            "/srv/mortise",
    .run = run,
};
