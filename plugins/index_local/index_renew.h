/* What goes on behind searches and changes: linking rows into the graph, and writing the file anew. For one thread at a time and index;
   both take the owner's lock themselves, shared for most of it and never for long. */
#ifndef INDEX_LOCAL_INDEX_RENEW_H
#define INDEX_LOCAL_INDEX_RENEW_H

#include <pthread.h>
#include <stdatomic.h>

#include "vector_index.h"

/* An index in its owner's hands. index and its path change under the lock only, and while someone renews it only by index_renew. */
typedef struct index_place {
    pthread_rwlock_t lock;
    vector_index *index;
    const char *path;
    atomic_bool stop;      /* come to an end soon */
} index_place;

/* Rows that no graph covers are few enough to be looked at one by one, up to this many. */
#define INDEX_LOOSE 512

/* Links what is not yet in the graph. MT_NO_MEMORY, MT_CANCELLED (stop). */
mt_status index_link(index_place *p);
/* Writes the file anew without dead rows and log and goes on with it. Changes wait while the graph is copied and while the last ones are carried
   over; searches wait for the exchange alone. MT_INTERNAL, MT_NO_MEMORY, MT_CANCELLED: the old file stays. */
mt_status index_renew(index_place *p, char reason[INDEX_REASON]);
/* Rows that count and that no graph covers yet. */
size_t index_loose(const vector_index *x);
/* Whether one of the two is worth while. */
bool index_wants_link(const vector_index *x);
bool index_wants_renewal(const vector_index *x);

#endif
