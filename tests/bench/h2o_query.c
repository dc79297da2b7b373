/*
 * The peer of the named query: h2o's own handler, no fiber, that sends the same two statements on two shared pipelined
 * connections and writes the row as JSON, with nothing around it: no key, no rights, no limit, no validation.
 * h2o_query PORT CONNINFO ORGANIZATION ROLE; answers /v1/workspaces/{id}/notes/{id}
 */
#include <arpa/inet.h>
#include <h2o.h>
#include <h2o/http1.h>
#include <libpq-fe.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { CONNECTIONS = 2, WAITING = 4096, ID = 36 };

static const char context_sql[] = "SELECT set_config('app.org_id',$1,true),set_config('app.scope',$2,true),"
                                  "set_config('app.actor',$3,true),set_config('role',$4,true)";
static const char note_sql[] = "SELECT id, workspace_id, title, text, tags, pinned, created_at, updated_at, version "
                               "FROM notes.note WHERE workspace_id = $1 AND id = $2";

typedef struct connection {
    PGconn *pg;
    h2o_req_t *waiting[WAITING];             /* a ring: answers come in the order of the questions */
    unsigned first, last;
} connection;

static h2o_globalconf_t conf;
static h2o_context_t ctx;
static h2o_accept_ctx_t accept_ctx;
static connection connections[CONNECTIONS];
static const char *organization, *role;

static void answer(h2o_req_t *req, int status, const char *json, size_t len)
{
    req->res.status = status;
    req->res.reason = status == 200 ? "OK" : "Failed";
    req->res.content_length = len;
    h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL, H2O_STRLIT("application/json"));
    h2o_send_inline(req, json, len);
}

static void answer_row(h2o_req_t *req, const PGresult *r)
{
    char json[4096];
    int n = 0;

    for (int i = 0; i < PQnfields(r) - 1 && n < (int)sizeof json - 600; i++)
        n += snprintf(json + n, 512, "%c\"%s\":\"%s\"", i ? ',' : '{', PQfname(r, i), PQgetvalue(r, 0, i));
    json[n++] = '}';
    answer(req, 200, json, (size_t)n);
}

/* An exchange ends with its Sync; without a row before it (a time-out, say) the answer is 500. */
static void take_result(connection *k, const PGresult *r)
{
    h2o_req_t **waiting = &k->waiting[k->first % WAITING];
    if (PQresultStatus(r) == PGRES_TUPLES_OK && PQnfields(r) != 4 && PQntuples(r) == 1 && *waiting) {
        answer_row(*waiting, r);
        *waiting = NULL;
    } else if (PQresultStatus(r) == PGRES_PIPELINE_SYNC) {
        if (*waiting)
            answer(*waiting, 500, "{}", 2);
        k->first++;
    }
}

static void on_answers(h2o_socket_t *sock, const char *err)
{
    connection *k = sock->data;
    PGresult *r;
    if (err || !PQconsumeInput(k->pg))
        exit(1);
    while (k->first != k->last && !PQisBusy(k->pg)) {
        if (!(r = PQgetResult(k->pg)))
            continue;
                take_result(k, r);
        PQclear(r);
    }
    PQflush(k->pg);
}

static int on_request(h2o_handler_t *self, h2o_req_t *req)
{
    static const char before[] = "/v1/workspaces/";
    char workspace[ID + 1] = "", note[ID + 1] = "";
    const char *p = req->path.base + sizeof before - 1;
    connection *k = connections;
    if (req->path.len < sizeof before - 1 + 2 * ID + 7)
        return -1;
    memcpy(workspace, p, ID);
    memcpy(note, p + ID + 7, ID);
    for (int i = 1; i < CONNECTIONS; i++)
        if (connections[i].last - connections[i].first < k->last - k->first)
            k = &connections[i];
    const char *context[] = {organization, "*", "the caller, the request and the operation", role}, *key[] = {workspace, note};
    if (k->last - k->first == WAITING || !PQsendQueryPrepared(k->pg, "context", 4, context, NULL, NULL, 0) ||
        !PQsendQueryPrepared(k->pg, "note", 2, key, NULL, NULL, 0) || !PQpipelineSync(k->pg) || PQflush(k->pg) < 0)
        exit(1);
    k->waiting[k->last++ % WAITING] = req;
    return 0;
}

static void prepare(PGconn *pg, const char *name, const char *sql)
{
    PGresult *r = PQprepare(pg, name, sql, 0, NULL);
    if (PQresultStatus(r) != PGRES_COMMAND_OK) {
        fprintf(stderr, "%s", PQerrorMessage(pg));
        exit(1);
    }
    PQclear(r);
}

static void connect_database(connection *k, const char *conninfo)
{
    k->pg = PQconnectdb(conninfo);
    prepare(k->pg, "context", context_sql);
    prepare(k->pg, "note", note_sql);
    PQclear(PQexec(k->pg, "SET default_transaction_read_only=on; SET jit=off; SET statement_timeout=30000"));
    PQsetnonblocking(k->pg, 1);
    PQenterPipelineMode(k->pg);
    h2o_socket_t *sock = h2o_evloop_socket_create(ctx.loop, PQsocket(k->pg), H2O_SOCKET_FLAG_DONT_READ);
    sock->data = k;
    h2o_socket_read_start(sock, on_answers);
}

static void on_accept(h2o_socket_t *listener, const char *err)
{
    h2o_socket_t *sock;
    while (!err && (sock = h2o_evloop_socket_accept(listener)))
        h2o_accept(&accept_ctx, sock);
}

static int listen_on(int port)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&sa, sizeof sa) || listen(fd, 1024)) {
        perror("listen");
        exit(1);
    }
    return fd;
}

int main(int argc, char **argv)
{
    if (argc != 5)
        return fprintf(stderr, "usage: h2o_query PORT CONNINFO ORGANIZATION ROLE\n"), 2;
    signal(SIGPIPE, SIG_IGN);
    organization = argv[3];
    role = argv[4];
    h2o_config_init(&conf);
    conf.server_name = h2o_iovec_init(NULL, 0);
    conf.http1.upgrade_to_http2 = 0;
    h2o_hostconf_t *host = h2o_config_register_host(&conf, h2o_iovec_init(H2O_STRLIT("default")), 65535);
    h2o_create_handler(h2o_config_register_path(host, "/", 0), sizeof(h2o_handler_t))->on_req = on_request;
    h2o_context_init(&ctx, h2o_evloop_create(), &conf);
    accept_ctx = (h2o_accept_ctx_t){.ctx = &ctx, .hosts = conf.hosts};
    for (int i = 0; i < CONNECTIONS; i++)
        connect_database(&connections[i], argv[2]);
    h2o_socket_read_start(h2o_evloop_socket_create(ctx.loop, listen_on(atoi(argv[1])), H2O_SOCKET_FLAG_DONT_READ), on_accept);
    while (h2o_evloop_run(ctx.loop, INT32_MAX) == 0)
        ;
    return 0;
}
