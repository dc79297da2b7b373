/* Locks a worker in for good, before any code of its plugin runs. */
#ifndef MTI_WORKER_SANDBOX_H
#define MTI_WORKER_SANDBOX_H

#include "base/error.h"

typedef struct mti_sandbox {
    const char *dir;         /* the plugin's folder: read and executed from */
    const char *object;      /* its shared object, which lies elsewhere; NULL: in the folder */
    size_t memory;           /* bytes of address space */
    unsigned files;          /* descriptors open at a time */
} mti_sandbox;

/*
 * Step one, of a process with one thread: no new privileges; the user "nobody" when root and that user can read the folder, else no capabilities; no
 * core file, no files written; Landlock (the system's libraries, the plugin's folder and object, read-only; no TCP, no signals out). Threads made from then on
 * are in it too. MT_UNSUPPORTED when this system cannot do one of them: nothing of the plugin may run then.
 */
mt_status mti_sandbox_restrict(const mti_sandbox *s, mti_error *e);
/* Step two, for all threads: no further process or thread, and a seccomp list of the calls that computing, memory, the open sockets and the clock
 * need. MT_UNSUPPORTED as above. */
mt_status mti_sandbox_seal(mti_error *e);

#endif
