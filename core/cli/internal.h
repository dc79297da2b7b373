/* What the command files share. */
#ifndef MTI_CLI_INTERNAL_H
#define MTI_CLI_INTERNAL_H

#include "cli/cli.h"
#include "json/json.h"

typedef struct mti_cli {
    mti_config *config;
    int (*serve)(const mti_config *);
    int argc; /* what stands behind the command's name, flags of the configuration and --json taken
                 out */
    char **argv;
    bool json;
    const struct mti_command *command;
} mti_cli;

typedef struct mti_command {
    const char *name, *arguments, *summary;
    const char *help; /* what it does, flags, examples */
    int (*run)(mti_cli *cli);
} mti_command;

/* One row each, in the file of its name. */
extern const mti_command mti_cmd_serve, mti_cmd_demo, mti_cmd_config, mti_cmd_health,
    mti_cmd_version, mti_cmd_plugin, mti_cmd_policy, mti_cmd_model, mti_cmd_backup, mti_cmd_restore, mti_cmd_ingest, mti_cmd_reload, mti_cmd_trace, mti_cmd_secrets, mti_cmd_apply;

/* cli.c. Takes a flag, or a flag with its value, out of the arguments. */
bool mti_cli_flag(mti_cli *cli, const char *name);
const char *mti_cli_value(mti_cli *cli, const char *name);
/* False, having said so, when an unknown flag or a wrong number of arguments is left: then the
 * command answers 2. */
bool mti_cli_args(mti_cli *cli, int min, int max);
int mti_cli_usage(const mti_cli *cli, const char *what); /* says it, answers 2 */
int mti_cli_fail(const mti_error *e);                    /* says it, answers 1 */
const char *mti_cli_data(const mti_cli *cli);            /* data.dir */
/* The folder of the installation that holds part ("manifests/models"): beside the program, else the
 * source tree. False: nowhere. */
bool mti_cli_find(const char *part, char *out, size_t size);

void mti_cli_log_setup(const mti_config *c); /* as log.level and log.format say, to stderr */

/* cmd_version.c: the newest PostgreSQL's program ("pg_dump"). False: not installed. */
bool mti_cli_pg_program(const char *name, char *out, size_t size);

/* plugin_status.c: `mortise plugin info` and `mortise plugin doctor`. */
int mti_plugin_info(mti_cli *cli);
int mti_plugin_doctor(mti_cli *cli);

/* plugin_new.c, plugin_build.c, plugin_test.c, plugin_run.c: the verbs of `mortise plugin`. */
int mti_plugin_new(mti_cli *cli);
int mti_plugin_build(mti_cli *cli);
int mti_plugin_test(mti_cli *cli);
int mti_plugin_run(mti_cli *cli);
/* plugin_config.c: `mortise plugin config`, and enable and disable for one organization (an id or a slug). */
int mti_plugin_config(mti_cli *cli);
int mti_plugin_allow(mti_cli *cli, bool allowed, const char *organization);
/* cmd_plugin.c. Slugs go into a path as they are. */
bool mti_plugin_is_slug(const char *s);
/* plugin_send.c: `mortise plugin check` and `install`, and `pack`. */
int mti_plugin_send(mti_cli *cli, const char *verb);
int mti_plugin_pack(mti_cli *cli);

#endif
