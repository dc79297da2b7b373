/* The managed PostgreSQL: initdb in the data directory, unix socket only, run under an unprivileged user when we are root. Blocking; for the supervisor, no loop needed. */
#ifndef MTI_DB_MANAGED_H
#define MTI_DB_MANAGED_H

#include "base/error.h"

typedef struct mti_managed mti_managed;

/* Prepares DIR/postgres (initdb when empty; a newer or older major version is refused with the command to run), adopts or ends a server left
 * over by a dead supervisor (its pid file), starts the server. *url is the connection string, owned by the object. */
mt_status mti_managed_start(const char *dir, mti_managed **out, mti_error *e);
const char *mti_managed_url(const mti_managed *m);
/* The superuser's connection string to the same database, for backup and restore; never for the host. */
const char *mti_managed_admin_url(const mti_managed *m);
int mti_managed_pid(const mti_managed *m);
/* Waits until it accepts connections, at most timeout_ms; the first time also creates the role and the database "mortise" and takes from
 * PUBLIC what plugin roles may not call. */
mt_status mti_managed_wait(mti_managed *m, int timeout_ms, mti_error *e);
/* After its process died (reaped by the caller): starts it again. */
mt_status mti_managed_restart(mti_managed *m, mti_error *e);
void mti_managed_stop(mti_managed *m);        /* fast shutdown, waits; frees */

#endif
