/* One outbound exchange: what curl calls back, and what the fiber waits for. */
#include "http/client_internal.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/ident.h"

enum { HEAD_MAX = 64 * 1024, FIELDS_MAX = 128, WINDOW = 256 * 1024 };

/* Before connecting: the resolved address decides, so a name cannot point inside. */
static curl_socket_t on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
    mti_http_fetch *f = arg;

    if (purpose != CURLSOCKTYPE_IPCXN ||
        (!f->allow_private && !mti_http_address_is_public(&a->addr))) {
        f->refused = true;
        return CURL_SOCKET_BAD;
    }
    return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

/* Before sending: also on a kept connection, which a request with other rights may have opened. */
static int on_before_request(void *arg, char *peer, char *local, int peer_port, int local_port)
{
    mti_http_fetch *f = arg;
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    bool ok = f->allow_private;

    (void)local, (void)peer_port, (void)local_port;
    if (!ok && inet_pton(AF_INET, peer, &v4.sin_addr) == 1)
        ok = mti_http_address_is_public((struct sockaddr *)&v4);
    else if (!ok && inet_pton(AF_INET6, peer, &v6.sin6_addr) == 1)
        ok = mti_http_address_is_public((struct sockaddr *)&v6);
    f->refused |= !ok;
    return ok ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
}

static void head_restart(mti_http_fetch *f)
{
    mti_buf_clear(&f->head);
    f->field_count = 0;
}

/* "Name: value\r\n" becomes "name\0value\0". */
static mt_status head_add(mti_http_fetch *f, const char *p, size_t n)
{
    const char *colon = memchr(p, ':', n), *value;
    size_t name_len;

    if (!colon)
        return MT_OK;
    if (++f->field_count > FIELDS_MAX)
        return MT_TOO_LARGE;
    name_len = (size_t)(colon - p);
    value = colon + 1;
    n -= name_len + 1;
    while (n && isspace((unsigned char)*value))
        value++, n--;
    while (n && isspace((unsigned char)value[n - 1]))
        n--;
    for (size_t i = 0; i < name_len; i++)
        mti_buf_addc(&f->head, (char)tolower((unsigned char)p[i]));
    mti_buf_addc(&f->head, 0);
    for (size_t i = 0; i < n; i++)
        mti_buf_addc(&f->head, value[i] ? value[i] : ' ');
    return mti_buf_addc(&f->head, 0);
}

static void head_finish(mti_http_fetch *f)
{
    char *p = f->head.p;

    f->fields = calloc(f->field_count + 1, sizeof *f->fields);
    if (!f->fields)
        abort();
    for (size_t i = 0; i < f->field_count; i++) {
        f->fields[i].name = mt_str(p);
        p += f->fields[i].name.len + 1;
        f->fields[i].value = mt_str(p);
        p += f->fields[i].value.len + 1;
    }
    f->have_head = true;
    mti_wake_all(&f->wait);
}

/* The last head is the answer's: those of redirects that are followed and of 1xx come before it. */
static void on_head_end(mti_http_fetch *f)
{
    curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &f->status);
    if (f->status >= 200 &&
        !(f->follows && f->status >= 300 && f->status < 400 && f->status != 304))
        head_finish(f);
}

static size_t on_header(char *p, size_t size, size_t count, void *arg)
{
    mti_http_fetch *f = arg;
    const size_t n = size * count;

    if (f->have_head) /* trailers */
        return n;
    if (n >= 5 && memcmp(p, "HTTP/", 5) == 0)
        head_restart(f);
    else if (n <= 2)
        on_head_end(f);
    else if (head_add(f, p, n) != MT_OK) {
        f->too_large = true;
        return 0;
    }
    return n;
}

/* For a redirect that was not followed after all. */
static void note_head(mti_http_fetch *f)
{
    if (f->have_head)
        return;
    curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &f->status);
    head_finish(f);
}

static size_t on_body(char *p, size_t size, size_t count, void *arg)
{
    mti_http_fetch *f = arg;
    const size_t n = size * count;

    note_head(f);
    if (f->incoming.len && f->incoming.len + n > WINDOW) {
        f->paused = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    if (n > f->max_body - f->received || mti_buf_add(&f->incoming, p, n) != MT_OK) {
        f->too_large = true;
        return 0;
    }
    f->received += n;
    mti_wake_all(&f->wait);
    return n;
}

void http_fetch_done(mti_http_fetch *f, CURLcode result)
{
    f->done = true;
    f->result = result;
    if (result == CURLE_OK)
        note_head(f);
    mti_wake_all(&f->wait);
}

static mt_status fail_of(const mti_http_fetch *f, mti_error *e)
{
    if (f->refused)
        return mti_fail(
            e, MT_DENIED, "upstream_address_refused",
            "The address is not a public one: outbound.allow_private lets plugins call private addresses.");
    if (f->too_large)
        return mti_fail(e, MT_TOO_LARGE, "upstream_answer_too_large",
                        "The answer is larger than allowed.");
    switch (f->result) {
    case CURLE_OPERATION_TIMEDOUT:
        return mti_fail(e, MT_TIMEOUT, "upstream_timeout", "No answer in time.");
    case CURLE_URL_MALFORMAT:
        return mti_fail(e, MT_INVALID, "upstream_url_invalid",
                        "The URL is not an http or https URL.");
    default:
        return mti_fail(e, MT_UNAVAILABLE, "upstream_unreachable", "%s.",
                        curl_easy_strerror(f->result));
    }
}

static bool is_plain(mt_slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.p[i] < ' ' || s.p[i] == 127)
            return false;
    return true;
}

static bool is_web_url(const char *url)
{
    return url && (strncasecmp(url, "http://", 7) == 0 || strncasecmp(url, "https://", 8) == 0) &&
           is_plain(mt_str(url));
}

static bool is_method(const char *s)
{
    const char *p = s;
    while (isupper((unsigned char)*p))
        p++;
    return p != s && !*p;
}

static mt_status add_header(mti_http_fetch *f, mt_slice name, mt_slice value)
{
    struct curl_slist *longer;
    char *line = NULL;

    /* curl's own form of a field without a value is a semicolon */
    if (asprintf(&line, value.len ? "%.*s: %.*s" : "%.*s;", (int)name.len, name.p, (int)value.len,
                 value.p) < 0)
        abort();
    longer = curl_slist_append(f->headers, line);
    free(line);
    if (!longer)
        return MT_NO_MEMORY;
    f->headers = longer;
    return MT_OK;
}

static mt_status set_headers(mti_http_fetch *f, const mti_http_outgoing *o, mti_error *e)
{
    for (size_t i = 0; i < o->header_count; i++) {
        const mt_field *h = &o->headers[i];
        if (!h->name.len || h->name.len > 256 || h->value.len > 32768 || !is_plain(h->name) ||
            !is_plain(h->value) || memchr(h->name.p, ':', h->name.len) ||
            memchr(h->name.p, ' ', h->name.len))
            return mti_fail(e, MT_INVALID, "upstream_header_invalid",
                            "Header %zu has control characters.", i);
        MT_TRY(add_header(f, h->name, h->value));
    }
    /* an Expect would cost a round trip or a second */
    struct curl_slist *longer = curl_slist_append(f->headers, "Expect:");
    if (!longer)
        return MT_NO_MEMORY;
    f->headers = longer;
    curl_easy_setopt(f->easy, CURLOPT_HTTPHEADER, f->headers);
    return MT_OK;
}

static void set_method(CURL *easy, const mti_http_outgoing *o)
{
    const char *method = o->method ? o->method : "GET";

    if (o->body.p) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)o->body.len);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, o->body.p);
    } else if (strcmp(method, "HEAD") == 0) {
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    } else if (strcmp(method, "POST") == 0) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)0);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, "");
    }
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
}

static void set_options(mti_http_fetch *f, const mti_http_outgoing *o)
{
    const mti_http_client *c = f->client;
    CURL *easy = f->easy;

    curl_easy_setopt(easy, CURLOPT_PRIVATE, f);
    curl_easy_setopt(easy, CURLOPT_URL, o->url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, o->max_redirects ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_MAXREDIRS, (long)o->max_redirects);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, c->user_agent);
    if (c->ca_file)
        curl_easy_setopt(easy, CURLOPT_CAINFO, c->ca_file);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)(o->connect_ms ? o->connect_ms : 5000));
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)o->total_ms);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, f);
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_before_request);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, f);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, f);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, f);
    set_method(easy, o);
}

static mti_http_fetch *fetch_create(mti_http_client *c, const mti_http_outgoing *o)
{
    mti_http_fetch *f = calloc(1, sizeof *f);

    if (!f || !(f->easy = curl_easy_init()))
        abort();
    f->client = c;
    f->allow_private = o->allow_private;
    f->follows = o->max_redirects != 0;
    f->idle_ms = o->idle_ms ? o->idle_ms : 60000;
    f->max_body = o->max_body ? o->max_body : (size_t)8 << 20;
    mti_buf_init(&f->head, HEAD_MAX);
    mti_buf_init(&f->incoming, 2 * WINDOW);
    mti_buf_init(&f->handed, 2 * WINDOW);
    return f;
}

void mti_http_fetch_close(mti_http_fetch *f)
{
    if (!f)
        return;
    if (f->added) {
        curl_multi_remove_handle(f->client->multi, f->easy);
        f->client->exchanges--;
    }
    curl_easy_cleanup(f->easy);
    curl_slist_free_all(f->headers);
    mti_buf_dispose(&f->head);
    mti_buf_dispose(&f->incoming);
    mti_buf_dispose(&f->handed);
    free(f->fields);
    free(f);
}

static mt_status fetch_begin(mti_http_fetch *f, const mti_http_outgoing *o, mti_error *e)
{
    mt_status st;

    if (!is_web_url(o->url) || (o->method && !is_method(o->method)))
        return mti_fail(e, MT_INVALID, "upstream_url_invalid",
                        "Not an http or https URL, or not a method.");
    set_options(f, o);
    MT_TRY(set_headers(f, o, e));
    st = http_client_add(f->client, f);
    if (st == MT_LIMITED)
        return mti_fail(e, st, "upstream_limit", "Too many outbound requests at once.");
    return st;
}

mt_status mti_http_fetch_open(mti_http_client *c, const mti_http_outgoing *o, mti_http_fetch **out,
                              mti_error *e)
{
    mti_http_fetch *f = fetch_create(c, o);
    int64_t now = mti_mono_us(), due = now + (o->head_ms ? o->head_ms : 30000) * 1000;
    mt_status st = fetch_begin(f, o, e);

    *out = NULL;
    while (st == MT_OK && !f->have_head && !f->done && (now = mti_mono_us()) < due)
        if ((st = mti_wait(&f->wait, (due - now) / 1000 + 1)) == MT_TIMEOUT)
            st = MT_OK;
    if (st == MT_OK && !f->have_head) {
        if (!f->done)
            f->result = CURLE_OPERATION_TIMEDOUT;
        st = fail_of(f, e);
    }
    if (st != MT_OK) {
        mti_http_fetch_close(f);
        return st;
    }
    *out = f;
    return MT_OK;
}

int mti_http_fetch_status(const mti_http_fetch *f)
{
    return (int)f->status;
}

mt_slice mti_http_fetch_header(const mti_http_fetch *f, const char *name)
{
    const mt_slice want = mt_str(name);

    for (size_t i = f->field_count; i-- > 0;)
        if (mt_slice_eq(f->fields[i].name, want))
            return f->fields[i].value;
    return (mt_slice){NULL, 0};
}

bool mti_http_fetch_header_at(const mti_http_fetch *f, size_t i, mt_field *out)
{
    if (i >= f->field_count)
        return false;
    *out = f->fields[i];
    return true;
}

mt_status mti_http_fetch_next(mti_http_fetch *f, mt_slice *piece, mti_error *e)
{
    *piece = (mt_slice){NULL, 0};
    while (!f->incoming.len) {
        if (f->done)
            return f->result == CURLE_OK ? MT_DONE : fail_of(f, e);
        mt_status st = mti_wait(&f->wait, f->idle_ms);
        if (st == MT_TIMEOUT)
            return mti_fail(e, st, "upstream_timeout", "The answer stopped for too long.");
        MT_TRY(st);
    }
    mti_buf swap = f->handed;
    f->handed = f->incoming;
    f->incoming = swap;
    mti_buf_clear(&f->incoming);
    if (f->paused) {
        f->paused = false;
        curl_easy_pause(f->easy, CURLPAUSE_CONT);
    }
    *piece = mti_buf_slice(&f->handed);
    return MT_OK;
}

/* Arena memory cannot be grown in place, so the body gathers in a buffer and is copied once. */
static mt_status gather(mti_http_fetch *f, mti_arena *arena, mt_slice *body, mti_error *e)
{
    mti_buf all;
    mt_slice piece;
    mt_status st;

    mti_buf_init(&all, f->max_body);
    while ((st = mti_http_fetch_next(f, &piece, e)) == MT_OK)
        if ((st = mti_buf_add(&all, piece.p, piece.len)) != MT_OK)
            break;
    if (st == MT_DONE) {
        char *p = mti_arena_try_alloc(arena, all.len + 1);
        st = p ? MT_OK
               : mti_fail(e, MT_NO_MEMORY, "upstream_answer_too_large", "No room for the answer.");
        if (p && all.len)
            memcpy(p, all.p, all.len);
        *body = (mt_slice){p, all.len};
    }
    mti_buf_dispose(&all);
    return st;
}

mt_status mti_http_fetch_whole(mti_http_client *c, const mti_http_outgoing *o, mti_arena *arena,
                               mti_http_reply *out, mti_error *e)
{
    mti_http_outgoing limited = *o;
    mti_http_fetch *f;
    mt_field *fields;
    mt_status st;

    *out = (mti_http_reply){0};
    limited.total_ms = o->total_ms ? o->total_ms : 120000;
    MT_TRY(mti_http_fetch_open(c, &limited, &f, e));
    st = gather(f, arena, &out->body, e);
    if (st == MT_OK) {
        fields = mti_arena_alloc(arena, (f->field_count + 1) * sizeof *fields);
        for (size_t i = 0; i < f->field_count; i++)
            fields[i] = (mt_field){mti_arena_slice(arena, f->fields[i].name),
                                   mti_arena_slice(arena, f->fields[i].value)};
        out->headers = fields;
        out->header_count = f->field_count;
        out->status = (int)f->status;
    }
    mti_http_fetch_close(f);
    return st;
}
