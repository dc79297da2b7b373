/* Unit vectors as JSON. Pure. */
#ifndef EMBEDDING_VECTOR_JSON_H
#define EMBEDDING_VECTOR_JSON_H

#include <mortise/types.h>

/* Bytes that vector_json_write needs at most. */
size_t vector_json_room(size_t rows, size_t dim);
/* [[…],…] of rows × dim numbers between -1 and 1, each with nine decimals: what that loses is below the resolution of the arithmetic
   that made them, and it is twenty times faster than the shortest text that reads back the same. Answers the length. */
size_t vector_json_write(const float *vectors, size_t rows, size_t dim, char *out);

#endif
