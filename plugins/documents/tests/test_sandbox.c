/* A process that locked itself in tries to get out: each attempt runs in a child of its own and must fail. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "extract_wire.h"
#include "sandbox.h"

enum { REFUSED = 10, SUCCEEDED = 11, NO_SANDBOX = 12 };

static const char *const libraries[] = {"/usr/lib", "/lib", "/lib64", "/etc/ld.so.cache", NULL};

/* What became of attempt() behind the sandbox: an exit status of above, or the signal (negative). */
static int attempt_in(sandbox_kind kind, bool (*attempt)(void))
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        uint32_t layers = 0;
        if (!sandbox_restrict(256, 1, &layers) || !sandbox_seal(kind, kind == SANDBOX_PROGRAM ? libraries : NULL, &layers))
            _exit(NO_SANDBOX);
        _exit(attempt() ? SUCCEEDED : REFUSED);
    }
    int how;
    assert_true(pid > 0 && waitpid(pid, &how, 0) == pid);
    return WIFSIGNALED(how) ? -WTERMSIG(how) : WEXITSTATUS(how);
}

static bool reads_file(const char *path)
{
    char c;
    int fd = open(path, O_RDONLY);
    return fd >= 0 && read(fd, &c, 1) == 1;
}

static bool read_passwd(void) { return reads_file("/etc/passwd"); }
static bool read_environ(void) { return reads_file("/proc/1/environ") || reads_file("/proc/self/environ"); }
static bool read_directory(void) { return open("/", O_RDONLY | O_DIRECTORY) >= 0; }
static bool create_file(void) { return open("/tmp/mortise-sandbox-test", O_CREAT | O_WRONLY, 0600) >= 0; }
static bool make_directory(void) { return mkdir("/tmp/mortise-sandbox-test.d", 0700) == 0; }
static bool change_file(void) { return chmod("/tmp", 01777) == 0 || rename("/tmp/a", "/tmp/b") == 0 || unlink("/tmp/x") == 0 || errno != EPERM; }
static bool open_inet(void) { return socket(AF_INET, SOCK_STREAM, 0) >= 0; }
static bool open_unix(void) { return socket(AF_UNIX, SOCK_STREAM, 0) >= 0; }
static bool open_netlink(void) { return socket(AF_NETLINK, SOCK_RAW, 0) >= 0; }
static bool start_process(void) { return syscall(SYS_fork) >= 0 || syscall(SYS_vfork) >= 0 || fork() >= 0; }
static bool execute(void) { execl("/bin/true", "true", NULL); return errno != EPERM; }
static bool trace_parent(void) { return ptrace(PTRACE_ATTACH, getppid(), 0, 0) == 0 || ptrace(PTRACE_TRACEME, 0, 0, 0) == 0; }
static bool signal_parent(void) { return syscall(SYS_kill, 1, 0) == 0 || syscall(SYS_kill, -1, 0) == 0; }
static bool become_root(void) { return syscall(SYS_setuid, 0) == 0 || syscall(SYS_setresuid, 0, 0, 0) == 0; }
static bool leave_group(void) { return syscall(SYS_setsid) >= 0 || syscall(SYS_setpgid, 0, 0) == 0; }
static bool new_namespace(void) { return syscall(SYS_unshare, 0x10000000 /* user */) == 0; }
static bool peek_memory(void)
{
    char c;
    struct { void *p; size_t n; } here = {&c, 1};
    return syscall(SYS_process_vm_readv, (long)getppid(), &here, 1L, &here, 1L, 0L) >= 0;
}
static bool raise_limit(void)
{
    const struct rlimit more = {.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
    return setrlimit(RLIMIT_CPU, &more) == 0 || setrlimit(RLIMIT_AS, &more) == 0;
}
static bool write_code(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
}
static bool take_memory(void)
{
    return mmap(NULL, 512u << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
}
static bool spend_time(void)
{
    for (volatile unsigned long i = 0; i < UINT64_MAX; i++)
        ;
    return true;
}
static bool work(void)
{
    void *p = malloc(16u << 20);
    return p && memset(p, 1, 16u << 20) && write(1, "", 0) == 0;
}

static const struct { const char *what; bool (*attempt)(void); bool parser_only; } attempts[] = {
    {"read /etc/passwd", read_passwd, false}, {"read /proc/…/environ", read_environ, false}, {"list /", read_directory, false},
    {"create a file", create_file, false}, {"make a folder", make_directory, false}, {"change files", change_file, false},
    {"open an internet socket", open_inet, false}, {"open a local socket", open_unix, false}, {"open a netlink socket", open_netlink, false},
    {"start a process", start_process, false}, {"execute", execute, true}, {"trace", trace_parent, false}, {"signal", signal_parent, false},
    {"become root", become_root, false}, {"leave the group", leave_group, false}, {"make a namespace", new_namespace, false},
    {"read another's memory", peek_memory, false}, {"raise a limit", raise_limit, false}, {"write code", write_code, true},
};

static void test_attempts_fail(void **state)
{
    for (size_t i = 0; i < sizeof attempts / sizeof *attempts; i++) {
        int parser = attempt_in(SANDBOX_PARSER, attempts[i].attempt);
        if (parser != REFUSED)
            print_error("%s as a parser: %d\n", attempts[i].what, parser);
        assert_int_equal(parser, REFUSED);
        int program = attempts[i].parser_only ? REFUSED : attempt_in(SANDBOX_PROGRAM, attempts[i].attempt);
        if (program != REFUSED)
            print_error("%s as a program: %d\n", attempts[i].what, program);
        assert_int_equal(program, REFUSED);
    }
}

/* The attempts are real: the same ones succeed without a sandbox (those that change nothing). */
static void test_attempts_work_outside(void **state)
{
    bool (*const harmless[])(void) = {read_passwd, read_directory, open_inet, open_unix, take_memory, write_code};
    for (size_t i = 0; i < sizeof harmless / sizeof *harmless; i++) {
        fflush(NULL);
        pid_t pid = fork();
        if (pid == 0)
            _exit(harmless[i]() ? SUCCEEDED : REFUSED);
        int how;
        assert_int_equal(waitpid(pid, &how, 0), pid);
        assert_true(WIFEXITED(how) && WEXITSTATUS(how) == SUCCEEDED);
    }
}

static void test_bounds(void **state)
{
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    assert_int_equal(attempt_in(SANDBOX_PARSER, take_memory), REFUSED);
#endif
    assert_int_equal(attempt_in(SANDBOX_PARSER, spend_time), -SIGXCPU);
    assert_int_equal(attempt_in(SANDBOX_PARSER, work), SUCCEEDED);
}

static bool read_library(void) { return reads_file("/etc/ld.so.cache"); }

static void test_grants(void **state)
{
    assert_int_equal(attempt_in(SANDBOX_PROGRAM, read_library), SUCCEEDED);
    assert_int_equal(attempt_in(SANDBOX_PARSER, read_library), REFUSED);
}

static void test_layers(void **state)
{
    int pipes[2];
    uint32_t layers = 0;
    assert_int_equal(pipe(pipes), 0);
    pid_t pid = fork();
    if (pid == 0) {
        bool ok = sandbox_restrict(256, 1, &layers) && sandbox_seal(SANDBOX_PARSER, NULL, &layers);
        _exit(ok && write(pipes[1], &layers, sizeof layers) == sizeof layers ? 0 : NO_SANDBOX);
    }
    int how;
    assert_int_equal(waitpid(pid, &how, 0), pid);
    assert_int_equal(how, 0);
    assert_int_equal(read(pipes[0], &layers, sizeof layers), sizeof layers);
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, 1);
    assert_int_equal(!!(layers & EXTRACT_LANDLOCK), abi >= 1);
    assert_true(layers & EXTRACT_USER);
    print_message("Landlock ABI here: %ld\n", abi);
    close(pipes[0]);
    close(pipes[1]);
}

int main(void)
{
    const char *checker = getenv("MORTISE_TEST_SMALL");
    if (checker && !strcmp(checker, "valgrind")) {
        puts("skipped: valgrind itself needs what the sandbox forbids");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attempts_work_outside), cmocka_unit_test(test_attempts_fail), cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_grants), cmocka_unit_test(test_layers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
