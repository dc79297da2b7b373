/* One source for the plugins that must fail: FAULT says how. */
#include <mortise/entry.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { ABI = 1, SIZE, SLUG_, VERSION, CREATE, LOAD, ACTIVATE, SLOW, CRASHLOAD, CRASHACTIVATE, EXITLOAD, FOREVER, NOSY };

#define NAME_(slug) slug##_plugin
#define NAME(slug) NAME_(slug)
#define TEXT_(slug) #slug
#define TEXT(slug) TEXT_(slug)

static mt_status create(void **self)
{
    return FAULT == CREATE ? MT_NO_MEMORY : MT_OK;
}

/* The process that tries a new plugin first sees a good one. */
static bool is_tried(void)
{
    char line[256] = "";
    FILE *f = fopen("/proc/self/cmdline", "r");
    size_t n = f ? fread(line, 1, sizeof line - 1, f) : 0;
    if (f)
        fclose(f);
    return memmem(line, n, "plugin-scan", 11) != NULL;
}

/* Whether the process that tries it lets it do what it must not, on every kernel that we support. */
static bool can_write(void)
{
    char path[] = "/tmp/mortise-nosy-XXXXXX";
    bool can = mkstemp(path) >= 0;
    return (can && unlink(path) == 0) || (mkdir("/tmp/mortise-nosy", 0700) == 0 && rmdir("/tmp/mortise-nosy") == 0);
}

static mt_status load(void *self, const mt_host *host)
{
    if (FAULT == NOSY && is_tried() && can_write())
        return MT_UNSUPPORTED;
    if (FAULT == CRASHLOAD && !is_tried())
        raise(SIGSEGV);
    if (FAULT == EXITLOAD && !is_tried())
        exit(1);
    mt_bind(host);
    return FAULT == LOAD ? MT_UNSUPPORTED : MT_OK;
}

static mt_status activate(void *self, mt_call *c)
{
    if (FAULT == CRASHACTIVATE)
        raise(SIGSEGV);
    if (FAULT == SLOW)
        return mt_sleep(c, 3000);
    return FAULT == ACTIVATE ? mt_problem(c, 500, MT_SLICE("no_luck"), MT_SLICE("today is not the day"), MT_SLICE("")) : MT_OK;
}

static void deactivate(void *self, mt_call *c)
{
    for (volatile unsigned n = 1; FAULT == FOREVER; n++)
        ;
}

static mt_status on_hello(void *self, mt_call *c)
{
    return mt_respond(c, 204, (mt_slice){0});
}

static mt_outcome on_done(void *self, mt_call *c, const void *in, mt_patch *out)
{
    return MT_CONTINUE;
}

static const mt_hook_entry hooks[] = {{"on_done", on_done}};
static const mt_handler_entry handlers[] = {{"on_hello", on_hello}};

MT_EXPORT const mt_plugin NAME(SLUG) = {.abi = FAULT == ABI ? 999 : MT_ABI,
                                        .size = FAULT == SIZE ? 8 : sizeof(mt_plugin),
                                        .slug = FAULT == SLUG_ ? "another" : TEXT(SLUG),
                                        .version = FAULT == VERSION ? "9.9.9" : "0.1.0",
                                        .create = create,
                                        .load = load,
                                        .activate = activate,
                                        .deactivate = deactivate,
                                        .handlers = handlers,
                                        .n_handlers = 1,
                                        .hooks = hooks,
                                        .n_hooks = 1};
