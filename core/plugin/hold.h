/* What must not run: quarantine and safe mode, as this host obeys them. The file itself is core/quarantine's. */
#ifndef MTI_PLUGIN_HOLD_H
#define MTI_PLUGIN_HOLD_H

#include "plugin/record.h"

/* Reads the file. Once, before the first record. */
void mti_holds_read(mti_plugins *p);
/* Whether r may be loaded and activated; if not its state says why. Main thread or loop 0. */
bool mti_record_may_run(mti_plugin_record *r);
/* Its contract, before it is loaded: its paths are known, so that they can say why they do not serve. Loop 0, or the main thread before the loops run. */
void mti_record_outline(mti_plugin_record *r);
/* Safe mode keeps r out. Any thread. */
bool mti_record_rests(const mti_plugin_record *r);
/* Whether r does not serve the call's organization; refuse: with the problem in c->error (MT_UNAVAILABLE). Any thread. */
bool mti_record_held_for(const mti_plugin_record *r, const mt_call *c);
mt_status mti_record_refuse_held(const mti_plugin_record *r, mt_call *c);
unsigned mti_record_held_count(const mti_plugin_record *r);
void mti_record_describe_holds(const mti_plugin_record *r, mti_writer *w);
/* MT_CONFLICT plugin_quarantined for a version that shall be installed and may not run. */
mt_status mti_hold_refuse(const mti_plugins *p, const mti_manifest *m, mti_error *e);
/* MT_CONFLICT safe_mode for one that would have to run to be installed. */
mt_status mti_hold_refuse_safe(const mti_plugins *p, const mti_manifest *m, mti_error *e);
/* Whether what lies in dir is essential and in quarantine, so that the version before it must serve. */
bool mti_hold_falls_back(const mti_plugins *p, const char *dir);

#endif
