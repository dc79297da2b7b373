/* The workspaces' indexes: found by organization and workspace, in the order of use; those unused for longest are closed. Any thread. */
#ifndef INDEX_TEXT_SPACES_H
#define INDEX_TEXT_SPACES_H

#include <pthread.h>
#include <stdatomic.h>

#include "places.h"
#include "text_index.h"

enum { SPACE_STEP_BITS = 20 }; /* a version of the file is the caller's with so many bits for its pieces behind */

/* Lives until spaces_destroy. */
typedef struct space {
    mt_place place;              /* its key: organization and workspace, in path */
    pthread_mutex_t writer;      /* changes and saves; taken before lock */
    pthread_rwlock_t lock;
    text_index *index;           /* NULL: not opened, or none */
    _Atomic int64_t version;     /* the caller's version of the open index; -1: not open */
    char path[];
} space;

void spaces_destroy(mt_places *s);
/* NULL without memory, and for a workspace that is no id: it names a file. */
space *spaces_get(mt_places *s, mt_slice data_dir, mt_slice org, mt_slice workspace);
/* Closes the index that was not used for longest, when there are too many and it is idle. */
void spaces_close_idle(mt_places *s);

/* Both locks, for whoever may replace the index. */
void space_lock(space *x);
void space_unlock(space *x);
/* Makes the version of x->index seen; write lock held. */
void space_publish(space *x);

#endif
