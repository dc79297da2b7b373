/* What client.c (the multi handle on the loop) and fetch.c (one exchange) share. */
#ifndef MTI_HTTP_CLIENT_INTERNAL_H
#define MTI_HTTP_CLIENT_INTERNAL_H

#include <curl/curl.h>

#include "base/buf.h"
#include "http/client.h"

struct mti_http_client {
    mti_loop *loop;
    mti_http_client_options options;
    char *user_agent, *ca_file;
    CURLM *multi;
    mti_timer *timer;
    unsigned exchanges;
};

struct mti_http_fetch {
    mti_http_client *client;
    CURL *easy;
    struct curl_slist *headers;
    mti_waitlist wait;
    int64_t idle_ms;
    size_t max_body, received;
    bool allow_private, follows;

    bool added, have_head, done, paused, refused, too_large;
    CURLcode result;
    long status;
    mti_buf head;     /* "name\0value\0" pairs of the current head */
    mt_field *fields; /* into head, once it is whole */
    size_t field_count;
    mti_buf incoming, handed;
};

mt_status http_client_add(mti_http_client *c, mti_http_fetch *f);
/* fetch.c: curl has finished with it. */
void http_fetch_done(mti_http_fetch *f, CURLcode result);

#endif
