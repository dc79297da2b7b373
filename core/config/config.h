/*
 * Configuration: one table of options (options.c); values come from defaults, the file, the
 * environment and flags, later wins, and each remembers its origin. Read-only once loaded, so any
 * thread may read.
 */
#ifndef MTI_CONFIG_CONFIG_H
#define MTI_CONFIG_CONFIG_H

#include <limits.h>

#include "base/buf.h"
#include "base/error.h"

typedef enum mti_option_type {
    MTI_OPT_STRING,
    MTI_OPT_INT,
    MTI_OPT_BOOL,
    MTI_OPT_SIZE,
    MTI_OPT_DURATION,
    MTI_OPT_ENUM,
    MTI_OPT_SECRET
} mti_option_type;

typedef struct mti_option {
    const char *name; /* "http.port"; flag --http.port, environment MORTISE_HTTP_PORT */
    mti_option_type type;
    const char *fallback; /* default, as text */
    const char *values;   /* enum: "a|b|c"; int, size, duration: "min..max" */
    const char *flag;     /* short flag name ("port"), or NULL */
    const char
        *env; /* further environment names, space separated ("PORT DATABASE_URL" …), or NULL */
    bool restart;     /* a change needs a restart */
    const char *help; /* one sentence */
} mti_option;

typedef struct mti_config mti_config;

const mti_option *mti_options(size_t *n);
mti_config *mti_config_create(void); /* all defaults */
void mti_config_destroy(mti_config *c);
/* File of "name = value" lines, # comments, [section] prefixes. An unknown name is an error that
 * lists the nearest one. */
mt_status mti_config_read_file(mti_config *c, const char *path, mti_error *e);
mt_status mti_config_read_env(mti_config *c, char **environ_, mti_error *e);
/* Takes the flags it knows (--name value, --name=value, --no-name) out of argv; stops at "--". What
 * is left stays for the caller. */
mt_status mti_config_read_args(mti_config *c, int *argc, char **argv, mti_error *e);
mt_status mti_config_set(mti_config *c, const char *name, const char *value, const char *origin,
                         mti_error *e);

/* An unknown name aborts: it is a bug. Strings are borrowed from c. Sizes in bytes, durations in
 * ms. */
const char *mti_config_str(const mti_config *c, const char *name);
int64_t mti_config_int(const mti_config *c, const char *name);
bool mti_config_bool(const mti_config *c, const char *name);
const char *mti_config_origin(const mti_config *c,
                              const char *name); /* "default", "env PORT", "file x:3", "flag" */
/* Where the keys of secrets are: secrets.key_file, else secret.key in the data folder. */
void mti_config_key_file(const mti_config *c, char out[PATH_MAX]);
/* `mortise config`: a table, or JSON; secrets are shown as "set". */
void mti_config_print(const mti_config *c, bool json, mti_buf *out);

/* The option table as OPTIONS.md holds it. */
void mti_options_markdown(mti_buf *out);
/* Names of variables that are set in the environment, belong to similar systems and have no use
 * here: put (at most max) into names, static strings; answers how many there are. The caller logs
 * them once. */
size_t mti_config_ignored(char **environ_, const char **names, size_t max);

#endif
