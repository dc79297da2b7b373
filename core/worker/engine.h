/*
 * Engine workers: processes that the supervisor keeps, so that they outlive a host. A host asks for one by its key and hands over the ends of its
 * lanes; two hosts that ask for the same key share one process. What crosses here: fixed records over a SOCK_SEQPACKET pair, one for each host and one
 * for each engine, with descriptors beside them.
 */
#ifndef MTI_WORKER_ENGINE_H
#define MTI_WORKER_ENGINE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { MTI_ENGINE_KEY = 256, MTI_ENGINE_FDS = 65, MTI_ENGINE_ANSWER_MS = 5000 };

/* JOIN: these are my lanes to the engine of this key, which is started when it does not run, with my own program (the first descriptor); answered. LEAVE: I need it no longer. KILL: it hangs,
 * or broke the protocol. STARTED: the answer to a JOIN that no engine ran for. */
typedef enum mti_engine_kind { MTI_ENGINE_JOIN = 1, MTI_ENGINE_LEAVE, MTI_ENGINE_KILL, MTI_ENGINE_STARTED } mti_engine_kind;

typedef struct mti_engine_message {
    int kind;
    pid_t pid;               /* of LEAVE and KILL: the process that is meant; of an answer: the one that was joined, or 0 */
    int error;               /* of an answer with pid 0: an errno */
    char slug[60];
    uint32_t number;         /* of a JOIN, and of its answer: one that was given up may be answered yet */
    char key[MTI_ENGINE_KEY];
} mti_engine_message;

/* Any thread; does not block. false: it is gone, or has not read for long. */
bool mti_engine_send(int fd, const mti_engine_message *m, const int *fds, unsigned n);
/* false: nothing whole is there, or the other end is gone (*ended). The caller owns the descriptors, which are closed on exec. */
bool mti_engine_receive(int fd, mti_engine_message *m, int *fds, unsigned *n, bool *ended);

/* The host's end, any thread: asks and waits, most_ms at most. What the answer says; pid 0 with ECONNRESET when the supervisor is gone, with ETIMEDOUT when
 * it says nothing. lanes stay the caller's. */
mti_engine_message mti_engine_join(int broker, const char *slug, const char *key, const int *lanes, unsigned n, unsigned most_ms);

/* The supervisor's end: the program, open as descriptor, as `mortise worker SLUG engine PARENT` with its end of a new pair; *control is the other. An
 * errno, or 0. */
int mti_engine_start(int program, const char *slug, int *control, pid_t *pid);

#endif
