#include "cli/internal.h"

#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"

static const mti_command *const commands[] = {
    &mti_cmd_serve,  &mti_cmd_demo,  &mti_cmd_config, &mti_cmd_health,  &mti_cmd_plugin,
    &mti_cmd_ingest, &mti_cmd_policy, &mti_cmd_model, &mti_cmd_backup, &mti_cmd_restore, &mti_cmd_reload, &mti_cmd_trace, &mti_cmd_secrets, &mti_cmd_apply,
    &mti_cmd_version,
};
enum { COMMANDS = sizeof commands / sizeof *commands };

const char *mti_cli_version(void)
{
    return MORTISE_VERSION;
}

static void remove_args(mti_cli *cli, int at, int n)
{
    for (int i = at; i + n <= cli->argc; i++)
        cli->argv[i] = i + n < cli->argc ? cli->argv[i + n] : NULL;
    cli->argc -= n;
}

bool mti_cli_flag(mti_cli *cli, const char *name)
{
    for (int i = 0; i < cli->argc && strcmp(cli->argv[i], "--") != 0; i++)
        if (strcmp(cli->argv[i], name) == 0) {
            remove_args(cli, i, 1);
            return true;
        }
    return false;
}

const char *mti_cli_value(mti_cli *cli, const char *name)
{
    size_t len = strlen(name);
    for (int i = 0; i < cli->argc && strcmp(cli->argv[i], "--") != 0; i++) {
        const char *arg = cli->argv[i];
        if (strncmp(arg, name, len) != 0 || (arg[len] && arg[len] != '='))
            continue;
        if (!arg[len] && i + 1 == cli->argc)
            return NULL; /* it stays and is refused as unknown */
        const char *value = arg[len] ? arg + len + 1 : cli->argv[i + 1];
        remove_args(cli, i, arg[len] ? 1 : 2);
        return value;
    }
    return NULL;
}

int mti_cli_usage(const mti_cli *cli, const char *what)
{
    const char *name = cli->command ? cli->command->name : NULL;
    fprintf(stderr, "mortise: %s See mortise %s%s--help.\n", what, name ? name : "",
            name ? " " : "");
    return 2;
}

int mti_cli_fail(const mti_error *e)
{
    fprintf(stderr, "mortise: %s\n", *e->detail ? e->detail : e->code);
    return 1;
}

bool mti_cli_args(mti_cli *cli, int min, int max)
{
    char what[200];
    for (int i = 0; i < cli->argc; i++) {
        if (strcmp(cli->argv[i], "--") == 0) {
            remove_args(cli, i, 1);
            break;
        }
        if (cli->argv[i][0] == '-' && cli->argv[i][1]) {
            snprintf(what, sizeof what, "%.80s is no flag of this command, or lacks its value.",
                     cli->argv[i]);
            mti_cli_usage(cli, what);
            return false;
        }
    }
    if (cli->argc >= min && cli->argc <= max)
        return true;
    snprintf(what, sizeof what, "Expected: mortise %s %s.", cli->command->name,
             cli->command->arguments);
    mti_cli_usage(cli, what);
    return false;
}

const char *mti_cli_data(const mti_cli *cli)
{
    return mti_config_str(cli->config, "data.dir");
}

static bool is_readable(const char *base, const char *part, char *out, size_t size)
{
    int n = snprintf(out, size, "%s/%s", base, part);
    return n > 0 && (size_t)n < size && access(out, R_OK) == 0;
}

bool mti_cli_find(const char *part, char *out, size_t size)
{
    char program[PATH_MAX], base[PATH_MAX + 32];
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    if (n > 0) {
        program[n] = 0;
        snprintf(base, sizeof base, "%s/../share/mortise", dirname(program));
        if (is_readable(base, part, out, size))
            return true;
    }
    return is_readable(MORTISE_SOURCE, part, out, size);
}

static int print_overview(void)
{
    puts("mortise: a plugin host that answers questions from documents\n\nusage: mortise COMMAND "
         "[ARGUMENTS] [--OPTION VALUE ...]\n");
    for (int i = 0; i < COMMANDS; i++)
        printf("  %-8s %-38s %s\n", commands[i]->name, commands[i]->arguments,
               commands[i]->summary);
    puts("\nIn a source tree the launcher adds: ./mortise setup, test, bench, model pull.\n"
         "Every command: --help, --data DIR, --config FILE, and each option of `mortise config` as "
         "a flag. --json where it prints data.\n\n"
         "examples:\n  mortise demo\n  mortise serve --data /srv/mortise --port 8080\n  mortise "
         "plugin list --json");
    return 0;
}

static int print_help(const mti_command *c)
{
    printf("usage: mortise %s %s\n\n%s\n\n%s\n", c->name, c->arguments, c->summary, c->help);
    return 0;
}

static const mti_command *command_find(const char *name)
{
    for (int i = 0; i < COMMANDS; i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

/* --config FILE, else DIR/mortise.conf when there is one. */
static mt_status read_file(mti_cli *cli, const char *file, mti_error *e)
{
    char path[PATH_MAX];
    if (file)
        return mti_config_read_file(cli->config, file, e);
    snprintf(path, sizeof path, "%s/mortise.conf", mti_cli_data(cli));
    return access(path, F_OK) == 0 ? mti_config_read_file(cli->config, path, e) : MT_OK;
}

/* --config NAME=VALUE is not this flag: some commands give a plugin its configuration so. */
static const char *take_config_file(mti_cli *cli)
{
    for (int i = 0; i + 1 < cli->argc && strcmp(cli->argv[i], "--") != 0; i++)
        if (strcmp(cli->argv[i], "--config") == 0 && !strchr(cli->argv[i + 1], '=')) {
            const char *file = cli->argv[i + 1];
            remove_args(cli, i, 2);
            return file;
        }
    return NULL;
}

static mt_status load_config(mti_cli *cli, mti_error *e)
{
    int argc = cli->argc + 1;
    char **argv = cli->argv - 1; /* mti_config_read_args starts behind the program's name */
    MT_TRY(mti_config_read_env(cli->config, environ, e));
    MT_TRY(mti_config_read_args(cli->config, &argc, argv, e));
    cli->argc = argc - 1;
    return read_file(cli, take_config_file(cli), e);
}

void mti_cli_log_setup(const mti_config *c)
{
    static const char *const levels[] = {"debug", "info", "warn", "error"};
    mti_log_level level = MTI_LOG_INFO;
    for (int i = 0; i < 4; i++)
        if (strcmp(mti_config_str(c, "log.level"), levels[i]) == 0)
            level = (mti_log_level)i;
    mti_log_setup(STDERR_FILENO, level,
                  strcmp(mti_config_str(c, "log.format"), "json") == 0 ? MTI_LOG_JSON
                                                                       : MTI_LOG_LOGFMT);
}

static int run_command(mti_cli *cli)
{
    if (mti_cli_flag(cli, "--help") || mti_cli_flag(cli, "-h"))
        return print_help(cli->command);
    mti_error e = {0};
    mt_status s = load_config(cli, &e);
    if (s != MT_OK) {
        mti_cli_fail(&e);
        return s == MT_INVALID ? 2 : 1;
    }
    cli->json = mti_cli_flag(cli, "--json");
    mti_cli_log_setup(cli->config);
    bool for_people = cli->command != &mti_cmd_serve || isatty(STDERR_FILENO);
    if (for_people && strcmp(mti_config_origin(cli->config, "log.level"), "default") == 0)
        mti_log_setup(STDERR_FILENO, MTI_LOG_WARN, MTI_LOG_LOGFMT);
    return cli->command->run(cli);
}

/* Standard descriptors that the caller closed would become sockets. */
static void open_standard_fds(void)
{
    for (int fd = open("/dev/null", O_RDWR); fd >= 0; fd = dup(fd))
        if (fd > STDERR_FILENO) {
            close(fd);
            return;
        }
}

int mti_cli_main(int argc, char **argv, int (*serve)(const mti_config *))
{
    open_standard_fds();
    const char *name = argc > 1 ? argv[1] : "--help";
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 ||
        (strcmp(name, "help") == 0 && argc == 2)) {
        print_overview();
        return argc > 1 ? 0 : 2;
    }
    if (strcmp(name, "help") == 0 && command_find(argv[2]))
        return print_help(command_find(argv[2]));
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0)
        name = "version";
    mti_cli cli = {
        .serve = serve, .argc = argc - 2, .argv = argv + 2, .command = command_find(name)};
    if (!cli.command) {
        fprintf(stderr, "mortise: there is no command \"%.60s\". See mortise --help.\n", name);
        return 2;
    }
    cli.config = mti_config_create();
    int status = run_command(&cli);
    mti_config_destroy(cli.config);
    if (fflush(stdout) != 0 && status == 0)
        status = 1;
    return status;
}
