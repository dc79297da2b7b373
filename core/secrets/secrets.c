#include "secrets/secrets.h"

#include <stdio.h>

/* One walk over a document; on() sees each value before what is in it. */
typedef struct walk {
    mt_status (*on)(struct walk *w, bool secret, const json_t *value, const json_t *other, json_t **now);
    mti_keyring *keys;
    mti_secret_place place;
    bool changed;
    json_t *pointers;
    mti_buf pointer;
    mti_error *e;
} walk;

static bool is_secret(const json_t *schema)
{
    return mt_slice_eq(mti_json_get_string(schema, "format", (mt_slice){0}), MT_SLICE("secret"));
}

/* The text of {"$secret": "…"}; {NULL, 0} for anything else. */
static mt_slice sealed_text(const json_t *value)
{
    return json_object_size(value) == 1 ? mti_json_text(json_object_get(value, "$secret")) : (mt_slice){0};
}

static const json_t *schema_of(const json_t *schema, const char *member)
{
    const json_t *named = json_object_get(json_object_get(schema, "properties"), member);
    return named ? named : json_object_get(schema, "additionalProperties");
}

static mt_status fail_at(walk *w, mt_status s, const char *code, const char *text)
{
    const char *at = w->pointer.p ? w->pointer.p : "";
    s = mti_fail(w->e, s, code, "%.100s: %.270s", at, text);
    if (w->e)
        snprintf(w->e->pointer, sizeof w->e->pointer, "%s", at);
    return s;
}

static mt_status visit(walk *w, const json_t *schema, json_t *value, const json_t *other, json_t **now);

static mt_status visit_members(walk *w, const json_t *schema, json_t *object, const json_t *other)
{
    const char *name;
    void *next;
    json_t *member;
    json_object_foreach_safe(object, next, name, member)
    {
        size_t len = w->pointer.len;
        json_t *now = member;
        MT_TRY(mti_json_pointer_add(&w->pointer, mt_str(name)));
        MT_TRY(visit(w, schema_of(schema, name), member, json_object_get(other, name), &now));
        w->pointer.p[w->pointer.len = len] = 0;
        w->changed |= now != member;
        if (!now)
            json_object_del(object, name);
        else if (now != member && json_object_set_new(object, name, now) != 0)
            return MT_NO_MEMORY;
    }
    return MT_OK;
}

static mt_status visit_items(walk *w, json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        char name[24];
        size_t len = w->pointer.len;
        json_t *item = json_array_get(list, i), *now = item;
        snprintf(name, sizeof name, "%zu", i);
        MT_TRY(mti_json_pointer_add(&w->pointer, mt_str(name)));
        MT_TRY(visit(w, NULL, item, NULL, &now));
        w->pointer.p[w->pointer.len = len] = 0;
        if (now && now != item && json_array_set_new(list, i, now) != 0)
            return MT_NO_MEMORY;
    }
    return MT_OK;
}

/* *now: a new value in its place, or NULL: it goes. */
static mt_status visit(walk *w, const json_t *schema, json_t *value, const json_t *other, json_t **now)
{
    MT_TRY(w->on(w, is_secret(schema), value, other, now));
    if (*now != value)
        return MT_OK;
    return json_is_object(value) ? visit_members(w, schema, value, other) : visit_items(w, value);
}

static mt_status run(walk *w, const json_t *schema, json_t *document, const json_t *other)
{
    mti_buf_init(&w->pointer, 1 << 16);
    mt_status s = visit_members(w, schema, document, other);
    if (s != MT_OK && w->e && !w->e->code[0])
        mti_fail(w->e, s, "config_too_large", "The configuration is too large.");
    mti_buf_dispose(&w->pointer);
    return s;
}

/* ---- what is given ---- */

static mt_status on_given(walk *w, bool secret, const json_t *value, const json_t *other, json_t **now)
{
    bool kept = sealed_text(other).p, shown = mt_slice_eq(mti_json_text(value), MT_SLICE(MTI_SECRET_SHOWN));
    if (json_object_get(value, "$secret"))
        return fail_at(w, MT_INVALID, "secret_reserved", "a member \"$secret\" cannot be given; give the secret as a string");
    if (!shown || !(secret || kept))
        return MT_OK;
    if (!kept && !json_is_string(other))
        return fail_at(w, MT_INVALID, "secret_unknown", "there is no secret here that could be kept; give it");
    *now = json_deep_copy(other);
    return *now ? MT_OK : MT_NO_MEMORY;
}

mt_status mti_secrets_take(const json_t *schema, json_t *given, const json_t *stored, mti_error *e)
{
    walk w = {.on = on_given, .e = e};
    if (json_object_get(given, "$secret"))
        return mti_fail(e, MT_INVALID, "secret_reserved", "A member \"$secret\" cannot be given; give the secret as a string.");
    return run(&w, schema, given, stored);
}

/* ---- sealed and opened ---- */

/* What a secret belongs to. No slug and no layer has a line break, so no two places read alike. */
static mt_status add_place(const walk *w, mti_buf *b)
{
    return mti_buf_addf(b, "%s\n%s\n%s", w->place.slug, w->place.layer, w->pointer.p);
}

static mt_status open_text(walk *w, mt_slice sealed, mti_buf *plain)
{
    mti_buf belongs;
    mti_buf_init(&belongs, 1 << 17);
    mt_status s = add_place(w, &belongs);
    if (s == MT_OK)
        s = mti_keyring_open(w->keys, mti_buf_slice(&belongs), sealed, plain, w->e);
    mti_buf_dispose(&belongs);
    return s;
}

static mt_status seal_text(walk *w, mt_slice plain, json_t **now)
{
    mti_buf belongs, text;
    mti_buf_init(&belongs, 1 << 17);
    mti_buf_init(&text, 2 << 20);
    mt_status s = add_place(w, &belongs);
    if (s == MT_OK)
        s = mti_keyring_seal(w->keys, mti_buf_slice(&belongs), plain, &text, w->e);
    if (s == MT_OK) {
        *now = json_pack("{s:s%}", "$secret", text.p, text.len);
        s = *now ? MT_OK : MT_NO_MEMORY;
    }
    mti_buf_dispose(&belongs);
    mti_buf_dispose(&text);
    return s;
}

static mt_status seal_again(walk *w, mt_slice sealed, json_t **now)
{
    mti_buf plain;
    mti_buf_init(&plain, 2 << 20);
    mt_status s = open_text(w, sealed, &plain);
    if (s == MT_OK)
        s = seal_text(w, mti_buf_slice(&plain), now);
    mti_buf_wipe(&plain);
    return s;
}

static mt_status on_seal(walk *w, bool secret, const json_t *value, const json_t *other, json_t **now)
{
    mt_slice sealed = sealed_text(value);
    if (sealed.p)
        return mti_keyring_is_old(w->keys, sealed) ? seal_again(w, sealed, now) : MT_OK;
    if (secret && json_is_null(value) && !*w->place.layer)
        *now = NULL;
    return secret && json_is_string(value) ? seal_text(w, mti_json_text(value), now) : MT_OK;
}

mt_status mti_secrets_seal(mti_keyring *k, mti_secret_place place, const json_t *schema, json_t *document, bool *changed, mti_error *e)
{
    walk w = {.on = on_seal, .keys = k, .place = place, .e = e};
    mt_status s = run(&w, schema, document, NULL);
    if (changed)
        *changed = w.changed;
    return s;
}

static mt_status on_sealed(walk *w, bool secret, const json_t *value, const json_t *other, json_t **now)
{
    char why[sizeof w->e->detail + 40];
    mt_slice sealed = sealed_text(value);
    mti_buf plain;
    if (!sealed.p)
        return MT_OK;
    mti_buf_init(&plain, 2 << 20);
    mt_status s = open_text(w, sealed, &plain);
    if (s == MT_OK) {
        *now = json_stringn(plain.p, plain.len);
        s = *now ? MT_OK : MT_NO_MEMORY;
    } else if (w->e && w->e->code[0]) {
        char code[sizeof w->e->code];
        memcpy(code, w->e->code, sizeof code);
        snprintf(why, sizeof why, "the secret cannot be decrypted: %.210s, or give the secret anew", w->e->detail);
        fail_at(w, s, code, why);
    }
    mti_buf_wipe(&plain);
    return s;
}

mt_status mti_secrets_open(mti_keyring *k, mti_secret_place place, json_t *document, mti_error *e)
{
    walk w = {.on = on_sealed, .keys = k, .place = place, .e = e};
    return run(&w, NULL, document, NULL);
}

/* ---- compared ---- */

static mt_status on_compared(walk *w, bool secret, const json_t *value, const json_t *other, json_t **now)
{
    if (!secret || (other && json_equal(value, other)))
        return MT_OK;
    return json_array_append_new(w->pointers, json_stringn(w->pointer.p, w->pointer.len)) == 0 ? MT_OK : MT_NO_MEMORY;
}

mt_status mti_secrets_compare(const json_t *schema, json_t *a, const json_t *b, json_t *pointers)
{
    walk w = {.on = on_compared, .pointers = pointers};
    return run(&w, schema, a, b);
}

/* ---- shown ---- */

static mt_status on_shown(walk *w, bool secret, const json_t *value, const json_t *other, json_t **now)
{
    if ((secret && !json_is_null(value)) || sealed_text(value).p)
        *now = json_string(MTI_SECRET_SHOWN);
    return MT_OK; /* without memory the value goes, which shows nothing either */
}

void mti_secrets_redact(const json_t *schema, json_t *document)
{
    walk w = {.on = on_shown};
    if (run(&w, schema, document, NULL) != MT_OK)
        json_object_clear(document); /* better nothing than a secret */
}

/* ---- schemas ---- */

static size_t count_all(const json_t *node)
{
    const char *name;
    size_t i, n = json_is_object(node) && is_secret(node);
    json_t *v;
    json_object_foreach((json_t *)node, name, v)
        n += count_all(v);
    json_array_foreach((json_t *)node, i, v)
        n += count_all(v);
    return n;
}

bool mti_secrets_any(const json_t *schema)
{
    return count_all(schema) > 0;
}

static bool is_public(const json_t *schema)
{
    static const char *const members[] = {"default", "const", "enum", "examples"};
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        if (json_object_get(schema, members[i]))
            return true;
    return !mt_slice_eq(mti_json_get_string(schema, "type", (mt_slice){0}), MT_SLICE("string"));
}

static mt_status count_known(const json_t *schema, const char *name, size_t *n, mti_error *e)
{
    const char *inner;
    json_t *v;
    if (is_secret(schema)) {
        ++*n;
        return !is_public(schema) ? MT_OK
               : mti_fail(e, MT_INVALID, "secret_misplaced", "The secret \"%.60s\" must be of type string, without default, const, enum and examples.", name);
    }
    json_object_foreach(json_object_get(schema, "properties"), inner, v)
        MT_TRY(count_known(v, inner, n, e));
    v = json_object_get(schema, "additionalProperties");
    return json_is_object(v) ? count_known(v, name, n, e) : MT_OK;
}

mt_status mti_secrets_check(const json_t *schema, mti_error *e)
{
    size_t known = 0;
    mt_status s = count_known(schema, "", &known, e);
    if (s == MT_OK && (known != count_all(schema) || is_secret(schema)))
        s = mti_fail(e, MT_INVALID, "secret_misplaced",
                     "A secret stands under properties or additionalProperties of objects only, not in lists, references or alternatives: keep a map of secrets and name them where they are used.");
    if (s != MT_OK && e)
        snprintf(e->pointer, sizeof e->pointer, "/config_schema");
    return s;
}
