/* One thread of low priority for all indexes: checks files that were opened, links rows, writes files anew; it takes their locks for moments only. */
#ifndef INDEX_LOCAL_KEEPER_H
#define INDEX_LOCAL_KEEPER_H

#include "index_spaces.h"

typedef struct keeper keeper;

keeper *keeper_create(void);          /* NULL without memory */
mt_status keeper_start(keeper *k);    /* MT_NO_MEMORY */
/* Ends the thread once it has left its index; whoever calls tells the indexes to stop. */
void keeper_destroy(keeper *k);
/* Puts an index into its line, unless it stands there. Any thread. */
void keeper_ask(keeper *k, space *x);

#endif
