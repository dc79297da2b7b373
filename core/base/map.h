/* A hash map from byte strings to pointers; keys are copied. Open addressing, seeded SipHash. Single-threaded. */
#ifndef MTI_BASE_MAP_H
#define MTI_BASE_MAP_H

#include <mortise/types.h>

typedef struct mti_map mti_map;

mti_map *mti_map_create(void);
void mti_map_destroy(mti_map *m);                       /* not the values */
void *mti_map_get(const mti_map *m, mt_slice key);      /* NULL when absent */
void *mti_map_put(mti_map *m, mt_slice key, void *val); /* answers the value replaced, or NULL */
void *mti_map_remove(mti_map *m, mt_slice key);
size_t mti_map_count(const mti_map *m);
/* Iterates in no order: *pos starts at 0; false at the end. The map must not change meanwhile. */
bool mti_map_next(const mti_map *m, size_t *pos, mt_slice *key, void **val);
/* SipHash-1-3 under a per-process random key. */
uint64_t mti_hash(const void *p, size_t n);

#endif
