/* Poppler is large, old C++ under the GPL: it is executed, never linked, and not even the process that reads its words trusts it. */
#include "pdf.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandbox.h"

#define PDFTOTEXT "/usr/bin/pdftotext"
#define PDFTOHTML "/usr/bin/pdftohtml"
#define OUTLINE_MAX (16u << 20)
#define OUTLINE_CPU_SECONDS 5
#define WORDS_MAX 4096
#define NOT_STARTED 120 /* exit statuses of our own; poppler's are 0–4 and 99 */
#define NOT_SEALED 121

static const char *const granted[] = {PDFTOTEXT, PDFTOHTML, "/lib", "/lib64", "/usr/lib", "/etc/ld.so.cache", "/usr/share/poppler", NULL};

/* Waits until it may read: the file's place is one for all who have it as descriptor 0. */
static _Noreturn void become(const char *program, char *const arguments[], int text, int words, int go)
{
    uint32_t layers = 0;
    static char *environment[] = {NULL};
    char nothing;
    const struct rlimit little = {OUTLINE_CPU_SECONDS, OUTLINE_CPU_SECONDS + 1};
    if (!strcmp(program, PDFTOHTML))
        setrlimit(RLIMIT_CPU, &little); /* an outline is not worth the time of a text */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || read(go, &nothing, 1) != 0 || lseek(0, 0, SEEK_SET) != 0)
        _exit(NOT_SEALED);
    dup2(text, 1);
    dup2(words, 2);
    for (int fd = 3; fd < 16; fd++)
        close(fd);
    if (!sandbox_seal(SANDBOX_PROGRAM, granted, &layers))
        _exit(NOT_SEALED);
    execve(program, arguments, environment);
    _exit(NOT_STARTED);
}

/* The child must not hold the ends of the one before it, which would not see that they are closed. */
static void leave(const pdf_program *before)
{
    close(before->text);
    close(before->words);
    close(before->go);
}

static bool start(pdf_program *p, const char *program, char *const arguments[], const pdf_program *before)
{
    int text[2], words[2], go[2];
    if (pipe(text) != 0 || pipe(words) != 0 || pipe(go) != 0 || (p->pid = fork()) < 0)
        return false;
    if (p->pid == 0) {
        close(go[1]);
        if (before)
            leave(before);
        become(program, arguments, text[1], words[1], go[0]);
    }
    close(text[1]);
    close(words[1]);
    close(go[0]);
    *p = (pdf_program){p->pid, text[0], words[0], go[1]};
    return true;
}

mt_status pdf_start(pdf *p, unsigned max_pages, char reason[DOC_REASON])
{
    char last[16];
    snprintf(last, sizeof last, "%u", max_pages + 1); /* one more, so that too many are seen */
    char *to_text[] = {"pdftotext", "-enc", "UTF-8", "-eol", "unix", "-l", last, "-", "-", NULL};
    char *to_outline[] = {"pdftohtml", "-xml", "-i", "-q", "-enc", "UTF-8", "-f", "1", "-l", "1", "-stdout", "-", "outline", NULL};
    if (access(PDFTOTEXT, X_OK) != 0 || access(PDFTOHTML, X_OK) != 0)
        return doc_fail(reason, MT_UNAVAILABLE, "PDF files need %s: install the package poppler-utils.", PDFTOTEXT);
    if (!start(&p->text, PDFTOTEXT, to_text, NULL) || !start(&p->outline, PDFTOHTML, to_outline, &p->text))
        return doc_fail(reason, MT_UNAVAILABLE, "The PDF reader cannot be started: %s.", strerror(errno));
    return MT_OK;
}

static bool grow(char **buffer, size_t *cap)
{
    size_t more = *cap ? *cap * 2 : 65536;
    char *p = realloc(*buffer, more);
    if (!p)
        return false;
    *buffer = p;
    *cap = more;
    return true;
}

/* Both pipes are drained together, or a talkative pdftotext would wait for us while we wait for it. Words beyond the buffer are dropped. */
static mt_status drain(pdf_program *p, size_t most, char **text, size_t *len, char words[WORDS_MAX])
{
    size_t cap = 0, n_words = 0;
    struct pollfd fds[2] = {{.fd = p->text, .events = POLLIN}, {.fd = p->words, .events = POLLIN}};
    char spare[512];
    close(p->go);
    while (fds[0].fd >= 0 || fds[1].fd >= 0) {
        if (poll(fds, 2, -1) < 0)
            return MT_UNAVAILABLE;
        if (fds[0].revents) {
            if (*len == cap && !grow(text, &cap))
                return MT_NO_MEMORY;
            ssize_t n = read(p->text, *text + *len, cap - *len);
            *len += n > 0 ? (size_t)n : 0;
            if (n <= 0)
                fds[0].fd = -1;
            if (*len > most)
                return MT_TOO_LARGE;
        }
        if (fds[1].revents) {
            bool full = n_words == WORDS_MAX - 1;
            ssize_t n = read(p->words, full ? spare : words + n_words, full ? sizeof spare : WORDS_MAX - 1 - n_words);
            n_words += n > 0 && !full ? (size_t)n : 0;
            if (n <= 0)
                fds[1].fd = -1;
        }
        fds[0].revents = fds[1].revents = 0;
    }
    words[n_words] = 0;
    return MT_OK;
}

static mt_status explain(int how, const char *words, unsigned cpu_seconds, unsigned memory_mib, char reason[DOC_REASON])
{
    if (WIFSIGNALED(how) && (WTERMSIG(how) == SIGXCPU || WTERMSIG(how) == SIGKILL))
        return doc_fail(reason, MT_TOO_LARGE, "Reading the PDF takes more than %u seconds: print it to a new PDF file and upload that.", cpu_seconds);
    if (strstr(words, "bad_alloc") || strstr(words, "Out of memory") || strstr(words, "Memory allocation"))
        return doc_fail(reason, MT_TOO_LARGE, "Reading the PDF needs more than %u MiB: print it to a new PDF file and upload that.", memory_mib);
    if (WIFEXITED(how) && (WEXITSTATUS(how) == NOT_SEALED || WEXITSTATUS(how) == NOT_STARTED))
        return doc_fail(reason, MT_UNAVAILABLE, "The PDF reader cannot be started in its sandbox.");
    if (strstr(words, "Incorrect password"))
        return doc_fail(reason, MT_INVALID, "The PDF has a password: save it without one and upload it again.");
    if (strstr(words, "Unsupported version/revision") || strstr(words, "encryption"))
        return doc_fail(reason, MT_INVALID, "The PDF is encrypted in a way that cannot be read: save it without protection.");
    return doc_fail(reason, MT_INVALID, "The PDF is damaged: open it and print it to a new PDF file.");
}

static mt_status finish(pdf_program *p, size_t most, char **text, size_t *len, char words[WORDS_MAX], int *how)
{
    *text = NULL;
    *len = 0;
    words[0] = 0;
    mt_status s = drain(p, most, text, len, words);
    close(p->text); /* one that still writes ends here */
    close(p->words);
    return s != MT_OK ? s : waitpid(p->pid, how, 0) == p->pid ? MT_OK : MT_UNAVAILABLE;
}

mt_status pdf_finish(pdf *p, unsigned cpu_seconds, unsigned memory_mib, char **text, size_t *len, char reason[DOC_REASON])
{
    char words[WORDS_MAX];
    int how = 0;
    mt_status s = finish(&p->text, DOC_MAX_BYTES, text, len, words, &how);
    if (s == MT_TOO_LARGE)
        return doc_fail(reason, s, "The PDF's text is longer than %u MiB: split it and upload the parts.", DOC_MAX_BYTES >> 20);
    if (s != MT_OK)
        return doc_fail(reason, s, s == MT_NO_MEMORY ? "Out of memory." : "The PDF reader's answer could not be read.");
    return WIFEXITED(how) && WEXITSTATUS(how) == 0 ? MT_OK : explain(how, words, cpu_seconds, memory_mib, reason);
}

char *pdf_outline(pdf *p, size_t *len)
{
    char words[WORDS_MAX], *text;
    int how = 0;
    if (finish(&p->outline, OUTLINE_MAX, &text, len, words, &how) == MT_OK && WIFEXITED(how) && WEXITSTATUS(how) == 0)
        return text;
    free(text);
    *len = 0;
    return NULL;
}
