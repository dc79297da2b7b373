/* json/1, offload/1, defer/1, http/1, auth/1, and which table an interface has. */
#include "kit.h"

#include <strings.h>

static mt_status parse(mt_call *c, mt_slice text, mt_handle *out)
{
    json_t *doc = kit_parse(text);
    if (!doc)
        return mti_fail(&c->error, MT_INVALID, "json_invalid", "The text is not JSON.");
    *out = kit_handle(c, doc);
    return MT_OK;
}

static mt_slice text(mt_call *c, mt_handle doc, mt_slice pointer)
{
    return kit_text(c, kit_at(kit_object(c, doc), pointer));
}

static int64_t count(mt_call *c, mt_handle doc, mt_slice pointer)
{
    const json_t *v = kit_at(kit_object(c, doc), pointer);
    return json_is_array(v) ? (int64_t)json_array_size(v) : json_is_object(v) ? (int64_t)json_object_size(v) : -1;
}

static double number(mt_call *c, mt_handle doc, mt_slice pointer, double fallback)
{
    const json_t *v = kit_at(kit_object(c, doc), pointer);
    return json_is_number(v) ? json_number_value(v) : fallback;
}

static mt_status free_doc(mt_call *c, mt_handle doc)
{
    if (kit_object(c, doc)) {
        json_decref(c->objects[doc - 1]);
        c->objects[doc - 1] = NULL;
        if (doc == c->n_objects)
            c->n_objects--;
    }
    return MT_OK;
}

const mt_json_1 kit_json = {.size = sizeof kit_json, .version = 1, .parse = parse, .text = text, .count = count, .number = number, .free = free_doc};

static mt_status run(mt_call *c, void (*work)(void *), void *arg)
{
    MT_TRY(kit_suspend(c));
    work(arg);
    return MT_OK;
}

const mt_offload_1 kit_offload = {.size = sizeof kit_offload, .version = 1, .run = run};

static mt_status defer_add(mt_call *c, void (*work)(void *), void *arg)
{
    if (c->n_defers == sizeof c->defers / sizeof *c->defers)
        kit_wrong("more than %zu defers in one call", sizeof c->defers / sizeof *c->defers);
    c->defers[c->n_defers++] = (kit_defer){work, arg};
    return MT_OK;
}

const mt_defer_1 kit_defer_table = {.size = sizeof kit_defer_table, .version = 1, .add = defer_add};

/* --- http/1 --- */

static mt_slice host_of(mt_slice url)
{
    const char *scheme = memmem(url.p, url.len, "://", 3);
    if (!scheme)
        return (mt_slice){0};
    const char *p = scheme + 3, *end = url.p + url.len;
    size_t n = 0;
    while (p + n < end && !strchr("/:?#", p[n]))
        n++;
    return (mt_slice){p, n};
}

static bool host_granted(const mt_testkit *kit, mt_slice host)
{
    size_t i;
    json_t *v, *hosts = json_object_get(json_object_get(json_object_get(kit->manifest, "permissions"), "http"), "hosts");
    if (!kit->manifest)
        return true;
    json_array_foreach(hosts, i, v) {
        const char *g = json_string_value(v);
        size_t n = strlen(g);
        if (!strcmp(g, "*") || (n == host.len && !strncasecmp(g, host.p, n)))
            return true;
        if (g[0] == '*' && g[1] == '.' && host.len > n - 1 && !strncasecmp(host.p + host.len - (n - 1), g + 1, n - 1))
            return true;
    }
    return false;
}

static mt_status exchange(mt_call *c, const mt_http_exchange *in, const kit_answer **out)
{
    mt_slice method = in->method.len ? in->method : MT_SLICE("GET"), host = host_of(in->url);
    char *name = kit_printf(c, "%.*s %.*s", (int)method.len, method.p, (int)in->url.len, in->url.p);
    kit_see(c, MT_SEEN_HTTP, mt_str(name), in->body);
    MT_TRY(kit_suspend(c));
    if (!host.len || !host_granted(c->kit, host))
        return mti_fail(&c->error, MT_DENIED, "host_not_granted", "The plugin was not granted the host %.*s.", (int)host.len, host.p ? host.p : "");
    *out = kit_next_answer(c->kit->exchanges, mt_str(name));
    if (!*out || !(*out)->http)
        return mti_fail(&c->error, MT_UNAVAILABLE, "http_failed", "%s answers nothing.", name);
    if (in->max_bytes && (int64_t)strlen((*out)->text) > in->max_bytes)
        return mti_fail(&c->error, MT_TOO_LARGE, "http_too_large", "The answer is too large.");
    return MT_OK;
}

static mt_status fetch(mt_call *c, const mt_http_exchange *in, const mt_field *headers, size_t n, int32_t *status, mt_slice *body)
{
    const kit_answer *a;
    MT_TRY(exchange(c, in, &a));
    *status = a->http;
    *body = mt_str(kit_copy(c, mt_str(a->text)));
    return MT_OK;
}

/* A stream is {"text", "at"}; its body comes in two parts. */
static mt_status open_stream(mt_call *c, const mt_http_exchange *in, const mt_field *headers, size_t n, int32_t *status, mt_handle *out)
{
    const kit_answer *a;
    MT_TRY(exchange(c, in, &a));
    *status = a->http;
    *out = kit_handle(c, json_pack("{s:s,s:i}", "text", a->text, "at", 0));
    return MT_OK;
}

static mt_status next(mt_call *c, mt_handle stream, mt_slice *part)
{
    json_t *s = kit_object(c, stream);
    mt_slice all = mt_str(json_string_value(json_object_get(s, "text")));
    size_t at = (size_t)json_integer_value(json_object_get(s, "at")), half = (all.len + 1) / 2;
    MT_TRY(kit_suspend(c));
    if (at >= all.len)
        return MT_DONE;
    *part = (mt_slice){all.p + at, at + half < all.len ? half : all.len - at};
    json_object_set_new(s, "at", json_integer((json_int_t)(at + part->len)));
    return MT_OK;
}

static mt_status close_stream(mt_call *c, mt_handle stream)
{
    json_object_set_new(kit_object(c, stream), "text", json_string(""));
    return MT_OK;
}

/* Canned answers have no headers. */
static mt_slice header(mt_call *c, mt_handle stream, mt_slice name)
{
    return (mt_slice){0};
}

const mt_http_1 kit_http = {.size = sizeof kit_http, .version = 1, .fetch = fetch, .open = open_stream, .next = next, .close = close_stream, .header = header};

/* Knows no credential; a test of an authenticating plugin looks at what it asked for. */
static mt_status find(mt_call *c, mt_slice sha256, bool *found)
{
    *found = false;
    return kit_suspend(c);
}

const mt_auth_1 kit_auth = {.size = sizeof kit_auth, .version = 1, .find = find};

/* What is counted is nobody's here. */
static mt_status family(mt_call *c, mt_slice kind, mt_slice name, mt_slice help, mt_slice labels, mt_handle *out)
{
    *out = 1;
    return MT_OK;
}

static mt_status measure(mt_handle family_handle, const mt_slice *values, size_t n, double by)
{
    return MT_OK;
}

static mt_status zero(mt_handle family_handle)
{
    return MT_OK;
}

static const mt_metrics_1 kit_metrics = {.size = sizeof kit_metrics, .version = 1, .family = family, .add = measure, .set = measure, .observe = measure, .zero = zero};

const void *kit_host_interface(mt_slice id)
{
    static const struct { const char *id; const void *table; } tables[] = {
        {"request/1", &kit_request}, {"stream/1", &kit_stream}, {"db/1", &kit_db}, {"json/1", &kit_json},
        {"hook/1", &kit_hook}, {"offload/1", &kit_offload}, {"defer/1", &kit_defer_table}, {"http/1", &kit_http}, {"auth/1", &kit_auth},
        {"service/1", &kit_service}, {"thread/1", &kit_thread}, {"metrics/1", &kit_metrics}};
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        if (mt_slice_eq(id, mt_str(tables[i].id)))
            return tables[i].table;
    return NULL;
}
