#include "cli/plugin_watch.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

enum { QUIET_MS = 40, DEPTH = 6, EVENTS = IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CREATE | IN_ONLYDIR };

static bool counts(const char *name)
{
    size_t n = strlen(name);
    return n && name[0] != '.' && name[n - 1] != '~' && strcmp(name, "build");
}

/* Adding a folder that is watched changes nothing, so the whole tree is added again when a folder comes. */
static bool add(int fd, const char *dir, int depth)
{
    char path[PATH_MAX];
    struct stat st;
    DIR *d = inotify_add_watch(fd, dir, EVENTS) < 0 || depth == 0 ? NULL : opendir(dir);
    if (!d)
        return false;
    for (struct dirent *f; (f = readdir(d));)
        if (counts(f->d_name) && snprintf(path, sizeof path, "%s/%s", dir, f->d_name) < PATH_MAX && lstat(path, &st) == 0 && S_ISDIR(st.st_mode))
            add(fd, path, depth - 1);
    closedir(d);
    return true;
}

mt_status mti_watch_open(mti_watch *w, const char *dir, mti_error *e)
{
    *w = (mti_watch){.fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC), .dir = dir};
    if (w->fd >= 0 && add(w->fd, dir, DEPTH))
        return MT_OK;
    return mti_fail(e, MT_INTERNAL, "cannot_watch", "%.300s cannot be watched: %s.", dir, strerror(errno));
}

void mti_watch_close(mti_watch *w)
{
    if (w->fd >= 0)
        close(w->fd);
    w->fd = -1;
}

/* Reads what is there. */
static bool take(mti_watch *w)
{
    char buffer[16 << 10] __attribute__((aligned(__alignof__(struct inotify_event))));
    bool changed = false, folders = false;
    for (ssize_t n; (n = read(w->fd, buffer, sizeof buffer)) > 0;)
        for (char *p = buffer; p < buffer + n;) {
            const struct inotify_event *event = (const struct inotify_event *)p;
            bool folder = event->mask & IN_ISDIR, created = event->mask & IN_CREATE;
            bool named = event->len && counts(event->name);
            folders |= folder && named;
            changed |= (event->mask & IN_Q_OVERFLOW) || (named && (folder || !created));   /* a new file counts when it was written */
            p += sizeof *event + event->len;
        }
    if (folders)
        add(w->fd, w->dir, DEPTH);
    return changed;
}

bool mti_watch_wait(mti_watch *w, int timeout_ms)
{
    struct pollfd p = {.fd = w->fd, .events = POLLIN};
    bool changed = false;
    while (poll(&p, 1, changed ? QUIET_MS : timeout_ms) > 0) {
        bool now = take(w);
        if (!now && !changed)
            return false;
        changed = true;
    }
    return changed;
}
