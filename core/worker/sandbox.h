/* Locks a worker in for good, before any code of its plugin runs. */
#ifndef MTI_WORKER_SANDBOX_H
#define MTI_WORKER_SANDBOX_H

#include "base/error.h"

typedef struct mti_sandbox_path {
    const char *path;
    bool writes;             /* its files may be written, made and removed, too */
} mti_sandbox_path;

typedef struct mti_sandbox {
    const char *dir;         /* the plugin's folder: read and executed from */
    const char *object;      /* its shared object, which lies elsewhere; NULL: in the folder */
    const mti_sandbox_path *paths;       /* further folders and files; what is not there is not granted */
    size_t n_paths;
    bool threads;            /* threads may be started: an engine. It stays the host's user, without capabilities, for models are that user's */
    size_t memory;           /* bytes of address space; 0: no limit */
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
mt_status mti_sandbox_seal(const mti_sandbox *s, mti_error *e);

#endif
