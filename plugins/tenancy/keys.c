/* Making API keys. The key leaves in this one answer; what is kept is its beginning and its hash.
 */
#include "key_text.h"
#include "tenancy.h"

#include <mortise/json.h>
#include <sys/random.h>

static mt_status insert_key(mt_call *c, const key_text *k, const unsigned char hash[32],
                            mt_handle *row)
{
    const mt_field args[] = {
        {MT_SLICE("id"), mt_new_id(c)},
        {MT_SLICE("in_workspace"), mt_workspace_id(c)},
        {MT_SLICE("key_prefix"), {k->text, k->shown}},
        {MT_SLICE("hash"), {(const char *)hash, 32}},
        {MT_SLICE("created_by"), mt_subject_id(c)},
    };
    return mt_db_one(c, MT_SLICE("key_create"), args, sizeof args / sizeof *args, row);
}

mt_status tenancy_on_key_create(void *self, mt_call *c)
{
    unsigned char random[KEY_RANDOM], hash[32];
    key_text k;
    mt_handle row;
    mt_slice json;
    bool test = mt_slice_eq(mt_param(c, MT_SLICE("mode")), MT_SLICE("test"));
    if (getrandom(random, sizeof random, 0) != sizeof random ||
        !key_text_make(&k, mt_setting(c, MT_SLICE("key.prefix")), test, random))
        return mt_problem(c, 500, MT_SLICE("key_not_made"),
                          MT_SLICE("No key could be made: key.prefix may have 64 characters."),
                          MT_SLICE(""));
    if (!tenancy_hash(self, (mt_slice){k.text, k.len}, hash))
        return MT_INTERNAL;
    MT_TRY(insert_key(c, &k, hash, &row));
    MT_TRY(mt_db_json(c, row, 0, &json));
    MT_TRY(mt_respond_header(c, MT_SLICE("cache-control"), MT_SLICE("no-store")));
    return mt_respond(c, 201,
                      mt_printf(c, "{\"key\":\"%s\",%.*s", k.text, (int)json.len - 1, json.p + 1));
}
