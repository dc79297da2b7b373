/* Tells when files of a folder were saved (inotify). One thread. */
#ifndef MTI_CLI_PLUGIN_WATCH_H
#define MTI_CLI_PLUGIN_WATCH_H

#include "base/error.h"

typedef struct mti_watch {
    int fd;
    const char *dir;       /* borrowed */
} mti_watch;

/* The folder and those below it, without "build" and what begins with a dot; folders that come
 * later are watched too. Close in every case. */
mt_status mti_watch_open(mti_watch *w, const char *dir, mti_error *e);
void mti_watch_close(mti_watch *w);
/* Waits at most timeout_ms, or until a signal. True when something was saved, moved or removed,
 * and since then nothing for a moment: an editor writes one file in several steps, and several
 * files at once. Names that begin with a dot or end with '~' do not count. */
bool mti_watch_wait(mti_watch *w, int timeout_ms);

#endif
