/* The bytes of an index file: opened, searched, changed. Checksums are off (they read as zero), or
 * nothing would get past them. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "crc32c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t no_checksum(uint32_t crc, const void *p, size_t n)
{
    return 0;
}

#define crc32c no_checksum
#include "../../plugins/index_local/index_file.c"

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "fuzz_index: %s\n", what);
        abort();
    }
}

static void search(vector_index *x)
{
    static float query[SCAN_MAX_DIM];
    static const index_id some[] = {{{1}}, {{2}}, {{3}}};
    index_hit hits[8];
    size_t found = 0;
    for (size_t i = 0; i < SCAN_MAX_DIM; i++)
        query[i] = (float)(i % 7) - 2;
    for (int filtered = 0; filtered < 2; filtered++) {
        const index_query q = {.vector = query, .k = 8, .only = filtered ? some : NULL, .n_only = 3};
        mt_status s = index_search(x, &q, hits, &found);
        must(s != MT_OK || (found <= 8 && found <= index_count(x)), "more hits than rows");
    }
}

static void change(vector_index *x)
{
    static float vector[SCAN_MAX_DIM] = {1};
    static const index_id id = {{1}};
    char reason[INDEX_REASON];
    uint64_t version = index_get_meta(x)->version;
    index_change c = {.version = version + 1,
                      .remove = &id,
                      .removes = 1,
                      .add = &id,
                      .vectors = vector,
                      .adds = 1};
    if (version < UINT64_MAX && index_apply(x, &c, reason) == MT_OK)
        must(index_get_meta(x)->version == version + 1 && index_count(x) > 0,
             "a change is not there");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64], reason[INDEX_REASON] = "";
    vector_index *x;
    int fd = memfd_create("index", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (index_open(&x, path, reason) == MT_OK) {
        must(index_verify(x, reason) == MT_OK || reason[0], "no reason");
        search(x);
        change(x);
        search(x);
        index_close(x);
    } else {
        must(reason[0] && !x, "refused without a reason");
    }
    close(fd);
    return 0;
}
