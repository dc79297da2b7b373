/* The value types that cross the plugin boundary: scalars, slices, handles and flat structs, nothing else. */
#ifndef MORTISE_TYPES_H
#define MORTISE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Every function that can fail answers one of these. Numbers are frozen: append only. */
typedef enum mt_status {
    MT_OK = 0,
    MT_DONE = 1,             /* a sequence ended; not an error */
    MT_CANCELLED = 2,        /* the client left or the host stops: release and return */
    MT_TIMEOUT = 3,          /* a deadline or budget passed */
    MT_NOT_FOUND = 4,
    MT_INVALID = 5,          /* the caller's input is wrong */
    MT_CONFLICT = 6,
    MT_DENIED = 7,           /* known, but not allowed */
    MT_UNAUTHENTICATED = 8,
    MT_LIMITED = 9,          /* a rate, quota or concurrency limit */
    MT_TOO_LARGE = 10,       /* over a size limit; not out of memory */
    MT_UNAVAILABLE = 11,     /* a dependency is down: try again later */
    MT_UNSUPPORTED = 12,
    MT_PRECONDITION = 13,    /* If-Match did not match */
    MT_NO_MEMORY = 14,
    MT_INTERNAL = 15,
} mt_status;

/* Bytes that someone else owns; not NUL-terminated unless a comment says so. p may be NULL when len is 0. */
typedef struct mt_slice {
    const char *p;
    size_t len;
} mt_slice;

/* Names an object of the host within one call (a result, a generation, an index …); 0 names nothing. */
typedef uint64_t mt_handle;

/* A named value: a query argument, a log field, a job property. A value with p == NULL is SQL NULL / JSON null. */
typedef struct mt_field {
    mt_slice name;
    mt_slice value;
} mt_field;

/* One activity (a request, a job, an activation) with its fiber, arena, deadline and identity. Opaque. */
typedef struct mt_call mt_call;

#ifdef __cplusplus
#define MT_SLICE(literal) (mt_slice{"" literal, sizeof(literal) - 1})
#else
#define MT_SLICE(literal) ((mt_slice){"" literal, sizeof(literal) - 1})
#endif
/* Braces without the compound literal, for constant tables. */
#define MT_SLICE_INIT(literal) {"" literal, sizeof(literal) - 1}

/* Returns from the enclosing function when expr is not MT_OK. */
#define MT_TRY(expr)                                                                               \
    do {                                                                                           \
        mt_status mt_try_status_ = (expr);                                                         \
        if (mt_try_status_ != MT_OK)                                                               \
            return mt_try_status_;                                                                 \
    } while (0)

/* Whether a sized struct or table, perhaps of an older SDK, has a member. */
#define MT_HAS(p, member)                                                                          \
    ((p)->size >= (size_t)((const char *)(&(p)->member + 1) - (const char *)(p)))

/* A slice over bytes; borrows. */
static inline mt_slice mt_bytes(const char *p, size_t len)
{
    mt_slice s;
    s.p = p;
    s.len = len;
    return s;
}

/* A slice over a NUL-terminated string (NULL gives the null slice); borrows. */
static inline mt_slice mt_str(const char *s)
{
    return mt_bytes(s, s ? strlen(s) : 0);
}

static inline bool mt_slice_eq(mt_slice a, mt_slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

/* The number that all of a slice is, as "60000" or "0.7"; else fallback. Slices have no NUL at
 * their end, so strtod and its kin may not read them. Any thread. */
static inline double mt_number(mt_slice s, double fallback)
{
    char text[64], *end;
    double value;
    if (!s.len || s.len >= sizeof text)
        return fallback;
    memcpy(text, s.p, s.len);
    text[s.len] = 0;
    value = strtod(text, &end);
    return end == text + s.len ? value : fallback;
}

/* The same for a whole number; "3.0" is one, "3.5" is none. */
static inline int64_t mt_int(mt_slice s, int64_t fallback)
{
    char text[64], *end;
    int64_t value;
    double number;
    if (!s.len || s.len >= sizeof text)
        return fallback;
    memcpy(text, s.p, s.len);
    text[s.len] = 0;
    value = strtoll(text, &end, 10);
    if (end == text + s.len)
        return value;
    number = mt_number(s, 0.5);
    return number >= -9e15 && number <= 9e15 && (double)(int64_t)number == number ? (int64_t)number : fallback;
}

#ifdef __cplusplus
}
#endif
#endif
