/* Statements of an SQL file, one after the other, for migrations of plugins. */
#ifndef MTI_DB_SPLIT_H
#define MTI_DB_SPLIT_H

#include "base/error.h"

typedef struct mti_splitter {
    const char *p, *end;
    int line;
} mti_splitter;

/* The next statement without its semicolon (borrowed from the text) and its line; MT_DONE after the
 * last; MT_INVALID when the text ends inside a literal, a quoted name or a comment. */
mt_status mti_split_next(mti_splitter *s, mt_slice *statement, int *line);
/* True when a plugin's migration may run a statement of this kind; told by its first words. RESET
 * ROLE, DO, GRANT … are not among them. */
bool mti_split_allowed(mt_slice statement);

#endif
