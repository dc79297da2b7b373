/* Plugins that the operator wants in a process of their own, and those that run models, which are in one by default: instead of its shared object a record has a worker (core/worker). */
#include "plugin/grants.h"
#include "plugin/record.h"

#include "base/log.h"
#include "worker/start.h"
#include "worker/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* What was chosen at run time (mti_place_keep): 'p'rocess, 'h'ost or nothing. */
static char chosen(const mti_host *h, const char *slug)
{
    char path[PATH_MAX], first = 0;
    if (!h->plugin_home || snprintf(path, sizeof path, "%s/places/%s", h->plugin_home, slug) >= (int)sizeof path)
        return 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && read(fd, &first, 1) != 1)
        first = 0;
    if (fd >= 0)
        close(fd);
    return first;
}

mt_status mti_place_keep(const mti_host *h, const char *slug, const char *place, mti_error *e)
{
    char path[PATH_MAX], aside[PATH_MAX];
    snprintf(path, sizeof path, "%.*s/places", PATH_MAX - 100, h->plugin_home);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%.*s/places/%.64s", PATH_MAX - 100, h->plugin_home, slug);
    snprintf(aside, sizeof aside, "%.*s/places/.%.64s", PATH_MAX - 100, h->plugin_home, slug);
    int fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    size_t n = strlen(place);
    bool ok = fd >= 0 && write(fd, place, n) == (ssize_t)n && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    if (ok && n && rename(aside, path) == 0)
        return MT_OK;
    if (ok && !n && unlink(aside) == 0 && (unlink(path) == 0 || errno == ENOENT))
        return MT_OK;
    return mti_fail(e, MT_INTERNAL, "cannot_write", "%.300s: %s.", path, strerror(errno));
}

const char *mti_place_kept(const mti_host *h, const char *slug)
{
    char c = chosen(h, slug);
    return c == 'p' ? "process" : c == 'h' ? "host" : "";
}

static bool is_listed(const mti_host *h, const char *slug)
{
    char place = chosen(h, slug);
    if (place)
        return place == 'p';
    const char *list = h->config ? mti_config_str(h->config, "plugins.isolated") : "";
    size_t n = strlen(slug);
    for (const char *at = list; at && *at; at += strcspn(at, ",") + (at[strcspn(at, ",")] == ','))
        if (strcspn(at, ",") == n && !strncmp(at, slug, n))
            return true;
    return false;
}

/* Without a supervisor nobody keeps engines. */
static bool is_engine(const mti_host *h, const mti_manifest *m)
{
    return m->engine && h->engine_fd > 0 && h->config && chosen(h, m->slug) != 'h' &&
           (mti_config_bool(h->config, "plugins.engine_workers") || is_listed(h, m->slug));
}

bool mti_isolated(const mti_host *h, const mti_manifest *m)
{
    return is_listed(h, m->slug) || is_engine(h, m);
}

static void find_obstacle(const mti_plugin_record *r, char *why, size_t size)
{
    const mti_manifest *m = r->manifest;
    const char *interfaces[64], *hooks[64];
    mti_worker_needs needs = {.provides = m->provides, .n_provides = m->n_provides, .interfaces = interfaces, .hooks = hooks};
    for (size_t i = 0; i < m->n_requires && needs.n_interfaces < 64; i++)
        interfaces[needs.n_interfaces++] = m->requires_[i];
    for (size_t i = 0; i < m->n_services && needs.n_interfaces < 64; i++)
        interfaces[needs.n_interfaces++] = m->services[i];
    for (size_t i = 0; i < m->n_hooks && needs.n_hooks < 64; i++)
        hooks[needs.n_hooks++] = m->hooks[i].name;
    if (m->essential)
        snprintf(why, size, "it is essential");
    else if (m->in_process)
        snprintf(why, size, "%s", m->in_process);
    else
        mti_worker_obstacle(&needs, why, size);
}

/* --- what a process of a plugin's own may read and write --- */

enum { PATHS = 32, ENGINE_TIMES = 4 /* a model is read from a disk */ };

typedef struct engine {
    char key[256], texts[PATHS][4200];
    mti_worker_path paths[PATHS];
    size_t n_paths;
    unsigned threads;
} engine;

/* FNV-1a: the same in every host, which the hash of our maps is not. */
static uint64_t name_more(uint64_t name, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        name = (name ^ (unsigned char)p[i]) * 1099511628211u;
    return name;
}

static void add_path(engine *en, const char *format, ...)
{
    va_list args;
    if (en->n_paths == PATHS)
        return;
    char *text = en->texts[en->n_paths];
    va_start(args, format);
    vsnprintf(text, sizeof en->texts[0], format, args);
    va_end(args);
    en->paths[en->n_paths++] = (mti_worker_path){text, false};
}

static void add_grants(const mti_plugin_record *r, engine *en)
{
    const char *at = NULL;
    char path[4096];
    bool writes;
    while (en->n_paths < PATHS && mti_grants_path(r->host->config, r->slug, &at, path, &writes)) {
        add_path(en, "%s", path);
        en->paths[en->n_paths - 1].writes = writes;
    }
}

/* --- engines --- */

/* Where models and their runtimes lie. */
static void add_paths(const mti_host *h, engine *en)
{
    const char *models = mti_config_str(h->config, "models.dir"), *home = getenv("HOME");
    add_path(en, "%.*s/models", (int)(strrchr(h->plugin_home, '/') - h->plugin_home), h->plugin_home);
    mkdir(en->texts[0], 0700);           /* what is not there when the process starts cannot be granted to it */
    add_path(en, "%s", MORTISE_DEPS);
    if (models && *models)
        add_path(en, "%s", models);
    if (home && *home)
        add_path(en, "%s/.cache/mortise", home);
    for (size_t i = 0; mti_engine_environment[i]; i++)
        if (getenv(mti_engine_environment[i]) && strcmp(mti_engine_environment[i], "HOME"))
            add_path(en, "%s", getenv(mti_engine_environment[i]));
}

/* The program, the version by its digest, and what its process was set up with. */
static void describe_engine(const mti_plugin_record *r, engine *en)
{
    char program[MTI_PROGRAM_NAME];
    const mti_host *h = r->host;
    int64_t threads = mti_config_int(h->config, "offload.threads");
    uint64_t paths = 14695981039346656037u;
    add_paths(h, en);
    for (size_t i = 0; i < en->n_paths; i++)
        paths = name_more(name_more(paths, en->paths[i].path, strlen(en->paths[i].path) + 1), en->paths[i].writes ? "w" : "r", 1);
    en->threads = threads ? (unsigned)threads : (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
    mti_program_name(program);
    snprintf(en->key, sizeof en->key, "%s %.64s %s %u %llx %lld", r->slug, r->digest, program, en->threads, (unsigned long long)paths,
             (long long)mti_config_int(h->config, "worker.engine_memory"));
}

/* Of what an engine's activate may read: its configuration, and the settings of the host. */
static uint64_t configuration(void *ctx)
{
    const mti_plugin_record *r = ctx;
    mti_buf text;
    mti_buf_init(&text, 4 << 20);
    const json_t *config = atomic_load(&r->config);
    if (config)
        mti_json_dump(config, &text);
    mti_buf_adds(&text, mti_config_str(r->host->config, "models.dir"));
    uint64_t name = name_more(14695981039346656037u, text.p, text.len);
    mti_buf_dispose(&text);
    return name;
}

static int log_level(void)
{
    int level = MTI_LOG_DEBUG;
    while (level < MTI_LOG_ERROR && !mti_log_enabled((mti_log_level)level))
        level++;
    return level;
}

mt_status mti_record_open_worker(mti_plugin_record *r, const char *object, mti_error *e)
{
    char why[256];
    mti_host *h = r->host;
    find_obstacle(r, why, sizeof why);
    if (why[0])
        return mti_fail(e, MT_UNSUPPORTED, "not_isolable", "plugin %s cannot run in a worker: %s. Let it run in the host (out of plugins.isolated, mortise plugin trust) when you trust its code", r->slug, why);
    engine en = {0};
    const bool as_engine = is_engine(h, r->manifest);
    add_grants(r, &en);
    if (as_engine)
        describe_engine(r, &en);
    mti_worker_options o = {.host = h, .slot = r->slot, .slug = r->slug, .version = r->manifest->version, .dir = r->manifest->dir, .file = object,
                            .symbol = r->manifest->symbol, .loops = h->loops, .n_loops = h->n_loops, .offload = h->offload, .interface = mti_record_interface,
                            .log = mti_record_log, .ctx = r, .memory = (size_t)mti_config_int(h->config, as_engine ? "worker.engine_memory" : "worker.memory"),
                            .paths = en.paths, .n_paths = en.n_paths, .key = as_engine ? en.key : NULL, .broker = h->engine_fd, .threads = en.threads,
                            .configuration = as_engine ? configuration : NULL,
                            .hang_ms = mti_config_int(h->config, "worker.hang_timeout"),
                            .activate_ms = mti_config_int(h->config, "worker.activate_timeout") * (as_engine ? ENGINE_TIMES : 1), .log_level = log_level()};
    MT_TRY(mti_worker_create(&o, &r->worker, &r->entry, e));
    r->self = r->worker;
    return MT_OK;
}

void mti_plugins_hasten(mti_plugins *p)
{
    p->ending = true;
    for (unsigned i = 1; i < p->n; i++) {
        const mti_plugin_record *r = p->records[i];
        if (r->worker && (r->starting || atomic_load(&r->state) == MTI_PLUGIN_STAGED))
            mti_worker_stop(r->worker);
    }
}

void mti_isolate_stop(mti_plugins *p)
{
    for (unsigned i = 1; i < p->n; i++)
        if (p->records[i]->worker)
            mti_worker_stop(p->records[i]->worker);
}
