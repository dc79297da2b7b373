/* What an operator is told of one plugin: all of what it is, what it did, and what is wrong with it
 * and what helps. */
#ifndef MTI_PLUGIN_STATUS_H
#define MTI_PLUGIN_STATUS_H

#include "plugin/host.h"

/* An object (PluginStatus of manifests/core/api.json). In a fiber; reads the plugin's folder and
 * the database. MT_NOT_FOUND; MT_LIMITED: it does not fit. */
mt_status mti_plugin_status(mt_call *c, mt_slice slug, mti_buf *out);

#endif
