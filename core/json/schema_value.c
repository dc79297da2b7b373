#include "json/schema_impl.h"

#include "base/map.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

/* x86-64's long double has 64 bits of mantissa, so it holds every int64 and every double. */
long double mti_value_number(const json_t *v)
{
    return json_is_integer(v) ? (long double)json_integer_value(v)
                              : (long double)json_real_value(v);
}

unsigned mti_value_types(const json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return MTI_TYPE_OBJECT;
    case JSON_ARRAY:
        return MTI_TYPE_ARRAY;
    case JSON_STRING:
        return MTI_TYPE_STRING;
    case JSON_INTEGER:
        return MTI_TYPE_NUMBER | MTI_TYPE_INTEGER;
    case JSON_REAL: {
        double d = json_real_value(v);
        return MTI_TYPE_NUMBER | (isfinite(d) && d == floor(d) ? MTI_TYPE_INTEGER : 0);
    }
    case JSON_NULL:
        return MTI_TYPE_NULL;
    default:
        return MTI_TYPE_BOOLEAN;
    }
}

static bool object_equal(const json_t *a, const json_t *b)
{
    if (json_object_size(a) != json_object_size(b))
        return false;
    const char *key;
    size_t len;
    json_t *item;
    json_object_keylen_foreach((json_t *)a, key, len, item)
    {
        const json_t *other = json_object_getn(b, key, len);
        if (!other || !mti_value_equal(item, other))
            return false;
    }
    return true;
}

static bool array_equal(const json_t *a, const json_t *b)
{
    if (json_array_size(a) != json_array_size(b))
        return false;
    for (size_t i = 0; i < json_array_size(a); i++) {
        if (!mti_value_equal(json_array_get(a, i), json_array_get(b, i)))
            return false;
    }
    return true;
}

bool mti_value_equal(const json_t *a, const json_t *b)
{
    if (json_is_number(a) && json_is_number(b))
        return mti_value_number(a) == mti_value_number(b);
    if (json_typeof(a) != json_typeof(b))
        return false;
    if (json_is_string(a))
        return mt_slice_eq(mti_json_text(a), mti_json_text(b));
    if (json_is_object(a))
        return object_equal(a, b);
    return json_is_array(a) ? array_equal(a, b) : true;
}

static uint64_t mix(uint64_t a, uint64_t b)
{
    uint64_t pair[2] = {a, b};
    return mti_hash(pair, sizeof pair);
}

/* Equal values have equal hashes: numbers by value, members in any order. */
static uint64_t value_hash(const json_t *v)
{
    uint64_t h = json_typeof(v);
    if (json_is_number(v)) {
        double d = (double)mti_value_number(v) + 0.0; /* -0 becomes 0 */
        return mti_hash(&d, sizeof d);
    }
    if (json_is_string(v))
        return mti_hash(json_string_value(v), json_string_length(v));
    for (size_t i = 0; i < json_array_size(v); i++)
        h = mix(h, value_hash(json_array_get(v, i)));
    const char *key;
    size_t len;
    json_t *item;
    json_object_keylen_foreach((json_t *)v, key, len, item)
    {
        h += mix(mti_hash(key, len), value_hash(item));
    }
    return h;
}

typedef struct hashed {
    uint64_t hash;
    const json_t *value;
} hashed;

static int hashed_order(const void *a, const void *b)
{
    uint64_t x = ((const hashed *)a)->hash, y = ((const hashed *)b)->hash;
    return x < y ? -1 : x > y;
}

/* By sorted hashes, so that a long array costs n log n and not n². */
mt_status mti_value_unique(const json_t *array, bool *unique)
{
    size_t n = json_array_size(array);
    *unique = true;
    if (n < 2)
        return MT_OK;
    hashed *rows = malloc(n * sizeof *rows);
    if (!rows)
        return MT_NO_MEMORY;
    for (size_t i = 0; i < n; i++)
        rows[i] = (hashed){value_hash(json_array_get(array, i)), json_array_get(array, i)};
    qsort(rows, n, sizeof *rows, hashed_order);
    for (size_t i = 1; i < n && *unique; i++) {
        for (size_t j = i; j-- > 0 && rows[j].hash == rows[i].hash && *unique;)
            *unique = !mti_value_equal(rows[i].value, rows[j].value);
    }
    free(rows);
    return MT_OK;
}

bool mti_value_multiple(const json_t *v, const json_t *of)
{
    if (json_is_integer(v) && json_is_integer(of)) {
        json_int_t m = json_integer_value(of);
        return m == -1 || json_integer_value(v) % m == 0;
    }
    double value = (double)mti_value_number(v), step = (double)mti_value_number(of);
    double times = value / step;
    if (!isfinite(times))
        return fmod(value, step) == 0;
    /* 0.0075 is a multiple of 0.0001, though not of the double that stands for it */
    return fabs(value - round(times) * step) <= 4 * DBL_EPSILON * fabs(value);
}
