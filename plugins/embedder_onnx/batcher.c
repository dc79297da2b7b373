#include "batcher.h"

#include <stdlib.h>

static int longer_first(const void *a, const void *b, void *lengths)
{
    const uint32_t *l = lengths;
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return l[x] != l[y] ? (l[x] < l[y]) - (l[x] > l[y]) : (x > y) - (x < y);
}

size_t batch_plan(const uint32_t *lengths, size_t n, const batch_limits *limits, uint32_t *order, batch *batches)
{
    size_t max_rows = limits->rows ? limits->rows : 32, max_tokens = limits->tokens ? limits->tokens : 2048;
    size_t waste = limits->waste ? limits->waste : 5, count = 0;
    for (size_t i = 0; i < n; i++)
        order[i] = (uint32_t)i;
    qsort_r(order, n, sizeof *order, longer_first, (void *)(uintptr_t)lengths);
    for (size_t i = 0; i < n; count++) {
        batch *b = &batches[count];
        *b = (batch){.first = i, .rows = 1, .length = lengths[order[i]]};
        size_t used = b->length;
        for (i++; i < n && b->rows < max_rows && (b->rows + 1) * b->length <= max_tokens; i++) {
            size_t area = (b->rows + 1) * b->length, with = used + lengths[order[i]];
            if ((area - with) * 100 > area * waste)
                break;
            used = with;
            b->rows++;
        }
    }
    return count;
}
