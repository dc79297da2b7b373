#include "support.h"
#include "base/log.h"
#include "loop/offload.h"
#include "loop/watchdog.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *name_tag(uint32_t tag)
{
    return tag == 42 ? "greedy" : tag ? "other" : "host";
}

/* Runs fn in a child whose crash line comes back in out; answers the child's wait status. */
static int in_child(void (*fn)(int fd), char *out, size_t cap)
{
    int fd[2], status = 0;
    assert_int_equal(pipe(fd), 0);
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(fd[0]);
        fn(fd[1]);
        _exit(0);
    }
    close(fd[1]);
    size_t len = 0;
    for (ssize_t n; len + 1 < cap && (n = read(fd[0], out + len, cap - 1 - len)) > 0;)
        len += (size_t)n;
    out[len] = 0;
    close(fd[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

__attribute__((noinline)) static int recurse(int depth)
{
    volatile char frame[512];
    frame[0] = (char)depth;
    return depth > 100000000 ? 0 : recurse(depth + 1) + frame[0];
}

static void overflow_fiber(void *arg)
{
    mti_fiber_set_tag(42);
    mti_sleep(1);
    recurse(0);
}

static void on_start_overflow(void *arg)
{
    mti_fiber_spawn(arg, overflow_fiber, NULL);
}

static void overflow(int fd)
{
    mti_loop *l = mti_loop_create(0);
    mti_watchdog_set_namer(name_tag);
    mti_crash_handler_install(fd);
    mti_loop_post(l, on_start_overflow, l);
    mti_loop_run(l);
}

static void overflow_names_its_tag(void **state)
{
    char out[1024];
    int status = in_child(overflow, out, sizeof(out));
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSEGV);
    assert_non_null(strstr(out, "event=fiber.stack_overflow plugin=greedy tag=42"));
}

static volatile int *volatile wild = (volatile int *)(uintptr_t)8;

__attribute__((no_sanitize("undefined"))) static void wild_write_fiber(void *arg)
{
    mti_fiber_set_tag(7);
    *wild = 1;
}

static void wild_write(int fd)
{
    mti_loop *l = mti_loop_create(0);
    mti_watchdog_set_namer(name_tag);
    mti_crash_handler_install(fd);
    mti_fiber_spawn(l, wild_write_fiber, NULL);
}

static void another_fault_is_a_crash(void **state)
{
    char out[1024];
    int status = in_child(wild_write, out, sizeof(out));
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSEGV);
    assert_non_null(strstr(out, "event=crash plugin=other tag=7 signal=11 address=0x8\n"));
}

static void abort_in_offload(void *arg)
{
    abort();
}

static void offload_fiber(void *arg)
{
    mti_fiber_set_tag(42);
    mti_offload_run(arg, 1, abort_in_offload, NULL);
}

static void offload_abort(int fd)
{
    mti_loop *l = mti_loop_create(0);
    mti_offload *o = mti_offload_create(1);
    mti_watchdog_set_namer(name_tag);
    mti_crash_handler_install(fd);
    mti_fiber_spawn(l, offload_fiber, o);
    mti_loop_run(l);
}

static void a_pool_thread_carries_the_tag(void **state)
{
    char out[1024];
    int status = in_child(offload_abort, out, sizeof(out));
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    assert_non_null(strstr(out, "event=crash plugin=greedy tag=42 signal=6"));
}

static volatile uint32_t board[2];
static int stall_log = -1;

static void burn(int64_t ms)
{
    int64_t end = mti_thread_cpu_ns() + ms * 1000000;
    while (mti_thread_cpu_ns() < end)
        ;
}

/* Burns until the report is there, for however long the watchdog's thread gets no processor, and
 * then as much again. */
static void burn_fiber(void *arg)
{
    struct stat st = {0};
    mti_fiber_set_tag(42);
    assert_int_equal(__atomic_load_n(&board[1], __ATOMIC_RELAXED), 42);
    for (int i = 0; i < 500 && fstat(stall_log, &st) == 0 && st.st_size == 0; i++)
        burn(20);
    burn(150);
    mti_loop_stop(arg);
}

static void on_start_burn(void *arg)
{
    mti_fiber_spawn(arg, burn_fiber, arg);
}

static void a_stall_is_logged_once(void **state)
{
    char path[] = "/tmp/mortise-stall-XXXXXX", out[4096] = "";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    unlink(path);
    stall_log = fd;
    mti_log_setup(fd, MTI_LOG_INFO, MTI_LOG_LOGFMT);
    mti_watchdog_set_namer(name_tag);
    mti_watchdog_set_board(board, 2);
    mti_loop *l = mti_loop_create(1);
    mti_watchdog_start(&l, 1, 50, 0);
    mti_loop_post(l, on_start_burn, l);
    mti_loop_run(l);
    mti_watchdog_stop();
    mti_watchdog_set_board(NULL, 0);
    mti_loop_destroy(l);
    mti_log_setup(2, MTI_LOG_INFO, MTI_LOG_LOGFMT);
    assert_true(pread(fd, out, sizeof(out) - 1, 0) > 0);
    close(fd);
    const char *first = strstr(out, "loop.stall");
    assert_non_null(first);
    assert_non_null(strstr(first, "plugin=greedy"));
    assert_null(strstr(first, "backtrace=none"));
    assert_null(strstr(first + 1, "loop.stall"));
}

static void on_timer_stop(void *arg)
{
    mti_loop_stop(arg);
}

static void an_idle_loop_is_no_stall(void **state)
{
    char path[] = "/tmp/mortise-idle-XXXXXX", out[16];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    unlink(path);
    mti_log_setup(fd, MTI_LOG_INFO, MTI_LOG_LOGFMT);
    mti_loop *l = mti_loop_create(0);
    mti_watchdog_start(&l, 1, 20, 0);
    mti_timer_start(l, 120, on_timer_stop, l);
    mti_loop_run(l);
    mti_watchdog_stop();
    mti_loop_destroy(l);
    mti_log_setup(2, MTI_LOG_INFO, MTI_LOG_LOGFMT);
    assert_int_equal(pread(fd, out, sizeof(out), 0), 0);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(overflow_names_its_tag),        cmocka_unit_test(another_fault_is_a_crash),
        cmocka_unit_test(a_pool_thread_carries_the_tag), cmocka_unit_test(a_stall_is_logged_once),
        cmocka_unit_test(an_idle_loop_is_no_stall),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
