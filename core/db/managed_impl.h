/* Shared by managed.c and managed_setup.c. */
#ifndef MTI_DB_MANAGED_IMPL_H
#define MTI_DB_MANAGED_IMPL_H

#include <sys/types.h>

#include "db/managed.h"

struct mti_managed {
    char dir[512], data[520], log[530], sockets[530], bin[256];
    char url[640], admin_url[640];
    char user[64]; /* the server's, when we are root; else ours */
    uid_t uid;
    gid_t gid;
    bool needs_search; /* that user cannot walk to dir by itself */
    pid_t pid;
    bool ready; /* role, database and lock-down are in place */
};

/* All fill m; failures in e. */
mt_status mti_managed_choose_user(mti_managed *m, mti_error *e);
/* Finds the programs of the wanted major version (0: the newest) and answers the version found, 0
 * when none. */
int mti_managed_find_programs(mti_managed *m, int wanted);
mt_status mti_managed_write_access(const mti_managed *m,
                                   mti_error *e); /* pg_hba.conf, pg_ident.conf */
/* One attempt to connect; the first that succeeds creates role and database and locks them down. */
mt_status mti_managed_set_up(mti_managed *m, mti_error *e);
/* Around the change of user in the child: keeps the capability to search directories when it is
 * needed. */
void mti_managed_keep_search(const mti_managed *m);
void mti_managed_raise_search(const mti_managed *m);

#endif
