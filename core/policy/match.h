/* Lua's patterns, matched in bounded steps: every step is charged to the running policy, and
 * recursion is bounded for a fiber's stack. */
#ifndef MTI_POLICY_MATCH_H
#define MTI_POLICY_MATCH_H

#include <lua.h>

#define MTI_MATCH_CAPTURES 32
#define MTI_MATCH_OPEN     (-1)  /* a capture whose end was not met yet */
#define MTI_MATCH_POSITION (-2)  /* "()": the place itself */

typedef struct mti_match {
    lua_State *L;
    const char *text, *text_end, *pattern_end;
    unsigned captures, depth, steps;
    struct {
        const char *at;
        ptrdiff_t len;
    } capture[MTI_MATCH_CAPTURES];
} mti_match;

/* The end of the match of pattern p that begins at s, or NULL. A malformed pattern, too much
 * nesting or a limit raises a Lua error. */
const char *mti_match_at(mti_match *m, const char *s, const char *p);

#endif
