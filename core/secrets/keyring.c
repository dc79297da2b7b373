#include "secrets/keyring.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/ident.h"
#include "secrets/cipher.h"

enum { KEY = MTI_CIPHER_KEY, NONCE = MTI_CIPHER_NONCE, TAG = MTI_CIPHER_TAG, MAX_KEYS = 64, MAX_FILE = 65536 };

typedef struct key {
    char id[MTI_KEY_ID + 1];
    uint8_t bytes[KEY];
} key;

struct mti_keyring {
    char *path;
    pthread_mutex_t lock; /* everything below */
    struct stat seen;     /* the file as it was read */
    bool read;
    unsigned n;
    key keys[MAX_KEYS];
};

mti_keyring *mti_keyring_create(const char *path)
{
    mti_keyring *k = calloc(1, sizeof *k);
    if (!k || !(k->path = strdup(path))) {
        free(k);
        return NULL;
    }
    pthread_mutex_init(&k->lock, NULL);
    return k;
}

void mti_keyring_destroy(mti_keyring *k)
{
    if (!k)
        return;
    OPENSSL_cleanse(k->keys, sizeof k->keys);
    pthread_mutex_destroy(&k->lock);
    free(k->path);
    free(k);
}

const char *mti_keyring_path(const mti_keyring *k)
{
    return k->path;
}

void mti_buf_wipe(mti_buf *b)
{
    if (b->p)
        OPENSSL_cleanse(b->p, b->cap);
    mti_buf_dispose(b);
}

/* ---- the file ---- */

static mt_status unusable(mti_error *e, const char *path, const char *why)
{
    return mti_fail(e, MT_UNAVAILABLE, "secret_key_unusable", "The key file %.200s cannot be used: %.120s.", path, why);
}

static void key_name(key *k)
{
    static const char label[] = "mortise key id";
    uint8_t text[sizeof label - 1 + KEY], digest[32];
    memcpy(text, label, sizeof label - 1);
    memcpy(text + sizeof label - 1, k->bytes, KEY);
    mti_sha256(text, sizeof text, digest);
    mti_hex(digest, MTI_KEY_ID / 2, k->id);
    OPENSSL_cleanse(text, sizeof text);
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_key(mt_slice line, key *out)
{
    if (line.len != 2 * KEY)
        return false;
    for (size_t i = 0; i < KEY; i++) {
        int high = hex_digit(line.p[2 * i]), low = hex_digit(line.p[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out->bytes[i] = (uint8_t)(high << 4 | low);
    }
    key_name(out);
    return true;
}

/* Answers the number of keys, or -1 with *line_no for a line that is none. */
static int read_lines(mt_slice text, key keys[MAX_KEYS], int *line_no)
{
    int n = 0;
    *line_no = 0;
    while (text.len) {
        const char *end = memchr(text.p, '\n', text.len);
        mt_slice line = {text.p, end ? (size_t)(end - text.p) : text.len};
        text.p += line.len + (end != NULL);
        text.len -= line.len + (end != NULL);
        ++*line_no;
        if (line.len && line.p[line.len - 1] == '\r')
            line.len--;
        if (!line.len || line.p[0] == '#')
            continue;
        if (n == MAX_KEYS || !read_key(line, &keys[n]))
            return -1;
        n++;
    }
    return n;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_mode == b->st_mode;
}

static mt_status read_text(mti_keyring *k, mti_error *e)
{
    char why[80];
    mti_buf text;
    key keys[MAX_KEYS];
    int line, n = 0;
    mt_status s = mti_buf_read_file(&text, k->path, MAX_FILE);
    if (s == MT_OK)
        n = read_lines(mti_buf_slice(&text), keys, &line);
    if (s != MT_OK)
        snprintf(why, sizeof why, "%s", s == MT_TOO_LARGE ? "it is too large" : strerror(errno));
    else if (n < 0)
        snprintf(why, sizeof why, "line %d is no key of 64 hex digits", line);
    else
        snprintf(why, sizeof why, "it holds no key");
    mti_buf_wipe(&text);
    if (n > 0) {
        memcpy(k->keys, keys, sizeof k->keys);
        k->n = (unsigned)n;
    }
    OPENSSL_cleanse(keys, sizeof keys);
    return n > 0 ? MT_OK : unusable(e, k->path, why);
}

/* Under the lock. MT_NOT_FOUND: there is no file. */
static mt_status refresh(mti_keyring *k, mti_error *e)
{
    struct stat now;
    if (stat(k->path, &now) != 0) {
        k->read = false;
        k->n = 0;
        return errno == ENOENT ? MT_NOT_FOUND : unusable(e, k->path, strerror(errno));
    }
    if (k->read && same_file(&now, &k->seen))
        return MT_OK;
    k->read = false;
    k->n = 0;
    if (now.st_mode & 07)
        return unusable(e, k->path, "others may read it (chmod 600)");
    MT_TRY(read_text(k, e));
    k->seen = now;
    k->read = true;
    return MT_OK;
}

static const char heading[] = "# Keys of the secrets in plugin configurations. The first encrypts, all decrypt.\n"
                              "# Without them the secrets are lost: mortise backup has a copy.\n";

/* A file beside path with a new key and, behind it, what text has. The caller's to rename or unlink. */
static mt_status write_beside(const char *path, mt_slice text, char name[PATH_MAX], key *fresh)
{
    char hex[2 * KEY + 1];
    mti_random(fresh->bytes, KEY);
    key_name(fresh);
    mti_hex(fresh->bytes, KEY, hex);
    snprintf(name, PATH_MAX, "%.4000s.XXXXXX", path);
    int fd = mkostemp(name, O_CLOEXEC);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
    if (!f)
        return MT_INTERNAL;
    bool ok = fchmod(fd, 0600) == 0 && fprintf(f, "%s%s\n", text.len ? "" : heading, hex) > 0 &&
              fwrite(text.p ? text.p : "", 1, text.len, f) == text.len && fflush(f) == 0 && fsync(fd) == 0;
    ok = fclose(f) == 0 && ok;
    OPENSSL_cleanse(hex, sizeof hex);
    if (!ok)
        unlink(name);
    return ok ? MT_OK : MT_INTERNAL;
}

/* The new name is on the disk before anything that is encrypted with the key. */
static void sync_folder(const char *path)
{
    char dir[PATH_MAX];
    snprintf(dir, sizeof dir, "%.4000s", path);
    char *slash = strrchr(dir, '/');
    if (slash)
        slash[slash == dir] = 0;
    int fd = open(slash ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
}

/* Of several that make it at once one wins, and the others take that one's. */
static mt_status make_file(const char *path, mti_error *e)
{
    char name[PATH_MAX];
    key fresh;
    mt_status s = write_beside(path, (mt_slice){0}, name, &fresh);
    OPENSSL_cleanse(&fresh, sizeof fresh);
    bool made = s == MT_OK && (link(name, path) == 0 || errno == EEXIST);
    if (!made)
        unusable(e, path, strerror(errno));
    unlink(name);
    sync_folder(path);
    return made ? MT_OK : MT_UNAVAILABLE;
}

/* MT_OK when there is a file that may get one more key. */
static mt_status check_room(const char *path, mti_error *e)
{
    mti_keyring *k = mti_keyring_create(path);
    mt_status s = k ? refresh(k, e) : mti_fail(e, MT_NO_MEMORY, "no_memory", "Out of memory.");
    if (s == MT_OK && k->n == MAX_KEYS)
        s = unusable(e, path, "it has 64 keys already, remove the oldest lines");
    mti_keyring_destroy(k);
    return s;
}

static mt_status add_key(const char *path, char id[MTI_KEY_ID + 1], mti_error *e)
{
    char name[PATH_MAX];
    key fresh;
    mti_buf text;
    MT_TRY(check_room(path, e));
    mt_status s = mti_buf_read_file(&text, path, MAX_FILE);
    if (s == MT_OK)
        s = write_beside(path, mti_buf_slice(&text), name, &fresh);
    if (s == MT_OK && rename(name, path) != 0) {
        s = MT_INTERNAL;
        unlink(name);
    }
    if (s != MT_OK)
        unusable(e, path, strerror(errno));
    sync_folder(path);
    memcpy(id, fresh.id, sizeof fresh.id);
    OPENSSL_cleanse(&fresh, sizeof fresh);
    mti_buf_wipe(&text);
    return s == MT_OK ? s : MT_UNAVAILABLE;
}

mt_status mti_keyring_rotate(const char *path, char id[MTI_KEY_ID + 1], mti_error *e)
{
    struct stat locked, named;
    mt_status s = check_room(path, e);
    if (s == MT_NOT_FOUND)
        s = make_file(path, e);
    MT_TRY(s);
    for (;;) {                               /* until what is locked is what has the name: two at once both count */
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        bool ours = fd >= 0 && flock(fd, LOCK_EX) == 0 && fstat(fd, &locked) == 0 && stat(path, &named) == 0;
        if (!ours)
            s = unusable(e, path, strerror(errno));
        ours = ours && locked.st_ino == named.st_ino;
        if (ours)
            s = add_key(path, id, e);
        if (fd >= 0)
            close(fd);
        if (ours || s != MT_OK)
            return s;
    }
}

mt_status mti_keyring_list(mti_keyring *k, char ids[64][MTI_KEY_ID + 1], unsigned *n, mti_error *e)
{
    pthread_mutex_lock(&k->lock);
    mt_status s = refresh(k, e);
    *n = k->n;
    for (unsigned i = 0; i < k->n; i++)
        memcpy(ids[i], k->keys[i].id, sizeof ids[i]);
    pthread_mutex_unlock(&k->lock);
    return s;
}

/* A copy of a key; id NULL: the first. */
static mt_status take(mti_keyring *k, const char *id, key *out, mti_error *e)
{
    pthread_mutex_lock(&k->lock);
    mt_status s = refresh(k, e);
    if (s == MT_NOT_FOUND && !id) {
        s = make_file(k->path, e);
        if (s == MT_OK)
            s = refresh(k, e);
    }
    unsigned i = 0;
    while (s == MT_OK && id && i < k->n && strcmp(k->keys[i].id, id) != 0)
        i++;
    if (s == MT_OK && i < k->n)
        *out = k->keys[i];
    else if (s == MT_OK || s == MT_NOT_FOUND)
        s = mti_fail(e, MT_UNAVAILABLE, "secret_key_missing", "its key %.8s is not in %.120s: put that file back (each backup has it)", id ? id : "", k->path);
    pthread_mutex_unlock(&k->lock);
    return s;
}

/* ---- sealed text ---- */

mt_status mti_keyring_seal(mti_keyring *k, mt_slice belongs, mt_slice plain, mti_buf *out, mti_error *e)
{
    key with;
    size_t n = NONCE + plain.len + TAG;
    if (plain.len > 1 << 20)
        return mti_fail(e, MT_INVALID, "secret_too_large", "A secret has at most 1 MiB.");
    MT_TRY(take(k, NULL, &with, e));
    uint8_t *bytes = malloc(n);
    mt_status s = bytes ? mti_encrypt(with.bytes, belongs, plain, bytes) : MT_NO_MEMORY;
    if (s == MT_OK)
        s = mti_buf_addf(out, "v1.%s.", with.id);
    if (s == MT_OK)
        s = mti_buf_reserve(out, 4 * (n + 2) / 3 + 1);
    if (s == MT_OK)
        out->len += mti_base64url(bytes, n, out->p + out->len);
    OPENSSL_cleanse(&with, sizeof with);
    free(bytes);
    return s == MT_OK ? s : mti_fail(e, s, "secret_not_encrypted", "The secret could not be encrypted.");
}

/* "v1.<id>." and what follows. */
static bool split(mt_slice sealed, char id[MTI_KEY_ID + 1], mt_slice *rest)
{
    enum { HEAD = 3 + MTI_KEY_ID + 1 };
    if (sealed.len < HEAD || memcmp(sealed.p, "v1.", 3) != 0 || sealed.p[HEAD - 1] != '.')
        return false;
    memcpy(id, sealed.p + 3, MTI_KEY_ID);
    id[MTI_KEY_ID] = 0;
    *rest = (mt_slice){sealed.p + HEAD, sealed.len - HEAD};
    return strspn(id, "0123456789abcdef") == MTI_KEY_ID;
}

mt_status mti_keyring_open(mti_keyring *k, mt_slice belongs, mt_slice sealed, mti_buf *out, mti_error *e)
{
    char id[MTI_KEY_ID + 1];
    mt_slice rest;
    key with;
    bool ok = split(sealed, id, &rest);
    uint8_t *text = ok ? malloc(rest.len + 3) : NULL;
    long n = text ? mti_base64url_decode(rest, text) : -1;
    ok = n >= NONCE + TAG && mti_buf_reserve(out, (size_t)n) == MT_OK;
    mt_status s = ok ? take(k, id, &with, e) : MT_OK;
    if (ok && s == MT_OK) {
        ok = mti_decrypt(with.bytes, belongs, text, (size_t)n, (uint8_t *)out->p + out->len);
        OPENSSL_cleanse(&with, sizeof with);
    }
    if (ok && s == MT_OK)
        out->p[out->len += (size_t)n - NONCE - TAG] = 0;
    free(text);
    return s != MT_OK || ok ? s : mti_fail(e, MT_UNAVAILABLE, "secret_damaged", "it was changed, or copied from another place");
}

bool mti_keyring_is_old(mti_keyring *k, mt_slice sealed)
{
    char id[MTI_KEY_ID + 1];
    mt_slice rest;
    if (!split(sealed, id, &rest))
        return false;
    pthread_mutex_lock(&k->lock);
    bool old = false;
    if (refresh(k, NULL) == MT_OK)
        for (unsigned i = 1; i < k->n; i++)
            old |= !strcmp(k->keys[i].id, id) && strcmp(k->keys[0].id, id) != 0;
    pthread_mutex_unlock(&k->lock);
    return old;
}
