/* A request without a socket: the functions of http/server.h that a stage calls, answered from a
 * struct. Include it before the stage's .c file. */
#ifndef TEST_REQUEST_SUPPORT_H
#define TEST_REQUEST_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/log.h"
#include "request/request.h"

struct mti_http_request {
    const char *method, *path, *query;
    bool secure;
    const char *headers[8][2];
    mt_slice body;
    mt_status body_status;
    size_t body_limit; /* that the stage asked for */
    bool gone, answered;
    int status; /* of the answer */
    char type[64], sent[4096];
    size_t sent_len;
    char added[512]; /* the headers of the answer, "name: value\n" each */
};

static inline mt_slice fake_method(const mti_http_request *r)
{
    return mt_str(r->method ? r->method : "GET");
}
static inline bool fake_is_secure(const mti_http_request *r)
{
    return r->secure;
}
static inline mt_slice fake_path(const mti_http_request *r)
{
    return mt_str(r->path ? r->path : "/");
}
static inline mt_slice fake_query(const mti_http_request *r)
{
    return mt_str(r->query ? r->query : "");
}
static inline bool fake_has_body(const mti_http_request *r)
{
    return r->body.p != NULL;
}
static inline bool fake_answered(const mti_http_request *r)
{
    return r->answered;
}
static inline bool fake_gone(const mti_http_request *r)
{
    return r->gone;
}

static inline mt_slice fake_header(const mti_http_request *r, const char *name)
{
    for (int i = 0; i < 8 && r->headers[i][0]; i++)
        if (!strcmp(r->headers[i][0], name))
            return mt_str(r->headers[i][1]);
    return (mt_slice){0};
}

static inline mt_status fake_body(mti_http_request *r, size_t limit, mt_slice *out)
{
    r->body_limit = limit;
    *out = r->body;
    return r->body_status == MT_OK && r->body.len > limit ? MT_TOO_LARGE : r->body_status;
}

static inline mt_status fake_header_add(mti_http_request *r, mt_slice name, mt_slice value)
{
    size_t n = strlen(r->added);
    snprintf(r->added + n, sizeof r->added - n, "%.*s: %.*s\n", (int)name.len, name.p,
             (int)value.len, value.p);
    return MT_OK;
}

static inline mt_status fake_respond(mti_http_request *r, int status, mt_slice type, mt_slice body)
{
    r->answered = true;
    r->status = status;
    snprintf(r->type, sizeof r->type, "%.*s", (int)type.len, type.p ? type.p : "");
    snprintf(r->sent, sizeof r->sent, "%.*s", (int)body.len, body.p ? body.p : "");
    r->sent_len = body.len;
    return MT_OK;
}

static inline mt_status fake_stream_write(mti_http_request *r, mt_slice data)
{
    snprintf(r->sent, sizeof r->sent, "%.*s", (int)data.len, data.p);
    return MT_OK;
}

static inline mt_status fake_stream_end(mti_http_request *r)
{
    r->answered = true;
    return MT_OK;
}

static inline int64_t fake_config_int(const mti_config *c, const char *name)
{
    return !strcmp(name, "http.body_limit") ? 1000 : !strcmp(name, "http.upload_limit") ? 2000 : 0;
}

#define mti_http_method       fake_method
#define mti_http_is_secure    fake_is_secure
#define mti_http_path         fake_path
#define mti_http_query        fake_query
#define mti_http_header       fake_header
#define mti_http_body         fake_body
#define mti_http_has_body     fake_has_body
#define mti_http_answered     fake_answered
#define mti_http_gone         fake_gone
#define mti_http_header_add   fake_header_add
#define mti_http_respond      fake_respond
#define mti_http_stream_write fake_stream_write
#define mti_http_stream_end   fake_stream_end
#define mti_config_int        fake_config_int

#endif
