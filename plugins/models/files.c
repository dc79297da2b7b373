#include "files.h"

#include <mortise/json.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

static const char gone[] = ".gone-";         /* on its way out, and by which sweep: see models_files_sweep */

static mt_slice root_of(mt_call *c)
{
    mt_slice data = mt_setting(c, MT_SLICE("data.dir"));
    return mt_printf(c, "%.*s/models", (int)data.len, data.p);
}

static mt_slice folder_of(mt_call *c)
{
    mt_slice root = root_of(c), org = mt_org_id(c), own = mt_printf(c, "%s/%.*s", root.p, (int)org.len, org.p);
    mkdir(root.p, 0700);
    mkdir(own.p, 0700);
    return own;
}

mt_slice models_file_path(mt_call *c, mt_slice sha256, const char *kind)
{
    return mt_printf(c, "%s/%.*s.%s", folder_of(c).p, (int)sha256.len, sha256.p, kind);
}

/* --- keeping --- */

static bool write_all(int fd, mt_slice s)
{
    while (s.len) {
        ssize_t n = write(fd, s.p, s.len < 8 << 20 ? s.len : 8 << 20);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        s = (mt_slice){s.p + n, s.len - (size_t)n};
    }
    return true;
}

/* Whole or not at all: a temporary name beside it, synced, renamed. */
static void store(void *arg)
{
    models_file *f = arg;
    char temporary[4200];
    f->error = 0;
    if (access(f->path, R_OK) == 0)
        return;
    snprintf(temporary, sizeof temporary, "%.*s/upload-XXXXXX", (int)(strrchr(f->path, '/') - f->path), f->path);
    int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0 || !write_all(fd, f->data) || fsync(fd) || rename(temporary, f->path))
        f->error = errno ? errno : EIO;
    if (fd >= 0)
        close(fd);
    if (fd >= 0 && f->error)
        unlink(temporary);
}

static void hash(void *arg)
{
    models_file *f = arg;
    unsigned char digest[32];
    EVP_Digest(f->data.p, f->data.len, digest, NULL, EVP_sha256(), NULL);
    for (unsigned i = 0; i < 32; i++)
        snprintf(f->sha256 + 2 * i, 3, "%02x", digest[i]);
}

static mt_status stored(mt_call *c, models_file *f)
{
    MT_TRY(mt_offload_run(c, store, f));
    return !f->error ? MT_OK : mt_problem(c, 503, MT_SLICE("storage_failed"), MT_SLICE("The file could not be stored: the disk may be full."), (mt_slice){0});
}

mt_status models_file_keep(mt_call *c, models_file *f)
{
    MT_TRY(mt_offload_run(c, hash, f));
    mt_slice path = models_file_path(c, mt_str(f->sha256), f->kind);
    snprintf(f->path, sizeof f->path, "%.*s", (int)path.len, path.p);
    return stored(c, f);
}

mt_status models_file_keep_named(mt_call *c, models_file *f)
{
    return access(f->path, R_OK) == 0 ? MT_OK : stored(c, f);
}

/* --- freeing --- */

static bool is_kept_kind(const char *name, size_t n)
{
    static const char *const kinds[] = {".gguf", ".onnx", ".vocab"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (n == 64 + strlen(kinds[i]) && !memcmp(name + 64, kinds[i], n - 64))
            return true;
    return false;
}

/* The length of the name of a kept file without the mark of one that goes; 0 for other files. */
static size_t kept_name(const char *name, const char **mark)
{
    *mark = strstr(name, gone);
    size_t n = *mark ? (size_t)(*mark - name) : strlen(name);
    return is_kept_kind(name, n) ? n : 0;
}

static bool named_by(mt_call *c, mt_handle rows, const char *name, size_t n)
{
    for (uint32_t i = 0; i < mt_db_rows(c, rows); i++)
        if (mt_slice_eq(mt_db_value(c, rows, i, MT_SLICE("file")), (mt_slice){name, n}))
            return true;
    return false;
}

/* Marks what no row names; answers whether anything is. */
static bool mark(mt_call *c, const char *folder, mt_handle rows, const char *own)
{
    char from[4096], to[4200];
    const char *marked;
    bool any = false;
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));) {
        size_t n = kept_name(e->d_name, &marked);
        snprintf(from, sizeof from, "%.3800s/%.200s", folder, e->d_name);
        snprintf(to, sizeof to, "%s%s", from, own);
        any |= n && !marked && !named_by(c, rows, e->d_name, n) && rename(from, to) == 0;
    }
    if (d)
        closedir(d);
    return any;
}

/* Of what has this mark, what is named again comes back and the rest goes. rows 0: all comes back; own NULL: whatever mark it has. */
static void settle(mt_call *c, const char *folder, mt_handle rows, const char *own)
{
    char from[4096], to[4096];
    const char *marked;
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));) {
        size_t n = kept_name(e->d_name, &marked);
        if (!n || !marked || (own && strcmp(marked, own)))
            continue;
        snprintf(from, sizeof from, "%.3800s/%.200s", folder, e->d_name);
        snprintf(to, sizeof to, "%.3800s/%.*s", folder, (int)n, e->d_name);
        if (!rows || named_by(c, rows, e->d_name, n))
            rename(from, to);
        else
            unlink(from);
    }
    if (d)
        closedir(d);
}

/* An upload of the same bytes may be under way, its row not yet written. So a file loses its name first, and then the rows are asked again: either they name
 * it by now, and it comes back, or the upload writes its row later, misses the file (models_file_keep_named) and stores it anew. Each sweep has a mark of its
 * own: what another one marked since may be named by rows that this one has not seen. */
void models_files_sweep(mt_call *c)
{
    static atomic_uint sweeps;
    char own[32];
    mt_handle before, after = 0;
    const char *folder = folder_of(c).p;
    snprintf(own, sizeof own, "%s%u", gone, atomic_fetch_add(&sweeps, 1));
    if (mt_db_query(c, MT_SLICE("files_named"), NULL, 0, &before) != MT_OK || !mark(c, folder, before, own))
        return;
    if (mt_db_query(c, MT_SLICE("files_named"), NULL, 0, &after) != MT_OK)
        after = 0;
    settle(c, folder, after, own);
}

/* --- ONNX models that are on --- */

typedef struct placement {
    char folder[4096], onnx[4096], vocab[4096];
    mt_slice manifest;
    int error;
} placement;

static void remove_folder(const char *folder)
{
    static const char *const names[] = {"manifest.json", "model.onnx", "vocab.txt"};
    char path[4200];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    rmdir(folder);
}

/* The manifest comes last: without one the folder is no model. */
static bool place(placement *p)
{
    char path[4200];
    remove_folder(p->folder);
    if (mkdir(p->folder, 0700))
        return false;
    snprintf(path, sizeof path, "%s/model.onnx", p->folder);
    if (link(p->onnx, path))
        return false;
    snprintf(path, sizeof path, "%s/vocab.txt", p->folder);
    if (link(p->vocab, path))
        return false;
    snprintf(path, sizeof path, "%s/manifest.json", p->folder);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool written = fd >= 0 && write_all(fd, p->manifest) && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return written;
}

static void place_or_clear(void *arg)
{
    placement *p = arg;
    p->error = 0;
    if (place(p))
        return;
    p->error = errno ? errno : EIO;
    remove_folder(p->folder);
}

static mt_slice onnx_folder(mt_call *c, mt_slice name)
{
    mt_slice all = mt_printf(c, "%s/onnx", folder_of(c).p);
    mkdir(all.p, 0700);
    return mt_printf(c, "%s/%.*s", all.p, (int)name.len, name.p);
}

mt_status models_onnx_place(mt_call *c, mt_slice name, mt_slice manifest, mt_slice sha256, mt_slice vocab_sha256)
{
    placement *p = mt_alloc(c, sizeof *p);
    if (!p)
        return MT_NO_MEMORY;
    snprintf(p->folder, sizeof p->folder, "%s", onnx_folder(c, name).p);
    snprintf(p->onnx, sizeof p->onnx, "%s", models_file_path(c, sha256, "onnx").p);
    snprintf(p->vocab, sizeof p->vocab, "%s", models_file_path(c, vocab_sha256, "vocab").p);
    p->manifest = manifest;
    MT_TRY(mt_offload_run(c, place_or_clear, p));
    return !p->error ? MT_OK : mt_problem(c, 503, MT_SLICE("storage_failed"), MT_SLICE("The model's files are not there or cannot be laid out: upload it anew."), (mt_slice){0});
}

void models_onnx_remove(mt_call *c, mt_slice name)
{
    remove_folder(onnx_folder(c, name).p);
}

/* --- organizations and crashes --- */

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
    remove(path);
    return 0;
}

static void forget(void *folder)
{
    nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

void models_files_forget(mt_call *c, mt_slice org)
{
    mt_slice folder = mt_printf(c, "%s/%.*s", root_of(c).p, (int)org.len, org.p);
    if (org.len == 36 && !memchr(org.p, '/', org.len))
        mt_offload_run(c, forget, (char *)folder.p);
}

static void recover_one(mt_call *c, const char *folder)
{
    char path[4096];
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));) {
        snprintf(path, sizeof path, "%.3800s/%.200s", folder, e->d_name);
        if (!strncmp(e->d_name, "upload-", 7))
            unlink(path);
    }
    if (d)
        closedir(d);
    settle(c, folder, 0, NULL);
}

void models_files_recover(mt_call *c)
{
    mt_slice root = root_of(c);
    DIR *d = opendir(root.p);
    for (struct dirent *e; d && (e = readdir(d));)
        if (e->d_name[0] != '.')
            recover_one(c, mt_printf(c, "%s/%s", root.p, e->d_name).p);
    if (d)
        closedir(d);
}
