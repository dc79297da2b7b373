/*
 * Which versions of which plugins may not run, and for whom, because the host died in their code too often: DIR/quarantine.json. The supervisor adds,
 * hosts (two, while one takes the other's place) take away what people release, the next host reads. Who changes it holds the lock from reading to
 * writing. It is replaced whole, by renaming. Any thread; file functions block.
 *
 * {"crashes": [{at, plugin, version, organization_id, operation, how}], "quarantined": [{at, plugin, version, organization_id, reason}]}
 * at is in seconds of the epoch; organization_id null: everybody's.
 */
#ifndef MTI_QUARANTINE_QUARANTINE_H
#define MTI_QUARANTINE_QUARANTINE_H

#include "json/json.h"

typedef struct mti_crash {
    int64_t at_s;
    const char *plugin, *version, *org, *operation, *how;   /* org and operation "" when not known */
} mti_crash;

typedef struct mti_quarantine_rule {
    int64_t crashes, window_s;   /* so many within that time */
} mti_quarantine_rule;

/* Waits for the others that change it (each for a few milliseconds); tries: as often, ten milliseconds apart, and no longer; 0: as long as it takes.
 * -1 when there can be no lock, or somebody keeps it: then go on without. */
int mti_quarantine_lock(const char *dir, unsigned tries);
void mti_quarantine_unlock(int lock);

/* The caller's to release. A file that is absent or cannot be read is an empty one: then why (if given) says what is wrong with it, or "". */
json_t *mti_quarantine_read(const char *dir, mti_error *why);
mt_status mti_quarantine_write(const char *dir, const json_t *q, mti_error *e);

/* Remembers a crash. When it is one too many the version goes into quarantine: for one organization if all came from it and none is in quarantine
 * from this version yet, else for everybody. Answers the new entry (borrowed from q), or NULL. */
const json_t *mti_quarantine_crash(json_t *q, const mti_crash *crash, const mti_quarantine_rule *rule);
/* The entry of this version for everybody (org NULL) or for one organization; borrowed, NULL: none. */
const json_t *mti_quarantine_find(const json_t *q, const char *plugin, const char *version, const char *org);
/* Forgets all entries and crashes of a plugin; answers how many entries that were. */
size_t mti_quarantine_release(json_t *q, const char *plugin);

#endif
