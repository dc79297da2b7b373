#include "vector_json.h"

#include <math.h>

enum { DECIMALS = 9, NUMBER = 1 + 2 + DECIMALS + 1 };   /* "-0.123456789," */

size_t vector_json_room(size_t rows, size_t dim)
{
    return rows * (dim * NUMBER + 3) + 2;
}

static char *write_number(float v, char *p)
{
    long n = lrint((double)v * 1e9);
    if (n < 0) {
        *p++ = '-';
        n = -n;
    }
    *p++ = (char)('0' + n / 1000000000);
    n %= 1000000000;
    *p++ = '.';
    for (int i = DECIMALS; i-- > 0; n /= 10)
        p[i] = (char)('0' + n % 10);
    return p + DECIMALS;
}

size_t vector_json_write(const float *vectors, size_t rows, size_t dim, char *out)
{
    char *p = out;
    *p++ = '[';
    for (size_t r = 0; r < rows; r++) {
        *p++ = r ? ',' : '[';
        if (r)
            *p++ = '[';
        for (size_t i = 0; i < dim; i++) {
            if (i)
                *p++ = ',';
            p = write_number(vectors[r * dim + i], p);
        }
        *p++ = ']';
    }
    *p++ = ']';
    return (size_t)(p - out);
}
