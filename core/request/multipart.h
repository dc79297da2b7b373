/* multipart/form-data (RFC 7578) over a body that is whole in memory; parts are slices of it. Pure, any thread. */
#ifndef MTI_REQUEST_MULTIPART_H
#define MTI_REQUEST_MULTIPART_H

#include "base/error.h"

enum { MTI_MAX_PARTS = 64 };

typedef struct mti_part {
    mt_slice field, file_name, type, data;   /* file_name.p is NULL for a plain field */
} mti_part;

typedef struct mti_multipart {
    unsigned n;
    mti_part parts[MTI_MAX_PARTS];           /* those at n and after mean nothing */
} mti_multipart;

/* content_type: the header's value, with its boundary. MT_INVALID multipart_invalid, MT_TOO_LARGE for more than 64 parts. */
mt_status mti_multipart_parse(mt_slice content_type, mt_slice body, mti_multipart *out, mti_error *e);

#endif
