/* The bytes of a text index's file: opened, searched, changed, saved. Checksums are off (they read as zero), or nothing would get past them. */
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
#include "../../plugins/index_text/text_file.c"

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "fuzz_text_index: %s\n", what);
        abort();
    }
}

static char names[] = "kucamaslina";
static text_term items[] = {{0, 4, 1, 0}, {4, 7, 1, 1}};
static text_terms terms = {.names = names, .items = items, .n = 2, .length = 2, .words = 2};

static void search(text_index *x)
{
    static const text_id some[] = {{{1}}, {{2}}, {{3}}};
    text_hit hits[8];
    size_t found = 0;
    for (int filtered = 0; filtered < 2; filtered++) {
        mt_status s = text_search(x, &terms, (text_bm25){1.2, 0.75}, 8, filtered ? some : NULL, filtered ? 3 : 0, hits, &found, NULL, NULL);
        must(s != MT_OK || (found <= 8 && found <= text_count(x)), "more hits than passages");
    }
}

static void change(text_index *x)
{
    static const text_id id = {{1}};
    char reason[TEXT_REASON], path[64];
    uint64_t version = text_get_meta(x)->version;
    text_change c = {.version = version + 1, .remove = &id, .removes = 1, .add = &id, .terms = &terms, .adds = 1};
    if (version == UINT64_MAX || text_apply(x, &c, reason) != MT_OK)
        return;
    must(text_get_meta(x)->version == version + 1 && text_count(x) > 0, "a change is not there");
    snprintf(path, sizeof path, "/tmp/fuzz-text-%d", (int)getpid());
    must(text_save(x, path, reason) == MT_OK, reason);
    unlink(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64], reason[TEXT_REASON] = "";
    text_index *x;
    int fd = memfd_create("text_index", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (text_open(&x, path, reason) == MT_OK) {
        search(x);
        change(x);
        search(x);
        text_close(x);
    } else {
        must(reason[0] && !x, "refused without a reason");
    }
    close(fd);
    return 0;
}
