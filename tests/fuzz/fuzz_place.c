/* Where a value stands in a text: the pointer in the first line, the text behind it. What jansson finds at the pointer must be found in the text too. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "json/place.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "fuzz_place: %s\n", what);
        abort();
    }
}

/* The bytes at a place; NULL when the text has no such place. */
static const char *at(mt_slice text, mti_place place)
{
    const char *p = text.p, *end = text.p + text.len;
    for (int line = 1; line < place.line && p < end; p++)
        line += *p == '\n';
    for (int column = 1; p < end; p++) {
        bool begins = ((unsigned char)*p & 0xc0) != 0x80;
        if (begins && column == place.column)
            return p;
        column += begins;
    }
    return NULL;
}

/* At a member stands its key; at an item, or at the root, the value. */
static void check(mt_slice text, mt_slice pointer, json_t *root, mti_place place)
{
    json_t *value = mti_json_at(root, pointer), *parent = NULL;
    size_t n = pointer.len;
    while (n && pointer.p[n - 1] != '/')
        n--;
    if (n)
        parent = mti_json_at(root, (mt_slice){pointer.p, n - 1});
    if (!value)
        return;
    const char *p = at(text, place);
    must(p != NULL, "the place is outside of the text");
    if (json_is_object(parent))
        must(*p == '"', "no key stands there");
    else
        must(*p == (json_is_object(value) ? '{' : json_is_array(value) ? '[' : json_is_string(value) ? '"' : *p), "another value stands there");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mt_slice all = {(const char *)data, size};
    const char *end = size ? memchr(data, '\n', size) : NULL;
    if (!end)
        return 0;
    mt_slice pointer = {all.p, (size_t)(end - all.p)}, text = {end + 1, size - (size_t)(end - all.p) - 1};
    mti_place place = mti_json_place(text, pointer);
    must(place.line >= 1 && place.column >= 1, "lines and columns begin with 1");
    json_t *root;
    if (mti_json_parse(text, 0, &root, NULL) == MT_OK && !memmem(text.p, text.len, "\\u", 2))
        check(text, pointer, root, place);
    json_decref(root);
    return 0;
}
