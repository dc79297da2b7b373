/* An engine against the fake host: one generation with a canned answer. */
#ifndef LLM_WIRE_TESTS_WIRE_TEST_H
#define LLM_WIRE_TESTS_WIRE_TEST_H

#include <mortise/json.h>
#include <mortise/testkit.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

typedef struct wire_run {
    mt_testkit *kit;
    const mt_llm_engine_1_provider *engine;
    mt_status opened, ended;
    mt_handle generation;
    char text[1024];
    mt_llm_engine_counts counts;
    mt_slice tools;
    const char *sent;            /* the request's body */
} wire_run;

/* in->model and in->options are set here; url is where the format asks. Ended with mt_testkit_destroy(run.kit). */
static inline wire_run wire_ask(const mt_plugin *plugin, const char *url, int status, const char *answer, mt_llm_engine_in in)
{
    wire_run r = {.kit = mt_testkit_create(plugin, NULL), .engine = plugin->services[0].table};
    mt_call *c = mt_testkit_call(r.kit);
    mt_slice piece;
    char request[256];
    snprintf(request, sizeof request, "POST %s", url);
    mt_testkit_http(r.kit, request, status, answer);
    in.size = sizeof in;
    in.model = MT_SLICE("m");
    in.options = MT_SLICE("{\"base_url\":\"http://x\",\"api_key_env\":\"WIRE_TEST_KEY\"}");
    setenv("WIRE_TEST_KEY", "secret", 1);
    r.opened = r.engine->open(NULL, c, &in, &r.generation);
    r.sent = mt_testkit_count(r.kit, MT_SEEN_HTTP) ? mt_testkit_seen(r.kit, MT_SEEN_HTTP, 0)->text : "";
    if (r.opened != MT_OK)
        return r;
    while ((r.ended = r.engine->next(NULL, c, r.generation, &piece)) == MT_OK)
        snprintf(r.text + strlen(r.text), sizeof r.text - strlen(r.text), "%.*s|", (int)piece.len, piece.p);
    r.engine->usage(NULL, c, r.generation, &r.counts);
    r.engine->tool_calls(NULL, c, r.generation, &r.tools);
    return r;
}

static inline mt_llm_engine_in wire_in(const char *messages)
{
    return (mt_llm_engine_in){.messages = mt_str(messages), .seed = -1, .temperature = -1, .top_p = -1};
}

static inline bool wire_is(mt_slice s, const char *text)
{
    return mt_slice_eq(s, mt_str(text));
}

#endif
