/* The host's side of interfaces that need no HTTP request: tables for mti_plugins_provide. request/ adds request/1 and stream/1. */
#ifndef MTI_PLUGIN_API_H
#define MTI_PLUGIN_API_H

#include <mortise/interfaces.h>

extern const mt_db_1 mti_api_db;
extern const mt_json_1 mti_api_json;
extern const mt_hook_1 mti_api_hook;
extern const mt_offload_1 mti_api_offload;
extern const mt_defer_1 mti_api_defer;
extern const mt_http_1 mti_api_http;
extern const mt_auth_1 mti_api_auth;
extern const mt_policy_1 mti_api_policy;
extern const mt_service_1 mti_api_service;
extern const mt_thread_1 mti_api_thread;
extern const mt_metrics_1 mti_api_metrics;

#endif
