/* Identifiers, hashes, random bytes and clocks. Thread-safe. */
#ifndef MTI_BASE_IDENT_H
#define MTI_BASE_IDENT_H

#include <mortise/types.h>

typedef struct mti_uuid { uint8_t b[16]; } mti_uuid;

mti_uuid mti_uuid_v7(void);                              /* RFC 9562; increases within a thread, and between threads from one microsecond to the next */
void mti_uuid_format(mti_uuid id, char out[37]);         /* lower case, NUL-terminated */
bool mti_uuid_parse(mt_slice s, mti_uuid *out);          /* the 36-character form, either case */
static inline bool mti_uuid_eq(mti_uuid a, mti_uuid b) { return memcmp(a.b, b.b, 16) == 0; }
static inline bool mti_uuid_is_nil(mti_uuid a) { return mti_uuid_eq(a, (mti_uuid){{0}}); }

void mti_random(void *p, size_t n);                      /* cryptographic; aborts when the system has none */
void mti_sha256(const void *p, size_t n, uint8_t out[32]);
void mti_hex(const uint8_t *p, size_t n, char *out);     /* 2n characters and a NUL */
size_t mti_decimal(uint64_t n, char out[21]);            /* NUL-terminated; answers the length. For hot paths: printf costs ten times as much */
bool mti_equal_ct(const void *a, const void *b, size_t n);/* constant time */
size_t mti_base64url(const void *p, size_t n, char *out);/* no padding; out holds 4*(n+2)/3 + 1; answers the length */
/* Answers the decoded length, or -1 for anything but unpadded base64url; out holds n*3/4 + 3. */
long mti_base64url_decode(mt_slice s, uint8_t *out);

int64_t mti_now_us(void);                                /* UTC since 1970 */
int64_t mti_mono_us(void);                               /* monotonic */
int64_t mti_thread_cpu_ns(void);
void mti_time_rfc3339(int64_t us, char out[28]);         /* 2026-01-02T03:04:05.123456Z */

#endif
