/* Two versions and a range on three lines: the order must be an order. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "plugin/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "fuzz_semver: %s\n", what);
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = strndup((const char *)data, size), *rest = text;
    if (!text)
        return 0;
    const char *a = strsep(&rest, "\n"), *b = rest ? strsep(&rest, "\n") : "",
               *range = rest ? rest : "";
    bool a_ok = mti_semver_match(a, "*"), b_ok = mti_semver_match(b, "*");
    int forward = mti_semver_compare(a, b), back = mti_semver_compare(b, a);
    if (a_ok && b_ok) {
        must(forward == -back, "the order depends on the side");
        must(mti_semver_compare(a, a) == 0, "a version differs from itself");
        must(forward || mti_semver_match(a, range) == mti_semver_match(b, range),
             "equal versions match differently");
    }
    must(a_ok || !mti_semver_match(a, range), "what is no version matches");
    free(text);
    return 0;
}
