/* The host's side of request/1 and stream/1, for mti_plugins_provide. */
#ifndef MTI_REQUEST_API_H
#define MTI_REQUEST_API_H

#include <mortise/interfaces.h>

extern const mt_request_1 mti_api_request;
extern const mt_stream_1 mti_api_stream;

#endif
