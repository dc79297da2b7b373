#include "gguf_check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_KEYS = 65536, MAX_TENSORS = 65536, MAX_NAME = 65535, MAX_DEPTH = 4 };

typedef struct reader {
    const unsigned char *p;
    size_t n, at;
    bool bad;
} reader;

static mt_status refuse(char *reason, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static mt_status refuse(char *reason, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(reason, GGUF_REASON, fmt, args);
    va_end(args);
    return MT_INVALID;
}

static uint64_t get(reader *r, unsigned bytes)
{
    uint64_t v = 0;
    if (r->bad || r->n - r->at < bytes) {
        r->bad = true;
        return 0;
    }
    memcpy(&v, r->p + r->at, bytes);    /* little-endian, as the processors that this runs on */
    r->at += bytes;
    return v;
}

static void skip(reader *r, uint64_t bytes)
{
    if (r->bad || r->n - r->at < bytes)
        r->bad = true;
    else
        r->at += bytes;
}

static mt_slice get_text(reader *r)
{
    uint64_t len = get(r, 8);
    mt_slice s = {(const char *)r->p + r->at, (size_t)len};
    skip(r, len);
    return r->bad ? (mt_slice){0} : s;
}

/* u8 i8 u16 i16 u32 i32 f32 bool string array u64 i64 f64 */
static const unsigned char value_size[13] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
enum { TYPE_U32 = 4, TYPE_STRING = 8, TYPE_ARRAY = 9 };

static void skip_value(reader *r, uint64_t type, int depth)
{
    if (type > 12 || depth > MAX_DEPTH) {
        r->bad = true;
    } else if (type == TYPE_STRING) {
        get_text(r);
    } else if (type == TYPE_ARRAY) {
        uint64_t of = get(r, 4), count = get(r, 8);
        if (of > 12 || count > r->n)
            r->bad = true;
        else if (value_size[of])
            skip(r, count * value_size[of]);
        else
            for (uint64_t i = 0; i < count && !r->bad; i++)
                skip_value(r, of, depth + 1);
    } else {
        skip(r, value_size[type]);
    }
}

/* Block length and bytes a block of ggml's types; 0: none of this number. */
static const struct { unsigned short block, bytes; } tensor_type[] = {
    [0] = {1, 4}, [1] = {1, 2}, [2] = {32, 18}, [3] = {32, 20}, [6] = {32, 22}, [7] = {32, 24}, [8] = {32, 34}, [9] = {32, 36},
    [10] = {256, 84}, [11] = {256, 110}, [12] = {256, 144}, [13] = {256, 176}, [14] = {256, 210}, [15] = {256, 292},
    [16] = {256, 66}, [17] = {256, 74}, [18] = {256, 98}, [19] = {256, 50}, [20] = {32, 18}, [21] = {256, 110}, [22] = {256, 82}, [23] = {256, 136},
    [24] = {1, 1}, [25] = {1, 2}, [26] = {1, 4}, [27] = {1, 8}, [28] = {1, 8}, [29] = {256, 56}, [30] = {1, 2}, [34] = {256, 54}, [35] = {256, 66},
    [39] = {32, 17}};

typedef struct extent {
    uint64_t end;      /* behind the last tensor, counted from the data's beginning */
    uint64_t alignment;
} extent;

static mt_status check_tensor(reader *r, uint64_t index, extent *e, char *reason)
{
    mt_slice name = get_text(r);
    uint64_t dims = get(r, 4), values = 1, first = 1;
    if (!r->bad && (!name.len || name.len > MAX_NAME || dims < 1 || dims > 4))
        return refuse(reason, "Tensor %llu has no usable name or shape.", (unsigned long long)index);
    for (uint64_t i = 0; i < dims && !r->bad; i++) {
        uint64_t d = get(r, 8);
        if (!r->bad && (d == 0 || __builtin_mul_overflow(values, d, &values) || values > INT64_MAX))
            return refuse(reason, "Tensor %llu has an impossible size.", (unsigned long long)index);
        first = i ? first : d;
    }
    uint64_t type = get(r, 4), offset = get(r, 8), bytes;
    if (r->bad)
        return refuse(reason, "The file ends within its list of tensors.");
    if (type >= sizeof tensor_type / sizeof *tensor_type || !tensor_type[type].block)
        return refuse(reason, "Tensor %llu has the unknown type %llu.", (unsigned long long)index, (unsigned long long)type);
    if (first % tensor_type[type].block || __builtin_mul_overflow(values / tensor_type[type].block, (uint64_t)tensor_type[type].bytes, &bytes) ||
        offset % e->alignment || __builtin_add_overflow(offset, bytes, &bytes))
        return refuse(reason, "Tensor %llu does not fit its type or alignment.", (unsigned long long)index);
    e->end = bytes > e->end ? bytes : e->end;
    return MT_OK;
}

static mt_status check_keys(reader *r, uint64_t keys, extent *e, char *reason)
{
    bool architecture = false;
    for (uint64_t i = 0; i < keys; i++) {
        mt_slice key = get_text(r);
        uint64_t type = get(r, 4);
        size_t at = r->at;
        skip_value(r, type, 0);
        if (r->bad || !key.len || key.len > MAX_NAME)
            return refuse(reason, "The file ends within its metadata, or key %llu has no sense.", (unsigned long long)i);
        architecture |= mt_slice_eq(key, MT_SLICE("general.architecture")) && type == TYPE_STRING;
        if (mt_slice_eq(key, MT_SLICE("general.alignment"))) {
            uint32_t a = 0;
            if (type == TYPE_U32)
                memcpy(&a, r->p + at, 4);
            if (a < 8 || a > 65536 || (a & (a - 1)))
                return refuse(reason, "Its alignment is not a power of two between 8 and 65,536.");
            e->alignment = a;
        }
    }
    return architecture ? MT_OK : refuse(reason, "It does not say its architecture.");
}

mt_status gguf_check(const unsigned char *p, size_t n, uint64_t size, char reason[GGUF_REASON])
{
    reader r = {.p = p, .n = n};
    extent e = {.alignment = 32};
    if (n < 24 || memcmp(p, "GGUF", 4) != 0)
        return refuse(reason, "It is not a GGUF file.");
    r.at = 4;
    uint64_t version = get(&r, 4), tensors = get(&r, 8), keys = get(&r, 8);
    if (version != 2 && version != 3)
        return refuse(reason, "It is GGUF version %llu; 2 and 3 are read.", (unsigned long long)version);
    if (tensors < 1 || tensors > MAX_TENSORS || keys > MAX_KEYS)
        return refuse(reason, "It claims %llu tensors and %llu keys.", (unsigned long long)tensors, (unsigned long long)keys);
    MT_TRY(check_keys(&r, keys, &e, reason));
    for (uint64_t i = 0; i < tensors; i++)
        MT_TRY(check_tensor(&r, i, &e, reason));
    uint64_t data = (r.at + e.alignment - 1) / e.alignment * e.alignment, end;
    if (__builtin_add_overflow(data, e.end, &end) || end > size)
        return refuse(reason, "It is cut short: its tensors need more than its %llu bytes.", (unsigned long long)size);
    return MT_OK;
}

mt_status gguf_check_file(const char *path, char reason[GGUF_REASON])
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size == 0) {
        snprintf(reason, GGUF_REASON, "%s.", fd < 0 ? strerror(errno) : "It is empty, or no file");
        if (fd >= 0)
            close(fd);
        return MT_NOT_FOUND;
    }
    void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (map == MAP_FAILED)
        return refuse(reason, "It cannot be mapped.");
    mt_status s = gguf_check(map, (size_t)st.st_size, (uint64_t)st.st_size, reason);
    munmap(map, (size_t)st.st_size);
    return s;
}
