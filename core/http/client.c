/* The multi handle of a loop: its sockets are watches, its time-out is a timer. */
#include "http/client_internal.h"

#include <pthread.h>
#include <stdlib.h>

/* A socket of curl's that it waits for. */
typedef struct client_socket {
    mti_http_client *client;
    curl_socket_t fd;
    mti_watch *watch;
} client_socket;

static unsigned client_slot;
static pthread_once_t client_once = PTHREAD_ONCE_INIT;

static void init_once(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
    client_slot = mti_loop_slot();
}

static void take_finished(mti_http_client *c)
{
    mti_http_fetch *f;
    CURLMsg *m;
    int left;

    while ((m = curl_multi_info_read(c->multi, &left))) {
        if (m->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&f);
        http_fetch_done(f, m->data.result);
    }
}

static void on_ready(void *arg, unsigned ready)
{
    client_socket *s = arg;
    mti_http_client *c = s->client;
    int running, mask = (ready & MTI_READ ? CURL_CSELECT_IN : 0) |
                        (ready & MTI_WRITE ? CURL_CSELECT_OUT : 0);

    curl_multi_socket_action(c->multi, s->fd, mask, &running); /* may free s */
    take_finished(c);
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_data)
{
    mti_http_client *c = arg;
    client_socket *s = socket_data;
    unsigned events = (what & CURL_POLL_IN ? MTI_READ : 0) | (what & CURL_POLL_OUT ? MTI_WRITE : 0);

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (s) {
            mti_watch_stop(s->watch);
            free(s);
            curl_multi_assign(c->multi, fd, NULL);
        }
        return 0;
    }
    if (s) {
        mti_watch_set(s->watch, events);
        return 0;
    }
    if (!(s = malloc(sizeof *s)))
        return -1;
    *s = (client_socket){.client = c, .fd = fd};
    if (!(s->watch = mti_watch_start(c->loop, fd, events, on_ready, s))) {
        free(s);
        return -1;
    }
    curl_multi_assign(c->multi, fd, s);
    return 0;
}

static void on_timer(void *arg)
{
    mti_http_client *c = arg;
    int running;

    c->timer = NULL;
    curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    take_finished(c);
}

static int on_set_timer(CURLM *multi, long ms, void *arg)
{
    mti_http_client *c = arg;

    (void)multi;
    if (c->timer)
        mti_timer_cancel(c->timer);
    c->timer = ms < 0 ? NULL : mti_timer_start(c->loop, ms, on_timer, c);
    return 0;
}

mti_http_client *mti_http_client_create(mti_loop *l, const mti_http_client_options *o)
{
    mti_http_client *c = calloc(1, sizeof *c);

    pthread_once(&client_once, init_once);
    if (!c)
        abort();
    c->loop = l;
    if (o)
        c->options = *o;
    c->options.max_connections = c->options.max_connections ? c->options.max_connections : 64;
    c->options.max_host_connections =
        c->options.max_host_connections ? c->options.max_host_connections : 16;
    c->options.max_exchanges = c->options.max_exchanges ? c->options.max_exchanges : 1024;
    c->user_agent = strdup(c->options.user_agent ? c->options.user_agent : "mortise");
    c->ca_file = c->options.ca_file ? strdup(c->options.ca_file) : NULL;
    if (!(c->multi = curl_multi_init()))
        abort();
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_set_timer);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)c->options.max_connections);
    curl_multi_setopt(c->multi, CURLMOPT_MAX_HOST_CONNECTIONS,
                      (long)c->options.max_host_connections);
    curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, (long)c->options.max_connections);
    mti_loop_set(l, client_slot, c);
    return c;
}

void mti_http_client_destroy(mti_http_client *c)
{
    if (!c)
        return;
    curl_multi_cleanup(c->multi);
    if (c->timer)
        mti_timer_cancel(c->timer);
    mti_loop_set(c->loop, client_slot, NULL);
    free(c->user_agent);
    free(c->ca_file);
    free(c);
}

mti_http_client *mti_http_client_of(const mti_loop *l)
{
    pthread_once(&client_once, init_once);
    return mti_loop_get(l, client_slot);
}

mt_status http_client_add(mti_http_client *c, mti_http_fetch *f)
{
    if (c->exchanges >= c->options.max_exchanges)
        return MT_LIMITED;
    if (curl_multi_add_handle(c->multi, f->easy) != CURLM_OK)
        return MT_UNAVAILABLE;
    f->added = true;
    c->exchanges++;
    return MT_OK;
}
