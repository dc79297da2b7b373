#include "secrets/cipher.h"

#include <openssl/evp.h>

#include "base/ident.h"

mt_status mti_encrypt(const uint8_t key[MTI_CIPHER_KEY], mt_slice belongs, mt_slice plain, uint8_t *out)
{
    int n;
    EVP_CIPHER_CTX *x = EVP_CIPHER_CTX_new();
    mti_random(out, MTI_CIPHER_NONCE);
    bool ok = x && EVP_EncryptInit_ex(x, EVP_aes_256_gcm(), NULL, key, out) &&
              EVP_EncryptUpdate(x, NULL, &n, (const uint8_t *)belongs.p, (int)belongs.len) &&
              EVP_EncryptUpdate(x, out + MTI_CIPHER_NONCE, &n, (const uint8_t *)(plain.p ? plain.p : ""), (int)plain.len) &&
              EVP_EncryptFinal_ex(x, out + MTI_CIPHER_NONCE + plain.len, &n) &&
              EVP_CIPHER_CTX_ctrl(x, EVP_CTRL_GCM_GET_TAG, MTI_CIPHER_TAG, out + MTI_CIPHER_NONCE + plain.len);
    EVP_CIPHER_CTX_free(x);
    return ok ? MT_OK : MT_INTERNAL;
}

bool mti_decrypt(const uint8_t key[MTI_CIPHER_KEY], mt_slice belongs, uint8_t *text, size_t len, uint8_t *out)
{
    int n;
    EVP_CIPHER_CTX *x = EVP_CIPHER_CTX_new();
    bool ok = x && EVP_DecryptInit_ex(x, EVP_aes_256_gcm(), NULL, key, text) &&
              EVP_DecryptUpdate(x, NULL, &n, (const uint8_t *)belongs.p, (int)belongs.len) &&
              EVP_DecryptUpdate(x, out, &n, text + MTI_CIPHER_NONCE, (int)(len - MTI_CIPHER_NONCE - MTI_CIPHER_TAG)) &&
              EVP_CIPHER_CTX_ctrl(x, EVP_CTRL_GCM_SET_TAG, MTI_CIPHER_TAG, text + len - MTI_CIPHER_TAG) &&
              EVP_DecryptFinal_ex(x, out + (len - MTI_CIPHER_NONCE - MTI_CIPHER_TAG), &n) > 0;
    EVP_CIPHER_CTX_free(x);
    return ok;
}
