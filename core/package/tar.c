/* The package file: POSIX ustar (only regular files and folders), gzip'ed. */
#include "package/package_impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <zlib.h>

enum { BLOCK = 512, GZIP = 15 + 16, FREE_BYTES = 1 << 20, RATIO = 200 };

typedef struct header {                      /* offsets as POSIX.1-1988 has them */
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100], magic[6], version[2], user[32], group[32], major[8], minor[8], prefix[155], pad[12];
} header;
_Static_assert(sizeof(header) == BLOCK, "a tar header is one block");

static unsigned sum_of(const header *h)
{
    unsigned sum = 0;
    for (size_t i = 0; i < sizeof *h; i++)
        sum += i >= 148 && i < 156 ? ' ' : ((const unsigned char *)h)[i];
    return sum;
}

static void put_header(mti_buf *tar, const char *name, size_t size, bool folder, bool executable)
{
    header h = {.type = folder ? '5' : '0', .magic = "ustar", .version = {'0', '0'}};
    memcpy(h.name, name, strlen(name));
    snprintf(h.mode, sizeof h.mode, "%07o", folder || executable ? 0755u : 0644u);
    snprintf(h.uid, sizeof h.uid, "%07o", 0u);
    snprintf(h.gid, sizeof h.gid, "%07o", 0u);
    snprintf(h.size, sizeof h.size, "%011zo", size);
    snprintf(h.mtime, sizeof h.mtime, "%011o", 0u);
    snprintf(h.checksum, sizeof h.checksum, "%06o", sum_of(&h));
    h.checksum[7] = ' ';
    mti_buf_add(tar, &h, sizeof h);
}

static void put_padding(mti_buf *tar, size_t n)
{
    static const char zeros[2 * BLOCK];
    mti_buf_add(tar, zeros, n);
}

static mt_status put_files(const char *dir, const char *top, const package_list *list, mti_buf *tar, mti_error *e)
{
    char name[sizeof ((header *)0)->name];
    mti_buf text;
    for (unsigned i = 0; i < list->n; i++) {
        const package_file *f = &list->files[i];
        if ((size_t)snprintf(name, sizeof name, "%s/%s", top, f->path) >= sizeof name)
            return mti_fail(e, MT_TOO_LARGE, "path_too_long", "%.60s/%.120s is longer than the %zu characters that a package can hold.", top, f->path, sizeof name - 1);
        mt_status s = package_read_file(dir, f, &text, e);
        if (s == MT_OK) {
            put_header(tar, name, text.len, false, f->executable);
            mti_buf_add(tar, text.p, text.len);
            put_padding(tar, (BLOCK - text.len % BLOCK) % BLOCK);
        }
        mti_buf_dispose(&text);
        MT_TRY(s);
    }
    put_padding(tar, 2 * BLOCK);
    return tar->status == MT_OK ? MT_OK : mti_fail(e, tar->status, "package_too_large", "%.200s does not fit into a package.", dir);
}

static mt_status deflate_all(mt_slice in, mti_buf *out, mti_error *e)
{
    z_stream z = {0};
    char piece[65536];
    int code = deflateInit2(&z, 9, Z_DEFLATED, GZIP, 8, Z_DEFAULT_STRATEGY);
    if (code != Z_OK)
        return mti_fail(e, MT_NO_MEMORY, "no_memory", "out of memory while packing");
    z.next_in = (Bytef *)in.p;
    z.avail_in = (uInt)in.len;
    do {
        z.next_out = (Bytef *)piece;
        z.avail_out = sizeof piece;
        code = deflate(&z, Z_FINISH);
        mti_buf_add(out, piece, sizeof piece - z.avail_out);
    } while (code == Z_OK && out->status == MT_OK);
    deflateEnd(&z);
    return code == Z_STREAM_END && out->status == MT_OK ? MT_OK : mti_fail(e, MT_TOO_LARGE, "package_too_large", "The package would be larger than %u MiB.", MTI_PACKAGE_PACKED >> 20);
}

mt_status mti_package_pack(const char *dir, const char *top, mti_buf *out, mti_error *e)
{
    package_list *list = malloc(sizeof *list);
    mti_buf tar;
    if (!list)
        return mti_fail(e, MT_NO_MEMORY, "no_memory", "out of memory while packing %.200s", dir);
    mti_buf_init(&tar, MTI_PACKAGE_BYTES + MTI_PACKAGE_FILES * 2 * BLOCK);
    mti_buf_init(out, MTI_PACKAGE_PACKED);
    mt_status s = package_list_read(dir, list, e);
    if (s == MT_OK)
        s = put_files(dir, top, list, &tar, e);
    if (s == MT_OK)
        s = deflate_all(mti_buf_slice(&tar), out, e);
    mti_buf_dispose(&tar);
    free(list);
    return s;
}

static mt_status refuse(mti_error *e, const char *what, const char *name)
{
    return mti_fail(e, MT_INVALID, "package_invalid", "This is no package of a plugin: %s%s%.120s. Make one with mortise plugin pack.", what, *name ? ": " : "", name);
}

/* What comes out is bounded, and may not be much more than what went in. */
static mt_status inflate_all(mt_slice in, mti_buf *out, mti_error *e)
{
    z_stream z = {0};
    char piece[65536];
    int code = inflateInit2(&z, GZIP);
    bool bomb = false;
    if (code != Z_OK)
        return mti_fail(e, MT_NO_MEMORY, "no_memory", "out of memory while unpacking");
    z.next_in = (Bytef *)in.p;
    z.avail_in = (uInt)in.len;
    do {
        z.next_out = (Bytef *)piece;
        z.avail_out = sizeof piece;
        code = inflate(&z, Z_NO_FLUSH);
        mti_buf_add(out, piece, sizeof piece - z.avail_out);
        bomb = out->status != MT_OK || (out->len > FREE_BYTES && out->len / RATIO > in.len);
    } while (code == Z_OK && !bomb);
    size_t left = z.avail_in;
    inflateEnd(&z);
    if (bomb)
        return mti_fail(e, MT_INVALID, "package_invalid", "This package unpacks to far more than it should: more than %u MiB, or more than %d times its size.", MTI_PACKAGE_BYTES >> 20, RATIO);
    if (code != Z_STREAM_END)
        return refuse(e, "its gzip stream is broken or cut", "");
    return left ? refuse(e, "something follows its end", "") : MT_OK;
}

static bool read_octal(const char *p, size_t n, size_t *out)
{
    *out = 0;
    size_t i = 0;
    for (; i < n && p[i] >= '0' && p[i] <= '7'; i++)
        *out = *out * 8 + (size_t)(p[i] - '0');
    return i && (i == n || p[i] == ' ' || p[i] == 0);
}

typedef struct unpacking {
    const char *to;
    char top[MTI_PACKAGE_PATH];
    unsigned files;
    bool manifest;
} unpacking;

/* out: a file's name without the top folder. */
static mt_status check_name(unpacking *u, char *name, bool folder, const char **out, mti_error *e)
{
    size_t n = strlen(name), first = strcspn(name, "/");
    if (folder && n && name[n - 1] == '/')
        name[--n] = 0;
    *out = NULL;
    if (!first || first == sizeof u->top || (!name[first] && !folder))
        return refuse(e, "a file outside of the top folder", name);
    if (!u->top[0] && name[0] != '.')
        snprintf(u->top, sizeof u->top, "%.*s", (int)first, name);
    if (strlen(u->top) != first || memcmp(u->top, name, first))
        return refuse(e, "a second top folder", name);
    if (folder)
        return MT_OK;
    *out = name + first + 1;
    if (mti_package_owns(*out))
        return MT_OK;
    return refuse(e, "a file that belongs to no plugin", name);
}

static mt_status take_entry(unpacking *u, const header *h, mt_slice rest, size_t *used, mti_error *e)
{
    char name[sizeof h->name + 1] = "";
    const char *path = NULL;
    size_t size, mode, sum;
    bool folder = h->type == '5';
    memcpy(name, h->name, sizeof h->name);
    if (memcmp(h->magic, "ustar", 5) || !read_octal(h->checksum, sizeof h->checksum, &sum) || sum != sum_of(h))
        return refuse(e, "a header is broken", "");
    if (h->prefix[0] || (h->type != '0' && h->type != 0 && !folder))
        return refuse(e, "only plain files and folders are taken", name);
    if (!read_octal(h->size, sizeof h->size, &size) || !read_octal(h->mode, sizeof h->mode, &mode) || size > rest.len || (folder && size))
        return refuse(e, "a size is wrong", name);
    MT_TRY(check_name(u, name, folder, &path, e));
    *used = (size + BLOCK - 1) / BLOCK * BLOCK;
    if (*used > rest.len)
        return refuse(e, "it is cut", name);
    if (!path)
        return MT_OK;                        /* folders are made for the files in them */
    if (u->files++ == MTI_PACKAGE_FILES)
        return refuse(e, "it has too many files", "");
    u->manifest |= !strcmp(path, "plugin.json");
    mt_status s = package_write_file(u->to, path, (mt_slice){rest.p, size}, mode & 0100, e);
    return s == MT_INTERNAL && (errno == EEXIST || errno == ENOTDIR) ? refuse(e, "a name twice", name) : s;
}

static bool is_zero(mt_slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i])
            return false;
    return true;
}

static mt_status take_entries(unpacking *u, mt_slice tar, mti_error *e)
{
    while (tar.len >= BLOCK && !is_zero((mt_slice){tar.p, BLOCK})) {
        size_t used = 0;
        mt_slice rest = {tar.p + BLOCK, tar.len - BLOCK};
        MT_TRY(take_entry(u, (const header *)tar.p, rest, &used, e));
        tar = (mt_slice){rest.p + used, rest.len - used};
    }
    if (tar.len < 2 * BLOCK || !is_zero(tar))
        return refuse(e, "its end is missing", "");
    return u->manifest ? MT_OK : refuse(e, "it has no plugin.json", "");
}

mt_status mti_package_unpack(mt_slice file, const char *to, mti_error *e)
{
    unpacking u = {.to = to};
    mti_buf tar;
    if (file.len > MTI_PACKAGE_PACKED)
        return mti_fail(e, MT_TOO_LARGE, "package_too_large", "A package has at most %u MiB.", MTI_PACKAGE_PACKED >> 20);
    if (mkdir(to, 0755))
        return mti_fail(e, MT_INTERNAL, "cannot_write", "%.300s: %s.", to, strerror(errno));
    mti_buf_init(&tar, MTI_PACKAGE_BYTES + MTI_PACKAGE_FILES * 2 * BLOCK);
    mt_status s = inflate_all(file, &tar, e);
    if (s == MT_OK)
        s = take_entries(&u, mti_buf_slice(&tar), e);
    mti_buf_dispose(&tar);
    if (s != MT_OK)
        mti_package_remove(to, NULL);
    return s;
}
