/* A plugin's shared object and its entry table: the same checks in the host and in a worker. */
#ifndef MTI_WORKER_ENTRY_H
#define MTI_WORKER_ENTRY_H

#include <mortise/plugin.h>

#include "base/error.h"

/* Opens file and finds symbol; ABI, size, slug and version must be those told. Where it fails nothing stays open. Constructors run: not in a fiber. */
mt_status mti_entry_open(const char *slug, const char *version, const char *file, const char *symbol, void **object, const mt_plugin **entry, mti_error *e);

#endif
