/* Configurations on their way between people, rows and plugins: what is given is checked and sealed, what is stored is opened. */
#include "plugin/record.h"
#include "plugin/setting_rows.h"

#include "base/ident.h"
#include "secrets/secrets.h"

static const json_t *schema_of(const mti_manifest *m)
{
    return m ? m->config_schema : NULL;
}

mt_status mti_config_open(mt_call *c, const char *slug, const char *layer, const json_t *stored, json_t **out)
{
    json_t *plain = json_deep_copy(stored);
    mt_status s = plain ? mti_secrets_open(c->host->secrets, (mti_secret_place){slug, layer}, plain, &c->error)
                        : mti_fail(&c->error, MT_NO_MEMORY, "no_memory", "Out of memory.");
    if (s == MT_OK)
        *out = plain;
    else
        json_decref(plain);
    return s;
}

mt_status mti_config_seal(mt_call *c, const mti_manifest *m, const char *layer, const json_t *given, const json_t *stored, bool over, json_t **out)
{
    json_t *plain = NULL, *sealed = json_deep_copy(given);
    mt_status s = sealed ? mti_secrets_take(schema_of(m), sealed, stored, &c->error) : MT_NO_MEMORY;
    if (s == MT_OK && over && stored) {
        json_t *both = json_deep_copy(stored);
        s = both && json_object_update_recursive(both, sealed) == 0 ? MT_OK : MT_NO_MEMORY;
        json_decref(sealed);
        sealed = both;
    }
    if (s == MT_OK && m)
        s = mti_secrets_seal(c->host->secrets, (mti_secret_place){m->slug, layer}, schema_of(m), sealed, NULL, &c->error);
    if (s == MT_OK)
        s = mti_setting_text(c, sealed, &(mt_slice){0});
    if (s == MT_OK && m)
        s = mti_config_open(c, m->slug, layer, sealed, &plain);
    if (s == MT_OK)
        s = mti_config_check(m, m ? plain : sealed, c);
    json_decref(plain);
    if (s == MT_OK)
        *out = sealed;
    else
        json_decref(sealed);
    return s == MT_NO_MEMORY ? mti_fail(&c->error, s, "no_memory", "Out of memory.") : s;
}

json_t *mti_config_shown(const mti_manifest *m, const json_t *config)
{
    json_t *shown = json_deep_copy(config);
    mti_secrets_redact(schema_of(m), shown);
    return shown;
}

void mti_config_defaults(const mti_manifest *m, json_t *config)
{
    if (m && m->config_check)
        mti_schema_apply_defaults(m->config_check, config);
}

void mti_config_etag(const json_t *stored, char out[21])
{
    mti_buf text;
    uint8_t digest[32];
    uint64_t number;
    mti_buf_init(&text, 2 << 20);
    if (json_object_size(stored))
        mti_json_dump(stored, &text);
    mti_sha256(text.p ? text.p : "", text.len, digest);
    memcpy(&number, digest, sizeof number);
    mti_decimal(number % 1000000000000000000u, out);      /* entity tags are numbers of at most 18 digits */
    mti_buf_dispose(&text);
}

/* What is stored may be unreadable now: then every secret counts as another. */
static json_t *open_before(mt_call *c, const mti_manifest *m, const json_t *stored)
{
    json_t *before = NULL;
    mti_error e = c->error;
    if (stored)
        mti_config_open(c, m->slug, "", stored, &before);
    c->error = e;
    return before;
}

mt_status mti_config_preview(mt_call *c, const mti_manifest *m, const json_t *given, const json_t *stored, bool over, json_t **out)
{
    char etag[21];
    json_t *sealed, *after = NULL, *shown, *changed = json_array();
    mt_status s = mti_config_seal(c, m, "", given, stored, over, &sealed);
    if (s == MT_OK) {
        json_t *before = open_before(c, m, stored);
        s = mti_config_open(c, m->slug, "", sealed, &after);
        if (s == MT_OK)
            s = mti_secrets_compare(schema_of(m), after, before, changed);
        json_decref(after);
        json_decref(before);
        if (s == MT_OK) {
            mti_config_etag(stored, etag);
            shown = mti_config_shown(m, sealed);
            mti_config_defaults(m, shown);
            *out = json_pack("{s:o,s:O,s:s}", "config", shown, "secrets_changed", changed, "etag", etag);
        }
        json_decref(sealed);
    }
    json_decref(changed);
    return s;
}
