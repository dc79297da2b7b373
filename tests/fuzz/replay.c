/* A fuzz target without libFuzzer: runs it over the files that are named, and those of the folders
 * that are named. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LARGEST = 1 << 20 };
static int ran;

static void run_file(const char *path)
{
    uint8_t *whole = malloc(LARGEST);
    FILE *f = fopen(path, "rb");
    if (!whole || !f) {
        perror(path);
        exit(1);
    }
    size_t n = fread(whole, 1, LARGEST, f);
    fclose(f);
    /* a block of the exact size: a checker then sees a byte read behind it */
    uint8_t *data = malloc(n ? n : 1);
    if (!data)
        abort();
    memcpy(data, whole, n);
    free(whole);
    LLVMFuzzerTestOneInput(data, n);
    free(data);
    ran++;
}

static void run_folder(const char *path, DIR *d)
{
    char file[4096];
    for (struct dirent *entry; (entry = readdir(d));) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        run_file(file);
    }
    closedir(d);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        DIR *d = opendir(argv[i]);
        if (d)
            run_folder(argv[i], d);
        else
            run_file(argv[i]);
    }
    printf("%d inputs\n", ran);
    return ran ? 0 : 1;
}
