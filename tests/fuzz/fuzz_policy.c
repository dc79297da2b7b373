/* Bytes as a policy's text: compiles it and runs it twice. Limits must end every script, and the
 * state stay usable. */
#include <mortise/hooks.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "bus/patch.h"
#include "policy/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static mt_outcome run(mti_policy *p, mt_call *c)
{
    union {
        uint32_t size;
        char bytes[512];
    } payload = {0};
    const mti_hook_info *hook = &mti_hook_catalogue[mti_policy_hook(p)];
    mt_patch patch;
    payload.size = hook->size;
    mti_patch_init(&patch, c, hook);
    mt_outcome outcome = mti_policy_run(p, c, &payload, &patch);
    if (outcome == MT_CONTINUE || outcome == MT_STOP)
        mti_patch_apply(&patch, &payload, NULL);
    return outcome;
}

static void run_text(mti_policies *engine, mt_slice text, bool must_work)
{
    mt_call c;
    mti_policy *p;
    mti_error e;
    mti_call_init(&c, NULL);
    if (mti_policy_compile(engine, "fuzz", text, &p, &e) == MT_OK) {
        mt_outcome outcome = run(p, &c);
        if (!must_work)
            run(p, &c);
        else if (outcome != MT_DENY)
            abort();
        mti_policy_release(p);
    }
    mti_call_dispose(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static mti_policies *engine;
    if (!engine) {
        mti_log_setup(-1, MTI_LOG_ERROR, MTI_LOG_LOGFMT);
        engine = mti_policies_create(&(mti_policy_limits){.instructions = 20000, .cpu_us = 1000000},
                                     NULL, 0);
    }
    static const char head[] = "-- hook: chat.prepare\n";
    char *text = malloc(sizeof head + size);
    if (!text)
        return 0;
    memcpy(text, head, sizeof head - 1);
    if (size)
        memcpy(text + sizeof head - 1, data, size);
    run_text(engine, (mt_slice){text, sizeof head - 1 + size}, false);
    run_text(engine,
             MT_SLICE("-- hook: chat.prepare\nif ('abc'):find('b') == 2 then decide.deny(403) end"),
             true);
    free(text);
    return 0;
}
