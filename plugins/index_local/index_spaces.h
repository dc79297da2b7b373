/* The indexes of the service, one a workspace and model, and the keeper behind them. Any thread.
 *
 * Who opens, closes or exchanges an index holds `keeping` and then the lock alone; opening one that is not open needs the lock only. */
#ifndef INDEX_LOCAL_INDEX_SPACES_H
#define INDEX_LOCAL_INDEX_SPACES_H

#include <mortise/types.h>

#include "index_renew.h"
#include "places.h"

/* Lives until spaces_destroy. */
typedef struct space {
    mt_place place;              /* its key: organization, workspace and model, in path */
    struct space *then;          /* behind it in the keeper's line; itself: the last. NULL: not in line */
    index_place at;              /* no index: not opened, or none */
    pthread_mutex_t keeping;
    bool verified;               /* under keeping */
    char path[];
} space;

typedef struct spaces spaces;

spaces *spaces_create(void);     /* NULL without memory */
mt_status spaces_start(spaces *s); /* the keeper. MT_NO_MEMORY */
void spaces_destroy(spaces *s);  /* ends the keeper, closes every index */

/* NULL without memory, and for a workspace that is no id or a model without a name: they name a file. */
space *spaces_get(spaces *s, mt_slice data_dir, mt_slice org, mt_slice workspace, mt_slice model);
/* The same by the part of its path between the indexes' folder and the ending. */
space *spaces_get_key(spaces *s, mt_slice data_dir, const char *key);
/* Closes the index that was not used for longest, when there are too many and it is idle. */
void spaces_close_idle(spaces *s);

/* Opens the file when it is not; a damaged one is deleted, to be built anew from the rows. Write lock held. */
void space_open(spaces *s, space *x);
/* Forgets the index and its file, after the keeper has left it. */
void space_drop(space *x);
/* Forgets the index only: what opens next reads the file as it is then. */
void space_close(space *x);
/* A file was opened or has rows to link or to be rid of: checking it, linking, writing it anew is done behind everything else, in the keeper's thread. */
void spaces_ask_keeper(spaces *s, space *x);
/* Tells why a file was given up. */
void space_log_rebuild(const space *x, const char *reason);

#endif
