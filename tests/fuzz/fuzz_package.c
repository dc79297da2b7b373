/* A package file: the first byte says whether the rest is the gzip file itself or a tar that is packed first (or nothing would get past the checksums of gzip). */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../../core/package/tar.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char folder[64];

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "fuzz_package: %s\n", what);
        abort();
    }
}

/* Headers' sums are made right: they are no lock. */
static void mend(char *p, size_t n)
{
    for (size_t at = 0; at + BLOCK <= n; at += BLOCK) {
        header *h = (header *)(p + at);
        if (memcmp(h->magic, "ustar", 5))
            continue;
        char sum[12];
        snprintf(sum, sizeof sum, "%06o", sum_of(h));
        memcpy(h->checksum, sum, 7);
    }
}

static void check_folder(void)
{
    char to[80], digest[65], beside[80];
    mti_error e = {0};
    snprintf(to, sizeof to, "%s/to", folder);
    must(mti_package_digest(to, digest, &e) == MT_OK, "what was taken has no plugin.json");
    mti_package_remove(to, NULL);
    snprintf(beside, sizeof beside, "%s", folder);
    DIR *d = opendir(beside);
    for (struct dirent *f; (f = readdir(d));)
        must(f->d_name[0] == '.', "something was written beside the folder");
    closedir(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char to[80];
    mti_buf tar, packed;
    mti_error e = {0};
    if (!folder[0]) {
        const char *tmp = getenv("TMPDIR");
        snprintf(folder, sizeof folder, "%.40s/mortise-fuzz-XXXXXX", tmp ? tmp : "/tmp");
        must(mkdtemp(folder) != NULL, "no folder");
    }
    snprintf(to, sizeof to, "%s/to", folder);
    mti_buf_init(&tar, 1 << 20);
    mti_buf_init(&packed, 2 << 20);
    mt_slice file = {(const char *)data + (size > 0), size - (size > 0)};
    if (size && data[0] == 't' && mti_buf_add(&tar, file.p, file.len) == MT_OK) {
        mend(tar.p, tar.len);
        must(deflate_all(mti_buf_slice(&tar), &packed, &e) == MT_OK, "cannot pack");
        file = mti_buf_slice(&packed);
    }
    if (mti_package_unpack(file, to, &e) == MT_OK)
        check_folder();
    else
        must(e.detail[0] && access(to, F_OK), "refused without a reason, or something is left");
    mti_buf_dispose(&tar);
    mti_buf_dispose(&packed);
    rmdir(folder);
    folder[0] = 0;
    return 0;
}
