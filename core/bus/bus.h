/*
 * The bus: who stands on which hook, in which order. Registrations are tagged with their owner;
 * dispatch walks an immutable snapshot that toggling replaces (old snapshots are freed when every
 * loop has passed a turn). The bus knows nothing of plugins or Lua: a handler is a function and a
 * datum.
 */
#ifndef MTI_BUS_BUS_H
#define MTI_BUS_BUS_H

#include <mortise/plugin.h>
#include "base/buf.h"
#include "bus/catalogue.h"
#include "json/json.h"
#include "loop/call.h"

typedef struct mti_bus mti_bus;

/*
 * Seats: small numbers of plugins and of their instances, given by the plugin manager. A call that carries a set of
 * them (c->skip) does not meet their handlers: its organization has the plugin switched off, or limited to
 * other operations. Nothing is skipped on the platform's own hooks.
 */
enum { MTI_BUS_SEATS = 1024, MTI_BUS_SEAT_WORDS = MTI_BUS_SEATS / 64 };
static inline bool mti_bus_skips(const uint64_t *skip, uint16_t seat)
{
    return skip[seat >> 6] >> (seat & 63) & 1;
}

/*
 * Which calls a handler is for: those of some operations and of some API keys. Operations are compared once, when the
 * scope is made: afterwards a call is looked at by its operation's number. So a scope knows the operations that were
 * known when it was made.
 */
typedef struct mti_bus_scope mti_bus_scope;
/* {operations: ["chat.*", …], api_keys: [id, …]}, each optional: absent is all. NULL for null and {}. Any thread. */
mti_bus_scope *mti_bus_scope_create(const json_t *scope);
void mti_bus_scope_destroy(mti_bus_scope *s);
bool mti_bus_scope_fits(const mti_bus_scope *s, const mt_call *c);

typedef struct mti_bus_handler {
    uint16_t owner;              /* plugin slot; 0: the host */
    uint16_t seats[2];           /* of its plugin and of its instance: bits that a call may skip; 0: never skipped */
    const struct mti_instance *instance;     /* what c->instance is while it runs */
    mti_bus_scope *scope;        /* the calls that it is for; NULL: all. Taken by mti_bus_add */
    int hook;                    /* index in the catalogue */
    int priority;                /* lower first; equal: in order of registration */
    mt_hook_fn run;
    void *self;
    const char *label;           /* "agents.on_chat_prepare", for traces and metrics; copied */
    void (*release)(
        void *self); /* may be NULL; called once nothing runs or will run the handler; any thread */
} mti_bus_handler;

/* Any thread. loops: the loops that will dispatch; mti_loop_index of loops[i] is i. Destroy after
 * they have stopped. */
mti_bus *mti_bus_create(mti_loop **loops, unsigned n_loops);
void mti_bus_destroy(mti_bus *b);
/* Add and remove collect into a pending set; publish makes them visible at once, together. One
 * thread at a time (the plugin manager's). */
void mti_bus_add(mti_bus *b, const mti_bus_handler *h);
void mti_bus_remove_owner(mti_bus *b, uint16_t owner);
void mti_bus_publish(mti_bus *b);

/*
 * An organization's own handlers: apart from the snapshots, for a hundred thousand organizations may
 * have some and few are at work. Calls of the organization carry them (c->own); one loop's thread
 * has them, and keeps them while such a call lives. They run among the others by priority, after
 * those of the same one; MT_STOP of one ends only the organization's own, so it can skip no guard of
 * the platform's.
 */
typedef struct mti_bus_own mti_bus_own;

/* Any thread. Copies the handlers, labels excepted; owner and order are as for mti_bus_add. Destroy
 * calls their releases. */
mti_bus_own *mti_bus_own_create(mti_uuid org_id, const mti_bus_handler *list, unsigned n);
void mti_bus_own_destroy(mti_bus_own *own);

/* Calls fn for each handler that the call would meet on the hook, in order; native ones too. */
typedef struct mti_bus_seen {
    const char *label;
    int priority;
    uint16_t owner;              /* plugin slot; 0: the host, or own */
    bool own;                    /* the organization's */
    mt_hook_fn run;
    void *self;
} mti_bus_seen;
void mti_bus_each(const mti_bus *b, const mt_call *c, int hook,
                  void (*fn)(void *arg, const mti_bus_seen *seen), void *arg);

/* Whether anybody stands on the hook for this call (a few ns; use it to skip preparing a payload).
 */
bool mti_bus_has(const mti_bus *b, int hook, const mt_call *c);

/* Tells whether an owner must not serve the call's organization, because it brought the host down for it: its handlers are then skipped, and on a
 * fail-closed hook the call is refused (plugin_quarantined). NULL (the default): nobody. Any thread. */
void mti_bus_set_held(mti_bus *b, bool (*fn)(const mt_call *c, uint16_t owner));

/*
 * Runs the handlers in order in the call's fiber; c->plugin is the handler's owner meanwhile.
 * payload is the hook's struct; patches are applied to it after each handler, so the next one sees
 * them, and recorded in the trace. Per handler: time on the loop is measured (waiting while
 * suspended is no overrun; from the second overrun on the CPU clock decides), and three overruns in
 * a row bypass a handler of a fail-open hook until it is added again (hook.bypassed). A handler of
 * a fail-closed hook is a guard and never skipped: it is only logged (hook.slow). Answers
 * MT_CONTINUE, MT_STOP, MT_DENY (the problem is in c->error) or MT_ERROR (fail-closed hook only;
 * c->error set). For "always" hooks every handler runs. A handler that fails or denies has its
 * patches dropped.
 */
mt_outcome mti_bus_emit(mti_bus *b, mt_call *c, int hook, void *payload);
/* As above; what patches must keep to besides the catalogue's schemas. A handler whose patch does not
 * has failed. rules: may be NULL. */
struct mti_patch_rules;
mt_outcome mti_bus_emit_under(mti_bus *b, mt_call *c, int hook, void *payload, const struct mti_patch_rules *rules);

/* What the handlers of an owner did since the bus was made, whichever snapshot held them. us: what they kept their loops busy. Any thread. */
typedef struct mti_bus_owner_stats {
    uint64_t calls, denied, errors, slow;
    int64_t us;
} mti_bus_owner_stats;
void mti_bus_owner_read(const mti_bus *b, uint16_t owner, mti_bus_owner_stats *out);

/* The handlers of an owner that stand now, and what each did since it was added. hook and label live as long as the bus. */
typedef struct mti_bus_handler_stats {
    const char *hook, *label;
    int priority;
    unsigned budget_us;
    bool bypassed;
    uint64_t calls, denied, errors, slow;
    int64_t us;
} mti_bus_handler_stats;
/* Fills at most cap and answers how many. A loop's thread. */
unsigned mti_bus_handlers_read(const mti_bus *b, uint16_t owner, mti_bus_handler_stats *out, unsigned cap);

/* What a handler answers with; see hook/1. */
mt_status mti_patch_set(mt_patch *p, mt_slice pointer, mt_slice json);
mt_status mti_patch_set_text(mt_patch *p, mt_slice pointer, mt_slice text);
mt_outcome mti_bus_deny(mt_call *c, int status, mt_slice code, mt_slice detail);
bool mti_bus_should_stop(const mt_call *c);

/* Describes the snapshot: one JSON array of {hook, owner slot, label, priority, bypassed, calls,
 * denied, errors, slow, total_us, budget_us}. */
void mti_bus_describe(const mti_bus *b, mti_buf *out);

#endif
