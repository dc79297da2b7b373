/* Engine workers: processes of plugins that run models. They are ours, so that they outlive a host, and two hosts share one; each host says what it uses. */
#include "supervisor/internal.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/ident.h"
#include "base/log.h"
#include "worker/engine.h"

enum { LINGER_US = 30000000 };           /* after a host's death: the next one takes over what is in memory */

static mti_engine *find(mti_supervisor *s, const char *key)
{
    for (int i = 0; i < ENGINES; i++)
        if (s->engines[i].pid && !s->engines[i].condemned && !strcmp(s->engines[i].key, key))
            return &s->engines[i];
    return NULL;
}

static mti_engine *find_pid(mti_supervisor *s, pid_t pid)
{
    for (int i = 0; i < ENGINES && pid > 0; i++)
        if (s->engines[i].pid == pid)
            return &s->engines[i];
    return NULL;
}

static void condemn(mti_engine *g, const char *why)
{
    mti_log(MTI_LOG_INFO, "engine.ending", "plugin=%s pid=%d why=%s", g->slug, (int)g->pid, why);
    g->condemned = true;
    kill(g->pid, SIGKILL);
}

static void let_go(const mti_supervisor *s, mti_engine *g, unsigned generation, int64_t linger_us)
{
    g->users &= ~(1u << generation);
    if (g->users || g->condemned)
        return;
    if (linger_us && !s->stopping)
        g->end_at = mti_mono_us() + linger_us;
    else
        condemn(g, "nobody uses it");
}

static mti_engine *start(mti_supervisor *s, const mti_engine_message *m, int program, int *error)
{
    mti_engine *g = s->engines;
    while (g < s->engines + ENGINES && g->pid)
        g++;
    *error = EAGAIN;
    if (g == s->engines + ENGINES)
        return NULL;
    *g = (mti_engine){0};
    *error = mti_engine_start(program, m->slug, &g->control, &g->pid);
    if (*error) {
        g->pid = 0;
        return NULL;
    }
    snprintf(g->slug, sizeof g->slug, "%s", m->slug);
    memcpy(g->key, m->key, sizeof g->key);
    g->started_us = mti_mono_us();
    mti_log(MTI_LOG_INFO, "engine.started", "plugin=%s pid=%d", g->slug, (int)g->pid);
    return g;
}

static void join(mti_supervisor *s, unsigned generation, const mti_engine_message *m, const int *fds, unsigned n)
{
    mti_engine_message answer = {.kind = m->kind, .number = m->number};
    mti_engine *g = s->stopping ? NULL : find(s, m->key);
    if (!g && !s->stopping && n) {
        g = start(s, m, fds[0], &answer.error);
        answer.kind = MTI_ENGINE_STARTED;
    }
    if (g && !mti_engine_send(g->control, m, fds + 1, n - 1))
        answer.error = EPIPE;            /* it has just died: waitpid tells, and the host asks again */
    else if (g) {
        g->users |= 1u << generation;
        g->end_at = 0;
        answer.pid = g->pid;
    }
    mti_engine_send(s->generations[generation].engine_fd, &answer, NULL, 0);
}

void mti_engines_asked(mti_supervisor *s, mti_generation *from)
{
    mti_engine_message m;
    int fds[MTI_ENGINE_FDS];
    unsigned n, generation = (unsigned)(from - s->generations);
    bool ended;
    if (!mti_engine_receive(from->engine_fd, &m, fds, &n, &ended)) {
        if (ended) {
            close(from->engine_fd);      /* waitpid tells */
            from->engine_fd = -1;
        }
        return;
    }
    m.slug[sizeof m.slug - 1] = m.key[sizeof m.key - 1] = 0;
    mti_engine *g = find_pid(s, m.pid);
    if (m.kind == MTI_ENGINE_JOIN)
        join(s, generation, &m, fds, n);
    else if (g && m.kind == MTI_ENGINE_LEAVE)
        let_go(s, g, generation, 0);
    else if (g && m.kind == MTI_ENGINE_KILL && !g->condemned)
        condemn(g, "its host says that it hangs or broke the protocol");
    while (n)
        close(fds[--n]);
}

void mti_engines_host_died(mti_supervisor *s, const mti_generation *host)
{
    unsigned generation = (unsigned)(host - s->generations);
    for (int i = 0; i < ENGINES; i++)
        if (s->engines[i].pid && s->engines[i].users & 1u << generation)
            let_go(s, &s->engines[i], generation, LINGER_US);
}

bool mti_engines_died(mti_supervisor *s, pid_t pid, int wstatus)
{
    mti_engine *g = find_pid(s, pid);
    if (!g)
        return false;
    long long ms = (mti_mono_us() - g->started_us) / 1000;
    if (g->condemned && WIFSIGNALED(wstatus) && WTERMSIG(wstatus) == SIGKILL) {
        mti_log(MTI_LOG_INFO, "engine.ended", "plugin=%s pid=%d uptime_ms=%lld", g->slug, (int)pid, ms);
    } else {
        char how[24];
        mti_host_death_name(wstatus, how, sizeof how);
        mti_log(MTI_LOG_ERROR, "engine.died", "plugin=%s pid=%d how=%s uptime_ms=%lld", g->slug, (int)pid, how, ms);
        mti_host_count_crash(s, g->slug);
    }
    close(g->control);
    *g = (mti_engine){0};
    return true;
}

int64_t mti_engines_due(mti_supervisor *s, int64_t now)
{
    int64_t first = INT64_MAX;
    for (int i = 0; i < ENGINES; i++) {
        mti_engine *g = &s->engines[i];
        if (!g->pid || !g->end_at || g->condemned)
            continue;
        if (now >= g->end_at)
            condemn(g, "no host came for it");
        else if (g->end_at < first)
            first = g->end_at;
    }
    return first;
}

void mti_engines_end(mti_supervisor *s)
{
    for (int i = 0; i < ENGINES; i++)
        if (s->engines[i].pid) {
            kill(s->engines[i].pid, SIGKILL);
            waitpid(s->engines[i].pid, NULL, 0);
            close(s->engines[i].control);
        }
}
