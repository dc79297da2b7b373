/* A filter becomes a list of chunk ids before an index is asked. */
#include "retrieval.h"

mt_slice uuid_array(mt_call *c, const mt_slice *ids, size_t n)
{
    char *p = mt_alloc(c, n * 37 + 3), *at = p;
    if (!p)
        return (mt_slice){0};
    *at++ = '{';
    for (size_t i = 0; i < n; i++) {
        if (ids[i].len != 36)
            continue;
        if (at > p + 1)
            *at++ = ',';
        memcpy(at, ids[i].p, 36);
        at += 36;
    }
    *at++ = '}';
    return (mt_slice){p, (size_t)(at - p)};
}

/* PostgreSQL's array text of the ids at a pointer; the null slice when there are none. */
static mt_slice read_ids(search *s, const char *pointer)
{
    int64_t n = mt_json_count(s->c, s->request, mt_str(pointer));
    mt_slice *ids = n > 0 ? mt_alloc(s->c, (size_t)n * sizeof *ids) : NULL;
    for (int64_t i = 0; ids && i < n; i++)
        ids[i] = mt_json_text(s->c, s->request, mt_printf(s->c, "%s/%lld", pointer, (long long)i));
    return ids ? uuid_array(s->c, ids, (size_t)n) : (mt_slice){0};
}

mt_status filter_resolve(search *s)
{
    mt_call *c = s->c;
    mt_handle rows;
    mt_slice documents = read_ids(s, "/filter/document_ids"), collections = read_ids(s, "/filter/collection_ids");
    mt_slice name = mt_json_text(c, s->request, MT_SLICE("/filter/file_name")), language = mt_json_text(c, s->request, MT_SLICE("/filter/language"));
    mt_slice metadata = mt_json_text(c, s->request, MT_SLICE("/filter/metadata"));
    bool more = collections.p || name.p || language.p || metadata.p;
    if (!documents.p && !more)
        return MT_OK;
    const mt_field args[] = {{MT_SLICE("documents"), documents}, {MT_SLICE("collections"), collections}, {MT_SLICE("file_name"), name},
                             {MT_SLICE("language"), language}, {MT_SLICE("metadata"), metadata}};
    MT_TRY(mt_db_query(c, more ? MT_SLICE("chunks_filtered") : MT_SLICE("chunks_of_documents"), args, more ? 5 : 1, &rows));
    s->filtered = true;
    s->n_allowed = mt_db_rows(c, rows);
    s->allowed = mt_alloc(c, (s->n_allowed + 1) * sizeof *s->allowed);
    for (uint32_t i = 0; s->allowed && i < s->n_allowed; i++)
        s->allowed[i] = mt_db_value(c, rows, i, MT_SLICE("id"));
    return s->allowed ? MT_OK : MT_TOO_LARGE;
}
