/* What backup and restore share: the database's address, a folder for the parts, the parts
 * themselves. */
#ifndef MTI_CLI_ARCHIVE_H
#define MTI_CLI_ARCHIVE_H

#include <limits.h>

#include "cli/internal.h"
#include "db/managed.h"

#define MTI_ARCHIVE_FORMAT "mortise-backup-1"

/* The folders of a data folder that nothing else can make again; NULL ends the list. */
extern const char *const mti_archive_folders[];

typedef struct mti_archive {
    mti_cli *cli;
    char dir[PATH_MAX];  /* the data folder, absolute */
    char work[PATH_MAX]; /* an own folder in it, removed by close */
    char url[1024];      /* of the database */
    char database[64];   /* its name */
    mti_managed *db;     /* started by us */
    int lock_fd;         /* the data folder's lock, when no server runs */
} mti_archive;

/* Opens the data folder; when no server runs, takes its lock and starts its PostgreSQL. With
 * must_be_stopped a running server is MT_CONFLICT. Close in every case. */
mt_status mti_archive_open(mti_archive *a, mti_cli *cli, bool must_be_stopped, mti_error *e);
void mti_archive_close(mti_archive *a);
/* Runs a PostgreSQL program; the database's address stands in the environment (a password belongs
 * in no argument list). arguments end with NULL. out may be NULL. */
mt_status mti_archive_pg(mti_archive *a, const char *program, char *const arguments[], mti_buf *out,
                         bool quiet, mti_error *e);
/* Copies a file of keys for its owner only; to must not exist. */
mt_status mti_archive_copy_key(const char *from, const char *to, mti_error *e);
void mti_archive_path(const mti_archive *a, const char *name,
                      char out[PATH_MAX]); /* in the work folder */

#endif
