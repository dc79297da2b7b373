/* minizip on a block of memory. */
#include "zip.h"

#include <minizip/unzip.h>
#include <stdlib.h>

#include "extract_limits.h"

struct zip {
    unzFile file;
    const char *p;
    size_t n, at;
    uint64_t inflated; /* of all parts so far */
    char piece[65536];
};

static voidpf on_open(voidpf opaque, const void *name, int mode)
{
    return opaque;
}

static uLong on_read(voidpf opaque, voidpf stream, void *to, uLong size)
{
    zip *z = opaque;
    size_t n = z->n - z->at < size ? z->n - z->at : size;
    memcpy(to, z->p + z->at, n);
    z->at += n;
    return n;
}

static ZPOS64_T on_tell(voidpf opaque, voidpf stream)
{
    return ((zip *)opaque)->at;
}

static long on_seek(voidpf opaque, voidpf stream, ZPOS64_T offset, int origin)
{
    zip *z = opaque;
    size_t base = origin == ZLIB_FILEFUNC_SEEK_CUR ? z->at : origin == ZLIB_FILEFUNC_SEEK_END ? z->n : 0;
    if (offset > z->n - base)
        return -1;
    z->at = base + offset;
    return 0;
}

static int on_close(voidpf opaque, voidpf stream)
{
    return 0;
}

mt_status zip_open(zip **out, const char *p, size_t n, char reason[DOC_REASON])
{
    zip *z = calloc(1, sizeof *z);
    unz_global_info64 info;
    *out = NULL;
    if (!z)
        return doc_fail(reason, MT_NO_MEMORY, "Out of memory.");
    z->p = p;
    z->n = n;
    zlib_filefunc64_def functions = {.zopen64_file = on_open, .zread_file = on_read, .ztell64_file = on_tell, .zseek64_file = on_seek,
                                     .zclose_file = on_close, .zerror_file = on_close, .opaque = z};
    z->file = unzOpen2_64("", &functions);
    if (!z->file || unzGetGlobalInfo64(z->file, &info) != UNZ_OK) {
        zip_close(z);
        return doc_fail(reason, MT_INVALID, "The file is damaged or no .docx: open it in a word processor and save it again.");
    }
    if (info.number_entry > EXTRACT_ZIP_ENTRIES) {
        zip_close(z);
        return doc_fail(reason, MT_TOO_LARGE, "The .docx has more than %u parts.", EXTRACT_ZIP_ENTRIES);
    }
    *out = z;
    return MT_OK;
}

void zip_close(zip *z)
{
    if (z && z->file)
        unzClose(z->file);
    free(z);
}

static mt_status count_bytes(zip *z, size_t n, char reason[DOC_REASON])
{
    z->inflated += n;
    if (z->inflated > EXTRACT_INFLATED_MAX)
        return doc_fail(reason, MT_TOO_LARGE, "The .docx unpacks to more than %u MiB.", EXTRACT_INFLATED_MAX >> 20);
    if (z->inflated > EXTRACT_RATIO_FREE && z->inflated / EXTRACT_RATIO > z->n)
        return doc_fail(reason, MT_TOO_LARGE, "The .docx unpacks to more than %u times its size.", EXTRACT_RATIO);
    return MT_OK;
}

mt_status zip_read(zip *z, const char *name, mt_status (*take)(void *user, const char *p, size_t n), void *user, char reason[DOC_REASON])
{
    mt_status s = MT_OK;
    int n = 0;
    if (unzLocateFile(z->file, name, 1) != UNZ_OK)
        return MT_NOT_FOUND;
    if (unzOpenCurrentFile(z->file) != UNZ_OK)
        return doc_fail(reason, MT_INVALID, "A part of the .docx cannot be unpacked: it is damaged or has a password. Save it again without one.");
    while (s == MT_OK && (n = unzReadCurrentFile(z->file, z->piece, sizeof z->piece)) > 0) {
        s = count_bytes(z, (size_t)n, reason);
        if (s == MT_OK)
            s = take(user, z->piece, (size_t)n);
    }
    bool whole = unzCloseCurrentFile(z->file) == UNZ_OK && n == 0; /* its checksum is told on closing */
    if (s == MT_OK && !whole)
        s = doc_fail(reason, MT_INVALID, "A part of the .docx is damaged: open it in a word processor and save it again.");
    return s;
}
