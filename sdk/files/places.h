/* Things that have a file each, found by a key: which there are, and in which order they were used. Each thing embeds a mt_place as its first member and
   lives until the list is destroyed; what is in it is its owner's. Any thread. */
#ifndef MORTISE_FILES_PLACES_H
#define MORTISE_FILES_PLACES_H

#include <mortise/types.h>

typedef struct mt_place {
    struct mt_place *next;           /* of the same slot */
    struct mt_place *newer, *older;  /* in the order of use */
    const char *key;                 /* the thing's, as long as it lives */
} mt_place;

typedef struct mt_places mt_places;

mt_places *mt_places_create(void);   /* NULL without memory */
/* Destroys the list and every thing by drop. */
void mt_places_destroy(mt_places *l, void (*drop)(mt_place *p));
/* The thing with this key, used now. When there is none make(arg, key) makes it, its key set; NULL when that answers NULL. */
mt_place *mt_places_get(mt_places *l, const char *key, mt_place *(*make)(void *arg, const char *key), void *arg);
/* What was used least lately, when more than `most` are in use: it is no longer counted, and its owner closes it. try_lock (not to block) says whether it
   is idle and locks it for that. NULL: nothing is to be closed. */
mt_place *mt_places_take_idle(mt_places *l, size_t most, bool (*try_lock)(mt_place *p));
void mt_places_each(mt_places *l, void (*visit)(mt_place *p));

/* An id's 36 characters, lower case, as its 16 bytes; false when they are none, so that no other text gets into a file's name. */
bool mt_place_parse_id(mt_slice text, uint8_t id[16]);

#endif
