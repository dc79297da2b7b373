#include "base/ident.h"

#include <endian.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

static const char hex_digits[] = "0123456789abcdef";

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "ident: %s\n", what);
    abort();
}

/* Bytes for ids only, drawn from the kernel 32 ids at a time: a system call for each would cost more
 * than the rest of the id. A forked child draws its own. */
typedef struct id_pool {
    unsigned generation; /* of forks, when it was filled; 0: never */
    size_t left;
    uint8_t bytes[512];
} id_pool;

static atomic_uint fork_generation = 1;
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

static void on_fork(void)
{
    atomic_fetch_add_explicit(&fork_generation, 1, memory_order_relaxed);
}

static void watch_forks(void)
{
    if (pthread_atfork(NULL, NULL, on_fork))
        die("no memory to watch for forks");
}

static void random_id(uint8_t out[16])
{
    static _Thread_local id_pool pool;
    unsigned now = atomic_load_explicit(&fork_generation, memory_order_relaxed);
    if (pool.generation != now || !pool.left) {
        pthread_once(&fork_once, watch_forks);
        mti_random(pool.bytes, sizeof pool.bytes);
        pool.generation = now;
        pool.left = sizeof pool.bytes;
    }
    pool.left -= 16;
    memcpy(out, pool.bytes + pool.left, 16);
}

mti_uuid mti_uuid_v7(void)
{
    static _Thread_local uint64_t last; /* milliseconds << 12 | the 4096ths of the next (RFC 9562, 6.2, method 3) */
    mti_uuid id;
    random_id(id.b);
    uint64_t us = (uint64_t)mti_now_us(), now = us / 1000 << 12 | us % 1000 * 4096 / 1000;
    last = now > last ? now : last + 1; /* several in a microsecond borrow from the next */
    for (int i = 0; i < 6; i++)
        id.b[i] = (uint8_t)(last >> (52 - 8 * i));
    id.b[6] = (uint8_t)(0x70 | (last >> 8 & 0x0F));
    id.b[7] = (uint8_t)last;
    id.b[8] = (id.b[8] & 0x3F) | 0x80;
    return id;
}

static bool is_dash_at(int i)
{
    return i == 8 || i == 13 || i == 18 || i == 23;
}

/* Eight digits of four bytes, all at once: each nibble gets a byte of its own, and those over 9 the way from '9' to 'a' besides. */
static void hex_four(const uint8_t *p, char *out)
{
    uint32_t four;
    memcpy(&four, p, sizeof four);
    uint64_t n = be32toh(four);
    n = (n << 16 | n) & 0x0000FFFF0000FFFFu;
    n = (n << 8 | n) & 0x00FF00FF00FF00FFu;
    n = (n << 4 | n) & 0x0F0F0F0F0F0F0F0Fu;
    uint64_t over = (n + 0x0606060606060606u) >> 4 & 0x0101010101010101u;
    n += 0x3030303030303030u + over * ('a' - '0' - 10);
    n = htobe64(n);
    memcpy(out, &n, sizeof n);
}

void mti_uuid_format(mti_uuid id, char out[37])
{
    char hex[32];
    for (int i = 0; i < 4; i++)
        hex_four(id.b + 4 * i, hex + 8 * i);
    memcpy(out, hex, 8);
    memcpy(out + 9, hex + 8, 4);
    memcpy(out + 14, hex + 12, 4);
    memcpy(out + 19, hex + 16, 4);
    memcpy(out + 24, hex + 20, 12);
    out[8] = out[13] = out[18] = out[23] = '-';
    out[36] = 0;

}

/* One more than the value of a hexadecimal digit in either case; 0: none. */
static const int8_t hex_values[256] = {['0'] = 1,  2,  3,  4,  5,  6,         7,  8,  9,  10, ['A'] = 11,
                                       12,         13, 14, 15, 16, ['a'] = 11, 12, 13, 14, 15, 16};

bool mti_uuid_parse(mt_slice s, mti_uuid *out)
{
    if (s.len != 36)
        return false;
    mti_uuid id;
    uint8_t *b = id.b;
    for (int i = 0; i < 36;) {
        if (is_dash_at(i)) {
            if (s.p[i++] != '-')
                return false;
            continue;
        }
        int high = hex_values[(unsigned char)s.p[i]] - 1, low = hex_values[(unsigned char)s.p[i + 1]] - 1;
        if ((high | low) < 0)
            return false;
        *b++ = (uint8_t)(high << 4 | low);
        i += 2;
    }
    *out = id;
    return true;
}

/* The kernel's generator on every call: nothing is pooled here, so secrets are never in memory
 * before they are used. */
void mti_random(void *p, size_t n)
{
    char *at = p;
    while (n) {
        ssize_t got = getrandom(at, n, 0);
        if (got < 0 && errno != EINTR)
            die("the system has no random bytes");
        if (got > 0) {
            at += got;
            n -= (size_t)got;
        }
    }
}

static EVP_MD *sha256_md;
static pthread_once_t sha256_once = PTHREAD_ONCE_INIT;

static void sha256_fetch(void)
{
    sha256_md = EVP_MD_fetch(NULL, "SHA256", NULL);
}

void mti_sha256(const void *p, size_t n, uint8_t out[32])
{
    pthread_once(&sha256_once, sha256_fetch);
    if (!sha256_md || EVP_Digest(n ? p : "", n, out, NULL, sha256_md, NULL) != 1)
        die("SHA-256 failed");
}

void mti_hex(const uint8_t *p, size_t n, char *out)
{
    for (; n >= 4; n -= 4, p += 4, out += 8)
        hex_four(p, out);
    for (size_t i = 0; i < n; i++) {
        *out++ = hex_digits[p[i] >> 4];
        *out++ = hex_digits[p[i] & 15];
    }
    *out = 0;
}

size_t mti_decimal(uint64_t n, char out[21])
{
    char reversed[20];
    size_t len = 0;
    do
        reversed[len++] = (char)('0' + n % 10);
    while (n /= 10);
    for (size_t i = 0; i < len; i++)
        out[i] = reversed[len - 1 - i];
    out[len] = 0;
    return len;
}

bool mti_equal_ct(const void *a, const void *b, size_t n)
{
    return n == 0 || CRYPTO_memcmp(a, b, n) == 0;
}

size_t mti_base64url(const void *p, size_t n, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const uint8_t *s = p;
    char *at = out;
    uint32_t bits = 0;
    int have = 0;
    for (size_t i = 0; i < n; i++) {
        bits = bits << 8 | s[i];
        for (have += 8; have >= 6;)
            *at++ = digits[bits >> (have -= 6) & 63];
    }
    if (have)
        *at++ = digits[bits << (6 - have) & 63];
    *at = 0;
    return (size_t)(at - out);
}

static int base64url_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

long mti_base64url_decode(mt_slice s, uint8_t *out)
{
    if (s.len % 4 == 1)
        return -1;
    uint8_t *at = out;
    uint32_t bits = 0;
    int have = 0;
    for (size_t i = 0; i < s.len; i++) {
        int v = base64url_value(s.p[i]);
        if (v < 0)
            return -1;
        bits = bits << 6 | (uint32_t)v;
        have += 6;
        if (have >= 8)
            *at++ = (uint8_t)(bits >> (have -= 8));
    }
    if (bits & ((1u << have) - 1)) /* two texts for one value would let a token be altered unseen */
        return -1;
    return (long)(at - out);
}

static int64_t clock_ns(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t mti_now_us(void)
{
    return clock_ns(CLOCK_REALTIME) / 1000;
}

int64_t mti_mono_us(void)
{
    return clock_ns(CLOCK_MONOTONIC) / 1000;
}

int64_t mti_thread_cpu_ns(void)
{
    return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

void mti_time_rfc3339(int64_t us, char out[28])
{
    const int64_t day_us = (int64_t)86400 * 1000000;
    const int64_t last = 253402300799999999; /* 9999-12-31T23:59:59.999999Z */
    us = us < -62167219200000000 ? -62167219200000000 : us > last ? last : us;
    int64_t days = us / day_us - (us % day_us < 0);
    int64_t rest = us - days * day_us;
    /* Years counted from 1 March 0000, so that the leap day is the last day of a year. */
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    unsigned day = (unsigned)(doy - (153 * mp + 2) / 5 + 1);
    unsigned month = (unsigned)(mp < 10 ? mp + 3 : mp - 9);
    unsigned year = (unsigned)(yoe + era * 400 + (month <= 2));
    int64_t seconds = rest / 1000000;
    snprintf(out, 28, "%04u-%02u-%02uT%02u:%02u:%02u.%06uZ", year % 10000, month % 100, day % 100,
             (unsigned)(seconds / 3600) % 100, (unsigned)(seconds / 60 % 60),
             (unsigned)(seconds % 60), (unsigned)(rest % 1000000));
}
