/* A streamed answer's body: the first byte is the size of its parts. Lines are the same however it is cut, and events hold what their lines say. */
#include "llm_wire/lines.h"

#include <stdlib.h>

enum { MOST = 4096 };

/* A number made of every line and event, in order. */
static uint64_t digest(const uint8_t *p, size_t n, size_t part, bool *too_large)
{
    wire_lines l = {.held.max = MOST};
    wire_event e = {.data.max = MOST};
    uint64_t h = 14695981039346656037u;
    mt_slice line;
    mt_status s;
    for (size_t at = 0; at < n && !*too_large; at += part) {
        *too_large |= wire_feed(&l, (mt_slice){(const char *)p + at, n - at < part ? n - at : part}) != MT_OK;
        while (!*too_large && wire_line(&l, &line)) {
            if (memchr(line.p, '\n', line.len) || memchr(line.p, '\r', line.len))
                abort();
            for (size_t i = 0; i < line.len; i++)
                h = (h ^ (uint8_t)line.p[i]) * 1099511628211u;
            h = (h ^ 256) * 1099511628211u;
            if (wire_event_line(&e, line, &s))
                h = (h ^ e.data.len ^ (uint8_t)e.name[0]) * 1099511628211u;
        }
    }
    wire_dispose(&l.held);
    wire_dispose(&e.data);
    return h;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    bool a = false, b = false;
    if (n < 2 || n > MOST)
        return 0;
    uint64_t whole = digest(p + 1, n - 1, n, &a), parts = digest(p + 1, n - 1, p[0] + 1u, &b);
    if (a || b || whole != parts)
        abort();
    return 0;
}
