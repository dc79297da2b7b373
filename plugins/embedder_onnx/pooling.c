#include "pooling.h"

#include <math.h>

void pooling_normalize(float *v, size_t dim)
{
    double sum = 0;
    for (size_t i = 0; i < dim; i++)
        sum += (double)v[i] * v[i];
    float scale = sum > 0 && isfinite(sum) ? (float)(1 / sqrt(sum)) : 0;
    for (size_t i = 0; i < dim; i++)
        v[i] = scale > 0 ? v[i] * scale : 0;
}

void pooling_mean(const float *hidden, const int64_t *mask, size_t rows, size_t length, size_t dim, float *out)
{
    for (size_t r = 0; r < rows; r++) {
        float *restrict to = out + r * dim, n = 0;
        memset(to, 0, dim * sizeof *to);
        for (size_t t = 0; t < length; t++) {
            const float *restrict from = hidden + (r * length + t) * dim;
            if (!mask[r * length + t])
                continue;
            n++;
            for (size_t i = 0; i < dim; i++)
                to[i] += from[i];
        }
        for (size_t i = 0; n > 0 && i < dim; i++)
            to[i] /= n;
    }
}
