#include "index_renew.h"

#include <stdio.h>
#include <unistd.h>

#include "index_file.h"
#include "index_parts.h"
#include "files.h"

#define PATH_MOST 4200

static size_t all_rows(const vector_index *x)
{
    return x->parts[0].n + x->parts[1].n;
}

size_t index_loose(const vector_index *x)
{
    size_t n = 0, base = x->parts[0].n;
    for (size_t row = graph_linked(x->graph); row < all_rows(x); row++) {
        size_t r = row < base ? row : row - base;
        n += x->parts[row >= base].live[r / 64] >> r % 64 & 1;
    }
    return n;
}

bool index_wants_link(const vector_index *x)
{
    return all_rows(x) - graph_linked(x->graph) > INDEX_LOOSE && graph_pays(x->graph, &(graph_aim){.k = 10, .wanted = all_rows(x)});
}

bool index_wants_renewal(const vector_index *x)
{
    size_t garbage = index_garbage(x);
    return garbage >= 4096 && garbage >= index_count(x) / 4;
}

static mt_status reserve(index_place *p, size_t *rows)
{
    pthread_rwlock_wrlock(&p->lock);
    *rows = all_rows(p->index);
    bool ok = graph_reserve(p->index->graph, *rows);
    pthread_rwlock_unlock(&p->lock);
    return ok ? MT_OK : MT_NO_MEMORY;
}

mt_status index_link(index_place *p)
{
    size_t rows = 0;
    MT_TRY(reserve(p, &rows));
    for (bool more = true; more;) {
        if (p->stop)
            return MT_CANCELLED;
        if (!graph_prepare(p->index->graph))
            return MT_NO_MEMORY;
        pthread_rwlock_rdlock(&p->lock);
        const scan_rows parts[PARTS] = {p->index->parts[0].rows, p->index->parts[1].rows};
        bool ok = graph_link(p->index->graph, parts);
        more = graph_linked(p->index->graph) < rows;
        pthread_rwlock_unlock(&p->lock);
        if (!ok)
            return MT_NO_MEMORY;
    }
    return MT_OK;
}

static void let_changes_in(void *arg)
{
    index_place *p = arg;
    pthread_rwlock_unlock(&p->lock);
    pthread_rwlock_rdlock(&p->lock);
}

/* Carries over what changed while the new file was written, and exchanges the two. The lock is held alone. */
static mt_status exchange(index_place *p, vector_index *fresh, const char *path, uint64_t from, char *reason)
{
    vector_index *old = p->index;
    MT_TRY(index_catch_up(fresh, path, p->path, from, old->file_end, reason));
    if (fresh->meta.version != old->meta.version) {
        snprintf(reason, INDEX_REASON, "The log lacks changes that memory has.");
        return MT_INTERNAL;
    }
    MT_TRY(index_publish(path, p->path, reason));
    p->index = fresh;
    index_close(old);
    return MT_OK;
}

mt_status index_renew(index_place *p, char reason[INDEX_REASON])
{
    char path[PATH_MOST];
    vector_index *fresh = NULL;
    if (!mt_file_beside(p->path, path, sizeof path))
        return MT_INVALID;
    pthread_rwlock_rdlock(&p->lock);
    uint64_t from = p->index->file_end;
    mt_status status = index_write(p->index, path, let_changes_in, p, reason);
    pthread_rwlock_unlock(&p->lock);
    if (status == MT_OK)
        status = p->stop ? MT_CANCELLED : index_open(&fresh, path, reason);
    if (status == MT_OK) {
        pthread_rwlock_wrlock(&p->lock);
        status = exchange(p, fresh, path, from, reason);
        pthread_rwlock_unlock(&p->lock);
    }
    if (status != MT_OK) {
        index_close(fresh);
        unlink(path);
    }
    return status;
}
