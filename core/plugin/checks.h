/*
 * What a debug host looks at whenever a plugin calls an interface: is the call this fiber's (not another loop's or thread's, not one that has ended), is
 * the plugin still there, and does a handle name something of this call that is not gone. A call that is wrong is logged as plugin.misuse, with the
 * plugin's and the function's names, and refused. Without debug.checks plugins get the tables themselves, and nothing of this runs.
 */
#ifndef MTI_PLUGIN_CHECKS_H
#define MTI_PLUGIN_CHECKS_H

#include "loop/call.h"

struct mti_plugins;

/* As debug.checks says. Once, before plugins load. */
bool mti_checks_wanted(const char *option);
void mti_checks_begin(struct mti_plugins *p);
/* The table that checks and then calls the real one, of the interface with this index in the catalogue. Any thread. */
const void *mti_checks_table(unsigned interface, const void *real);

/* --- for the generated functions (checks.gen.c) --- */

/* What was called, from where (a return address, for who has no call to be named by). */
typedef struct mti_check {
    unsigned interface;
    const char *function;        /* "mt_db_json" */
    const void *from;
    bool pool;                   /* may be called on pool threads, where no fiber tells whose call it is */
} mti_check;

extern const void *mti_checks_real[];
extern const void *const mti_checks_tables[];

bool mti_check_call(mt_call *c, const mti_check *k);
/* Handles of a debug host are numbers of the call's own, never given twice: puts what it stands for in its place. 0 stays. */
bool mti_check_handle(mt_call *c, const mti_check *k, mt_handle *h);
mt_handle mti_check_grant(mt_call *c, const mti_check *k, mt_handle h);
void mti_check_end(mt_call *c, mt_handle number);

#endif
