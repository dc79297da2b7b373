/*
 * Alternate signal stacks and the crash line. Everything the handler calls is async-signal-safe: no
 * formatting by the C library, one write, then the signal's own effect.
 */
#include "loop/internal.h"
#include "loop/watchdog.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#define ALTSTACK_SIZE (64u * 1024)

static const char *(*namer)(uint32_t tag);
static int report_fd = 2;
static pid_t host_pid; /* a child that a plugin forked shares the memory of the note, and may not write there */

void mti_watchdog_set_namer(const char *(*name)(uint32_t tag))
{
    __atomic_store_n(&namer, name, __ATOMIC_RELEASE);
}

/* "host" for tag 0 and where no namer was set. Async-signal-safe. */
const char *mti_watchdog_name(uint32_t tag)
{
    const char *(*name)(uint32_t) = __atomic_load_n(&namer, __ATOMIC_ACQUIRE);
    const char *s = name ? name(tag) : NULL;
    return s ? s : tag ? "unnamed" : "host";
}

void mti_altstack_install(mti_altstack *a)
{
    stack_t old;
    a->map = NULL;
    if (sigaltstack(NULL, &old) == 0 && !(old.ss_flags & SS_DISABLE))
        return; /* a sanitizer brought one */
    void *p = mmap(NULL, ALTSTACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return;
    stack_t st = {.ss_sp = p, .ss_size = ALTSTACK_SIZE};
    if (sigaltstack(&st, NULL) == 0)
        a->map = p;
    else
        munmap(p, ALTSTACK_SIZE);
}

void mti_altstack_remove(mti_altstack *a)
{
    stack_t off = {.ss_flags = SS_DISABLE};
    if (!a->map)
        return;
    sigaltstack(&off, NULL);
    munmap(a->map, ALTSTACK_SIZE);
    a->map = NULL;
}

typedef struct line {
    char text[512];
    size_t len;
} line;

static void line_add(line *l, const char *s)
{
    while (*s && l->len < sizeof(l->text))
        l->text[l->len++] = *s++;
}

static void line_add_number(line *l, uintptr_t v, unsigned base)
{
    char digits[24];
    size_t at = sizeof(digits);
    digits[--at] = 0;
    do {
        digits[--at] = "0123456789abcdef"[v % base];
        v /= base;
    } while (v);
    line_add(l, digits + at);
}

static void report(int sig, const void *address)
{
    mti_fiber *f = mti_fiber_current();
    bool overflow = f && address && mti_stack_overflowed(f, address);
    line l = {.len = 0};
    line_add(&l, "level=error event=");
    line_add(&l, overflow ? "fiber.stack_overflow" : "crash");
    line_add(&l, " plugin=");
    line_add(&l, mti_watchdog_name(mti_tag_self));
    line_add(&l, " tag=");
    line_add_number(&l, mti_tag_self, 10);
    line_add(&l, " signal=");
    line_add_number(&l, (uintptr_t)sig, 10);
    line_add(&l, " address=0x");
    line_add_number(&l, (uintptr_t)address, 16);
    if (overflow)
        line_add(&l, " reason=\"stack overflow\"");
    line_add(&l, "\n");
    ssize_t written = write(report_fd, l.text, l.len);
    (void)written;
}

static void on_fork_child(void)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* it holds the listening sockets: it does not outlive the host */
}

/* The call that this thread works for. */
static const struct mt_call *current_call(void)
{
    const mti_fiber *f = mti_offload_fiber();
    if (!f)
        f = mti_fiber_current();
    return f ? f->data : NULL;
}

static void on_crash(int sig, siginfo_t *info, void *context)
{
    bool fault = sig == SIGSEGV || sig == SIGBUS || sig == SIGILL || sig == SIGFPE;
    if (getpid() == host_pid)
        mti_watchdog_note_crash(mti_tag_self, current_call());
    report(sig, fault && info->si_code > 0 ? info->si_addr : NULL);
    signal(sig, SIG_DFL);
    /* A fault happens again on return and then kills; a signal that was sent must be sent again. */
    if (!fault || info->si_code <= 0)
        raise(sig);
}

/* A plugin that calls exit() ends the host just so. */
static void on_exit_call(void)
{
    if (mti_tag_self && getpid() == host_pid)
        mti_watchdog_note_crash(mti_tag_self, current_call());
}

static mti_altstack first_stack; /* of the thread that installs the handler; its loop finds it there */

void mti_crash_handler_install(int fd)
{
    const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
    struct sigaction sa = {.sa_sigaction = on_crash, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    report_fd = fd;
    host_pid = getpid();
    mti_altstack_install(&first_stack);
    atexit(on_exit_call);
    pthread_atfork(NULL, NULL, on_fork_child);
    sigemptyset(&sa.sa_mask);
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        sigaction(signals[i], &sa, NULL);
}
