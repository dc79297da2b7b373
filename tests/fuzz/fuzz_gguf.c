/* A GGUF's metadata: whatever the bytes, it is accepted, or refused with a reason. */
#include "gguf_check.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char reason[GGUF_REASON] = "";
    mt_status s = gguf_check(data, n, n, reason);
    if (s != MT_OK && (s != MT_INVALID || !reason[0]))
        abort();
    /* What is whole stays whole with more behind it. */
    if (s == MT_OK && gguf_check(data, n, (uint64_t)n + 4096, reason) != MT_OK)
        abort();
    return 0;
}
