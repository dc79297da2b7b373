#include "cli/greeting.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "cli/client.h"

enum { POLL_MS = 50 };

bool mti_greeting_read_key(const mti_cli *cli, char *out, size_t size)
{
    char path[4200];
    mti_buf key;
    snprintf(path, sizeof path, "%s/admin.key", mti_cli_data(cli));
    bool found = mti_buf_read_file(&key, path, 4096) == MT_OK && key.len;
    snprintf(out, size, "%.*s", found ? (int)strcspn(key.p, "\r\n") : 0, found ? key.p : "");
    mti_buf_dispose(&key);
    return *out != 0;
}

void mti_greeting_print_ask(const char *url, const char *workspace, const char *key,
                            const char *question)
{
    printf("curl -s %s/v1/workspaces/%s/chat \\\n"
           "  -H \"Authorization: Bearer %s\" -H 'Content-Type: application/json' \\\n"
           "  -d '{\"query\": \"%s\"}'\n",
           url, workspace, key, question);
}

static bool read_url(const mti_cli *cli, char *out, size_t size)
{
    char path[4200];
    mti_buf url;
    snprintf(path, sizeof path, "%s/mortise.url", mti_cli_data(cli));
    bool found = mti_buf_read_file(&url, path, size - 1) == MT_OK && url.len &&
                 url.p[url.len - 1] == '\n';
    snprintf(out, size, "%.*s", found ? (int)(url.len - 1) : 0, found ? url.p : "");
    mti_buf_dispose(&url);
    return found;
}

/* The folder may be another server's: then ours ends soon. */
static bool is_ours(const mti_cli *cli, pid_t server)
{
    char path[4200];
    mti_buf holder;
    snprintf(path, sizeof path, "%s/mortise.lock", mti_cli_data(cli));
    bool ours = mti_buf_read_file(&holder, path, 64) == MT_OK && holder.len &&
                atol(holder.p) == server;
    mti_buf_dispose(&holder);
    return ours;
}

static bool is_ready(const mti_cli *cli)
{
    mti_reply r;
    mti_error e = {0};
    mt_status s = mti_client_call(cli, "GET", "/v1/health/ready", NULL, &r, &e);
    mti_reply_dispose(&r);
    return s == MT_OK;
}

static void print_greeting(const mti_cli *cli, const char *url, bool first)
{
    const char *dir = mti_cli_data(cli);
    const char *workspace = mti_config_str(cli->config, "tenancy.default_workspace_id");
    char key[256], in_file[4300];
    printf("\nMortise serves at %s   (documentation: %s/v1/docs)\n", url, url);
    if (!mti_greeting_read_key(cli, key, sizeof key))
        return;
    if (first)
        printf("administrator's key: %s\n(shown this once; kept in %s/admin.key)\n", key, dir);
    else
        printf("administrator's key: in %s/admin.key\n", dir);
    snprintf(in_file, sizeof in_file, "$(cat %s/admin.key)", dir);
    printf("\nupload a document, then ask about it:\n\n"
           "curl -s '%s/v1/workspaces/%s/documents/upload?wait=true' \\\n"
           "  -H \"Authorization: Bearer %s\" -F file=@README.md\n\n",
           url, workspace, in_file);
    mti_greeting_print_ask(url, workspace, in_file, "What is a plugin?");
    puts("\nCtrl-C stops it.");
}

static _Noreturn void greet(const mti_cli *cli, pid_t server, bool first)
{
    char url[300];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (getppid() == server) {
        if (is_ours(cli, server) && read_url(cli, url, sizeof url) && is_ready(cli)) {
            print_greeting(cli, url, first);
            fflush(stdout);
            break;
        }
        poll(NULL, 0, POLL_MS);
    }
    _exit(0);
}

void mti_greeting_start(const mti_cli *cli)
{
    char key[256];
    pid_t server = getpid();
    bool first = !mti_greeting_read_key(cli, key, sizeof key);
    fflush(NULL);
    if (fork() == 0)
        greet(cli, server, first);
}
