#include "worker/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/ident.h"
#include "worker/start.h"

typedef union rights {
    struct cmsghdr head;     /* aligns */
    char space[CMSG_SPACE(MTI_ENGINE_FDS * sizeof(int))];
} rights;

bool mti_engine_send(int fd, const mti_engine_message *m, const int *fds, unsigned n)
{
    rights r;
    struct iovec v = {(void *)m, sizeof *m};
    struct msghdr h = {.msg_iov = &v, .msg_iovlen = 1};
    if (n) {
        memset(&r, 0, sizeof r);
        h.msg_control = &r;
        h.msg_controllen = CMSG_SPACE(n * sizeof *fds);
        struct cmsghdr *c = CMSG_FIRSTHDR(&h);
        *c = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(n * sizeof *fds)};
        memcpy(CMSG_DATA(c), fds, n * sizeof *fds);
    }
    ssize_t sent;
    do
        sent = sendmsg(fd, &h, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    return sent == sizeof *m;
}

bool mti_engine_receive(int fd, mti_engine_message *m, int *fds, unsigned *n, bool *ended)
{
    rights r;
    struct iovec v = {m, sizeof *m};
    struct msghdr h = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = &r, .msg_controllen = sizeof r};
    ssize_t got = recvmsg(fd, &h, MSG_CMSG_CLOEXEC);
    *n = 0;
    *ended = got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR);
    if (got <= 0)
        return false;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&h); c; c = CMSG_NXTHDR(&h, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
            *n = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof *fds);
            memcpy(fds, CMSG_DATA(c), *n * sizeof *fds);
        }
    if (got == sizeof *m && !(h.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
        return true;
    while (*n)
        close(fds[--*n]);
    return false;
}

/* false: nothing came in time, or the supervisor is gone (*ended). One of another build may give no numbers. */
static bool wait_for(int broker, uint32_t number, unsigned most_ms, mti_engine_message *answer, bool *ended)
{
    int none[MTI_ENGINE_FDS];
    unsigned n_none;
    int64_t until = mti_mono_us() + most_ms * 1000LL;
    struct timeval most = {most_ms / 1000, most_ms % 1000 * 1000};
    setsockopt(broker, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most);
    do {
        if (mti_engine_receive(broker, answer, none, &n_none, ended) && (!answer->number || answer->number == number))
            return true;
    } while (!*ended && mti_mono_us() < until);
    return false;
}

mti_engine_message mti_engine_join(int broker, const char *slug, const char *key, const int *lanes, unsigned n, unsigned most_ms)
{
    static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
    static uint32_t number;
    mti_engine_message m = {.kind = MTI_ENGINE_JOIN}, answer = {.error = ECONNRESET};
    int fds[MTI_ENGINE_FDS] = {open("/proc/self/exe", O_RDONLY | O_CLOEXEC)};
    bool ended = false;
    snprintf(m.slug, sizeof m.slug, "%s", slug);
    snprintf(m.key, sizeof m.key, "%s", key);
    memcpy(fds + 1, lanes, n * sizeof *lanes);
    pthread_mutex_lock(&one_at_a_time);
    m.number = ++number ? number : ++number;
    if (mti_engine_send(broker, &m, fds, n + 1) && !wait_for(broker, m.number, most_ms, &answer, &ended))
        answer = (mti_engine_message){.error = ended ? ECONNRESET : ETIMEDOUT};
    pthread_mutex_unlock(&one_at_a_time);
    close(fds[0]);
    return answer;
}

int mti_engine_start(int program, const char *slug, int *control, pid_t *pid)
{
    int pair[2];
    char parent[16], path[64];
    char *argv[] = {"mortise", "worker", (char *)slug, "engine", parent, NULL};
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return errno;
    snprintf(parent, sizeof parent, "%d", (int)getpid());
    snprintf(path, sizeof path, "/proc/%s/fd/%d", parent, program);      /* the child has closed it by then */
    int rc = mti_start_process(path, pair + 1, 1, argv, true, pid);
    close(pair[1]);
    *control = pair[0];
    if (rc != 0)
        close(pair[0]);
    return rc;
}
