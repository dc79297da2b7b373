#include "index_spaces.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <mortise/json.h>

#include "index_file.h"
#include "keeper.h"

enum { PATH_SIZE = 4200, MAX_OPEN = 1024 };

struct spaces {
    mt_places *places;
    keeper *keeper;
};

spaces *spaces_create(void)
{
    spaces *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->places = mt_places_create();
    s->keeper = keeper_create();
    if (s->places && s->keeper)
        return s;
    free(s->places);
    free(s->keeper);
    free(s);
    return NULL;
}

mt_status spaces_start(spaces *s)
{
    return keeper_start(s->keeper);
}

static void stop(mt_place *p)
{
    ((space *)p)->at.stop = true;
}

static void drop(mt_place *p)
{
    space *x = (space *)p;
    index_close(x->at.index);
    pthread_rwlock_destroy(&x->at.lock);
    pthread_mutex_destroy(&x->keeping);
    free(x);
}

void spaces_destroy(spaces *s)
{
    mt_places_each(s->places, stop);
    keeper_destroy(s->keeper);
    mt_places_destroy(s->places, drop);
    free(s);
}

static mt_place *make(void *arg, const char *key)
{
    const mt_slice *data = arg;
    size_t size = data->len + strlen(key) + sizeof "/indexes/.idx";
    space *x = size < PATH_SIZE ? calloc(1, sizeof *x + size + strlen(key) + 1) : NULL;
    if (!x)
        return NULL;
    snprintf(x->path, size, "%.*s/indexes/%s.idx", (int)data->len, data->p, key);
    x->place.key = strcpy(x->path + size, key);
    pthread_rwlockattr_t fair;                    /* changes are not kept out by searches that follow one another */
    pthread_rwlockattr_init(&fair);
    pthread_rwlockattr_setkind_np(&fair, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&x->at.lock, &fair);
    pthread_rwlockattr_destroy(&fair);
    pthread_mutex_init(&x->keeping, NULL);
    x->at.path = x->path;
    return &x->place;
}

/* A model's name as part of a file's: what is not a letter, digit, dash or dot is written as %XX. False when it does not fit. */
static bool encode_model(mt_slice model, char *out, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < model.len; i++) {
        unsigned char ch = (unsigned char)model.p[i];
        bool plain = isalnum(ch) || ch == '-' || ch == '.';
        if (n + 4 > size)
            return false;
        n += (size_t)snprintf(out + n, 4, plain ? "%c" : "%%%02X", ch);
    }
    out[n] = 0;
    return n > 0;
}

space *spaces_get_key(spaces *s, mt_slice data, const char *key)
{
    return (space *)mt_places_get(s->places, key, make, &data);
}

space *spaces_get(spaces *s, mt_slice data, mt_slice org, mt_slice workspace, mt_slice model)
{
    char key[80 + 256], name[200];
    uint8_t ignored[16];
    if (!mt_place_parse_id(workspace, ignored) || model.len >= INDEX_MODEL || !encode_model(model, name, sizeof name))
        return NULL;
    snprintf(key, sizeof key, "%.*s/%.*s.%s", (int)org.len, org.p ? org.p : "", (int)workspace.len, workspace.p, name);
    return spaces_get_key(s, data, key);
}

static bool try_lock(mt_place *p)
{
    space *x = (space *)p;
    if (pthread_mutex_trylock(&x->keeping))
        return false;
    if (!pthread_rwlock_trywrlock(&x->at.lock))
        return true;
    pthread_mutex_unlock(&x->keeping);
    return false;
}

void spaces_close_idle(spaces *s)
{
    space *x = (space *)mt_places_take_idle(s->places, MAX_OPEN, try_lock);
    if (!x)
        return;
    index_close(x->at.index);
    x->at.index = NULL;
    pthread_rwlock_unlock(&x->at.lock);
    pthread_mutex_unlock(&x->keeping);
}

void spaces_ask_keeper(spaces *s, space *x)
{
    keeper_ask(s->keeper, x);
}

void space_log_rebuild(const space *x, const char *reason)
{
    const mt_field fields[] = {{MT_SLICE("file"), mt_str(x->path)}, {MT_SLICE("reason"), mt_str(reason)}};
    mt_log(2, "index.rebuild", fields, 2);
}

void space_open(spaces *s, space *x)
{
    char reason[INDEX_REASON];
    if (x->at.index)
        return;
    mt_status status = index_open(&x->at.index, x->path, reason);
    if (status == MT_INVALID) {
        space_log_rebuild(x, reason);
        unlink(x->path);
    } else if (status == MT_OK) {
        spaces_ask_keeper(s, x);
    }
}

static void close_space(space *x, bool forget)
{
    x->at.stop = true;
    pthread_mutex_lock(&x->keeping);
    pthread_rwlock_wrlock(&x->at.lock);
    index_close(x->at.index);
    x->at.index = NULL;
    x->verified = false;
    if (forget)
        unlink(x->path);
    x->at.stop = false;
    pthread_rwlock_unlock(&x->at.lock);
    pthread_mutex_unlock(&x->keeping);
}

void space_drop(space *x)
{
    close_space(x, true);
}

void space_close(space *x)
{
    close_space(x, false);
}
