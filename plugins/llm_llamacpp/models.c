#include "models.h"

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

struct models {
    pthread_mutex_t lock;
    engine_options common;
    char library[4096];
    uint64_t memory;
    unsigned n;
    model list[MODELS_MAX];
};

models *models_create(const engine_options *common, uint64_t memory)
{
    models *m = calloc(1, sizeof *m);
    if (!m)
        return NULL;
    pthread_mutex_init(&m->lock, NULL);
    snprintf(m->library, sizeof m->library, "%s", common->library);
    m->common = *common;
    m->common.library = m->library;
    m->memory = memory;
    return m;
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
    mt_status s = MT_OK;
    pthread_mutex_lock(&m->lock);
    unsigned i = 0;
    while (i < m->n && strcmp(m->list[i].path, path))
        i++;
    if (i == MODELS_MAX) {
        s = MT_LIMITED;
    } else if (i == m->n) {
        model *x = &m->list[i];
        snprintf(x->name, sizeof x->name, "%.*s", (int)(len - 5), base);
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

mt_status models_engine(models *m, const model *which, engine **out)
{
    mt_status s = MT_OK;
    model *x = (model *)(uintptr_t)which;
    pthread_mutex_lock(&m->lock);
    uint64_t used = x->bytes;
    for (unsigned i = 0; i < m->n; i++)
        used += m->list[i].engine ? m->list[i].bytes : 0;
    if (!x->engine && m->memory && used > m->memory) {
        s = MT_LIMITED;
    } else if (!x->engine) {
        engine_options o = m->common;
        o.path = x->path;
        x->engine = engine_create(&o);
        s = x->engine ? MT_OK : MT_NO_MEMORY;
    }
    *out = x->engine;
    pthread_mutex_unlock(&m->lock);
    return s;
}
