/*
 * Lines and server-sent events out of a body that comes in parts. Every buffer is born with a maximum. Pure; one thread.
 * The format: WHATWG HTML, "9.2.6 Interpreting an event stream".
 */
#ifndef LLM_WIRE_LINES_H
#define LLM_WIRE_LINES_H

#include <mortise/types.h>

/* A growing text. */
typedef struct wire_buf {
    char *p;
    size_t len, cap, max;
} wire_buf;

/* MT_TOO_LARGE over the maximum, MT_NO_MEMORY. */
mt_status wire_add(wire_buf *b, mt_slice s);
void wire_dispose(wire_buf *b);

typedef struct wire_lines {
    wire_buf held;               /* what came and is not handed out yet: held.p + at */
    size_t at, looked;           /* bytes after at that hold no line end */
    bool after_cr;
} wire_lines;

/* Takes a part. MT_TOO_LARGE when a line is longer than held.max. */
mt_status wire_feed(wire_lines *l, mt_slice part);
/* The next whole line without its end (LF, CR LF or CR), valid until the next feed; false: none is whole yet. */
bool wire_line(wire_lines *l, mt_slice *line);
/* What is left when the body has ended: a last line without an end. */
mt_slice wire_rest(const wire_lines *l);

typedef struct wire_event {
    char name[48];
    wire_buf data;
    bool has_data, taken;
} wire_event;

/* Gives one line to the event; true: the event is complete (name "" for none) until the next line is given. MT_TOO_LARGE in *s. */
bool wire_event_line(wire_event *e, mt_slice line, mt_status *s);

#endif
