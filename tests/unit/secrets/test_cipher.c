/* It is AES-256-GCM: test case 14 of McGrew and Viega's specification. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "secrets/cipher.h"

static const uint8_t key[MTI_CIPHER_KEY];

static void a_published_vector_is_opened(void **state)
{
    uint8_t plain[44], zeros[16] = {0};
    uint8_t text[12 + 16 + 16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                                  0xce, 0xa7, 0x40, 0x3d, 0x4d, 0x60, 0x6b, 0x6e, 0x07, 0x4e, 0xc5, 0xd3, 0xba, 0xf3, 0x9d, 0x18,
                                  0xd0, 0xd1, 0xc8, 0xa7, 0x99, 0x99, 0x6b, 0xf0, 0x26, 0x5b, 0x98, 0xb5, 0xd4, 0x8a, 0xb9, 0x19};
    assert_true(mti_decrypt(key, MT_SLICE(""), text, sizeof text, plain));
    assert_memory_equal(plain, zeros, sizeof zeros);
    assert_false(mti_decrypt(key, MT_SLICE("x"), text, sizeof text, plain));
    text[43] ^= 1;
    assert_false(mti_decrypt(key, MT_SLICE(""), text, sizeof text, plain));
}

static void each_text_has_a_nonce_of_its_own(void **state)
{
    uint8_t a[12 + 1 + 16], b[sizeof a], plain[sizeof a];
    assert_int_equal(mti_encrypt(key, MT_SLICE("x"), MT_SLICE("y"), a), MT_OK);
    assert_int_equal(mti_encrypt(key, MT_SLICE("x"), MT_SLICE("y"), b), MT_OK);
    assert_memory_not_equal(a, b, 12);
    assert_true(mti_decrypt(key, MT_SLICE("x"), a, sizeof a, plain));
    assert_int_equal(plain[0], 'y');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_published_vector_is_opened),
        cmocka_unit_test(each_text_has_a_nonce_of_its_own),
    };
    return cmocka_run_group_tests_name("cipher", tests, NULL, NULL);
}
