/*
 * The keys that secrets are encrypted with: a file, one key a line as 64 hex digits. The first line
 * encrypts, all decrypt. Lines that begin with # and empty ones count for nothing.
 *
 * AES-256-GCM with a random nonce; what a secret belongs to is authenticated with it, so a copy in
 * another place does not decrypt. Sealed text: "v1.<key id>.<base64url of nonce, ciphertext, tag>".
 */
#ifndef MTI_SECRETS_KEYRING_H
#define MTI_SECRETS_KEYRING_H

#include "base/buf.h"
#include "base/error.h"

#define MTI_KEY_ID 8 /* hex digits: the beginning of a hash of the key */

typedef struct mti_keyring mti_keyring;

/* Reads nothing yet: the file is looked at whenever it is needed, and read again when it changed.
 * path is copied. NULL: out of memory. All functions: any thread; small blocking file work. */
mti_keyring *mti_keyring_create(const char *path);
void mti_keyring_destroy(mti_keyring *k);
const char *mti_keyring_path(const mti_keyring *k);

/* Appends the sealed text to out. The file is made, with one key and for its owner only, when it is
 * not there. MT_UNAVAILABLE secret_key_unusable: it cannot be read, made, or is no such file. */
mt_status mti_keyring_seal(mti_keyring *k, mt_slice belongs, mt_slice plain, mti_buf *out, mti_error *e);
/* Appends the plain text to out; who disposes of it wipes it (mti_buf_wipe). MT_UNAVAILABLE: secret_key_missing when
 * its key is not in the file, secret_damaged when it was changed or belongs elsewhere; the detail has
 * no pointer and says what to do. */
mt_status mti_keyring_open(mti_keyring *k, mt_slice belongs, mt_slice sealed, mti_buf *out, mti_error *e);
/* Whether sealed text can be opened, but was not sealed with the first key. */
bool mti_keyring_is_old(mti_keyring *k, mt_slice sealed);

/* The ids of the keys, the first first; *n of them, at most 64. MT_NOT_FOUND when there is no file. */
mt_status mti_keyring_list(mti_keyring *k, char ids[64][MTI_KEY_ID + 1], unsigned *n, mti_error *e);

/* Puts a new key before those of the file (made when it is not there) and answers its id. Whoever
 * reads meanwhile sees the old file or the new one. */
mt_status mti_keyring_rotate(const char *path, char id[MTI_KEY_ID + 1], mti_error *e);

void mti_buf_wipe(mti_buf *b); /* disposes of it and leaves nothing in memory */

#endif
