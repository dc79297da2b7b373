/*
 * vector_index/1: one vector_index a workspace and model, opened on first use; those that were not used for longest are closed again. What a caller waits for runs
 * on the pool under the index's read-write lock. What may take long (checking a file, linking rows, writing a file anew) is the keeper's: one thread of low
 * priority for all indexes, which takes the same locks for moments only. A caller may send one version in several pieces; each piece is a step of the file's own
 * version, the caller's shifted left.
 *
 * Who opens, closes or exchanges an index holds `keeping` and then the lock alone; opening one that is not open needs the lock only.
 */
#include "index_file.h"
#include "index_renew.h"

#include "index_service.h"

#include <mortise/json.h>

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STEP_BITS = 20, PATH_SIZE = 4200, PLACES = 4096, MAX_OPEN = 1024 };

typedef struct space {
    struct space *next;          /* of the same place */
    struct space *newer, *older; /* in the order of use; under the list's lock */
    struct space *then;          /* behind it in the keeper's line; itself: the last. NULL: not in line */
    index_place at;              /* no index: not opened, or none */
    pthread_mutex_t keeping;
    bool verified;               /* under keeping */
    const char *key;             /* organization, workspace and model; in path */
    char path[];
} space;

typedef struct self {
    pthread_mutex_t lock;        /* the lists; spaces live until unload */
    space *places[PLACES];
    space *newest, *oldest;      /* of those that may be open */
    size_t open;                 /* how many are in that order */
    space *first, *last;         /* the keeper's line */
    pthread_cond_t work;
    pthread_t keeper;
    bool kept, stop;             /* the keeper runs; it shall end */
} self;

static space **place_of(self *s, const char *key)
{
    uint32_t h = 2166136261u;
    for (const char *p = key; *p; p++)
        h = (h ^ (unsigned char)*p) * 16777619u;
    return &s->places[h % PLACES];
}

static space *find_space(space *x, const char *key)
{
    while (x && strcmp(x->key, key))
        x = x->next;
    return x;
}

static void forget_use(self *s, space *x)
{
    if (!x->newer && s->newest != x)
        return;
    *(x->newer ? &x->newer->older : &s->newest) = x->older;
    *(x->older ? &x->older->newer : &s->oldest) = x->newer;
    x->newer = x->older = NULL;
    s->open--;
}

static void note_use(self *s, space *x)
{
    forget_use(s, x);
    x->older = s->newest;
    *(s->newest ? &s->newest->newer : &s->oldest) = x;
    s->newest = x;
    s->open++;
}

/* Closes what was not used for longest, when there are too many. One that is at work is not idle. */
static void close_idle(self *s)
{
    pthread_mutex_lock(&s->lock);
    space *x = s->open > MAX_OPEN ? s->oldest : NULL;
    bool kept = x && !pthread_mutex_trylock(&x->keeping);
    bool idle = kept && !pthread_rwlock_trywrlock(&x->at.lock);
    if (idle)
        forget_use(s, x);
    else if (x)
        note_use(s, x);
    pthread_mutex_unlock(&s->lock);
    if (idle) {
        index_close(x->at.index);
        x->at.index = NULL;
        pthread_rwlock_unlock(&x->at.lock);
    }
    if (kept)
        pthread_mutex_unlock(&x->keeping);
}

/* Puts the space into the keeper's line. */
static void ask_keeper(self *s, space *x)
{
    pthread_mutex_lock(&s->lock);
    if (!x->then) {
        *(s->first ? &s->last->then : &s->first) = x;
        s->last = x->then = x;
        pthread_cond_signal(&s->work);
    }
    pthread_mutex_unlock(&s->lock);
}

static bool parse_id(mt_slice text, index_id *out)
{
    size_t n = 0;
    int high = -1;
    for (size_t i = 0; i < text.len; i++) {
        char ch = text.p[i];
        int v = ch >= '0' && ch <= '9' ? ch - '0' : ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : -1;
        if (ch == '-')
            continue;
        if (v < 0 || n == 16)
            return false;
        if (high < 0) {
            high = v;
        } else {
            out->b[n++] = (uint8_t)(high << 4 | v);
            high = -1;
        }
    }
    return n == 16 && high < 0;
}

static space *make_space(mt_slice data, const char *key)
{
    size_t size = data.len + strlen(key) + sizeof "/indexes/.idx";
    space *x = size < PATH_SIZE ? calloc(1, sizeof *x + size + strlen(key) + 1) : NULL;
    if (!x)
        return NULL;
    snprintf(x->path, size, "%.*s/indexes/%s.idx", (int)data.len, data.p, key);
    x->key = strcpy(x->path + size, key);
    pthread_rwlockattr_t fair;                    /* changes are not kept out by searches that follow one another */
    pthread_rwlockattr_init(&fair);
    pthread_rwlockattr_setkind_np(&fair, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&x->at.lock, &fair);
    pthread_rwlockattr_destroy(&fair);
    pthread_mutex_init(&x->keeping, NULL);
    x->at.path = x->path;
    return x;
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

static space *space_by_key(self *s, mt_slice data, const char *key)
{
    pthread_mutex_lock(&s->lock);
    space **place = place_of(s, key), *x = find_space(*place, key);
    if (!x && (x = make_space(data, key))) {
        x->next = *place;
        *place = x;
    }
    if (x)
        note_use(s, x);
    pthread_mutex_unlock(&s->lock);
    return x;
}

/* NULL without memory, and for a workspace that is no id or a model without a name: they name a file. */
static space *get_space(self *s, mt_call *c, mt_slice workspace, mt_slice model)
{
    mt_slice org = mt_org_id(c);
    char key[80 + 256], name[200];
    index_id ignored;
    if (workspace.len != 36 || !parse_id(workspace, &ignored) || model.len >= INDEX_MODEL || !encode_model(model, name, sizeof name))
        return NULL;
    snprintf(key, sizeof key, "%.*s/%.*s.%s", (int)org.len, org.p ? org.p : "", (int)workspace.len, workspace.p, name);
    return space_by_key(s, mt_setting(c, MT_SLICE("data.dir")), key);
}

static index_id *parse_ids(mt_call *c, const mt_slice *texts, size_t n)
{
    index_id *ids = mt_alloc(c, (n + 1) * sizeof *ids);
    for (size_t i = 0; ids && i < n; i++)
        if (!parse_id(texts[i], &ids[i]))
            return NULL;
    return ids;
}

/* One piece of work on the pool. */
typedef struct task {
    mt_call *c;
    self *s;
    space *x;
    index_meta meta;
    int64_t from, to, held;
    index_change change;
    index_query query;
    size_t n_query, found, loose;
    bool settled;
    index_hit *hits;
    mt_slice data, org, workspace; /* to drop all of it */
    mt_status status;
    char reason[INDEX_REASON];
} task;

static void make_folders(const char *path)
{
    char copy[PATH_SIZE];
    snprintf(copy, sizeof copy, "%s", path);
    for (char *p = copy + 1; (p = strchr(p, '/')); p++) {
        *p = 0;
        mkdir(copy, 0700);
        *p = '/';
    }
}

static void log_rebuild(const space *x, const char *reason)
{
    const mt_field fields[] = {{MT_SLICE("file"), mt_str(x->path)}, {MT_SLICE("reason"), mt_str(reason)}};
    mt_log(2, "index.rebuild", fields, 2);
}

/* Opens the file when it is not; a damaged one is deleted, to be built anew from the rows. Write lock held. */
static void open_space(self *s, space *x)
{
    char reason[INDEX_REASON];
    if (x->at.index)
        return;
    mt_status status = index_open(&x->at.index, x->path, reason);
    if (status == MT_INVALID) {
        log_rebuild(x, reason);
        unlink(x->path);
    } else if (status == MT_OK) {
        ask_keeper(s, x);
    }
}

/* Forgets the index and its file, after the keeper has left it. */
static void drop_space(space *x)
{
    x->at.stop = true;
    pthread_mutex_lock(&x->keeping);
    pthread_rwlock_wrlock(&x->at.lock);
    index_close(x->at.index);
    x->at.index = NULL;
    x->verified = false;
    unlink(x->path);
    x->at.stop = false;
    pthread_rwlock_unlock(&x->at.lock);
    pthread_mutex_unlock(&x->keeping);
}

/* --- the keeper --- */

/* Reads all of a file that was opened. Nobody unmaps it meanwhile, so changes and searches go on. False: it was damaged and is gone. */
static bool verify(space *x)
{
    char reason[INDEX_REASON];
    pthread_rwlock_rdlock(&x->at.lock);
    vector_index *index = x->at.index;
    pthread_rwlock_unlock(&x->at.lock);
    if (!index)
        return false;
    if (x->verified || index_verify(index, reason) == MT_OK)
        return x->verified = true;
    log_rebuild(x, reason);
    return false;
}

static void keep(space *x)
{
    char reason[INDEX_REASON] = "Out of memory.";
    mt_status status = MT_OK;
    pthread_mutex_lock(&x->keeping);
    bool whole = verify(x), there = x->at.index != NULL;
    for (bool more = whole; more && status == MT_OK;) {
        pthread_rwlock_rdlock(&x->at.lock);
        bool link = index_wants_link(x->at.index), renew = index_wants_renewal(x->at.index);
        pthread_rwlock_unlock(&x->at.lock);
        if (link)
            status = index_link(&x->at);
        else if (renew)
            status = index_renew(&x->at, reason);
        more = link || renew;
    }
    pthread_mutex_unlock(&x->keeping);
    if (there && !whole)
        drop_space(x);
    if (status != MT_OK && status != MT_CANCELLED) {
        const mt_field fields[] = {{MT_SLICE("file"), mt_str(x->path)}, {MT_SLICE("reason"), mt_str(reason)}};
        mt_log(2, "index.keep", fields, 2);
    }
}

static void *run_keeper(void *arg)
{
    self *s = arg;
    setpriority(PRIO_PROCESS, 0, 10);             /* of this thread alone, on Linux */
    pthread_mutex_lock(&s->lock);
    while (!s->stop) {
        space *x = s->first;
        if (!x) {
            pthread_cond_wait(&s->work, &s->lock);
            continue;
        }
        s->first = x->then == x ? NULL : x->then;
        x->then = NULL;
        pthread_mutex_unlock(&s->lock);
        keep(x);
        pthread_mutex_lock(&s->lock);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

static void stop_keeper(self *s)
{
    pthread_mutex_lock(&s->lock);
    s->stop = true;
    for (size_t i = 0; i < PLACES; i++)
        for (space *x = s->places[i]; x; x = x->next)
            x->at.stop = true;
    pthread_cond_signal(&s->work);
    pthread_mutex_unlock(&s->lock);
    if (s->kept)
        pthread_join(s->keeper, NULL);
    s->kept = false;
}

/* --- what callers wait for --- */

/* The index as the caller needs it, made when there is none. False: one of other dimensions is in the way. */
static bool held(task *t)
{
    space *x = t->x;
    pthread_rwlock_wrlock(&x->at.lock);
    open_space(t->s, x);
    bool fits = !x->at.index || index_get_meta(x->at.index)->dim == t->meta.dim;
    if (!x->at.index) {
        make_folders(x->path);
        t->status = index_create(&x->at.index, &t->meta);
        if (t->status == MT_OK)
            t->status = index_save(x->at.index, x->path, t->reason);
    }
    t->held = x->at.index ? (int64_t)(index_get_meta(x->at.index)->version >> STEP_BITS) : 0;
    pthread_rwlock_unlock(&x->at.lock);
    return fits;
}

static void do_held(void *arg)
{
    task *t = arg;
    while (!held(t))
        drop_space(t->x);
    close_idle(t->s);
}

static void do_change(void *arg)
{
    task *t = arg;
    space *x = t->x;
    bool work = false;
    pthread_rwlock_wrlock(&x->at.lock);
    open_space(t->s, x);
    uint64_t now = x->at.index ? index_get_meta(x->at.index)->version : 0;
    if (!x->at.index || (int64_t)(now >> STEP_BITS) != t->from) {
        t->status = MT_CONFLICT;
    } else {
        t->change.version = t->to > t->from ? (uint64_t)t->to << STEP_BITS : now + 1;
        t->status = index_append(x->at.index, x->path, &t->change, t->reason);
        work = index_wants_link(x->at.index) || index_wants_renewal(x->at.index);
    }
    pthread_rwlock_unlock(&x->at.lock);
    if (work)
        ask_keeper(t->s, x);
}

static bool stopped(void *c)
{
    return mt_cancelled(c);
}

/* Takes the lock, to be read under, and opens an index that was closed since the caller asked for its version. */
static void lock_open(self *s, space *x)
{
    pthread_rwlock_rdlock(&x->at.lock);
    if (x->at.index)
        return;
    pthread_rwlock_unlock(&x->at.lock);
    pthread_rwlock_wrlock(&x->at.lock);
    open_space(s, x);
}

static void do_state(void *arg)
{
    task *t = arg;
    lock_open(t->s, t->x);
    const vector_index *index = t->x->at.index;
    if (index) {
        t->found = index_count(index);
        t->loose = index_loose(index);
        t->settled = !index_wants_link(index) && !index_wants_renewal(index);
    }
    t->status = index ? MT_OK : MT_NOT_FOUND;
    pthread_rwlock_unlock(&t->x->at.lock);
}

static void do_search(void *arg)
{
    task *t = arg;
    space *x = t->x;
    lock_open(t->s, x);
    if (!x->at.index)
        t->found = 0;
    else if (index_get_meta(x->at.index)->dim != t->n_query)
        t->status = MT_INVALID;
    else
        t->status = index_search(x->at.index, &t->query, t->hits, &t->found);
    pthread_rwlock_unlock(&x->at.lock);
}

static void do_drop(void *arg)
{
    drop_space(((task *)arg)->x);
}

/* Every file of the workspace, open or not. */
static void do_drop_all(void *arg)
{
    task *t = arg;
    char folder[PATH_SIZE], key[80 + 256];
    snprintf(folder, sizeof folder, "%.*s/indexes/%.*s", (int)t->data.len, t->data.p, (int)t->org.len, t->org.p);
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));) {
        size_t n = strlen(e->d_name), end = sizeof ".idx" - 1;
        if (n <= t->workspace.len + 1 + end || strncmp(e->d_name, t->workspace.p, t->workspace.len) || e->d_name[t->workspace.len] != '.' ||
            strcmp(e->d_name + n - end, ".idx") ||
            (size_t)snprintf(key, sizeof key, "%.*s/%.*s", (int)t->org.len, t->org.p, (int)(n - end), e->d_name) >= sizeof key)
            continue;
        space *x = space_by_key(t->s, t->data, key);
        if (x)
            drop_space(x);
        else
            t->status = MT_NO_MEMORY;
    }
    if (d)
        closedir(d);
}

static mt_status run(mt_call *c, task *t, void (*work)(void *))
{
    if (!t->x && !t->workspace.p)
        return MT_NO_MEMORY;
    t->c = c;
    MT_TRY(mt_offload_run(c, work, t));
    if (t->status == MT_OK || t->status == MT_CONFLICT || t->status == MT_CANCELLED || t->status == MT_NOT_FOUND)
        return t->status;
    return mt_problem(c, t->status == MT_INVALID ? 422 : 503, MT_SLICE("index_failed"), mt_str(t->reason), MT_SLICE(""));
}

static mt_status service_held(void *arg, mt_call *c, mt_slice workspace, mt_slice model, uint32_t dimensions, int64_t *version)
{
    task t = {.s = arg, .x = get_space(arg, c, workspace, model), .meta.dim = dimensions};
    snprintf(t.meta.model, sizeof t.meta.model, "%.*s", (int)model.len, model.p);
    if (!parse_id(workspace, &t.meta.workspace))
        return MT_INVALID;
    MT_TRY(run(c, &t, do_held));
    *version = t.held;
    return MT_OK;
}

static mt_status service_add(void *arg, mt_call *c, mt_slice workspace, mt_slice model, const mt_slice *ids, size_t n, const float *vectors, size_t n_vectors,
                             int64_t from, int64_t to)
{
    task t = {.s = arg, .x = get_space(arg, c, workspace, model), .from = from, .to = to, .change = {.add = parse_ids(c, ids, n), .adds = n, .vectors = vectors}};
    return t.change.add ? run(c, &t, do_change) : MT_INVALID;
}

static mt_status service_remove(void *arg, mt_call *c, mt_slice workspace, mt_slice model, const mt_slice *ids, size_t n, int64_t from, int64_t to)
{
    task t = {.s = arg, .x = get_space(arg, c, workspace, model), .from = from, .to = to, .change = {.remove = parse_ids(c, ids, n), .removes = n}};
    return t.change.remove ? run(c, &t, do_change) : MT_INVALID;
}

typedef struct result {
    size_t n;
    index_hit hits[];
} result;

static mt_status service_search(void *arg, mt_call *c, mt_slice workspace, mt_slice model, const float *query, size_t n_query, uint32_t limit,
                                const mt_slice *filter, size_t n_filter, mt_handle *out)
{
    result *r = mt_alloc(c, sizeof *r + limit * sizeof *r->hits);
    mt_slice effort = mt_config(c, MT_SLICE("/search_effort"));
    task t = {.s = arg, .x = get_space(arg, c, workspace, model), .n_query = n_query,
              .query = {.vector = query, .k = limit, .effort = effort.p ? strtoul(effort.p, NULL, 10) : 0, .n_only = n_filter, .stop = stopped, .user = c}};
    t.query.only = n_filter ? parse_ids(c, filter, n_filter) : NULL;
    if (!r || (n_filter && !t.query.only))
        return MT_INVALID;
    t.hits = r->hits;
    MT_TRY(run(c, &t, do_search));
    r->n = t.found;
    *out = (mt_handle)(uintptr_t)r;
    return MT_OK;
}

static mt_status service_hit(void *arg, mt_call *c, mt_handle handle, uint32_t i, mt_slice *id, double *score)
{
    const result *r = (const result *)(uintptr_t)handle;
    if (!r || i >= r->n)
        return MT_DONE;
    const uint8_t *b = r->hits[i].id.b;
    *id = mt_printf(c, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9],
                    b[10], b[11], b[12], b[13], b[14], b[15]);
    *score = r->hits[i].score;
    return MT_OK;
}

static mt_status service_state(void *arg, mt_call *c, mt_slice workspace, mt_slice model, uint64_t *rows, uint64_t *loose, bool *settled)
{
    task t = {.s = arg, .x = get_space(arg, c, workspace, model)};
    MT_TRY(run(c, &t, do_state));
    *rows = t.found;
    *loose = t.loose;
    *settled = t.settled;
    return MT_OK;
}

static mt_status service_drop(void *arg, mt_call *c, mt_slice workspace, mt_slice model)
{
    index_id ignored;
    if (model.p) {
        task t = {.s = arg, .x = get_space(arg, c, workspace, model)};
        return run(c, &t, do_drop);
    }
    if (workspace.len != 36 || !parse_id(workspace, &ignored))
        return MT_INVALID;
    task t = {.s = arg, .data = mt_setting(c, MT_SLICE("data.dir")), .org = mt_org_id(c), .workspace = workspace};
    return run(c, &t, do_drop_all);
}

mt_status index_service_create(void **out)
{
    self *s = calloc(1, sizeof *s);
    if (!s)
        return MT_NO_MEMORY;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->work, NULL);
    *out = s;
    return MT_OK;
}

mt_status index_service_start(void *arg)
{
    self *s = arg;
    s->kept = pthread_create(&s->keeper, NULL, run_keeper, s) == 0;
    return s->kept ? MT_OK : MT_NO_MEMORY;
}

void index_service_destroy(void *arg)
{
    self *s = arg;
    stop_keeper(s);
    for (size_t i = 0; i < PLACES; i++)
        for (space *x = s->places[i], *next; x; x = next) {
            next = x->next;
            index_close(x->at.index);
            pthread_rwlock_destroy(&x->at.lock);
            pthread_mutex_destroy(&x->keeping);
            free(x);
        }
    pthread_cond_destroy(&s->work);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static const mt_vector_index_1_provider service = {
    .size = sizeof service, .version = 1, .held_version = service_held, .add = service_add, .remove = service_remove,
    .search = service_search, .hit = service_hit, .drop = service_drop, .state = service_state};
const mt_service_entry index_services[1] = {{"vector_index/1", &service}};
