/* Page cursors: the last id, bound to its operation and filters by a keyed hash, so that a token of another list is refused. */
#ifndef MTI_REQUEST_CURSOR_H
#define MTI_REQUEST_CURSOR_H

#include "request/request.h"

/* token {NULL,0}: the first page. MT_INVALID cursor_invalid (400). */
mt_status mti_cursor_open(mti_request *r, mt_slice token, mt_slice *last);
mt_slice mti_cursor_seal(mti_request *r, mt_slice last);

#endif
