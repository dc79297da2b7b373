#include "process.h"

#include "base/log.h"
#include "http/server.h"
#include "loop/watchdog.h"
#include "plugin/api.h"
#include "plugin/feed.h"
#include "plugin/grants.h"
#include "plugin/identity.h"
#include "plugin/manager.h"
#include "plugin/meter.h"
#include "plugin/versions.h"
#include "request/api.h"
#include "request/request.h"
#include "secrets/keyring.h"
#include "telemetry/trace.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void fail(const mti_error *e)
{
    mti_log(MTI_LOG_ERROR, "host.start_failed", "code=%s detail=%s", e->code, e->detail);
}

/* MORTISE_ROOT in the environment, else where the program was built. */
static const char *find_root(void)
{
    const char *root = getenv("MORTISE_ROOT");
    return root && *root ? root : MORTISE_ROOT;
}

/* An absolute path: plugins are told theirs. */
static const char *home_of(const mti_config *c, char *out, size_t size)
{
    char data[PATH_MAX];
    const char *dir = mti_config_str(c, "data.dir");
    snprintf(out, size, "%.*s/plugins", (int)size - 16, realpath(dir, data) ? data : dir);
    return out;
}

static mti_keyring *open_secrets(const mti_config *c)
{
    char path[PATH_MAX];
    mti_config_key_file(c, path);
    return mti_keyring_create(path);
}

static unsigned count_loops(const mti_config *c)
{
    int64_t n = mti_config_int(c, "http.threads");
    if (!n)
        n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > MTI_MAX_LOOPS ? MTI_MAX_LOOPS : (unsigned)n;
}

static unsigned count_offload(const mti_config *c)
{
    int64_t n = mti_config_int(c, "offload.threads");
    return n ? (unsigned)n : (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
}

static void *run_loop(void *arg)
{
    mti_loop_run(arg);
    return NULL;
}

static mt_status create_parts(process *p, mti_error *e)
{
    mti_host *h = &p->host;
    const mti_config *c = h->config;
    char dir[4200];
    for (unsigned i = 0; i < h->n_loops; i++)
        h->loops[i] = mti_loop_create(i);
    h->offload = mti_offload_create(count_offload(c));
    h->db = mti_db_create(&(mti_db_options){.url = p->setup->database_url,
                                            .read_connections = (unsigned)mti_config_int(c, "database.read_connections"),
                                            .write_connections = (unsigned)mti_config_int(c, "database.write_connections"),
                                            .slow_connections = (unsigned)mti_config_int(c, "database.slow_connections")});
    h->meters = mti_meters_create(h->n_loops);
    h->bus = mti_bus_create(h->loops, h->n_loops);
    h->policies = mti_policies_create(&(mti_policy_limits){.instructions = mti_config_int(c, "policy.instructions"),
                                                           .memory = (size_t)mti_config_int(c, "policy.memory"),
                                                           .cpu_us = mti_config_int(c, "policy.cpu_ms") * 1000},
                                      h->loops, h->n_loops);
    h->secrets = open_secrets(c);
    if (!h->offload || !h->db || !h->meters || !h->bus || !h->policies || !h->secrets)
        return mti_fail(e, MT_NO_MEMORY, "no_memory", "out of memory at start");
    MT_TRY(mti_identities_create(h, &h->identities, e));
    MT_TRY(mti_feed_create(h, &h->feed, e));
    h->settings_slot = mti_loop_slot();
    h->org_policies_slot = mti_loop_slot();
    snprintf(dir, sizeof dir, "%s/manifests/core", h->root);
    MT_TRY(mti_contract_load("core", dir, &p->builtin, e));
    MT_TRY(mti_builtin_bind(p->builtin, e));
    MT_TRY(mti_grants_check(c, e));
    return mti_plugins_create(h, p->builtin, &h->plugins, e);
}

static void provide_interfaces(mti_plugins *plugins)
{
    mti_plugins_provide(plugins, "db/1", &mti_api_db);
    mti_plugins_provide(plugins, "json/1", &mti_api_json);
    mti_plugins_provide(plugins, "hook/1", &mti_api_hook);
    mti_plugins_provide(plugins, "service/1", &mti_api_service);
    mti_plugins_provide(plugins, "offload/1", &mti_api_offload);
    mti_plugins_provide(plugins, "defer/1", &mti_api_defer);
    mti_plugins_provide(plugins, "thread/1", &mti_api_thread);
    mti_plugins_provide(plugins, "metrics/1", &mti_api_metrics);
    mti_plugins_provide(plugins, "http/1", &mti_api_http);
    mti_plugins_provide(plugins, "auth/1", &mti_api_auth);
    mti_plugins_provide(plugins, "policy/1", &mti_api_policy);
    mti_plugins_provide(plugins, "request/1", &mti_api_request);
    mti_plugins_provide(plugins, "stream/1", &mti_api_stream);
}

static const mti_tag_name *crash_names;

static const char *name_tag(uint32_t tag)
{
    return crash_names && tag < MTI_MAX_PLUGINS ? crash_names[tag].slug : "host";
}

/* Before the first plugin is loaded: whoever crashes is named. */
static void install_crash_handler(const process *p)
{
    crash_names = p->setup->names;
    mti_watchdog_set_board(p->setup->board, MTI_MAX_LOOPS);
    mti_watchdog_set_note(p->setup->note);
    mti_watchdog_set_namer(name_tag);
    mti_crash_handler_install(STDERR_FILENO);
}

static void start_watchdog(process *p)
{
    mti_watchdog_start(p->host.loops, p->host.n_loops, mti_config_int(p->host.config, "watchdog.stall"), mti_config_int(p->host.config, "watchdog.hang"));
}

static mt_status create_server(process *p, mti_error *e)
{
    const mti_config *c = p->host.config;
    p->host.cors_origins = mti_config_str(c, "http.cors_origins");
    MT_TRY(mti_http_proxies_parse(mti_config_str(c, "http.trusted_proxies"), &p->proxies, e));
    mti_http_options o = {
        .entry = mti_request_entry, .ctx = &p->host, .max_connections = (unsigned)mti_config_int(c, "http.max_connections"),
        .max_requests = (unsigned)mti_config_int(c, "http.max_fibers"), .head_ms = mti_config_int(c, "http.head_timeout"),
        .idle_ms = mti_config_int(c, "http.idle_timeout"), .progress_ms = mti_config_int(c, "http.progress_timeout"),
        .tls_certificate = mti_config_str(c, "http.tls_certificate"), .tls_key = mti_config_str(c, "http.tls_key"), .http2 = mti_config_bool(c, "http.http2"),
        .proxies = *mti_config_str(c, "http.trusted_proxies") ? p->proxies : NULL};
    return mti_http_server_create(&o, &p->http, e);
}

enum { TLS_LOOK_MS = 5000 };

/* A certificate is renewed by replacing its files: nobody needs to tell us. */
static void look_at_tls(void *arg)
{
    process *p = arg;
    mti_error e = {0};
    if (mti_http_tls_reload(p->http, &e) != MT_OK)
        mti_log(MTI_LOG_ERROR, "tls.certificate_refused", "detail=%s", e.detail);
    p->tls_look = mti_timer_start(p->host.loops[0], TLS_LOOK_MS, look_at_tls, p);
}

static void run(process *p)
{
    mti_host *h = &p->host;
    mti_db_on_state(h->db, mti_process_on_database, p);
    for (unsigned i = 0; i < h->n_loops; i++)
        mti_loop_post(h->loops[i], mti_process_attach_loop, p);
    mti_loop_post(h->loops[0], mti_process_settle_soon, p);
    p->tls_look = mti_timer_start(h->loops[0], TLS_LOOK_MS, look_at_tls, p);
    for (unsigned i = 1; i < h->n_loops; i++)
        pthread_create(&p->threads[i], NULL, run_loop, h->loops[i]);
    if (!p->setup->overlap)
        mti_process_say(p, "1");
    mti_loop_run(h->loops[0]);
    for (unsigned i = 1; i < h->n_loops; i++)
        pthread_join(p->threads[i], NULL);
}

static void destroy_parts(process *p)
{
    mti_host *h = &p->host;
    mti_watchdog_stop();
    mti_http_server_destroy(p->http);
    mti_http_proxies_destroy(p->proxies);
    mti_plugins_destroy(h->plugins);
    mti_contract_destroy(p->builtin);
    mti_policies_destroy(h->policies);
    mti_bus_destroy(h->bus);
    mti_meters_destroy(h->meters);
    mti_offload_destroy(h->offload);
    mti_feed_destroy(h->feed);
    mti_identities_destroy(h->identities);
    mti_db_destroy(h->db);
    mti_keyring_destroy(h->secrets);
    for (unsigned i = 0; i < h->n_loops; i++)
        mti_loop_destroy(h->loops[i]);
}

int mti_host_scan(const char *dir, const char *object, const char *root)
{
    return mti_scan_main(&(mti_scan_options){.dir = dir, .object = object, .root = root, .version = MORTISE_VERSION, .provide = provide_interfaces});
}

int mti_host_main(const mti_host_setup *setup)
{
    process *p = calloc(1, sizeof *p);
    mti_error e = {0};
    char home[PATH_MAX];
    p->setup = setup;
    p->host.config = setup->config;
    p->host.version = MORTISE_VERSION;
    p->host.root = find_root();
    p->host.reload_fd = setup->ready_fd;
    p->host.engine_fd = setup->engine_fd;
    p->host.scanner = "/proc/self/exe";      /* this program, also when its file was replaced */
    p->host.names = setup->names;
    p->host.plugin_home = home_of(setup->config, home, sizeof home);
    if (p->host.names)
        snprintf(p->host.names[0].slug, sizeof p->host.names->slug, "host");
    install_crash_handler(p);
    p->host.n_loops = count_loops(setup->config);
    p->host.crashes = setup->crashes;
    mti_trace_setup(&(mti_trace_options){.every = (unsigned)mti_config_int(setup->config, "trace.every"), .slow_us = mti_config_int(setup->config, "trace.slow") * 1000,
                                         .values = mti_config_bool(setup->config, "trace.values")});
    if (create_server(p, &e) != MT_OK || create_parts(p, &e) != MT_OK) {
        fail(&e);
        return 1;
    }
    provide_interfaces(p->host.plugins);
    mti_plugins_discover(p->host.plugins, mti_config_str(setup->config, "plugins.dir"), MORTISE_PLUGINS);
    start_watchdog(p);
    run(p);
    destroy_parts(p);
    free(p);
    return 0;
}
