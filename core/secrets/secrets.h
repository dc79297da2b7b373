/*
 * Secrets in configurations: the strings whose schema says "format": "secret". A document has three
 * forms. Plain: what a plugin reads. Sealed: what is stored, where {"$secret": "v1.…"} stands for
 * the string. Redacted: what is shown, where MTI_SECRET_SHOWN stands for it.
 *
 * A secret may be a member of an object, at any depth, listed in "properties" or covered by
 * "additionalProperties": its pointer is its name, and what it is sealed for. Not in lists, whose
 * pointers move: a plugin keeps a map of secrets beside its list, and names them there.
 *
 * Any thread. Documents are changed in place and must not be shared; schema NULL has no secrets.
 */
#ifndef MTI_SECRETS_SECRETS_H
#define MTI_SECRETS_SECRETS_H

#include "json/json.h"
#include "secrets/keyring.h"

#define MTI_SECRET_SHOWN "********"

/* Whose document it is: the plugin, and where it stands for a part of the platform only: "" for the
 * whole, else a name that the caller chooses and never changes, as "ORG/WORKSPACE". */
typedef struct mti_secret_place {
    const char *slug, *layer;
} mti_secret_place;

/* MT_INVALID secret_misplaced, with the pointer "/config_schema", for a schema whose secrets stand elsewhere than
 * said above, are no strings, or have a default or other values that are public. */
mt_status mti_secrets_check(const json_t *schema, mti_error *e);

bool mti_secrets_any(const json_t *schema);

/* Prepares what somebody gives: MTI_SECRET_SHOWN becomes what stored (sealed; may be NULL) has in its
 * place. MT_INVALID: secret_unknown when that is nothing, secret_reserved for a member "$secret". */
mt_status mti_secrets_take(const json_t *schema, json_t *given, const json_t *stored, mti_error *e);
/* Plain strings in secrets' places are sealed, null is removed (not in a layer, where it takes away what lies below), and what an older key has sealed is
 * sealed anew. *changed (may be NULL) tells whether anything was. The keyring's failures. */
mt_status mti_secrets_seal(mti_keyring *k, mti_secret_place place, const json_t *schema, json_t *document, bool *changed, mti_error *e);
/* Every sealed value becomes its text, wherever it stands. MT_UNAVAILABLE with the pointer and a
 * sentence that says what to do; document is then of no use. */
mt_status mti_secrets_open(mti_keyring *k, mti_secret_place place, json_t *document, mti_error *e);
/* Adds to pointers (an array) where a secret of the plain document a is none of b, or another (b may be NULL). */
mt_status mti_secrets_compare(const json_t *schema, json_t *a, const json_t *b, json_t *pointers);
/* Whatever is in a secret's place or is sealed becomes MTI_SECRET_SHOWN. What
 * people see is made of sealed documents: only they tell of secrets that schema does not know. */
void mti_secrets_redact(const json_t *schema, json_t *document);

#endif
