/* Which addresses are on the public internet (the special-purpose registries of RFC 6890 and its
 * updates). */
#include "http/client.h"

#include <netinet/in.h>
#include <sys/socket.h>

typedef struct block4 {
    uint32_t net;
    unsigned bits;
} block4;

static const block4 closed4[] = {
    {0x00000000, 8},  /* this network */
    {0x0a000000, 8},  /* private */
    {0x64400000, 10}, /* carrier NAT */
    {0x7f000000, 8},  /* loopback */
    {0xa9fe0000, 16}, /* link-local, cloud metadata */
    {0xac100000, 12}, /* private */
    {0xc0000000, 24}, /* protocol assignments */
    {0xc0000200, 24}, /* documentation */
    {0xc0586300, 24}, /* 6to4 relay */
    {0xc0a80000, 16}, /* private */
    {0xc6120000, 15}, /* benchmarks */
    {0xc6336400, 24}, /* documentation */
    {0xcb007100, 24}, /* documentation */
    {0xe0000000, 4},  /* multicast */
    {0xf0000000, 4},  /* reserved, broadcast */
};

static bool is_public4(uint32_t a)
{
    for (size_t i = 0; i < sizeof closed4 / sizeof *closed4; i++)
        if (((a ^ closed4[i].net) >> (32 - closed4[i].bits)) == 0)
            return false;
    return true;
}

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static bool is_public6(const uint8_t *a)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    static const uint8_t translated[12] = {0x00, 0x64, 0xff, 0x9b};

    if (memcmp(a, mapped, 12) == 0 || memcmp(a, translated, 12) == 0)
        return is_public4(be32(a + 12));
    if (a[0] == 0x20 && a[1] == 0x02) /* 6to4 */
        return is_public4(be32(a + 2));
    if (be32(a) == 0x20010db8 ||
        (be32(a) & 0xfffffe00) == 0x20010000) /* documentation; Teredo and others */
        return false;
    return (a[0] & 0xe0) == 0x20; /* global unicast is 2000::/3, all else is special */
}

bool mti_http_address_is_public(const struct sockaddr *sa)
{
    if (sa->sa_family == AF_INET)
        return is_public4(ntohl(((const struct sockaddr_in *)sa)->sin_addr.s_addr));
    if (sa->sa_family == AF_INET6)
        return is_public6(((const struct sockaddr_in6 *)sa)->sin6_addr.s6_addr);
    return false;
}
