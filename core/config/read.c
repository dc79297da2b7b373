/* The three sources of values: a file, the environment, flags. */
#include "config/config.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

/* Names that deployments of similar systems set and that nothing here uses yet. */
static const char *const unused_names[] = {
    "RABBITMQ_HOST",
    "RABBITMQ_PORT",
    "RABBITMQ_USER",
    "RABBITMQ_PASSWORD",
    "RABBITMQ_URL",
    "RABBITMQ_DEFAULT_USER",
    "RABBITMQ_DEFAULT_PASS",
    "TRAEFIK_DASHBOARD_USER",
    "TRAEFIK_DASHBOARD_PASSWORD",
    "NEO4J_URI",
    "OPENAI_API_KEY",
    "LLM_API_KEY",
    "REDIS_URL",
    "REDIS_HOST",
    "REDIS_PORT",
    "REDIS_PASSWORD",
    "REDIS_ENABLED",
    "ENTERPRISE_MODE",
    "LICENSE_KEY",
    "SECRET_KEY_BASE",
    "CHROMA_HOST",
    "REACT_APP_API_URL",
    "PYTHON_RAG_URL",
    "ELIXIR_API_URL",
    "MAX_WORKSPACES_PRO",
    "MAX_WORKSPACES_ENTERPRISE",
    "DEFAULT_PLAN",
    "JWT_SECRET_KEY",
    "ENCRYPTION_KEY",
    NULL,
};

static char *trim(char *s)
{
    while (isspace((unsigned char)*s))
        s++;
    size_t n = strlen(s);
    while (n && isspace((unsigned char)s[n - 1]))
        s[--n] = 0;
    return s;
}

/* "a # b" ends at the mark; a value in double quotes may hold one. */
static char *unquote(char *s)
{
    if (*s == '"') {
        char *end = strchr(s + 1, '"');
        if (end && (trim(end + 1)[0] == 0 || trim(end + 1)[0] == '#')) {
            *end = 0;
            return s + 1;
        }
    }
    for (char *p = s; *p; p++)
        if (*p == '#' && (p == s || isspace((unsigned char)p[-1]))) {
            *p = 0;
            break;
        }
    return trim(s);
}

static mt_status read_line(mti_config *c, char *line, char section[64], const char *origin,
                           mti_error *e)
{
    line = trim(line);
    if (*line == 0 || *line == '#')
        return MT_OK;
    size_t len = strlen(line);
    if (*line == '[' && line[len - 1] == ']' && len < 64) {
        line[len - 1] = 0;
        snprintf(section, 64, "%s", trim(line + 1));
        return MT_OK;
    }
    char *equals = strchr(line, '=');
    if (!equals)
        return mti_fail(e, MT_INVALID, "bad_config",
                        "Expected \"name = value\", found \"%.60s\" (%s).", line, origin);
    *equals = 0;
    char name[160];
    snprintf(name, sizeof name, "%s%s%s", section, *section ? "." : "", trim(line));
    return mti_config_set(c, name, unquote(trim(equals + 1)), origin, e);
}

mt_status mti_config_read_file(mti_config *c, const char *path, mti_error *e)
{
    mti_buf b;
    mt_status s = mti_buf_read_file(&b, path, 1 << 20);
    if (s != MT_OK) {
        mti_buf_dispose(&b);
        return mti_fail(e, s, "config_unreadable", "The configuration file %s cannot be read: %s.",
                        path,
                        s == MT_NOT_FOUND   ? "there is none"
                        : s == MT_TOO_LARGE ? "it is over 1 MiB"
                                            : "permission or I/O error");
    }
    char section[64] = "", origin[256];
    int number = 1;
    for (char *line = b.p, *next; line && s == MT_OK; line = next, number++) {
        next = strchr(line, '\n');
        if (next)
            *next++ = 0;
        snprintf(origin, sizeof origin, "file %.220s:%d", path, number);
        s = read_line(c, line, section, origin, e);
    }
    mti_buf_dispose(&b);
    return s;
}

/* An empty variable counts as absent: compose files pass many of those. */
static const char *env_get(char **env, const char *name, size_t len)
{
    for (; env && *env; env++)
        if (strncmp(*env, name, len) == 0 && (*env)[len] == '=' && (*env)[len + 1])
            return *env + len + 1;
    return NULL;
}

static const char *env_str(char **env, const char *name)
{
    return env_get(env, name, strlen(name));
}

static mt_status env_set(mti_config *c, char **env, const char *option, const char *name,
                         size_t len, mti_error *e)
{
    const char *text = env_get(env, name, len);
    if (!text)
        return MT_OK;
    char origin[96];
    snprintf(origin, sizeof origin, "env %.*s", (int)len, name);
    return mti_config_set(c, option, text, origin, e);
}

static void add_percent(mti_buf *b, const char *s)
{
    for (; *s; s++)
        if (isalnum((unsigned char)*s) || strchr("-._~", *s))
            mti_buf_addc(b, *s);
        else
            mti_buf_addf(b, "%%%02X", (unsigned char)*s);
}

/* POSTGRES_HOST says that a server exists; the others alone (common in compose files for the server
 * itself) say nothing. */
static mt_status env_postgres(mti_config *c, char **env, mti_error *e)
{
    const char *host = env_str(env, "POSTGRES_HOST"), *port = env_str(env, "POSTGRES_PORT");
    const char *user = env_str(env, "POSTGRES_USER"), *password = env_str(env, "POSTGRES_PASSWORD");
    const char *db = env_str(env, "POSTGRES_DB");
    if (!host)
        return MT_OK;
    mti_buf b;
    mti_buf_init(&b, 4096);
    mti_buf_adds(&b, "postgresql://");
    add_percent(&b, user ? user : "postgres");
    if (password) {
        mti_buf_addc(&b, ':');
        add_percent(&b, password);
    }
    mti_buf_addc(&b, '@');
    if (strchr(host, ':'))
        mti_buf_addf(&b, "[%s]", host);
    else
        add_percent(&b, host); /* a folder of a unix socket becomes %2F… as libpq wants it */
    mti_buf_addf(&b, ":%s/", port ? port : "5432");
    add_percent(&b, db ? db : user ? user : "postgres");
    mt_status s = b.status == MT_OK
                      ? mti_config_set(c, "database.url", b.p, "env POSTGRES_HOST", e)
                      : mti_fail(e, b.status, "bad_option", "POSTGRES_* values are too long.");
    mti_buf_dispose(&b);
    return s;
}

/* "postgresql+asyncpg://" is how other clients choose a driver; libpq knows no such scheme. */
static mt_status url_scheme(mti_config *c, mti_error *e)
{
    const char *url = mti_config_str(c, "database.url"), *rest = strstr(url, "://"),
               *plus = strchr(url, '+');
    if (!rest || !plus || plus > rest)
        return MT_OK;
    char *text = NULL, *origin = strdup(mti_config_origin(c, "database.url"));
    if (!origin || asprintf(&text, "%.*s%s", (int)(plus - url), url, rest) < 0)
        abort();
    mt_status s = mti_config_set(c, "database.url", text, origin, e);
    free(text);
    free(origin);
    return s;
}

mt_status mti_config_read_env(mti_config *c, char **env, mti_error *e)
{
    MT_TRY(env_postgres(c, env, e));
    size_t n;
    const mti_option *o = mti_options(&n);
    for (size_t i = 0; i < n; i++) {
        for (const char *p = o[i].env; p && *p; p += strspn(p, " ")) {
            size_t len = strcspn(p, " ");
            MT_TRY(env_set(c, env, o[i].name, p, len, e));
            p += len;
        }
        char own[96];
        int len = snprintf(own, sizeof own, "MORTISE_%s", o[i].name);
        for (char *p = own; *p; p++)
            *p = *p == '.' ? '_' : (char)toupper((unsigned char)*p);
        MT_TRY(env_set(c, env, o[i].name, own, (size_t)len, e));
    }
    return url_scheme(c, e);
}

size_t mti_config_ignored(char **env, const char **names, size_t max)
{
    size_t n = 0;
    for (size_t i = 0; unused_names[i]; i++)
        if (env_str(env, unused_names[i])) {
            if (n < max)
                names[n] = unused_names[i];
            n++;
        }
    return n;
}

/* The option a flag's name (without dashes) means: its own name or its short one. */
static const mti_option *option_of_flag(const char *flag, size_t len)
{
    size_t n;
    const mti_option *o = mti_options(&n);
    for (size_t i = 0; i < n; i++)
        if ((strlen(o[i].name) == len && memcmp(o[i].name, flag, len) == 0) ||
            (o[i].flag && strlen(o[i].flag) == len && memcmp(o[i].flag, flag, len) == 0))
            return &o[i];
    return NULL;
}

/* Answers how many arguments were taken: 0 when the flag is not ours. */
static int read_flag(mti_config *c, int left, char **argv, mt_status *s, mti_error *e)
{
    if (strncmp(argv[0], "--", 2) != 0)
        return 0;
    const char *flag = argv[0] + 2;
    size_t len = strcspn(flag, "=");
    char origin[96];
    snprintf(origin, sizeof origin, "flag --%.*s", (int)len, flag);
    const mti_option *o = option_of_flag(flag, len);
    if (!o && strncmp(flag, "no-", 3) == 0) {
        o = option_of_flag(flag + 3, len - 3);
        if (!o || o->type != MTI_OPT_BOOL || flag[len])
            return 0;
        *s = mti_config_set(c, o->name, "false", origin, e);
        return 1;
    }
    if (!o)
        return 0;
    int taken = 1;
    const char *text = "true";
    if (flag[len])
        text = flag + len + 1;
    else if (o->type != MTI_OPT_BOOL && left > 1)
        text = argv[taken++];
    else if (o->type != MTI_OPT_BOOL) {
        *s = mti_fail(e, MT_INVALID, "bad_option", "--%s needs a value.", flag);
        return 1;
    }
    *s = mti_config_set(c, o->name, text, origin, e);
    return taken;
}

mt_status mti_config_read_args(mti_config *c, int *argc, char **argv, mti_error *e)
{
    int kept = 1;
    mt_status s = MT_OK;
    for (int i = 1; i < *argc;) {
        if (strcmp(argv[i], "--") == 0) {
            while (i < *argc)
                argv[kept++] = argv[i++];
            break;
        }
        int taken = read_flag(c, *argc - i, argv + i, &s, e);
        if (s != MT_OK)
            return s;
        if (taken == 0)
            argv[kept++] = argv[i++];
        i += taken;
    }
    *argc = kept;
    argv[kept] = NULL;
    return url_scheme(c, e);
}
