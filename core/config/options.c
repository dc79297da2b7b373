/* The options, one row each. OPTIONS.md is generated from this table; a unit test keeps the two
 * equal. */
#include "config/config.h"

static const mti_option options[] = {
    /* where and how it listens */
    {"data.dir", MTI_OPT_STRING, "./data", NULL, "data", NULL, true,
     "Folder of the database, blobs, indexes, the administrator's key and the admin socket."},
    {"http.host", MTI_OPT_STRING, "127.0.0.1", NULL, "host", NULL, true,
     "Address to listen on; the default is reached from this machine only, 0.0.0.0 from "
     "everywhere."},
    {"http.port", MTI_OPT_INT, "8000", "0..65535", "port", "PORT", true,
     "TCP port; 0 takes a free one and prints it."},
    {"http.threads", MTI_OPT_INT, "0", "0..64", "threads", NULL, true,
     "Event loops; 0 is one per processor core."},
    {"http.max_connections", MTI_OPT_INT, "20000", "1..1000000", NULL, NULL, true,
     "Open client connections; more wait in the kernel's queue."},
    {"http.max_fibers", MTI_OPT_INT, "16384", "16..1000000", NULL, NULL, true,
     "Requests in progress in one loop; more are answered 503."},
    {"http.body_limit", MTI_OPT_SIZE, "1MiB", "1KiB..1GiB", NULL, NULL, true,
     "Largest request body of an operation that states no limit of its own."},
    {"http.upload_limit", MTI_OPT_SIZE, "64MiB", "1KiB..4GiB", NULL, NULL, true,
     "Largest body of an upload."},
    {"http.head_timeout", MTI_OPT_DURATION, "10s", "100ms..10m", NULL, NULL, true,
     "A request's head must have arrived whole after this time."},
    {"http.progress_timeout", MTI_OPT_DURATION, "30s", "100ms..1h", NULL, NULL, true,
     "In each such time a body must bring 2 KiB, and a client take 2 KiB of what waits for it."},
    {"http.idle_timeout", MTI_OPT_DURATION, "60s", "100ms..1h", NULL, NULL, true,
     "A connection without a request is closed after this time."},
    {"http.request_timeout", MTI_OPT_DURATION, "60s", "100ms..1h", NULL, NULL, true,
     "Deadline of a request whose operation states none; streams are not bound by it."},
    {"http.tls_certificate", MTI_OPT_STRING, "", NULL, "tls-certificate", NULL, true,
     "PEM file with the certificate and its chain: the port then speaks TLS (1.2 or later) only. A renewed file is "
     "taken within seconds."},
    {"http.tls_key", MTI_OPT_STRING, "", NULL, "tls-key", NULL, true,
     "PEM file with the certificate's key; empty when it is in the certificate's file."},
    {"http.http2", MTI_OPT_BOOL, "false", NULL, NULL, NULL, true,
     "Offer HTTP/2 to TLS clients."},
    {"http.trusted_proxies", MTI_OPT_STRING, "", NULL, NULL, NULL, true,
     "Addresses and blocks (10.0.0.0/8), separated by blanks or commas, whose Forwarded or X-Forwarded-For names the client."},
    {"http.cors_origins", MTI_OPT_STRING, "", NULL, NULL, NULL, true,
     "Origins (https://app.example.org) whose web pages may call this server, separated by blanks or commas; * is all."},

    /* database */
    {"database.url", MTI_OPT_SECRET, "", NULL, NULL, "DATABASE_URL", true,
     "PostgreSQL connection string of a direct or session-pooled server; empty runs a managed "
     "server in the data "
     "folder. POSTGRES_HOST, _PORT, _USER, _PASSWORD and _DB together do the same."},
    {"database.read_connections", MTI_OPT_INT, "2", "1..8", NULL, NULL, true,
     "Shared pipelined connections for short reads, a loop."},
    {"database.write_connections", MTI_OPT_INT, "4", "1..64", NULL, NULL, true,
     "Connections for writes and transactions, a loop."},
    {"database.slow_connections", MTI_OPT_INT, "2", "1..32", NULL, NULL, true,
     "Connections for slow reads, a loop."},

    /* logs and traces */
    {"log.level", MTI_OPT_ENUM, "info", "debug|info|warn|error", "log-level", "LOG_LEVEL", true,
     "Least important log lines that are written."},
    {"log.format", MTI_OPT_ENUM, "logfmt", "logfmt|json", "log-format", "LOG_FORMAT", true,
     "Form of a log line."},
    {"trace.every", MTI_OPT_INT, "1", "0..1000000", NULL, NULL, true,
     "One request in so many is traced: 1 is each, 0 none but those that ask with Mortise-Trace: 1. Of the "
     "others that fail or are slow an outline is kept."},
    {"trace.slow", MTI_OPT_DURATION, "1s", "1ms..1h", NULL, NULL, true,
     "Requests that take longer keep their trace beside the failed ones, where good ones do not push it out."},
    {"trace.values", MTI_OPT_BOOL, "false", NULL, NULL, NULL, true,
     "Traces show the values that plugins and policies set, not only their sizes. Values may be secret."},
    {"debug.checks", MTI_OPT_ENUM, "auto", "auto|on|off", NULL, NULL, true,
     "Look at each call of a plugin into the host: thread, call, handles. What is wrong is logged as plugin.misuse and "
     "refused. auto: in debug and sanitizer builds."},
    {"watchdog.hang", MTI_OPT_DURATION, "10s", "0ms..1h", NULL, NULL, true,
     "A plugin that keeps a loop for longer without a pause ends the host, as a crash of that plugin; 0 lets it."},
    {"watchdog.stall", MTI_OPT_DURATION, "50ms", "5ms..1m", NULL, NULL, true,
     "A loop that is busy longer without a pause is reported with the plugin's name and a "
     "backtrace."},

    /* plugins, models, policies */
    {"plugins.dir", MTI_OPT_STRING, "", NULL, "plugins", NULL, true,
     "Folders that hold plugin folders, separated by ':'; they come before the one that was built "
     "with the program."},
    {"plugins.safe_mode", MTI_OPT_BOOL, "false", NULL, "safe-mode", NULL, true,
     "Only essential plugins are loaded: to look at a server that a plugin keeps from working."},
    {"plugins.providers", MTI_OPT_STRING, "", NULL, NULL, NULL, true,
     "Which plugin (or instance of it: SLUG:INSTANCE) serves an interface that several provide: "
     "\"llm=llm_extractive,cache=cache_memory\"."},
    {"plugins.isolated", MTI_OPT_STRING, "", NULL, NULL, NULL, true,
     "Plugins that run in a process of their own each, confined to computing and to what they were "
     "granted: \"sentiment,notes\". The others are trusted with the whole host."},
    {"plugins.engine_workers", MTI_OPT_BOOL, "true", NULL, NULL, NULL, true,
     "Plugins that run models (llm_llamacpp, embedder_onnx) run in processes of the supervisor's, "
     "confined as isolated ones are but with threads and their models: a crash there costs only its "
     "own calls, and a reload loads nothing again. false: inside the host."},
    {"plugins.grants", MTI_OPT_STRING, "", NULL, NULL, NULL, true,
     "What single plugins may do beyond their manifests: \"sentiment:read:/srv/words, "
     "mail:write:/srv/out, mail:host:smtp.example.org:8025\". Folders are for plugins in processes of "
     "their own; hosts are reached by the host's own client."},
    {"worker.engine_memory", MTI_OPT_SIZE, "0B", "0B..16TiB", NULL, NULL, true,
     "Address space of such a process. 0: no limit."},
    {"worker.memory", MTI_OPT_SIZE, "1GiB", "64MiB..1TiB", NULL, NULL, true,
     "Address space of an isolated plugin's process."},
    {"worker.hang_timeout", MTI_OPT_DURATION, "5s", "100ms..10m", NULL, NULL, true,
     "An isolated plugin's process that does not answer for this time is killed and started again. Its deactivate "
     "may take as long."},
    {"worker.activate_timeout", MTI_OPT_DURATION, "30s", "100ms..1h", NULL, NULL, true,
     "An isolated plugin's activate may take this long, and so may handing its state to another version; one that "
     "runs models may take four times as long. Then the plugin has failed."},
    {"plugins.upgrade_error_budget", MTI_OPT_INT, "5", "0..100", NULL, NULL, true,
     "Percent of a new version's answers that may be 5xx (at least 10 are) before the version "
     "before comes back by itself."},
    {"plugins.upgrade_watch", MTI_OPT_DURATION, "60s", "0ms..24h", NULL, NULL, true,
     "How long after an upgrade its answers are counted for that."},
    {"plugins.allow_unsigned", MTI_OPT_BOOL, "false", NULL, NULL, NULL, true,
     "Packages may be installed over the network; else only over the local admin socket, where "
     "the command line is."},
    {"secrets.key_file", MTI_OPT_STRING, "", NULL, NULL, NULL, true,
     "File with the keys of the secrets in plugin configurations; empty is secret.key in the data folder. Hosts that share a database "
     "share it, or have copies."},
    {"models.dir", MTI_OPT_STRING, "", NULL, "models", "MODELS_DIR", true,
     "Folder of downloaded models; empty is ~/.cache/mortise/models."},
    {"models.max_size_mb", MTI_OPT_INT, "500", "1..1048576", NULL, "MAX_MODEL_SIZE_MB", true,
     "Largest model file that an organization may upload, in MiB."},
    {"models.supported_types", MTI_OPT_STRING, "sentence-transformer,openai,custom", NULL, NULL,
     "SUPPORTED_MODEL_TYPES", true, "Types of models that organizations may register."},
    {"policy.instructions", MTI_OPT_INT, "100000", "1000..1000000000", NULL, NULL, true,
     "Lua instructions one policy call may use."},
    {"policy.memory", MTI_OPT_SIZE, "1MiB", "64KiB..64MiB", NULL, NULL, true,
     "Memory one policy state may use."},
    {"policy.cpu_ms", MTI_OPT_INT, "5", "1..1000", NULL, NULL, true,
     "Processor time in milliseconds one policy call may use."},
    {"offload.threads", MTI_OPT_INT, "0", "0..64", NULL, NULL, true,
     "Threads for processor-heavy work; 0 is one per processor core."},
    {"outbound.allow_private", MTI_OPT_BOOL, "false", NULL, NULL, NULL, true,
     "Plugins may call private addresses through the host's HTTP client."},
    {"outbound.connections", MTI_OPT_INT, "4096", "1..65536", NULL, NULL, true,
     "Outbound HTTP connections, a loop; twice as many calls may wait for one, more fail at once."},
    {"outbound.timeout", MTI_OPT_DURATION, "30s", "100ms..10m", NULL, NULL, true,
     "Deadline of an outbound HTTP call that states none."},

    /* tenants */
    {"key.prefix", MTI_OPT_STRING, "sk_live_", NULL, NULL, NULL, true,
     "First characters of every API key that is made."},
    {"limits.requests_per_minute", MTI_OPT_INT, "600", "1..10000000", NULL, "DEFAULT_RATE_LIMIT",
     true, "Requests a minute of a key that states no rate of its own."},
    {"tenancy.default_workspace_id", MTI_OPT_STRING, "00000000-0000-0000-0000-000000000002", NULL,
     NULL, "DEFAULT_WORKSPACE_ID", true, "Id of the workspace that the first start creates."},
    {"tenancy.default_agent_id", MTI_OPT_STRING, "00000000-0000-0000-0000-000000000003", NULL, NULL,
     "DEFAULT_AGENT_ID", true, "Id of the agent that the first start creates."},
    {"plans.free_workspaces", MTI_OPT_INT, "1", "0..1000000", NULL,
     "FREE_TIER_MAX_WORKSPACES MAX_WORKSPACES_FREE", true,
     "Workspaces of an organization on the free plan."},
    {"plans.free_documents", MTI_OPT_INT, "100", "0..100000000", NULL, "FREE_TIER_MAX_DOCUMENTS",
     true, "Documents of an organization on the free plan."},
    {"plans.starter_workspaces", MTI_OPT_INT, "3", "0..1000000", NULL,
     "STARTER_TIER_MAX_WORKSPACES", true, "Workspaces of an organization on the starter plan."},

    /* processes */
    {"quarantine.crashes", MTI_OPT_INT, "3", "1..1000000", NULL, NULL, true,
     "A version of a plugin in whose code the host died so often within quarantine.window goes into quarantine."},
    {"quarantine.window", MTI_OPT_DURATION, "5m", "1s..24h", NULL, NULL, true,
     "Deaths further apart do not count together."},
    {"supervisor.start_timeout", MTI_OPT_DURATION, "60s", "100ms..1h", NULL, NULL, true,
     "The database must accept connections after this time."},
    {"supervisor.drain_timeout", MTI_OPT_DURATION, "10m", "0ms..24h", NULL, NULL, true,
     "After a reload, requests and streams of the host before may take this long to end."},
    {"supervisor.stop_timeout", MTI_OPT_DURATION, "10s", "0ms..10m", NULL, NULL, true,
     "Requests in progress may take this long to end when the server stops."},
};

const mti_option *mti_options(size_t *n)
{
    *n = sizeof options / sizeof *options;
    return options;
}
