/* A filter as PostgreSQL reads it: over given chunks, or as the list of all that it allows. */
#include "retrieval.h"

#include <stdlib.h>

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

void filter_read(search *s)
{
    mt_call *c = s->c;
    const mt_field args[FILTER_ARGS] = {
        {MT_SLICE("documents"), read_ids(s, "/filter/document_ids")}, {MT_SLICE("collections"), read_ids(s, "/filter/collection_ids")},
        {MT_SLICE("file_name"), mt_json_text(c, s->request, MT_SLICE("/filter/file_name"))}, {MT_SLICE("language"), mt_json_text(c, s->request, MT_SLICE("/filter/language"))},
        {MT_SLICE("metadata"), mt_json_text(c, s->request, MT_SLICE("/filter/metadata"))}, {MT_SLICE("ids"), {0}}};
    memcpy(s->filter, args, sizeof args);
    s->filter_is_list = s->filter[0].value.p || s->filter[2].value.p;    /* names documents: short */
    for (size_t i = 0; i < FILTER_ARGS; i++)
        s->filtered |= s->filter[i].value.p != NULL;
}

mt_status filter_list(search *s)
{
    mt_call *c = s->c;
    mt_handle rows;
    bool only_documents = true;
    for (size_t i = 1; i < FILTER_ARGS; i++)
        only_documents &= s->filter[i].value.p == NULL;
    MT_TRY(mt_db_query(c, only_documents ? MT_SLICE("chunks_of_documents") : MT_SLICE("chunks_filtered"), s->filter, only_documents ? 1 : FILTER_ARGS - 1, &rows));
    s->n_allowed = mt_db_rows(c, rows);
    s->allowed = mt_alloc(c, (s->n_allowed + 1) * sizeof *s->allowed);
    for (uint32_t i = 0; s->allowed && i < s->n_allowed; i++)
        s->allowed[i] = mt_db_value(c, rows, i, MT_SLICE("id"));
    return s->allowed ? MT_OK : MT_TOO_LARGE;
}

static int by_text(const void *a, const void *b)
{
    return memcmp(((const mt_slice *)a)->p, ((const mt_slice *)b)->p, 36);
}

mt_status filter_keeps(search *s, const mt_slice *ids, size_t n, bool *keeps)
{
    mt_call *c = s->c;
    mt_handle rows;
    mt_field args[FILTER_ARGS];
    memcpy(args, s->filter, sizeof args);
    args[FILTER_ARGS - 1].value = uuid_array(c, ids, n);
    MT_TRY(mt_db_query(c, MT_SLICE("chunks_kept"), args, FILTER_ARGS, &rows));
    uint32_t n_rows = mt_db_rows(c, rows);
    mt_slice *kept = mt_alloc(c, (n_rows + 1) * sizeof *kept);
    if (!kept)
        return MT_NO_MEMORY;
    for (uint32_t i = 0; i < n_rows; i++)
        kept[i] = mt_db_value(c, rows, i, MT_SLICE("id"));
    qsort(kept, n_rows, sizeof *kept, by_text);
    for (size_t i = 0; i < n; i++)
        keeps[i] = bsearch(&ids[i], kept, n_rows, sizeof *kept, by_text) != NULL;
    return MT_OK;
}
