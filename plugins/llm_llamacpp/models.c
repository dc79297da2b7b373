#include "models.h"

#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

struct models {
    pthread_mutex_t lock;
    models_options o;
    char library[4096];
    bool closed;
    atomic_uint users;
    models *next;               /* of those kept */
    unsigned n;
    model list[MODELS_MAX];
};

typedef struct name {
    struct name *next;
    char text[MODEL_NAME];
} name;

/* The same text again is the same name; NULL: no memory. */
static const char *keep_name(const char *text, size_t len)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static name *names;
    pthread_mutex_lock(&lock);
    name *n = names;
    while (n && (strlen(n->text) != len || memcmp(n->text, text, len)))
        n = n->next;
    if (!n && (n = calloc(1, sizeof *n))) {
        memcpy(n->text, text, len);
        n->next = names;
        names = n;
    }
    pthread_mutex_unlock(&lock);
    return n ? n->text : NULL;
}

models *models_create(const models_options *o)
{
    models *m = calloc(1, sizeof *m);
    if (!m)
        return NULL;
    pthread_mutex_init(&m->lock, NULL);
    snprintf(m->library, sizeof m->library, "%s", o->engine.library);
    m->o = *o;
    m->o.engine.library = m->library;
    return m;
}

const models_options *models_told(const models *m)
{
    return &m->o;
}

void models_destroy(models *m)
{
    if (!m)
        return;
    for (unsigned i = 0; i < m->n; i++)
        engine_destroy(m->list[i].engine);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

mt_status models_add(models *m, const char *path, const model **out)
{
    struct stat st;
    const char *base = strrchr(path, '/');
    base = base ? base + 1 : path;
    size_t len = strlen(base);
    if (len < 6 || strcmp(base + len - 5, ".gguf") || len - 5 >= MODEL_NAME || strlen(path) >= sizeof m->list[0].path)
        return MT_INVALID;
    if (stat(path, &st) || !S_ISREG(st.st_mode))
        return MT_NOT_FOUND;
    const char *kept = keep_name(base, len - 5);
    mt_status s = kept ? MT_OK : MT_NO_MEMORY;
    pthread_mutex_lock(&m->lock);
    unsigned i = 0;
    while (i < m->n && strcmp(m->list[i].path, path))
        i++;
    if (kept && i == MODELS_MAX) {
        s = MT_LIMITED;
    } else if (kept && i == m->n) {
        model *x = &m->list[i];
        x->name = kept;
        snprintf(x->path, sizeof x->path, "%s", path);
        x->bytes = (uint64_t)st.st_size;
        m->n++;
    }
    if (out)
        *out = s == MT_OK ? &m->list[i] : NULL;
    pthread_mutex_unlock(&m->lock);
    return s;
}

static void scan(models *m, const char *folder, bool deeper)
{
    DIR *d = opendir(folder);
    const struct dirent *e;
    while (d && (e = readdir(d))) {
        char path[4096];
        struct stat st;
        if (e->d_name[0] == '.' || snprintf(path, sizeof path, "%s/%s", folder, e->d_name) >= (int)sizeof path || stat(path, &st))
            continue;
        if (S_ISDIR(st.st_mode) && deeper)
            scan(m, path, false);
        else
            models_add(m, path, NULL);  /* what is no GGUF is passed over */
    }
    if (d)
        closedir(d);
}

void models_scan(models *m, const char *folder)
{
    scan(m, folder, true);
}

const model *models_at(models *m, unsigned index)
{
    pthread_mutex_lock(&m->lock);
    const model *x = index < m->n ? &m->list[index] : NULL;
    pthread_mutex_unlock(&m->lock);
    return x;
}

const model *models_find(models *m, mt_slice name)
{
    const model *x;
    for (unsigned i = 0; (x = models_at(m, i)); i++)
        if (mt_slice_eq(name, mt_str(x->name)))
            return x;
    return NULL;
}

engine *models_engine(models *m, const model *which)
{
    pthread_mutex_lock(&m->lock);
    engine *e = which->engine;
    pthread_mutex_unlock(&m->lock);
    return e;
}

static bool has_memory(const models *m, const model *x)     /* the lock is held */
{
    uint64_t used = x->bytes;
    for (unsigned i = 0; i < m->n; i++) {
        const model *other = &m->list[i];
        used += other != x && other->engine && engine_loaded(other->engine) ? other->bytes : 0;
    }
    return !m->o.memory || used <= m->o.memory;
}

static mt_status make_engine(models *m, model *x)           /* the lock is held */
{
    engine_options o = m->o.engine;
    o.path = x->path;
    if (!x->engine)
        x->engine = engine_create(&o);
    return x->engine ? MT_OK : MT_NO_MEMORY;
}

mt_status models_want(models *m, const model *which, engine **out, engine_state *state, char reason[LLAMA_REASON])
{
    model *x = (model *)(uintptr_t)which;
    pthread_mutex_lock(&m->lock);
    bool fits = (x->engine && engine_loaded(x->engine)) || has_memory(m, x);
    mt_status s = m->closed ? MT_UNAVAILABLE : fits ? make_engine(m, x) : MT_LIMITED;
    if (s == MT_OK)
        *state = engine_want(x->engine, reason);
    *out = x->engine;
    pthread_mutex_unlock(&m->lock);
    return s;
}

void models_use(models *m)
{
    atomic_fetch_add(&m->users, 1);
}

void models_leave(models *m)
{
    atomic_fetch_sub(&m->users, 1);
}

models *models_close(models *m, models *kept)
{
    pthread_mutex_lock(&m->lock);
    m->closed = true;
    for (unsigned i = 0; i < m->n; i++)
        if (m->list[i].engine)
            engine_close(m->list[i].engine);
    pthread_mutex_unlock(&m->lock);
    m->next = kept;
    return m;
}

models *models_free_kept(models *kept, bool used)
{
    models *left = NULL;
    while (kept) {
        models *m = kept;
        kept = m->next;
        if (!used && atomic_load(&m->users)) {
            m->next = left;
            left = m;
        } else {
            models_destroy(m);
        }
    }
    return left;
}
