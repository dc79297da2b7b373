/*
 * LISTEN: one connection of the host, on the first loop that attached. Each notification is posted
 * to the loops that subscribed to its channel; after every (re)connect each subscriber hears NULL,
 * because what was notified meanwhile is gone.
 */
#include <stdlib.h>

#include "db/internal.h"

typedef struct subscription {
    struct subscription *next;
    mti_loop *loop;
    char *channel;
    void (*fn)(void *arg, const char *payload);
    void *arg;
    bool muted; /* read and written on its loop's thread */
} subscription;

struct mti_listener {
    mti_loop *loop; /* NULL until a loop attached */
    mti_conn *conn;
    subscription *all;
    bool busy, stale; /* a LISTEN is under way; another is due after it */
};

typedef struct message {
    const subscription *to;
    char *payload;
} message;

static mti_listener *listener_of(mti_db *db)
{
    if (!db->listener && !(db->listener = calloc(1, sizeof *db->listener)))
        abort();
    return db->listener;
}

static void on_message(void *arg)
{
    message *m = arg;
    if (!m->to->muted)
        m->to->fn(m->to->arg, m->payload);
    free(m->payload);
    free(m);
}

static void tell(const subscription *s, const char *payload)
{
    message *m = calloc(1, sizeof *m);
    if (!m || (payload && !(m->payload = strdup(payload))))
        abort();
    m->to = s;
    mti_loop_post(s->loop, on_message, m);
}

static void tell_channel(mti_db *db, const char *channel, const char *payload)
{
    pthread_mutex_lock(&db->mutex);
    for (subscription *s = db->listener->all; s; s = s->next)
        if (!channel || !strcmp(s->channel, channel))
            tell(s, payload);
    pthread_mutex_unlock(&db->mutex);
}

/* Says LISTEN for every channel (again: PostgreSQL ignores repetitions). */
static void listen_all(mti_db *db)
{
    mti_listener *l = db->listener;
    char sql[4096] = "SELECT 1";
    size_t n = strlen(sql);
    if (!l->conn || l->conn->state != CONN_READY)
        return;
    l->stale = l->busy;
    if (l->busy)
        return;
    pthread_mutex_lock(&db->mutex);
    for (subscription *s = l->all; s; s = s->next) {
        char *name = PQescapeIdentifier(l->conn->pg, s->channel, strlen(s->channel));
        if (name && n + strlen(name) + 16 < sizeof sql)
            n += (size_t)snprintf(sql + n, sizeof sql - n, ";LISTEN %s", name);
        PQfreemem(name);
    }
    pthread_mutex_unlock(&db->mutex);
    l->busy = true;
    if (PQsendQuery(l->conn->pg, sql))
        mti_conn_flush(l->conn);
    else
        mti_conn_lost(l->conn, "write");
}

void mti_listener_ready(mti_conn *c)
{
    c->db->listener->busy = false;
    listen_all(c->db);
}

void mti_listener_read(mti_conn *c)
{
    mti_listener *l = c->db->listener;
    PGnotify *n;
    while (l->busy && !PQisBusy(c->pg)) {
        PGresult *r = PQgetResult(c->pg);
        if (!r) {
            l->busy = false;
            tell_channel(c->db, NULL, NULL);
        }
        PQclear(r);
    }
    while ((n = PQnotifies(c->pg))) {
        tell_channel(c->db, n->relname, n->extra);
        PQfreemem(n);
    }
    if (l->stale)
        listen_all(c->db);
}

void mti_listener_attach(mti_db *db, mti_loop *loop)
{
    pthread_mutex_lock(&db->mutex);
    mti_listener *l = listener_of(db);
    bool first = !l->loop;
    if (first)
        l->loop = loop;
    pthread_mutex_unlock(&db->mutex);
    if (first)
        l->conn = mti_conn_create(db, NULL, loop);
}

void mti_listener_detach(mti_db *db, mti_loop *loop)
{
    mti_listener *l = db->listener;
    if (l->loop != loop)
        return;
    mti_conn_destroy(l->conn);
    l->conn = NULL;
}

void mti_listener_destroy(mti_db *db)
{
    mti_listener *l = db->listener;
    if (!l)
        return;
    for (subscription *s = l->all, *next; s; s = next) {
        next = s->next;
        free(s->channel);
        free(s);
    }
    free(l);
}

void mti_db_mute(mti_db *db, mti_loop *l)
{
    pthread_mutex_lock(&db->mutex);
    for (subscription *s = db->listener ? db->listener->all : NULL; s; s = s->next)
        if (s->loop == l)
            s->muted = true;
    pthread_mutex_unlock(&db->mutex);
}

static void on_subscribed(void *arg)
{
    listen_all(arg);
}

void mti_db_listen(mti_db *db, mti_loop *l, const char *channel,
                   void (*fn)(void *arg, const char *payload), void *arg)
{
    subscription *s = calloc(1, sizeof *s);
    if (!s || !(s->channel = strdup(channel)))
        abort();
    s->loop = l;
    s->fn = fn;
    s->arg = arg;
    pthread_mutex_lock(&db->mutex);
    mti_listener *listener = listener_of(db);
    s->next = listener->all;
    listener->all = s;
    mti_loop *owner = listener->loop;
    pthread_mutex_unlock(&db->mutex);
    if (owner)
        mti_loop_post(owner, on_subscribed, db);
}
