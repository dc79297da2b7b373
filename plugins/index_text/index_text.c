/*
 * text_index/1: one text_index a workspace, opened on first use; those that were not used for longest are closed again. Analysis and everything that
 * touches an index runs on the pool. Changes and saves of a workspace come one at a time (its writer lock); searches stand still only while a change is
 * put in or a new base is mapped (its read-write lock). A caller may send one version in several pieces; each piece is a step of the file's own version, the
 * caller's shifted left.
 */
#include "files.h"
#include "spaces.h"
#include "text/utf8.h"
#include "text_file.h"

#include <mortise/entry.h>

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { GARBAGE = 4096, MARKED_TEXT = 1 << 20 };

/* One piece of work on the pool. */
typedef struct task {
    mt_call *c;
    mt_places *s;
    space *x;
    text_meta meta;
    int64_t from, to, held;
    text_id *ids;                /* to add or to remove */
    const mt_slice *texts, *languages;
    size_t n;
    bool removes;
    mt_slice query, language;
    text_bm25 how;
    size_t k, found;
    text_hit *hits;
    mt_status status;
    char reason[TEXT_REASON];
} task;

/* Opens the file when it is not; a damaged one is deleted, to be built anew from the rows. Write lock held. */
static void open_space(space *x)
{
    char reason[TEXT_REASON];
    if (x->index)
        return;
    mt_status s = text_open(&x->index, x->path, reason);
    if (s == MT_INVALID) {
        const mt_field fields[] = {{MT_SLICE("file"), mt_str(x->path)}, {MT_SLICE("reason"), mt_str(reason)}};
        mt_log(2, "text_index.rebuild", fields, 2);
        unlink(x->path);
    }
    space_publish(x);
}

static void do_held(void *arg)
{
    task *t = arg;
    space_lock(t->x);
    open_space(t->x);
    if (!t->x->index) {
        mt_file_make_folders(t->x->path);
        t->status = text_create(&t->x->index, &t->meta);
        if (t->status == MT_OK)
            t->status = text_save(t->x->index, t->x->path, t->reason);
        space_publish(t->x);
    }
    t->held = atomic_load(&t->x->version);
    space_unlock(t->x);
    spaces_close_idle(t->s);
}

/* When a good part is tombstones or unmapped, the file is written anew, while searches go on, and mapped. Writer lock held. */
static void compact(space *x)
{
    char reason[TEXT_REASON];
    text_index *renewed;
    if (text_garbage(x->index) < GARBAGE || text_garbage(x->index) < text_count(x->index) / 4)
        return;
    if (text_save(x->index, x->path, reason) != MT_OK || text_open(&renewed, x->path, reason) != MT_OK)
        return;
    pthread_rwlock_wrlock(&x->lock);
    text_index *old = x->index;
    x->index = renewed;
    pthread_rwlock_unlock(&x->lock);
    text_close(old);
}

static void apply_terms(task *t, const text_terms *terms)
{
    space *x = t->x;
    pthread_mutex_lock(&x->writer);
    pthread_rwlock_wrlock(&x->lock);
    open_space(x);
    uint64_t now = x->index ? text_get_meta(x->index)->version : 0;
    t->status = MT_CONFLICT;
    if (x->index && (int64_t)(now >> SPACE_STEP_BITS) == t->from) {
        text_change change = {.version = t->to > t->from ? (uint64_t)t->to << SPACE_STEP_BITS : now + 1, .terms = terms};
        *(t->removes ? &change.remove : &change.add) = t->ids;
        *(t->removes ? &change.removes : &change.adds) = t->n;
        t->status = text_append(x->index, x->path, &change, t->reason);
        if (t->status == MT_PRECONDITION) {  /* the caller asks again for the version, and then the file is read as it is now */
            text_close(x->index);
            x->index = NULL;
            t->status = MT_CONFLICT;
        }
        space_publish(x);
    }
    pthread_rwlock_unlock(&x->lock);
    if (t->status == MT_OK)
        compact(x);
    pthread_mutex_unlock(&x->writer);
}

static void do_change(void *arg)
{
    task *t = arg;
    size_t n = t->removes ? 0 : t->n;
    text_terms *terms = calloc(n + 1, sizeof *terms);
    mt_stemmer *stemmer = mt_stemmer_create();
    t->status = terms && stemmer ? MT_OK : MT_NO_MEMORY;
    for (size_t i = 0; t->status == MT_OK && i < n; i++)
        t->status = text_analyze(stemmer, t->texts[i], t->languages[i], &terms[i]);
    if (t->status == MT_OK)
        apply_terms(t, terms);
    for (size_t i = 0; terms && i < n; i++)
        text_terms_dispose(&terms[i]);
    free(terms);
    mt_stemmer_destroy(stemmer);
}

static bool stopped(void *c)
{
    return mt_cancelled(c);
}

static void do_search(void *arg)
{
    task *t = arg;
    text_terms terms;
    mt_stemmer *stemmer = mt_stemmer_create();
    t->status = stemmer ? text_analyze_query(stemmer, t->query, t->language, &terms) : MT_NO_MEMORY;
    mt_stemmer_destroy(stemmer);
    if (t->status != MT_OK)
        return;
    pthread_rwlock_rdlock(&t->x->lock);
    if (!t->x->index) {          /* closed since the caller asked for its version */
        pthread_rwlock_unlock(&t->x->lock);
        space_lock(t->x);
        open_space(t->x);
        space_unlock(t->x);
        pthread_rwlock_rdlock(&t->x->lock);
    }
    if (t->x->index)
        t->status = text_search(t->x->index, &terms, t->how, t->k, t->ids, t->n, t->hits, &t->found, stopped, t->c);
    pthread_rwlock_unlock(&t->x->lock);
    text_terms_dispose(&terms);
}

static void do_drop(void *arg)
{
    task *t = arg;
    space_lock(t->x);
    text_close(t->x->index);
    t->x->index = NULL;
    unlink(t->x->path);
    space_publish(t->x);
    space_unlock(t->x);
}

static mt_status run(mt_call *c, task *t, void (*work)(void *))
{
    if (!t->x)
        return MT_INVALID;
    t->c = c;
    MT_TRY(mt_offload_run(c, work, t));
    if (t->status == MT_OK || t->status == MT_CONFLICT || t->status == MT_CANCELLED)
        return t->status;
    return mt_problem(c, 503, MT_SLICE("text_index_failed"), t->reason[0] ? mt_str(t->reason) : MT_SLICE("The text index has no memory left."), MT_SLICE(""));
}

static space *space_of(void *self, mt_call *c, mt_slice workspace)
{
    return spaces_get(self, mt_setting(c, MT_SLICE("data.dir")), mt_org_id(c), workspace);
}

static text_id *parse_ids(mt_call *c, const mt_slice *texts, size_t n)
{
    text_id *ids = mt_alloc(c, (n + 1) * sizeof *ids);
    for (size_t i = 0; ids && i < n; i++)
        if (!mt_place_parse_id(texts[i], ids[i].b))
            return NULL;
    return ids;
}

static mt_status service_held(void *self, mt_call *c, mt_slice workspace, int64_t *version)
{
    task t = {.s = self, .x = space_of(self, c, workspace)};
    if (!t.x || !mt_place_parse_id(workspace, t.meta.workspace.b))
        return MT_INVALID;
    *version = atomic_load(&t.x->version);
    if (*version >= 0)           /* open: no need for the pool */
        return MT_OK;
    MT_TRY(run(c, &t, do_held));
    *version = t.held;
    return MT_OK;
}

static mt_status service_add(void *self, mt_call *c, mt_slice workspace, const mt_slice *ids, size_t n, const mt_slice *texts, size_t n_texts,
                             const mt_slice *languages, size_t n_languages, int64_t from, int64_t to)
{
    task t = {.s = self, .x = space_of(self, c, workspace), .from = from, .to = to, .ids = parse_ids(c, ids, n), .n = n, .texts = texts, .languages = languages};
    return t.ids && n == n_texts && n == n_languages ? run(c, &t, do_change) : MT_INVALID;
}

static mt_status service_remove(void *self, mt_call *c, mt_slice workspace, const mt_slice *ids, size_t n, int64_t from, int64_t to)
{
    task t = {.s = self, .x = space_of(self, c, workspace), .from = from, .to = to, .ids = parse_ids(c, ids, n), .n = n, .removes = true};
    return t.ids ? run(c, &t, do_change) : MT_INVALID;
}

typedef struct result {
    size_t n;
    text_hit hits[];
} result;

static double config_number(mt_call *c, mt_slice pointer, double fallback)
{
    return mt_number(mt_config(c, pointer), fallback);
}

static mt_status service_search(void *self, mt_call *c, mt_slice workspace, mt_slice query, mt_slice language, uint32_t limit, const mt_slice *filter,
                                size_t n_filter, mt_handle *out)
{
    result *r = mt_alloc(c, sizeof *r + limit * sizeof *r->hits);
    task t = {.s = self, .x = space_of(self, c, workspace), .query = query, .language = language, .k = limit, .n = n_filter,
              .ids = n_filter ? parse_ids(c, filter, n_filter) : NULL,
              .how = {config_number(c, MT_SLICE("/k1"), 1.2), config_number(c, MT_SLICE("/b"), 0.75)}};
    if (!r || limit == 0 || limit > TEXT_MAX_K || (n_filter && !t.ids))
        return MT_INVALID;
    t.hits = r->hits;
    MT_TRY(run(c, &t, do_search));
    r->n = t.found;
    *out = (mt_handle)(uintptr_t)r;
    return MT_OK;
}

static mt_status service_hit(void *self, mt_call *c, mt_handle handle, uint32_t i, mt_slice *id, double *score)
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

/* Marks as they are written: byte ranges to code points in one walk. */
typedef struct marker {
    mt_writer w;
    const char *text;
    size_t at, points;
} marker;

static int64_t point_at(marker *m, size_t byte)
{
    m->points += mt_utf8_count(m->text + m->at, byte - m->at);
    m->at = byte;
    return (int64_t)m->points;
}

static void write_mark(void *user, size_t start, size_t end)
{
    marker *m = user;
    mt_write_array(&m->w, NULL);
    mt_write_int(&m->w, NULL, point_at(m, start));
    mt_write_int(&m->w, NULL, point_at(m, end));
    mt_write_close(&m->w);
}

static mt_status service_marks(void *self, mt_call *c, mt_slice query, mt_slice language, mt_slice text, mt_slice *out)
{
    text_terms terms;
    if (text.len > MARKED_TEXT)
        return MT_TOO_LARGE;
    mt_stemmer *stemmer = mt_stemmer_create();
    mt_status status = stemmer ? text_analyze_query(stemmer, query, language, &terms) : MT_NO_MEMORY;
    if (status == MT_OK) {
        marker m = {.w = mt_write_begin(c), .text = text.p};
        mt_write_array(&m.w, NULL);
        text_find_marks(stemmer, &terms, text, write_mark, &m);
        mt_write_close(&m.w);
        status = mt_write_end(&m.w, out);
        text_terms_dispose(&terms);
    }
    mt_stemmer_destroy(stemmer);
    return status;
}

static mt_status service_drop(void *self, mt_call *c, mt_slice workspace)
{
    task t = {.s = self, .x = space_of(self, c, workspace)};
    return run(c, &t, do_drop);
}

static mt_status create(void **out)
{
    return (*out = mt_places_create()) ? MT_OK : MT_NO_MEMORY;
}

static mt_status load(void *self, const mt_host *host)
{
    mt_bind(host);
    return MT_OK;
}

static void unload(void *self)
{
    spaces_destroy(self);
}

static const mt_text_index_1_provider service = {
    .size = sizeof service, .version = 1, .held_version = service_held, .add = service_add, .remove = service_remove,
    .search = service_search, .hit = service_hit, .marks = service_marks, .drop = service_drop};
static const mt_service_entry services[] = {{"text_index/1", &service}};

MT_EXPORT const mt_plugin index_text_plugin = {
    .abi = MT_ABI, .size = sizeof(mt_plugin), .slug = "index_text", .version = "0.1.0", .create = create, .load = load, .unload = unload,
    .services = services, .n_services = 1};
