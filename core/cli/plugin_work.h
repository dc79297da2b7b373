/* A plugin's source folder, as its developer has it: checked, built into FOLDER/build and
 * nowhere else, tested, packed. Blocking; one thread. */
#ifndef MTI_CLI_PLUGIN_WORK_H
#define MTI_CLI_PLUGIN_WORK_H

#include <limits.h>

#include "cli/client.h"
#include "plugin/manifest.h"

typedef struct mti_work {
    char dir[PATH_MAX];     /* as it was named, without a slash at its end */
    char built[PATH_MAX];   /* DIR/build/plugins/SLUG */
    char slug[64], version[64];
    bool code;              /* has a CMakeLists.txt */
    bool object;            /* has an entry_point */
    FILE *out;              /* where compilers and tests speak: stdout, with --json stderr */
} mti_work;

/* Reads plugin.json of the folder (NULL: the current one). Errors of the files begin with
 * FILE:LINE:COLUMN, below the folder. */
mt_status mti_work_open(const mti_cli *cli, const char *folder, mti_work *w, mti_error *e);
/* Everything that can be checked without compiling and without a database: plugin.json, api.json
 * against queries.sql, sql/, policies/. */
mt_status mti_work_check(const mti_work *w, mti_error *e);
/* Checks, then brings DIR/build/plugins/SLUG up to date: through CMake when there is a
 * CMakeLists.txt, else by copying. tests: its tests too. */
mt_status mti_work_build(const mti_work *w, bool tests, mti_error *e);
/* Says an error that one of these answered, places as editors read them
 * (FOLDER/FILE:LINE:COLUMN: …), and answers 1. */
int mti_work_fail(const mti_work *w, const mti_error *e);
/* What is to be packed when path is named: path itself when it is a built folder or a package,
 * else its built folder, which is built first. */
mt_status mti_work_find(const mti_cli *cli, const char *path, mti_work *w, char out[PATH_MAX],
                        mti_error *e);

/* plugin_send.c: packs a built folder, or reads a package, and gives it to the running server:
 * verb is "install" or "check", also with "?replace=true". Waits while the host is being
 * replaced. r is initialized in every case. */
mt_status mti_plugin_upload(const mti_cli *cli, const char *verb, const char *path,
                            const json_t *config, mti_reply *r, mti_error *e);

/* All --config NAME=VALUE as a tree; NULL when one is none. */
json_t *mti_plugin_take_config(mti_cli *cli);
/* Sets NAME=VALUE, whose NAME may be a path (retry.times=3) and whose VALUE is JSON or a text.
 * False: it is neither. */
bool mti_plugin_add_value(json_t *config, const char *word);

/* plugin_test.c: the unit tests and the policies' cases. MT_INVALID tests_failed; what failed
 * was told on w->out. Counts go into report (NULL: not wanted). */
mt_status mti_work_test(const mti_work *w, json_t *report, mti_error *e);

#endif
