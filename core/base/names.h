/* Names as small numbers, for the life of the process: the same name gives the same number. Any
 * thread. */
#ifndef MTI_BASE_NAMES_H
#define MTI_BASE_NAMES_H

#include <pthread.h>

/* Append-only: readers see a published count, and names that never move. */
typedef struct mti_names {
    const char **list;           /* of max */
    unsigned max, count;
    pthread_mutex_t lock;
} mti_names;

/* static const char *list[64]; static mti_names things = MTI_NAMES(list); */
#define MTI_NAMES(array) \
    {.list = array, .max = sizeof array / sizeof *array, .lock = PTHREAD_MUTEX_INITIALIZER}

/* The name's number, given when it is new; -1 when all are used up. */
int mti_names_id(mti_names *n, const char *name);
int mti_names_find(mti_names *n, const char *name);          /* -1: it has none */
unsigned mti_names_count(const mti_names *n);
const char *mti_names_get(const mti_names *n, int id);       /* NULL: no such number */
/* Of one that ends before the process. */
void mti_names_dispose(mti_names *n);

#endif
