#include "cli/client.h"

#include <curl/curl.h>
#include <stdio.h>
#include <strings.h>
#include <unistd.h>

#include "supervisor/supervisor.h"

enum { MAX_REPLY = 64 << 20, TIMEOUT_S = 300 };
enum { RETRIES = 300, RETRY_MS = 200 };      /* while the host is being replaced */

static size_t on_data(char *p, size_t size, size_t n, void *arg)
{
    mti_reply *r = arg;
    return mti_buf_add(&r->body, p, size * n) == MT_OK ? size * n : 0;
}

static mt_status not_running(const mti_cli *cli, mti_error *e)
{
    const char *dir = mti_cli_data(cli);
    return mti_fail(e, MT_UNAVAILABLE, "server_not_running",
                    "No server runs on %.200s: start it with mortise serve --data %.200s, or name "
                    "the folder of the one that runs with --data.",
                    dir, dir);
}

static mt_status read_problem(mti_reply *r, mti_error *e)
{
    mt_slice detail = mti_json_get_string(r->json, "detail", (mt_slice){0}),
             code = mti_json_get_string(r->json, "code", MT_SLICE("http_error"));
    char code_text[64];
    snprintf(code_text, sizeof code_text, "%.*s", (int)code.len, code.p);
    e->http = r->status;
    mt_status s = r->status == 404 ? MT_NOT_FOUND : r->status == 503 ? MT_UNAVAILABLE : MT_INVALID;
    if (!detail.p)
        return mti_fail(e, s, code_text, "The server answered with status %d.", r->status);
    mti_fail(e, s, code_text, "%.*s", (int)(detail.len > 380 ? 380 : detail.len), detail.p);
    e->http = r->status;
    return s;
}

/* Events are read off the front of r->body as they become whole. */
typedef struct stream {
    mti_reply *r;
    void (*on_event)(void *arg, const char *name, const json_t *data);
    void *arg;
    mti_error *e;
    bool failed;
} stream;

static void read_event(stream *s, char *text)
{
    char name[32] = "";
    json_t *data = NULL;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        if (!strncmp(line, "event: ", 7))
            snprintf(name, sizeof name, "%s", line + 7);
        else if (!strncmp(line, "data: ", 6) && !data)
            mti_json_parse(mt_str(line + 6), 0, &data, NULL);
    }
    if (!strcmp(name, "error")) {
        s->failed = true;
        mti_fail(s->e, MT_INVALID, "stream_failed", "%.300s", mti_json_get_string(data, "detail", MT_SLICE("The stream failed.")).p);
    } else if (name[0] && data) {
        s->on_event(s->arg, name, data);
    }
    json_decref(data);
}

static size_t on_stream_data(char *p, size_t size, size_t n, void *arg)
{
    stream *s = arg;
    mti_buf *b = &s->r->body;
    char *end;
    if (mti_buf_add(b, p, size * n) != MT_OK)
        return 0;
    while (b->len && (end = memmem(b->p, b->len, "\n\n", 2)) != NULL) {
        size_t used = (size_t)(end - b->p) + 2;
        *end = 0;
        read_event(s, b->p);
        memmove(b->p, b->p + used, b->len - used);
        b->len -= used;
    }
    return size * n;
}

static mt_status perform(const mti_cli *cli, CURL *h, const char *path, stream *events, mti_reply *r, mti_error *e)
{
    char url[600], socket_path[108], why[CURL_ERROR_SIZE] = "";
    int dir_fd;
    if (mti_admin_socket_path(mti_cli_data(cli), socket_path, &dir_fd) != MT_OK)
        return not_running(cli, e);
    snprintf(url, sizeof url, "http://localhost%s", path);
    curl_easy_setopt(h, CURLOPT_URL, url);
    curl_easy_setopt(h, CURLOPT_UNIX_SOCKET_PATH, socket_path);
    curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, events ? on_stream_data : on_data);
    curl_easy_setopt(h, CURLOPT_WRITEDATA, events ? (void *)events : (void *)r);
    curl_easy_setopt(h, CURLOPT_ERRORBUFFER, why);
    curl_easy_setopt(h, CURLOPT_TIMEOUT, (long)TIMEOUT_S);
    curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(h, CURLOPT_NOPROXY, "*");
    CURLcode code = curl_easy_perform(h);
    if (dir_fd >= 0)
        close(dir_fd);
    if (code == CURLE_COULDNT_CONNECT)
        return not_running(cli, e);
    if (code != CURLE_OK)
        return mti_fail(e, MT_UNAVAILABLE, "server_lost", "The server did not answer: %s.",
                        *why ? why : curl_easy_strerror(code));
    long status = 0;
    curl_easy_getinfo(h, CURLINFO_RESPONSE_CODE, &status);
    r->status = (int)status;
    if (r->body.len)
        mti_json_parse(mti_buf_slice(&r->body), 0, &r->json, NULL);
    return status >= 200 && status < 300 ? MT_OK : read_problem(r, e);
}

static void reply_init(mti_reply *r)
{
    *r = (mti_reply){0};
    mti_buf_init(&r->body, MAX_REPLY);
}

/* Where the values of two headers go. */
typedef struct wanted {
    char *trace_id;              /* NULL: no trace is asked for */
    char *etag;
} wanted;

static bool is_header(const char *p, size_t n, const char *name)
{
    size_t len = strlen(name);
    return n > len && strncasecmp(p, name, len) == 0;
}

static size_t on_header(char *p, size_t size, size_t n, void *arg)
{
    wanted *w = arg;
    static const char trace[] = "mortise-trace-id: ", etag[] = "etag: ";
    if (w->trace_id && size * n >= sizeof trace - 1 + 32 && is_header(p, size * n, trace))
        snprintf(w->trace_id, 33, "%.32s", p + sizeof trace - 1);
    if (is_header(p, size * n, etag))
        snprintf(w->etag, sizeof(((mti_reply *)0)->etag), "%.*s", (int)strcspn(p + sizeof etag - 1, "\r\n"), p + sizeof etag - 1);
    return size * n;
}

/* trace_id NULL: no trace is asked for; if_match NULL or "": no condition. */
static mt_status call(const mti_cli *cli, const char *method, const char *path, const json_t *body, stream *events, char *trace_id, const char *if_match, mti_reply *r,
                      mti_error *e)
{
    char condition[64];
    wanted headers_wanted = {trace_id, r->etag};
    reply_init(r);
    mti_buf text;
    mti_buf_init(&text, MAX_REPLY);
    CURL *h = curl_easy_init();
    struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
    mt_status s = MT_NO_MEMORY;
    if (!h || !headers)
        goto out;
    if (body) {
        mti_json_dump(body, &text);
        headers = curl_slist_append(headers, "Content-Type: application/json");
    }
    if (body || strcmp(method, "POST") == 0) {
        curl_easy_setopt(h, CURLOPT_POSTFIELDS, text.p ? text.p : "");
        curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)text.len);
    }
    if (trace_id)
        headers = curl_slist_append(headers, "Mortise-Trace: 1");
    if (if_match && *if_match) {
        snprintf(condition, sizeof condition, "If-Match: %s", if_match);
        headers = curl_slist_append(headers, condition);
    }
    curl_easy_setopt(h, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(h, CURLOPT_HEADERDATA, &headers_wanted);
    curl_easy_setopt(h, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(h, CURLOPT_HTTPHEADER, headers);
    s = perform(cli, h, path, events, r, e);
out:
    curl_slist_free_all(headers);
    curl_easy_cleanup(h);
    mti_buf_dispose(&text);
    return s;
}

mt_status mti_client_call(const mti_cli *cli, const char *method, const char *path,
                          const json_t *body, mti_reply *r, mti_error *e)
{
    return call(cli, method, path, body, NULL, NULL, NULL, r, e);
}

mt_status mti_client_call_if(const mti_cli *cli, const char *method, const char *path, const json_t *body, const char *etag, mti_reply *r, mti_error *e)
{
    for (int i = 0;; i++) {
        mt_status s = call(cli, method, path, body, NULL, NULL, etag, r, e);
        if (s == MT_OK || strcmp(e->code, "host_reloading") != 0 || i == RETRIES)
            return s;
        mti_reply_dispose(r);
        *e = (mti_error){0};
        usleep(RETRY_MS * 1000);
    }
}

mt_status mti_client_traced(const mti_cli *cli, const char *method, const char *path, const json_t *body, char trace_id[33], mti_reply *r, mti_error *e)
{
    trace_id[0] = 0;
    return call(cli, method, path, body, NULL, trace_id, NULL, r, e);
}

mt_status mti_client_stream(const mti_cli *cli, const char *path, const json_t *body, void (*on_event)(void *arg, const char *name, const json_t *data),
                            void *arg, mti_reply *r, mti_error *e)
{
    stream events = {.r = r, .on_event = on_event, .arg = arg, .e = e};
    mt_status s = call(cli, "POST", path, body, &events, NULL, NULL, r, e);
    return s == MT_OK && events.failed ? MT_INVALID : s;
}

mt_status mti_client_upload(const mti_cli *cli, const char *path, const char *file_name,
                            const char *type, mt_slice data, mti_reply *r, mti_error *e)
{
    return mti_client_upload_with(cli, path, file_name, type, data, NULL, r, e);
}

mt_status mti_client_upload_with(const mti_cli *cli, const char *path, const char *file_name,
                                 const char *type, mt_slice data, const char *config, mti_reply *r,
                                 mti_error *e)
{
    reply_init(r);
    CURL *h = curl_easy_init();
    if (!h)
        return mti_fail(e, MT_NO_MEMORY, "no_memory", "Out of memory.");
    struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
    curl_mime *form = curl_mime_init(h);
    curl_mimepart *part = curl_mime_addpart(form);
    curl_mime_name(part, "file");
    curl_mime_filename(part, file_name);
    curl_mime_type(part, type);
    curl_mime_data(part, data.p, data.len);
    if (config) {
        part = curl_mime_addpart(form);
        curl_mime_name(part, "config");
        curl_mime_data(part, config, CURL_ZERO_TERMINATED);
    }
    curl_easy_setopt(h, CURLOPT_MIMEPOST, form);
    curl_easy_setopt(h, CURLOPT_HTTPHEADER, headers);
    mt_status s = perform(cli, h, path, NULL, r, e);
    curl_mime_free(form);
    curl_slist_free_all(headers);
    curl_easy_cleanup(h);
    return s;
}

void mti_reply_dispose(mti_reply *r)
{
    mti_buf_dispose(&r->body);
    json_decref(r->json);
    r->json = NULL;
}
