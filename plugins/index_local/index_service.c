/*
 * vector_index/1: one vector_index a workspace and model (index_spaces.h). What a caller waits for runs on the pool under the index's read-write lock. A caller may
 * send one version in several pieces; each piece is a step of the file's own version, the caller's shifted left.
 */
#include "index_service.h"

#include <mortise/json.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "files.h"
#include "index_file.h"
#include "index_spaces.h"

enum { STEP_BITS = 20, PATH_SIZE = 4200 };

static space *space_of(spaces *s, mt_call *c, mt_slice workspace, mt_slice model)
{
    return spaces_get(s, mt_setting(c, MT_SLICE("data.dir")), mt_org_id(c), workspace, model);
}

static index_id *parse_ids(mt_call *c, const mt_slice *texts, size_t n)
{
    index_id *ids = mt_alloc(c, (n + 1) * sizeof *ids);
    for (size_t i = 0; ids && i < n; i++)
        if (!mt_place_parse_id(texts[i], ids[i].b))
            return NULL;
    return ids;
}

/* One piece of work on the pool. */
typedef struct task {
    mt_call *c;
    spaces *s;
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

/* The index as the caller needs it, made when there is none. False: one of other dimensions is in the way. */
static bool held(task *t)
{
    space *x = t->x;
    pthread_rwlock_wrlock(&x->at.lock);
    space_open(t->s, x);
    bool fits = !x->at.index || index_get_meta(x->at.index)->dim == t->meta.dim;
    if (!x->at.index) {
        mt_file_make_folders(x->path);
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
        space_drop(t->x);
    spaces_close_idle(t->s);
}

static void do_change(void *arg)
{
    task *t = arg;
    space *x = t->x;
    bool work = false;
    pthread_rwlock_wrlock(&x->at.lock);
    space_open(t->s, x);
    uint64_t now = x->at.index ? index_get_meta(x->at.index)->version : 0;
    if (!x->at.index || (int64_t)(now >> STEP_BITS) != t->from) {
        t->status = MT_CONFLICT;
    } else {
        t->change.version = t->to > t->from ? (uint64_t)t->to << STEP_BITS : now + 1;
        t->status = index_append(x->at.index, x->path, &t->change, t->reason);
        work = index_wants_link(x->at.index) || index_wants_renewal(x->at.index);
    }
    pthread_rwlock_unlock(&x->at.lock);
    if (t->status == MT_PRECONDITION) {      /* the caller asks again for the version, and then the file is read as it is now */
        space_close(x);
        t->status = MT_CONFLICT;
    }
    if (work)
        spaces_ask_keeper(t->s, x);
}

static bool stopped(void *c)
{
    return mt_cancelled(c);
}

/* Takes the lock, to be read under, and opens an index that was closed since the caller asked for its version. */
static void lock_open(spaces *s, space *x)
{
    pthread_rwlock_rdlock(&x->at.lock);
    if (x->at.index)
        return;
    pthread_rwlock_unlock(&x->at.lock);
    pthread_rwlock_wrlock(&x->at.lock);
    space_open(s, x);
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
    space_drop(((task *)arg)->x);
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
        space *x = spaces_get_key(t->s, t->data, key);
        if (x)
            space_drop(x);
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
    task t = {.s = arg, .x = space_of(arg, c, workspace, model), .meta.dim = dimensions};
    snprintf(t.meta.model, sizeof t.meta.model, "%.*s", (int)model.len, model.p);
    if (!mt_place_parse_id(workspace, t.meta.workspace.b))
        return MT_INVALID;
    MT_TRY(run(c, &t, do_held));
    *version = t.held;
    return MT_OK;
}

static mt_status service_add(void *arg, mt_call *c, mt_slice workspace, mt_slice model, const mt_slice *ids, size_t n, const float *vectors, size_t n_vectors,
                             int64_t from, int64_t to)
{
    task t = {.s = arg, .x = space_of(arg, c, workspace, model), .from = from, .to = to, .change = {.add = parse_ids(c, ids, n), .adds = n, .vectors = vectors}};
    return t.change.add ? run(c, &t, do_change) : MT_INVALID;
}

static mt_status service_remove(void *arg, mt_call *c, mt_slice workspace, mt_slice model, const mt_slice *ids, size_t n, int64_t from, int64_t to)
{
    task t = {.s = arg, .x = space_of(arg, c, workspace, model), .from = from, .to = to, .change = {.remove = parse_ids(c, ids, n), .removes = n}};
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
    task t = {.s = arg, .x = space_of(arg, c, workspace, model), .n_query = n_query,
              .query = {.vector = query, .k = limit, .effort = (uint32_t)mt_int(effort, 0), .n_only = n_filter, .stop = stopped, .user = c}};
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
    task t = {.s = arg, .x = space_of(arg, c, workspace, model)};
    MT_TRY(run(c, &t, do_state));
    *rows = t.found;
    *loose = t.loose;
    *settled = t.settled;
    return MT_OK;
}

static mt_status service_drop(void *arg, mt_call *c, mt_slice workspace, mt_slice model)
{
    uint8_t ignored[16];
    if (model.p) {
        task t = {.s = arg, .x = space_of(arg, c, workspace, model)};
        return run(c, &t, do_drop);
    }
    if (!mt_place_parse_id(workspace, ignored))
        return MT_INVALID;
    task t = {.s = arg, .data = mt_setting(c, MT_SLICE("data.dir")), .org = mt_org_id(c), .workspace = workspace};
    return run(c, &t, do_drop_all);
}

mt_status index_service_create(void **out)
{
    return (*out = spaces_create()) ? MT_OK : MT_NO_MEMORY;
}

mt_status index_service_start(void *self)
{
    return spaces_start(self);
}

void index_service_destroy(void *self)
{
    spaces_destroy(self);
}

static const mt_vector_index_1_provider service = {
    .size = sizeof service, .version = 1, .held_version = service_held, .add = service_add, .remove = service_remove,
    .search = service_search, .hit = service_hit, .drop = service_drop, .state = service_state};
const mt_service_entry index_services[1] = {{"vector_index/1", &service}};
