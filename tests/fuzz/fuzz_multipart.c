/* A Content-Type, a line end, then a multipart body. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "request/multipart.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void inside(mt_slice part, mt_slice whole)
{
    if (part.p && (part.p < whole.p || part.p + part.len > whole.p + whole.len)) {
        fprintf(stderr, "fuzz_multipart: a slice lies outside its body\n");
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static mti_multipart m;
    mti_error e;
    const char *text = (const char *)data, *line = size ? memchr(text, '\n', size) : NULL;
    if (!line)
        return 0;
    mt_slice type = {text, (size_t)(line - text)}, body = {line + 1, size - type.len - 1};
    if (mti_multipart_parse(type, body, &m, &e) != MT_OK)
        return 0;
    for (unsigned i = 0; i < m.n; i++) {
        inside(m.parts[i].field, body);
        inside(m.parts[i].file_name, body);
        inside(m.parts[i].type, body);
        inside(m.parts[i].data, body);
    }
    return 0;
}
