/* The sockets that outlive every host: TCP for clients, a unix socket for the operator. */
#include "supervisor/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 4096 };

static mt_status bind_failed(const char *host, int port, int error, mti_error *e)
{
    if (error == EADDRINUSE)
        return mti_fail(e, MT_CONFLICT, "port_in_use",
                        "Port %d on %.100s is in use: stop the program that listens there, or "
                        "choose another with --port (0 takes a free one).",
                        port, host);
    if (error == EACCES)
        return mti_fail(
            e, MT_DENIED, "port_denied",
            "Port %d may not be opened by this user: choose one above 1023 with --port.", port);
    return mti_fail(e, MT_INTERNAL, "cannot_listen", "Cannot listen on %.100s port %d: %s.", host,
                    port, strerror(error));
}

static int listen_on(const struct addrinfo *a)
{
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static int bound_port(int fd)
{
    struct sockaddr_storage a = {0};
    socklen_t len = sizeof a;
    if (getsockname(fd, (struct sockaddr *)&a, &len) != 0)
        return 0;
    return ntohs(a.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&a)->sin6_port
                                         : ((struct sockaddr_in *)&a)->sin_port);
}

/* The address as a client on this machine writes it. */
static void make_url(mti_supervisor *s, const char *host)
{
    bool any = strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0,
         v6 = strchr(host, ':') != NULL;
    const char *scheme = *mti_config_str(s->config, "http.tls_certificate") ? "https" : "http";
    snprintf(s->url, sizeof s->url, "%s://%s%s%s:%d", scheme, v6 && !any ? "[" : "",
             any ? "127.0.0.1" : host, v6 && !any ? "]" : "", bound_port(s->listen_fd));
}

static mt_status open_tcp(mti_supervisor *s, mti_error *e)
{
    const char *host = mti_config_str(s->config, "http.host");
    int port = (int)mti_config_int(s->config, "http.port");
    char service[16];
    snprintf(service, sizeof service, "%d", port);
    struct addrinfo want = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV},
                    *list = NULL;
    int error = getaddrinfo(host, service, &want, &list);
    if (error)
        return mti_fail(e, MT_INVALID, "bad_host",
                        "http.host \"%.100s\" is no address of this machine: %s.", host,
                        gai_strerror(error));
    s->listen_fd = listen_on(list);
    error = errno;
    freeaddrinfo(list);
    if (s->listen_fd < 0)
        return bind_failed(host, port, error, e);
    make_url(s, host);
    return MT_OK;
}

mt_status mti_admin_socket_path(const char *dir, char out[108], int *dir_fd)
{
    *dir_fd = -1;
    int n = snprintf(out, 108, "%s/mortise.sock", dir);
    if (n < 108)
        return MT_OK;
    *dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (*dir_fd < 0)
        return MT_NOT_FOUND;
    snprintf(out, 108, "/proc/self/fd/%d/mortise.sock", *dir_fd);
    return MT_OK;
}

static mt_status open_admin(mti_supervisor *s, mti_error *e)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int dir_fd;
    MT_TRY(mti_admin_socket_path(s->dir, a.sun_path, &dir_fd));
    unlinkat(s->dir_fd, "mortise.sock", 0); /* we hold the lock, so nobody listens there */
    s->admin_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    mode_t old = umask(0177);
    bool ok = s->admin_fd >= 0 && bind(s->admin_fd, (struct sockaddr *)&a, sizeof a) == 0 &&
              listen(s->admin_fd, BACKLOG) == 0;
    int error = errno;
    umask(old);
    if (dir_fd >= 0)
        close(dir_fd);
    if (!ok)
        return mti_fail(e, MT_INTERNAL, "cannot_listen",
                        "The admin socket %.200s/mortise.sock cannot be made: %s.", s->dir,
                        strerror(error));
    return MT_OK;
}

mt_status mti_sockets_open(mti_supervisor *s, mti_error *e)
{
    MT_TRY(open_tcp(s, e));
    MT_TRY(open_admin(s, e));
    char line[sizeof s->url + 1];
    snprintf(line, sizeof line, "%s\n", s->url);
    mti_claim_write(s, "mortise.url", line);
    return MT_OK;
}
