/*
 * mortise-extract KIND MEMORY_MIB CPU_SECONDS PAGES < FILE > RESULT: the process that reads one uploaded file. It locks itself in
 * before it looks at the file, and answers in the format of extract_wire.h. KIND: t plain, m Markdown, h HTML, c CSV, d .docx, p PDF.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "encoding.h"
#include "extract_wire.h"
#include "pdf.h"
#include "readers.h"
#include "sandbox.h"

typedef struct job {
    char kind;
    unsigned memory_mib, cpu_seconds, pages;
    const char *p;
    size_t n;
    uint32_t layers;
    pdf pdf;
    char reason[DOC_REASON];
} job;

/* --- the answer --- */

static void put(const void *p, size_t n)
{
    for (size_t at = 0; at < n;) {
        ssize_t wrote = write(1, (const char *)p + at, n - at);
        if (wrote <= 0 && errno != EINTR)
            _exit(1);
        at += wrote > 0 ? (size_t)wrote : 0;
    }
}

static _Noreturn void answer_failure(const job *j, mt_status status)
{
    extract_head head = {.magic = EXTRACT_MAGIC, .status = status, .layers = j->layers, .reason_len = (uint32_t)strlen(j->reason)};
    put(&head, sizeof head);
    put(j->reason, head.reason_len);
    _exit(0);
}

static void put_arrays(const doc_text *d)
{
    for (size_t i = 0; i < d->n_sections; i++)
        put(d->sections[i].path, strlen(d->sections[i].path));
    extract_section *sections = calloc(d->n_sections + 1, sizeof *sections);
    uint32_t *pages = calloc(d->n_pages + 1, sizeof *pages);
    if (!sections || !pages)
        _exit(1);
    for (size_t i = 0; i < d->n_sections; i++) {
        const doc_section *s = &d->sections[i];
        sections[i] = (extract_section){.level = (uint32_t)s->level, .start = (uint32_t)s->start, .body = (uint32_t)s->body,
                                        .path_len = (uint32_t)strlen(s->path)};
    }
    for (size_t i = 0; i < d->n_pages; i++)
        pages[i] = (uint32_t)d->pages[i];
    put(sections, d->n_sections * sizeof *sections);
    put(pages, d->n_pages * sizeof *pages);
}

static _Noreturn void answer(job *j, const doc_text *d)
{
    size_t paths = 0;
    for (size_t i = 0; i < d->n_sections; i++)
        paths += strlen(d->sections[i].path);
    if (paths > EXTRACT_PATHS_MAX) {
        snprintf(j->reason, sizeof j->reason, "The document's headings are longer than %u MiB together.", EXTRACT_PATHS_MAX >> 20);
        answer_failure(j, MT_TOO_LARGE);
    }
    extract_head head = {.magic = EXTRACT_MAGIC, .layers = j->layers, .title_len = (uint32_t)strlen(d->title), .text_len = (uint32_t)d->len,
                         .paths_len = (uint32_t)paths, .n_sections = (uint32_t)d->n_sections, .n_pages = (uint32_t)d->n_pages};
    put(&head, sizeof head);
    put(d->title, head.title_len);
    put(d->text, d->len);
    put_arrays(d);
    _exit(0);
}

/* --- the work --- */

static mt_status map_file(job *j)
{
    struct stat st;
    if (fstat(0, &st) != 0 || !S_ISREG(st.st_mode))
        return doc_fail(j->reason, MT_UNAVAILABLE, "The reader was started without a file.");
    j->n = (size_t)st.st_size;
    if (j->n > EXTRACT_FILE_MAX)
        return doc_fail(j->reason, MT_TOO_LARGE, "The file is longer than %u MiB: split it and upload the parts.", EXTRACT_FILE_MAX >> 20);
    j->p = j->n ? mmap(NULL, j->n, PROT_READ, MAP_PRIVATE, 0, 0) : "";
    return j->p == MAP_FAILED ? doc_fail(j->reason, MT_NO_MEMORY, "Out of memory.") : MT_OK;
}

static bool begins(const job *j, const char *what, size_t within)
{
    size_t n = j->n < within ? j->n : within;
    return memmem(j->p, n, what, strlen(what)) != NULL;
}

/* Files whose name or declared type does not say what they are: a better word than "binary data". */
static mt_status check_type(job *j)
{
    bool is_pdf = begins(j, "%PDF-", j->kind == 'p' ? 1024 : 5);
    if (j->kind == 'p')
        return is_pdf ? MT_OK : doc_fail(j->reason, MT_INVALID, "The file is no PDF: upload it with the ending of what it is.");
    if (is_pdf)
        return doc_fail(j->reason, MT_INVALID, "The file is a PDF: upload it with the ending .pdf.");
    if (j->kind != 'd' && begins(j, "PK\3\4", 4))
        return doc_fail(j->reason, MT_INVALID, "The file is a ZIP archive or a .docx: upload a .docx with its ending, and other files unpacked.");
    return MT_OK;
}

static mt_status read_pdf(job *j, doc_text *d)
{
    char *text;
    size_t len;
    mt_status s = pdf_finish(&j->pdf, j->cpu_seconds, j->memory_mib, &text, &len, j->reason);
    if (s != MT_OK)
        return s;
    size_t outline_len;
    char *outline = pdf_outline(&j->pdf, &outline_len);
    return doc_text_from_pages(d, text, len, outline, outline_len, j->pages, j->reason);
}

static mt_status read_file(job *j, doc_text *d)
{
    MT_TRY(check_type(j));
    switch (j->kind) {
    case 'm': return doc_text_from_markdown(d, j->p, j->n, j->reason);
    case 'h': return doc_text_from_html(d, j->p, j->n, j->reason);
    case 'c': return doc_text_from_csv(d, j->p, j->n, j->reason);
    case 'd': return doc_text_from_docx(d, j->p, j->n, j->reason);
    case 'p': return read_pdf(j, d);
    default: return doc_text_from_plain(d, j->p, j->n, j->reason);
    }
}

static mt_status lock_in(job *j)
{
    if (!sandbox_restrict(j->memory_mib, j->cpu_seconds, &j->layers))
        return doc_fail(j->reason, MT_UNAVAILABLE, "The reader's sandbox cannot be set up: %s.", strerror(errno));
    MT_TRY(map_file(j));
    if (j->kind == 'p')
        MT_TRY(pdf_start(&j->pdf, j->pages, j->reason));
    else if (j->kind != 'd')
        doc_decode_prepare(j->p, j->n); /* glibc keeps its tables in files, out of reach below */
    if (!sandbox_seal(SANDBOX_PARSER, NULL, &j->layers))
        return doc_fail(j->reason, MT_UNAVAILABLE, "The reader's sandbox cannot be set up: this system has no seccomp (%s).", strerror(errno));
    return MT_OK;
}

int main(int argc, char **argv)
{
    static job j;
    doc_text d;
    if (argc != 5) {
        fputs("usage: mortise-extract KIND MEMORY_MIB CPU_SECONDS PAGES < FILE > RESULT\n", stderr);
        return 2;
    }
    j.kind = *argv[1];
    j.memory_mib = (unsigned)strtoul(argv[2], NULL, 10);
    j.cpu_seconds = (unsigned)strtoul(argv[3], NULL, 10);
    j.pages = (unsigned)strtoul(argv[4], NULL, 10);
    mt_status s = lock_in(&j);
    if (s == MT_OK)
        s = read_file(&j, &d);
    if (s == MT_NO_MEMORY) {
        snprintf(j.reason, sizeof j.reason, "Reading the file needs more than %u MiB of memory: split it and upload the parts.", j.memory_mib);
        s = MT_TOO_LARGE;
    }
    if (s != MT_OK)
        answer_failure(&j, s);
    answer(&j, &d);
}
