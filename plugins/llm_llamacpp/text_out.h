/* What leaves a generation: whole UTF-8 characters, and nothing of a stop string, though both may come in pieces. One thread. */
#ifndef LLM_TEXT_OUT_H
#define LLM_TEXT_OUT_H

#include <mortise/types.h>

enum { TEXT_OUT_STOPS = 8 };

typedef struct text_out {
    char *p;                 /* not given out yet */
    size_t len, cap;
    size_t ready;            /* of them may go */
    char *stops[TEXT_OUT_STOPS]; /* owned, NUL-terminated, not empty */
    size_t n_stops;
    bool stopped;            /* a stop string came: it and what follows are gone */
} text_out;

void text_out_dispose(text_out *t);
/* Copies a stop string. MT_INVALID: empty, or one too many. */
mt_status text_out_add_stop(text_out *t, mt_slice stop);
mt_status text_out_put(text_out *t, const char *p, size_t n);   /* MT_NO_MEMORY */
void text_out_end(text_out *t);                                 /* nothing more comes: half a stop string is text, half a character is dropped */
/* Moves what is ready to *out (grown with realloc; *len of it are there already). Bytes that are no UTF-8 become U+FFFD. MT_NO_MEMORY. */
mt_status text_out_take(text_out *t, char **out, size_t *len);

#endif
