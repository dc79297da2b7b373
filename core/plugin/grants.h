/* What the operator grants single plugins beyond their manifests: the option plugins.grants, "SLUG:read:/dir, SLUG:write:/dir, SLUG:host:NAME[:PORT]".
 * Any thread. */
#ifndef MTI_PLUGIN_GRANTS_H
#define MTI_PLUGIN_GRANTS_H

#include "config/config.h"
#include <mortise/types.h>

/* MT_INVALID names the entry that says nothing. */
mt_status mti_grants_check(const mti_config *c, mti_error *e);

/* Absolute paths of folders and files, one by one: of a plugin in a process of its own. false: no more. *at begins as NULL. */
bool mti_grants_path(const mti_config *c, const char *slug, const char **at, char path[4096], bool *writes);
/* Whether the plugin may reach the host at this port, which the host's own client does for it: no worker has a socket. */
bool mti_grants_host(const mti_config *c, const char *slug, mt_slice host, unsigned port);
/* Whether host is what the pattern says: "api.example.org", "*.example.org" or "*". */
bool mti_host_matches(mt_slice pattern, mt_slice host);

#endif
