/* From the fields of an HTTP/2 request to the head that the server's HTTP/1.1 side also makes. nghttp2 has checked names, values, pseudo fields. */
#include "http/h2.h"

void http_h2_head_dispose(http_h2_head *h)
{
    mti_buf_dispose(&h->bytes);
}

void http_h2_head_add(http_h2_head *h, mt_slice name, mt_slice value)
{
    if (!h->bytes.max)
        mti_buf_init(&h->bytes, 2 * H2_HEAD_BYTES);
    h->list_size += name.len + value.len + 32;
    if (h->list_size > H2_HEAD_BYTES || h->n == H2_HEAD_FIELDS)
        h->too_large = true;
    if (h->too_large)
        return;
    const unsigned at = (unsigned)h->bytes.len;
    mti_buf_add(&h->bytes, name.p, name.len);
    mti_buf_add(&h->bytes, value.p, value.len);
    const unsigned name_len = (unsigned)name.len, value_len = (unsigned)value.len;
    if (mt_slice_eq(name, MT_SLICE(":method")))
        h->method.value = at + name_len, h->method.value_len = value_len;
    else if (mt_slice_eq(name, MT_SLICE(":path")))
        h->path.value = at + name_len, h->path.value_len = value_len;
    else if (mt_slice_eq(name, MT_SLICE(":authority")))
        h->authority.value = at + name_len, h->authority.value_len = value_len;
    else if (name.p[0] != ':')
        h->fields[h->n].name = at, h->fields[h->n].name_len = name_len, h->fields[h->n].value = at + name_len,
        h->fields[h->n++].value_len = value_len;
}

static size_t parse_length(h2o_iovec_t v)
{
    size_t n = 0;

    for (size_t i = 0; i < v.len; i++) /* digits: nghttp2 has looked */
        n = n * 10 + (size_t)(v.base[i] - '0');
    return n;
}

/* Cookies may come as one field each, to be read as one (RFC 9113, 8.2.3). Their text is put behind the others'. */
static void join_cookies(http_h2_head *h)
{
    unsigned first = H2_HEAD_FIELDS, kept = 0, at = (unsigned)h->bytes.len;
    char copy[H2_HEAD_BYTES];
    size_t len = 0;

    for (unsigned i = 0; i < h->n; i++) {
        mt_slice name = {h->bytes.p + h->fields[i].name, h->fields[i].name_len};
        bool cookie = mt_slice_eq(name, MT_SLICE("cookie"));
        if (cookie) {
            len += (size_t)snprintf(copy + len, sizeof copy - len, "%s%.*s", len ? "; " : "", (int)h->fields[i].value_len,
                                    h->bytes.p + h->fields[i].value);
            if (len >= sizeof copy)
                len = sizeof copy - 1;
        }
        if (!cookie || first == H2_HEAD_FIELDS)
            h->fields[kept++] = h->fields[i];
        if (cookie && first == H2_HEAD_FIELDS)
            first = kept - 1;
    }
    if (kept == h->n)
        return;
    h->n = kept;
    mti_buf_add(&h->bytes, copy, len);
    h->fields[first].value = at;
    h->fields[first].value_len = (unsigned)len;
}

static bool is_target(h2o_iovec_t method, h2o_iovec_t target)
{
    return target.len && (target.base[0] == '/' || (target.len == 1 && target.base[0] == '*' && h2o_memis(method.base, method.len, H2O_STRLIT("OPTIONS"))));
}

int http_h2_head_finish(http_h2_head *h, h2o_http1_field_t *fields, http_head *out)
{
    size_t hosts = 0;

    if (h->too_large)
        return 431;
    join_cookies(h);
#define PART(f) h2o_iovec_init(h->bytes.p + (f).value, (f).value_len)
    if (h->authority.value_len) { /* is what Host is to HTTP/1.1, and wins over it */
        unsigned at = (unsigned)h->bytes.len;
        mti_buf_add(&h->bytes, "host", 4);
        fields[out->num_fields++] = (h2o_http1_field_t){h2o_iovec_init(h->bytes.p + at, 4), PART(h->authority)};
        hosts = 1;
    }
    out->content_length = SIZE_MAX;
    out->method = PART(h->method);
    out->target = PART(h->path);
    for (unsigned i = 0; i < h->n; i++) {
        h2o_http1_field_t f = {h2o_iovec_init(h->bytes.p + h->fields[i].name, h->fields[i].name_len), PART(h->fields[i])};
        if (h2o_memis(f.name.base, f.name.len, H2O_STRLIT("host")) && hosts++) {
            if (!h2o_memis(f.value.base, f.value.len, fields[0].value.base, fields[0].value.len))
                return 400;
            continue;
        }
        if (h2o_memis(f.name.base, f.name.len, H2O_STRLIT("content-length")))
            out->content_length = parse_length(f.value);
        fields[out->num_fields++] = f;
    }
#undef PART
    if (!out->has_body)
        out->content_length = 0;
    out->fields = fields;
    out->bytes = h2o_iovec_init(h->bytes.p, h->bytes.len);
    return h->bytes.status == MT_OK && hosts && is_target(out->method, out->target) ? 0 : 400;
}
