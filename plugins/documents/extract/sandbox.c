/* rlimits, credentials, Landlock, libseccomp. */
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "extract_wire.h"

#define NOBODY 65534

/* --- step one --- */

static bool limit(int what, rlim_t soft, rlim_t hard)
{
    struct rlimit now;
    if (getrlimit(what, &now) != 0)
        return false;
    struct rlimit to = {.rlim_cur = soft < now.rlim_max ? soft : now.rlim_max, .rlim_max = hard < now.rlim_max ? hard : now.rlim_max};
    return setrlimit(what, &to) == 0;
}

static bool limit_all(unsigned memory_mib, unsigned cpu_seconds)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    memory_mib = 1u << 30; /* shadow memory is terabytes of address space */
#endif
    rlim_t memory = (rlim_t)memory_mib << 20;
    return limit(RLIMIT_AS, memory, memory) && limit(RLIMIT_CPU, cpu_seconds, cpu_seconds + 1) && limit(RLIMIT_CORE, 0, 0) &&
           limit(RLIMIT_FSIZE, 0, 0) && limit(RLIMIT_NOFILE, 16, 16) && limit(RLIMIT_MEMLOCK, 0, 0) && limit(RLIMIT_MSGQUEUE, 0, 0);
}

/* Where a container has no other user than root, at least its capabilities go. */
static bool drop_user(void)
{
    if (geteuid() != 0)
        return true;
    if (setgroups(0, NULL) == 0 && setresgid(NOBODY, NOBODY, NOBODY) == 0 && setresuid(NOBODY, NOBODY, NOBODY) == 0)
        return true;
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {0};
    syscall(SYS_capset, &head, none);
    return false;
}

bool sandbox_restrict(unsigned memory_mib, unsigned cpu_seconds, uint32_t *layers)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || !limit_all(memory_mib, cpu_seconds))
        return false;
    if (drop_user())
        *layers |= EXTRACT_USER;
    return prctl(PR_SET_DUMPABLE, 0) == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL) == 0; /* behind the change of user, which resets both */
}

/* --- Landlock; the numbers are the kernel's, of versions newer than these headers too --- */

typedef struct ruleset {
    uint64_t files, net, scoped;
} ruleset;

static uint64_t file_rights(int abi)
{
    uint64_t rights = (1u << 13) - 1; /* execute … make_sym */
    rights |= abi >= 2 ? 1u << 13 : 0; /* refer */
    rights |= abi >= 3 ? 1u << 14 : 0; /* truncate */
    return rights | (abi >= 5 ? 1u << 15 : 0); /* ioctl of devices */
}

static bool grant(int rules, const char *path)
{
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT;
    struct landlock_path_beneath_attr rule = {.parent_fd = fd, .allowed_access = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE};
    bool ok = syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0;
    close(fd);
    return ok;
}

static bool landlock(const char *const *granted)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (abi < 1)
        return false;
    ruleset set = {.files = file_rights((int)abi), .net = abi >= 4 ? 3 : 0, .scoped = abi >= 6 ? 3 : 0};
    size_t size = abi >= 6 ? sizeof set : abi >= 4 ? offsetof(ruleset, scoped) : offsetof(ruleset, net);
    int rules = (int)syscall(SYS_landlock_create_ruleset, &set, size, 0);
    bool ok = rules >= 0;
    for (size_t i = 0; ok && granted && granted[i]; i++)
        ok = grant(rules, granted[i]);
    ok = ok && syscall(SYS_landlock_restrict_self, rules, 0) == 0;
    if (rules >= 0)
        close(rules);
    return ok;
}

/* --- seccomp: what is not listed fails with EPERM --- */

static const int parser_calls[] = {
    SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(close), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(brk), SCMP_SYS(madvise), SCMP_SYS(poll),
    SCMP_SYS(wait4), SCMP_SYS(futex), SCMP_SYS(getrandom), SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday), SCMP_SYS(rt_sigreturn),
    SCMP_SYS(rt_sigprocmask), SCMP_SYS(sigaltstack), SCMP_SYS(exit), SCMP_SYS(exit_group)};

static const int program_calls[] = {
    SCMP_SYS(execve), SCMP_SYS(access), SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(stat),
    SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(lseek), SCMP_SYS(pread64), SCMP_SYS(readv), SCMP_SYS(writev), SCMP_SYS(fadvise64),
    SCMP_SYS(dup), SCMP_SYS(fcntl), SCMP_SYS(arch_prctl), SCMP_SYS(set_tid_address), SCMP_SYS(set_robust_list), SCMP_SYS(rseq),
    SCMP_SYS(rt_sigaction), SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid), SCMP_SYS(getegid),
    SCMP_SYS(uname), SCMP_SYS(sysinfo), SCMP_SYS(sched_getaffinity)};

static int allow(scmp_filter_ctx f, const int *calls, size_t n)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, calls[i], 0);
    return rc;
}

static int allow_parser(scmp_filter_ctx f)
{
    int rc = allow(f, parser_calls, sizeof parser_calls / sizeof *parser_calls);
    const struct scmp_arg_cmp no_code = SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
    rc = rc ? rc : seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, no_code);
    return rc ? rc : seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, no_code);
}

static int allow_program(scmp_filter_ctx f)
{
    int rc = allow(f, parser_calls, sizeof parser_calls / sizeof *parser_calls);
    rc = rc ? rc : allow(f, program_calls, sizeof program_calls / sizeof *program_calls);
    rc = rc ? rc : seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 0);
    rc = rc ? rc : seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 0);
    const uint64_t writes = O_ACCMODE | O_CREAT | O_TRUNC;
    rc = rc ? rc : seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(open), 1, SCMP_A1(SCMP_CMP_MASKED_EQ, writes, O_RDONLY));
    rc = rc ? rc : seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, writes, O_RDONLY));
    /* the loader reads its own limits; nobody's may be set */
    return rc ? rc : seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1, SCMP_A2(SCMP_CMP_EQ, 0));
}

bool sandbox_seal(sandbox_kind kind, const char *const *granted, uint32_t *layers)
{
    if (!limit(RLIMIT_NPROC, 0, 0))
        return false;
    if (landlock(granted))
        *layers |= EXTRACT_LANDLOCK;
    scmp_filter_ctx f = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (!f) {
        errno = ENOMEM;
        return false;
    }
    int rc = kind == SANDBOX_PARSER ? allow_parser(f) : allow_program(f);
    rc = rc ? rc : seccomp_load(f);
    seccomp_release(f);
    errno = -rc;
    return rc == 0;
}
