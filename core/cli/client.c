#include "cli/client.h"

#include <curl/curl.h>
#include <stdio.h>
#include <unistd.h>

#include "supervisor/supervisor.h"

enum { MAX_REPLY = 64 << 20, TIMEOUT_S = 300 };

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

static mt_status perform(const mti_cli *cli, CURL *h, const char *path, mti_reply *r, mti_error *e)
{
    char url[600], socket_path[108], why[CURL_ERROR_SIZE] = "";
    int dir_fd;
    if (mti_admin_socket_path(mti_cli_data(cli), socket_path, &dir_fd) != MT_OK)
        return not_running(cli, e);
    snprintf(url, sizeof url, "http://localhost%s", path);
    curl_easy_setopt(h, CURLOPT_URL, url);
    curl_easy_setopt(h, CURLOPT_UNIX_SOCKET_PATH, socket_path);
    curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(h, CURLOPT_WRITEDATA, r);
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

mt_status mti_client_call(const mti_cli *cli, const char *method, const char *path,
                          const json_t *body, mti_reply *r, mti_error *e)
{
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
    curl_easy_setopt(h, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(h, CURLOPT_HTTPHEADER, headers);
    s = perform(cli, h, path, r, e);
out:
    curl_slist_free_all(headers);
    curl_easy_cleanup(h);
    mti_buf_dispose(&text);
    return s;
}

mt_status mti_client_upload(const mti_cli *cli, const char *path, const char *file_name,
                            const char *type, mt_slice data, mti_reply *r, mti_error *e)
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
    curl_easy_setopt(h, CURLOPT_MIMEPOST, form);
    curl_easy_setopt(h, CURLOPT_HTTPHEADER, headers);
    mt_status s = perform(cli, h, path, r, e);
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
