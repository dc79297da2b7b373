/* blob/1 over store.h: each call hands its blocking part to the pool and waits there, so a loop
 * never waits for a disk. */
#include "store.h"

#include <mortise/entry.h>
#include <unistd.h>

typedef struct job {
    const blob_store *store;
    mt_slice org, name, data;
    char made[BLOB_NAME];
    int fd;
    size_t size;
    char *to;
    mt_status status;
} job;

static mt_status create(void **self)
{
    blob_store *s = calloc(1, sizeof *s);
    *self = s;
    if (!s)
        return MT_NO_MEMORY;
    s->lock = -1;
    return MT_OK;
}

static mt_status load(void *self, const mt_host *host)
{
    mt_bind(host);
    return MT_OK;
}

static mt_status activate(void *self, mt_call *c)
{
    mt_slice dir = mt_setting(c, MT_SLICE("data.dir")),
             root = mt_printf(c, "%.*s/blobs", (int)dir.len, dir.p);
    mt_status s = blob_store_open(self, root.p);
    if (s == MT_CONFLICT)
        return mt_problem(
            c, 503, MT_SLICE("blobs_locked"),
            mt_printf(c, "%s belongs to another running host: file storage serves one host only",
                      root.p),
            MT_SLICE(""));
    if (s != MT_OK)
        return mt_problem(c, 503, MT_SLICE("blobs_unusable"),
                          mt_printf(c, "%s cannot be written", root.p), MT_SLICE(""));
    return MT_OK;
}

static void deactivate(void *self, mt_call *c)
{
    blob_store_close(self);
}

static void unload(void *self)
{
    blob_store_close(self);
    free(self);
}

/* The work must not see the call, so the job lives in the call's memory and the call waits. */
static mt_status start(void *self, mt_call *c, job **out)
{
    job *j = mt_alloc(c, sizeof *j);
    if (!j)
        return MT_NO_MEMORY;
    *j = (job){.store = self, .org = mt_org_id(c), .fd = -1};
    *out = j;
    return j->org.p ? MT_OK
                    : mt_problem(c, 500, MT_SLICE("organization_missing"),
                                 MT_SLICE("A blob belongs to an organization, and none is chosen."),
                                 MT_SLICE(""));
}

static mt_status finish(mt_call *c, const job *j)
{
    switch (j->status) {
    case MT_OK:
        return MT_OK;
    case MT_NOT_FOUND:
        return mt_problem(c, 404, MT_SLICE("blob_not_found"),
                          MT_SLICE("There is no blob of this name."), MT_SLICE(""));
    case MT_INVALID:
        return mt_problem(c, 422, MT_SLICE("blob_name_invalid"),
                          MT_SLICE("A blob's name has 64 hexadecimal digits."), MT_SLICE(""));
    default:
        return mt_problem(c, 503, MT_SLICE("blob_storage_failed"),
                          MT_SLICE("The file storage refuses: is the disk full?"), MT_SLICE(""));
    }
}

static void do_put(void *arg)
{
    job *j = arg;
    j->status = blob_store_put(j->store, j->org, j->data, j->made);
}

static mt_status on_put(void *self, mt_call *c, mt_slice data, mt_slice *sha256)
{
    job *j;
    MT_TRY(start(self, c, &j));
    j->data = data;
    MT_TRY(mt_offload_run(c, do_put, j));
    *sha256 = (mt_slice){j->made, BLOB_NAME};
    return finish(c, j);
}

static void do_open(void *arg)
{
    job *j = arg;
    j->status = blob_store_open_blob(j->store, j->org, j->name, &j->fd, &j->size);
}

static void do_read(void *arg)
{
    job *j = arg;
    j->status = blob_store_read(j->fd, j->to, j->size);
    j->fd = -1;
}

static mt_status on_get(void *self, mt_call *c, mt_slice sha256, mt_slice *data)
{
    job *j;
    MT_TRY(start(self, c, &j));
    j->name = sha256;
    mt_status s = mt_offload_run(c, do_open, j);
    if (s == MT_OK)
        s = finish(c, j);
    j->to = s == MT_OK ? mt_alloc(c, j->size + 1) : NULL;
    if (s == MT_OK && !j->to)
        s = mt_problem(c, 413, MT_SLICE("blob_too_large"),
                       MT_SLICE("The blob is larger than a call's memory."), MT_SLICE(""));
    if (s == MT_OK)
        s = mt_offload_run(c, do_read, j);
    if (j->fd >= 0)
        close(j->fd);
    MT_TRY(s);
    *data = (mt_slice){j->to, j->size};
    return finish(c, j);
}

static void do_remove(void *arg)
{
    job *j = arg;
    j->status = blob_store_remove(j->store, j->org, j->name);
}

static mt_status on_remove(void *self, mt_call *c, mt_slice sha256)
{
    job *j;
    MT_TRY(start(self, c, &j));
    j->name = sha256;
    MT_TRY(mt_offload_run(c, do_remove, j));
    return finish(c, j);
}

static const mt_blob_1_provider blob = {
    .size = sizeof blob, .version = 1, .put = on_put, .get = on_get, .remove = on_remove};
static const mt_service_entry services[] = {{"blob/1", &blob}};

MT_EXPORT const mt_plugin blob_fs_plugin = {.abi = MT_ABI,
                                            .size = sizeof(mt_plugin),
                                            .slug = "blob_fs",
                                            .version = "0.1.0",
                                            .create = create,
                                            .load = load,
                                            .activate = activate,
                                            .deactivate = deactivate,
                                            .unload = unload,
                                            .services = services,
                                            .n_services = 1};
