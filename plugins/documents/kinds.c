/* Which reader a file gets, and with which bounds. */
#include "documents.h"

#include <stdatomic.h>
#include <strings.h>

#include "extract_wire.h"

static const struct { char kind; const char *endings[3], *types[2]; } kinds[] = {
    {'t', {".txt", ".text"}, {"text/plain"}},
    {'m', {".md", ".markdown"}, {"text/markdown"}},
    {'h', {".html", ".htm"}, {"text/html"}},
    {'p', {".pdf"}, {"application/pdf"}},
    {'d', {".docx"}, {"application/vnd.openxmlformats-officedocument.wordprocessingml.document"}},
    {'c', {".csv", ".tsv"}, {"text/csv", "text/tab-separated-values"}},
};

static bool ends_with(mt_slice s, const char *tail)
{
    size_t n = strlen(tail);
    return s.len > n && !strncasecmp(s.p + s.len - n, tail, n);
}

static bool type_is(mt_slice type, const char *name)
{
    size_t n = strlen(name);
    return type.len >= n && !strncasecmp(type.p, name, n) && (type.len == n || type.p[n] == ';');
}

char documents_kind(mt_slice name, mt_slice type)
{
    enum { KINDS = sizeof kinds / sizeof *kinds };
    for (size_t i = 0; i < KINDS; i++)
        for (size_t k = 0; k < 3 && kinds[i].endings[k]; k++)
            if (ends_with(name, kinds[i].endings[k]))
                return kinds[i].kind;
    for (size_t i = 0; i < KINDS; i++)
        for (size_t k = 0; k < 2 && kinds[i].types[k]; k++)
            if (type_is(type, kinds[i].types[k]))
                return kinds[i].kind;
    return 0;
}

static bool is_cancelled(void *user)
{
    return mt_cancelled(user);
}

void documents_extract_job(mt_call *c, mt_slice file_name, mt_slice content_type, mt_slice data, extract_job *j)
{
    *j = (extract_job){.kind = documents_kind(file_name, content_type), .data = data, .cancelled = is_cancelled, .user = c,
                       .memory_mib = (unsigned)documents_config(c, MT_SLICE("/extract/memory_mib"), EXTRACT_MEMORY_MIB),
                       .cpu_seconds = (unsigned)documents_config(c, MT_SLICE("/extract/cpu_seconds"), EXTRACT_CPU_SECONDS),
                       .wall_seconds = (unsigned)documents_config(c, MT_SLICE("/extract/wall_seconds"), EXTRACT_WALL_SECONDS),
                       .pages = (unsigned)documents_config(c, MT_SLICE("/extract/pages"), EXTRACT_PAGES)};
    if (!j->kind)
        j->kind = 't'; /* the name was changed by a policy after the upload */
}

void documents_extract_warn(mt_call *c, const extract_job *j)
{
    static atomic_flag told = ATOMIC_FLAG_INIT;
    if (!j->ran || j->layers == (EXTRACT_LANDLOCK | EXTRACT_USER) || atomic_flag_test_and_set(&told))
        return;
    const mt_field layers[] = {{MT_SLICE("landlock"), mt_str(j->layers & EXTRACT_LANDLOCK ? "yes" : "no")},
                               {MT_SLICE("unprivileged_user"), mt_str(j->layers & EXTRACT_USER ? "yes" : "no")}};
    mt_log(2, "documents.sandbox_layer_missing", layers, 2); /* seccomp and the bounds hold in any case */
}
