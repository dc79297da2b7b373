/* The host process: loops, database, plugins and the HTTP server put together, until the supervisor asks for a stop. */
#ifndef MTI_MAIN_SERVE_H
#define MTI_MAIN_SERVE_H

#include "supervisor/supervisor.h"

/* Called in the supervisor's child. Answers the exit status. */
int mti_host_main(const mti_host_setup *setup);
/* The first load of a plugin's object, in a process of its own (plugin/versions.h). Answers the exit status. */
int mti_host_scan(const char *dir, const char *object, const char *root);

#endif
