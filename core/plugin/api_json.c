/* json/1: documents are trees kept until the call ends. */
#include "plugin/api.h"
#include "plugin/host.h"
#include "plugin/values.h"

static void release(void *json)
{
    json_decref(json);
}

static mt_status json_1_parse(mt_call *c, mt_slice text, mt_handle *out)
{
    json_t *json;
    MT_TRY(mti_json_parse(text, 0, &json, &c->error));
    mti_arena_defer(&c->arena, release, json);
    *out = (mt_handle)(uintptr_t)json;
    return MT_OK;
}

static mt_status json_1_free(mt_call *c, mt_handle doc)
{
    json_t *json = (json_t *)(uintptr_t)doc;
    if (json && mti_arena_undefer(&c->arena, release, json))
        json_decref(json);
    return MT_OK;
}

static json_t *at(mt_handle doc, mt_slice pointer)
{
    return doc ? mti_json_at((json_t *)(uintptr_t)doc, pointer) : NULL;
}

static mt_slice json_1_text(mt_call *c, mt_handle doc, mt_slice pointer)
{
    return mti_value_text(c, at(doc, pointer));
}

static int64_t json_1_count(mt_call *c, mt_handle doc, mt_slice pointer)
{
    const json_t *v = at(doc, pointer);
    return json_is_array(v) ? (int64_t)json_array_size(v) : json_is_object(v) ? (int64_t)json_object_size(v) : -1;
}

static double json_1_number(mt_call *c, mt_handle doc, mt_slice pointer, double fallback)
{
    const json_t *v = at(doc, pointer);
    return json_is_number(v) ? json_number_value(v) : fallback;
}

const mt_json_1 mti_api_json = {.size = sizeof mti_api_json, .version = 1, .parse = json_1_parse, .text = json_1_text,
                                .count = json_1_count, .number = json_1_number, .free = json_1_free};
