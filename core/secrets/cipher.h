/* AES-256-GCM with a random nonce. Any thread. */
#ifndef MTI_SECRETS_CIPHER_H
#define MTI_SECRETS_CIPHER_H

#include <mortise/types.h>

enum { MTI_CIPHER_KEY = 32, MTI_CIPHER_NONCE = 12, MTI_CIPHER_TAG = 16 };

/* belongs is authenticated with the text. out: nonce, ciphertext (as long as plain), tag. MT_INTERNAL. */
mt_status mti_encrypt(const uint8_t key[MTI_CIPHER_KEY], mt_slice belongs, mt_slice plain, uint8_t *out);
/* text: what mti_encrypt made, of at least a nonce and a tag; out has room for len bytes. False: it was
 * not made with this key for this place, and out is worth nothing. */
bool mti_decrypt(const uint8_t key[MTI_CIPHER_KEY], mt_slice belongs, uint8_t *text, size_t len, uint8_t *out);

#endif
