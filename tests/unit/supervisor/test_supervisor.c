/*
 * The supervisor in a process of its own over a fake host that answers one-word commands, without
 * PostgreSQL. The test waits for what it expects (a file, a byte, an end of file) and never for a
 * time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "supervisor/supervisor.h"

enum { PATIENCE_MS = 20000 };

static char root[128];

/* ---- the fake host ---- */

static bool readable(int fd, int ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, ms) == 1;
}

/* Waits for the stop: what else the supervisor tells is only read. */
static bool asked_to_stop(const mti_host_setup *h, int ms)
{
    char word = 0;
    while (readable(h->stop_fd, ms))
        if (read(h->stop_fd, &word, 1) != 1 || word == 'r')
            return true;
    return false;
}

static void say(int fd, const char *text)
{
    if (write(fd, text, strlen(text)) < 0)
        _exit(9);
}

static void answer(const mti_host_setup *h, int fd, const char *word)
{
    char text[32];
    if (strcmp(word, "pid") == 0) {
        snprintf(text, sizeof text, "%d", (int)getpid());
        say(fd, text);
    } else if (strcmp(word, "crash") == 0) {
        strcpy(h->names[7].slug, "bad-plugin");
        h->board[3] = 7;
        kill(getpid(), SIGSEGV);
    } else if (strcmp(word, "exit") == 0) {
        exit(0);
    } else if (strcmp(word, "hold") == 0) {
        say(fd, "held");
        asked_to_stop(h, -1);
        say(fd, "bye");
        exit(0);
    } else if (strcmp(word, "stuck") == 0) {
        say(fd, "held");
        pause();
    }
}

static int fake_host(const mti_host_setup *h)
{
    signal(SIGSEGV, SIG_DFL); /* a sanitizer's handler would make it an exit */
    say(h->ready_fd, "r");
    struct pollfd p[3] = {{.fd = h->listen_fd, .events = POLLIN},
                          {.fd = h->admin_fd, .events = POLLIN},
                          {.fd = h->stop_fd, .events = POLLIN}};
    while (poll(p, 3, -1) > 0) {
        if (p[2].revents && asked_to_stop(h, 0))
            break;
        if (!p[0].revents && !p[1].revents)
            continue;
        int fd = accept(p[0].revents ? h->listen_fd : h->admin_fd, NULL, NULL);
        char word[16] = "";
        if (fd < 0)
            continue;
        if (read(fd, word, sizeof word - 1) > 0)
            answer(h, fd, word);
        close(fd);
    }
    return 0;
}

static int hopeless_host(const mti_host_setup *h)
{
    return 7;
}

static int dying_host(const mti_host_setup *h)
{
    say(h->ready_fd, "r");
    raise(SIGKILL);
    return 0;
}

/* ---- driving the supervisor ---- */

typedef struct run {
    pid_t pid;
    char dir[256];
} run;

static void in_dir(const run *r, const char *name, char path[512])
{
    snprintf(path, 512, "%s/%s", r->dir, name);
}

static mti_config *make_config(const char *dir, const char *port)
{
    mti_config *c = mti_config_create();
    mti_error e = {0};
    const char *const values[][2] = {{"data.dir", dir},
                                     {"http.port", port},
                                     {"database.url", "postgresql:///none"},
                                     {"supervisor.stop_timeout", "2s"}};
    for (size_t i = 0; i < 4; i++)
        if (mti_config_set(c, values[i][0], values[i][1], "flag", &e) != MT_OK)
            abort();
    return c;
}

/* In the child; the error goes to DIR/error. */
static _Noreturn void supervise(const run *r, const char *port, int (*host)(const mti_host_setup *))
{
    char path[512];
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    mkdir(r->dir, 0700);
    in_dir(r, "log", path);
    mti_log_setup(open(path, O_WRONLY | O_CREAT | O_APPEND, 0600), MTI_LOG_DEBUG, MTI_LOG_LOGFMT);
    mti_config *c = make_config(r->dir, port);
    mti_error e = {0};
    int status = mti_supervisor_run(c, host, false, &e);
    in_dir(r, "error", path);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    say(fd, e.detail);
    mti_config_destroy(c);
    _exit(status);
}

static run start(const char *name, const char *port, int (*host)(const mti_host_setup *))
{
    run r;
    snprintf(r.dir, sizeof r.dir, "%s/%s", root, name);
    r.pid = fork();
    if (r.pid == 0)
        supervise(&r, port, host);
    assert_true(r.pid > 0);
    return r;
}

static int finish(run *r)
{
    int status;
    assert_int_equal(waitpid(r->pid, &status, 0), r->pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int stop(run *r)
{
    kill(r->pid, SIGTERM);
    return finish(r);
}

/* The content of a file in DIR once it holds want. */
static void wait_file(const run *r, const char *name, const char *want, char *out, size_t size)
{
    char path[512];
    in_dir(r, name, path);
    for (int ms = 0; ms < PATIENCE_MS; ms += 5) {
        mti_buf b;
        bool ok = mti_buf_read_file(&b, path, 1 << 20) == MT_OK && b.len && strstr(b.p, want);
        if (ok && out)
            snprintf(out, size, "%s", b.p);
        mti_buf_dispose(&b);
        if (ok)
            return;
        poll(NULL, 0, 5);
    }
    fail_msg("%s never held \"%s\"", path, want);
}

static int dial(const run *r)
{
    char url[300];
    wait_file(r, "mortise.url", "\n", url, sizeof url);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    a.sin_port = htons((uint16_t)atoi(strrchr(url, ':') + 1));
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

static int hear(int fd, char *out, size_t size)
{
    if (!readable(fd, PATIENCE_MS))
        fail_msg("no answer");
    ssize_t n = read(fd, out, size - 1);
    out[n > 0 ? n : 0] = 0;
    return (int)n;
}

static int ask_on(int fd)
{
    char text[32];
    say(fd, "pid");
    hear(fd, text, sizeof text);
    close(fd);
    return atoi(text);
}

static int ask(const run *r)
{
    return ask_on(dial(r));
}

static bool is_there(const run *r, const char *name)
{
    char path[512];
    in_dir(r, name, path);
    return access(path, F_OK) == 0;
}

static void wait_zombie(int pid)
{
    char path[64], text[256];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    for (int ms = 0; ms < PATIENCE_MS; ms += 5) {
        int fd = open(path, O_RDONLY);
        ssize_t n = read(fd, text, sizeof text - 1);
        close(fd);
        text[n > 0 ? n : 0] = 0;
        if (strstr(text, ") Z "))
            return;
        poll(NULL, 0, 5);
    }
    fail_msg("process %d did not die", pid);
}

/* ---- tests ---- */

static void test_a_connection_made_while_the_host_is_dead_is_served(void **state)
{
    run r = start("restart", "0", fake_host);
    int first = ask(&r);
    assert_true(first > 0 && first != r.pid);
    kill(r.pid, SIGSTOP); /* so that nobody replaces the host yet */
    kill(first, SIGKILL);
    wait_zombie(first);
    int held = dial(&r);
    say(held, "pid");
    kill(r.pid, SIGCONT);
    char text[32];
    hear(held, text, sizeof text);
    close(held);
    assert_true(atoi(text) > 0 && atoi(text) != first);
    wait_file(&r, "log", "how=SIGKILL plugin=host", NULL, 0);
    assert_int_equal(stop(&r), 0);
}

static void test_a_crash_names_the_plugin(void **state)
{
    run r = start("crash", "0", fake_host);
    int fd = dial(&r);
    char text[8];
    say(fd, "crash");
    assert_true(hear(fd, text, sizeof text) <= 0);
    close(fd);
    wait_file(&r, "log", "how=SIGSEGV plugin=bad-plugin", NULL, 0);
    assert_true(ask(&r) > 0);
    assert_int_equal(stop(&r), 0);
}

static void test_a_host_that_leaves_is_replaced(void **state)
{
    run r = start("leave", "0", fake_host);
    int first = ask(&r), fd = dial(&r);
    say(fd, "exit");
    close(fd);
    int second = ask(&r);
    assert_true(second > 0 && second != first);
    wait_file(&r, "log", "event=host.left", NULL, 0);
    assert_int_equal(stop(&r), 0);
}

static void test_stop_lets_requests_end(void **state)
{
    run r = start("stop", "0", fake_host);
    int fd = dial(&r);
    char text[32];
    say(fd, "hold");
    hear(fd, text, sizeof text);
    assert_string_equal(text, "held");
    struct stat st;
    char path[512];
    in_dir(&r, "mortise.sock", path);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    kill(r.pid, SIGTERM);
    hear(fd, text, sizeof text);
    assert_string_equal(text, "bye");
    close(fd);
    assert_int_equal(finish(&r), 0);
    assert_false(is_there(&r, "mortise.sock"));
    assert_false(is_there(&r, "mortise.url"));
    assert_false(is_there(&r, "host.pid"));
    wait_file(&r, "log", "event=host.stopped", NULL, 0);
    assert_int_equal(mti_supervisor_holder(r.dir), 0);
}

static void test_a_second_signal_does_not_wait(void **state)
{
    run r = start("stuck", "0", fake_host);
    int fd = dial(&r);
    char text[32];
    say(fd, "stuck");
    hear(fd, text, sizeof text);
    kill(r.pid, SIGTERM);
    wait_file(&r, "log", "again=false", NULL, 0);
    kill(r.pid, SIGINT);
    assert_int_equal(finish(&r), 0);
    close(fd);
    wait_file(&r, "log", "event=host.killed", NULL, 0);
}

static void test_a_stuck_host_is_killed_after_its_time(void **state)
{
    run r = start("overdue", "0", fake_host);
    int fd = dial(&r);
    char text[32];
    say(fd, "stuck");
    hear(fd, text, sizeof text);
    assert_int_equal(stop(&r), 0); /* after the 2 s of its configuration */
    close(fd);
    wait_file(&r, "log", "event=host.killed", NULL, 0);
}

static void test_a_reload_starts_a_host_beside_the_old(void **state)
{
    run r = start("reload", "0", fake_host);
    int first = ask(&r), fd = dial(&r);
    char text[32];
    bool worked = false;
    say(fd, "hold"); /* the old one is held in a request */
    hear(fd, text, sizeof text);
    int queued = dial(&r);
    kill(r.pid, SIGHUP);
    int second = ask_on(queued); /* and a new connection is answered all the same */
    assert_true(second > 0 && second != first);
    hear(fd, text, sizeof text);
    assert_string_equal(text, "bye");
    close(fd);
    wait_file(&r, "reload", "1 ok", NULL, 0);
    assert_int_equal(mti_supervisor_reloads(r.dir, &worked), 1);
    assert_true(worked);
    assert_int_equal(stop(&r), 0);
}

/* A host that gets ready only when it is the first. */
static int only_one_host(const mti_host_setup *h)
{
    return h->overlap ? 7 : fake_host(h);
}

static void test_a_reload_that_fails_changes_nothing(void **state)
{
    run r = start("reload-fails", "0", only_one_host);
    int first = ask(&r);
    kill(r.pid, SIGHUP);
    wait_file(&r, "reload", "1 failed", NULL, 0);
    assert_int_equal(ask(&r), first);
    kill(r.pid, SIGHUP);
    wait_file(&r, "reload", "2 failed", NULL, 0);
    assert_int_equal(ask(&r), first);
    assert_int_equal(stop(&r), 0);
}

static void test_a_second_supervisor_is_refused(void **state)
{
    run r = start("twice", "0", fake_host);
    ask(&r);
    assert_int_equal(mti_supervisor_holder(r.dir), r.pid);
    run second = start("twice", "0", fake_host);
    assert_int_equal(finish(&second), 1);
    char text[64];
    snprintf(text, sizeof text, "(process %d)", r.pid);
    wait_file(&r, "error", text, NULL, 0);
    assert_true(is_there(&r, "mortise.sock"));
    assert_true(ask(&r) > 0);
    assert_int_equal(stop(&r), 0);
}

static void test_the_host_dies_with_a_killed_supervisor(void **state)
{
    run r = start("orphan", "0", fake_host);
    int first = ask(&r), fd = dial(&r);
    char text[32];
    say(fd, "stuck");
    hear(fd, text, sizeof text);
    int status;
    kill(r.pid, SIGKILL);
    waitpid(r.pid, &status, 0);
    assert_true(hear(fd, text, sizeof text) <= 0); /* its end closed the connection */
    close(fd);
    run again = start("orphan", "0", fake_host);
    char host[64];
    do /* what the dead one left in the folder is replaced */
        wait_file(&again, "host.pid", "\n", host, sizeof host);
    while (atoi(host) == first);
    assert_true(ask(&again) != first);
    assert_int_equal(stop(&again), 0);
}

static void test_a_host_that_cannot_start_ends_the_supervisor(void **state)
{
    run r = start("hopeless", "0", hopeless_host);
    assert_int_equal(finish(&r), 1);
    wait_file(&r, "error", "could not start", NULL, 0);
    wait_file(&r, "log", "how=exit-7", NULL, 0);
}

static void test_quick_deaths_back_off(void **state)
{
    run r = start("backoff", "0", dying_host);
    wait_file(&r, "log", "event=host.backoff deaths=7 wait_ms=200", NULL, 0);
    assert_int_equal(stop(&r), 0);
}

static void test_a_taken_port_says_what_to_do(void **state)
{
    run r = start("port-a", "0", fake_host);
    char url[300];
    wait_file(&r, "mortise.url", "\n", url, sizeof url);
    char *port = strrchr(url, ':') + 1;
    port[strcspn(port, "\n")] = 0;
    run second = start("port-b", port, fake_host);
    assert_int_equal(finish(&second), 1);
    wait_file(&second, "error",
              "is in use: stop the program that listens there, or choose another with --port", NULL,
              0);
    assert_int_equal(stop(&r), 0);
}

static void test_the_admin_socket_of_a_deep_folder(void **state)
{
    char name[129];
    memset(name, 'd', 128);
    name[128] = 0;
    run r = start(name, "0", fake_host);
    ask(&r);
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int dir_fd, fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(mti_admin_socket_path(r.dir, a.sun_path, &dir_fd), MT_OK);
    assert_true(dir_fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    close(dir_fd);
    assert_true(ask_on(fd) > 0);
    assert_int_equal(stop(&r), 0);
}

static int make_root(void **state)
{
    strcpy(root, "/tmp/mortise-supervisor-XXXXXX");
    signal(SIGPIPE, SIG_IGN);
    return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
    char command[256];
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_connection_made_while_the_host_is_dead_is_served),
        cmocka_unit_test(test_a_crash_names_the_plugin),
        cmocka_unit_test(test_a_host_that_leaves_is_replaced),
        cmocka_unit_test(test_stop_lets_requests_end),
        cmocka_unit_test(test_a_second_signal_does_not_wait),
        cmocka_unit_test(test_a_stuck_host_is_killed_after_its_time),
        cmocka_unit_test(test_a_reload_starts_a_host_beside_the_old),
        cmocka_unit_test(test_a_reload_that_fails_changes_nothing),
        cmocka_unit_test(test_a_second_supervisor_is_refused),
        cmocka_unit_test(test_the_host_dies_with_a_killed_supervisor),
        cmocka_unit_test(test_a_host_that_cannot_start_ends_the_supervisor),
        cmocka_unit_test(test_quick_deaths_back_off),
        cmocka_unit_test(test_a_taken_port_says_what_to_do),
        cmocka_unit_test(test_the_admin_socket_of_a_deep_folder),
    };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}
