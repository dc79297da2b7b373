/* Writes JSON straight into a buffer, without a tree. Single-threaded; never suspends. Commas are
 * put by the writer; that begins and ends match is the caller's business. A failure sticks in the
 * buffer (mti_buf.status) and is checked once, at the end. */
#ifndef MTI_JSON_WRITER_H
#define MTI_JSON_WRITER_H

#include "base/buf.h"

typedef struct mti_writer {
    mti_buf *out;
    bool comma; /* the next value or key follows another */
} mti_writer;

void mti_writer_init(mti_writer *w, mti_buf *out);
void mti_writer_object(mti_writer *w);
void mti_writer_object_end(mti_writer *w);
void mti_writer_array(mti_writer *w);
void mti_writer_array_end(mti_writer *w);
void mti_writer_key(mti_writer *w, mt_slice key);
void mti_writer_string(mti_writer *w, mt_slice s); /* {NULL, 0} writes null */
void mti_writer_int(mti_writer *w, int64_t v);
void mti_writer_double(
    mti_writer *w, double v); /* shortest form that reads back equal; NaN and infinity write null */
void mti_writer_bool(mti_writer *w, bool v);
void mti_writer_null(mti_writer *w);
void mti_writer_raw(mti_writer *w, mt_slice json); /* one complete JSON value, not looked at */

/* key and value in one call */
void mti_writer_key_string(mti_writer *w, const char *key, mt_slice v);
void mti_writer_key_int(mti_writer *w, const char *key, int64_t v);
void mti_writer_key_bool(mti_writer *w, const char *key, bool v);

#endif
