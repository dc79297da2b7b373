/*
 * A call: one activity (request, job, activation) that runs in a fiber. It owns an arena, a deadline, an identity and the
 * error that will be answered. Plugins see it as the opaque mt_call. Everything in it belongs to the fiber's loop.
 */
#ifndef MTI_LOOP_CALL_H
#define MTI_LOOP_CALL_H

#include "base/arena.h"
#include "base/error.h"
#include "base/ident.h"
#include "loop/fiber.h"

/* Who asks and for whom; filled by authentication. All zero: nobody. */
typedef struct mti_identity {
    mti_uuid org_id;             /* nil: no organization chosen (platform work) */
    mti_uuid workspace_id;       /* nil: the whole organization ("*"); else the credential's only workspace */
    mti_uuid subject_id;         /* the key's or user's id */
    bool known;                  /* authenticated */
    bool platform;               /* may act across organizations (chooses one a call) */
    uint32_t rate_per_minute;    /* of the credential; 0: the default */
    const void *permissions;     /* const mti_permset *, interpreted above; borrowed, lives as long as the call */
    const void *tenant;          /* cached tenant record, interpreted above */
} mti_identity;

struct mt_call {
    mti_arena arena;
    mti_fiber *fiber;
    struct mt_call *outer;       /* the fiber's call before this one; NULL: none */
    mti_loop *loop;
    int64_t deadline_us;         /* monotonic; 0: none */
    int64_t started_us;
    uint8_t trace_id[16];
    uint8_t span_id[8];
    mti_uuid request_id;
    mti_identity who;
    mti_uuid workspace_id;       /* the workspace that the path names, resolved and checked; nil: none */
    uint16_t caller;             /* in a service call: slot of the plugin that made it */
    uint16_t plugin;             /* slot of the plugin whose code runs now; 0: the host */
    mt_slice job_id, job_payload;/* in a queue consumer's call: the job; else null slices */
    bool above;                  /* the request is for an operation of the host or the platform: a guard in quarantine does not keep it (bus/emit.c) */
    const char *operation;       /* "agents.create"; borrowed from the contract; "" outside a request */
    unsigned operation_number;   /* mti_operation_number() of that; 0: none */
    mti_error error;             /* what failed last; what is answered when a handler fails */

    /* Each is owned by the module of its name and reached only there. */
    struct mti_host *host;
    struct mti_db_session *db;
    struct mti_request *request; /* NULL outside an HTTP request */
    struct mti_values *values;   /* what queries bind by name (plugin/values.h); NULL outside a request */
    struct mti_trace *trace;
    struct mti_bus_frame *hook;  /* the hook whose handler runs now */
    struct mti_bus_own *own;     /* the handlers of the organization's own; NULL: none */
    struct mti_handles *handles; /* a debug host's: what plugins were given numbers for (plugin/checks.c) */
    const uint64_t *skip;        /* seats whose handlers the call does not meet (bus/bus.h); NULL: it meets all */
    struct mti_settings *settings;           /* what its organization has otherwise (plugin/settings.h); NULL: nothing */
    const struct mti_instance *instance;     /* of the plugin whose code runs now; NULL: its default one */
    struct mti_pin *pins;        /* the providers that serve this call until its end (plugin/services.c) */
};

void mti_call_init(mt_call *c, mti_loop *l);        /* current fiber (or none, in tests) */
void mti_call_dispose(mt_call *c);                  /* runs the arena's defers */
/* What is left of the deadline in ms: at least 1 before it, 0 after; INT64_MAX without one. */
int64_t mti_call_left_ms(const mt_call *c);

/* Operations' and queues' names as numbers from 1 on, for the life of the process: what is asked of every call is asked by number. 0 when 8,191 are
 * used up. Any thread. */
unsigned mti_operation_number(const char *name);
unsigned mti_operation_count(void);                 /* numbers given, and 1 */
const char *mti_operation_name(unsigned number);

#endif
