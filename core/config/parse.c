#include "config/parse.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <strings.h>

typedef struct unit {
    const char *name;
    int64_t factor;
} unit;

static const unit size_units[] = {
    {"", 1},        {"b", 1},        {"k", 1024},      {"kb", 1024},
    {"kib", 1024},  {"m", 1 << 20},  {"mb", 1 << 20},  {"mib", 1 << 20},
    {"g", 1 << 30}, {"gb", 1 << 30}, {"gib", 1 << 30}, {NULL, 0},
};
static const unit duration_units[] = {
    {"ms", 1},      {"s", 1000},     {"m", 60000}, {"min", 60000},
    {"h", 3600000}, {"d", 86400000}, {NULL, 0},
};
static const unit no_units[] = {{"", 1}, {NULL, 0}};

/* Spellings that other programs use for the same level. */
static const char *const aliases[][2] = {
    {"warning", "warn"}, {"critical", "error"}, {"fatal", "error"}};

static const unit *units_of(mti_option_type type)
{
    if (type == MTI_OPT_SIZE)
        return size_units;
    return type == MTI_OPT_DURATION ? duration_units : no_units;
}

static bool number_with_unit(const char *p, size_t len, const unit *units, int64_t *out)
{
    char text[32];
    if (len == 0 || len >= sizeof text)
        return false;
    memcpy(text, p, len);
    text[len] = 0;
    char *end;
    errno = 0;
    long long n = strtoll(text, &end, 10);
    if (end == text || errno || isspace((unsigned char)text[0]))
        return false;
    if (n == 0 && *end == 0) {
        *out = 0;
        return true;
    }
    for (; units->name; units++)
        if (strcasecmp(end, units->name) == 0)
            return !__builtin_mul_overflow((int64_t)n, units->factor, out);
    return false;
}

static mt_status parse_number(const mti_option *o, const char *text, int64_t *number, mti_error *e)
{
    static const char *const forms[] = {
        [MTI_OPT_INT] = "a whole number",
        [MTI_OPT_SIZE] = "a size such as 512KiB or 64MiB",
        [MTI_OPT_DURATION] = "a duration with its unit, such as 250ms, 10s or 5m",
    };
    const unit *units = units_of(o->type);
    if (!number_with_unit(text, strlen(text), units, number))
        return mti_fail(e, MT_INVALID, "bad_option", "%s must be %s, not \"%.60s\".", o->name,
                        forms[o->type], text);
    const char *dots = o->values ? strstr(o->values, "..") : NULL;
    int64_t low, high;
    if (!dots || !number_with_unit(o->values, (size_t)(dots - o->values), units, &low) ||
        !number_with_unit(dots + 2, strlen(dots + 2), units, &high))
        return MT_OK;
    if (*number < low || *number > high)
        return mti_fail(e, MT_INVALID, "bad_option", "%s must lie in %s, but is \"%.60s\".",
                        o->name, o->values, text);
    return MT_OK;
}

static mt_status parse_bool(const mti_option *o, const char *text, int64_t *number,
                            mt_slice *normal, mti_error *e)
{
    static const char *const words[2][4] = {{"false", "no", "off", "0"},
                                            {"true", "yes", "on", "1"}};
    for (int value = 0; value < 2; value++)
        for (int i = 0; i < 4; i++)
            if (strcasecmp(text, words[value][i]) == 0) {
                *number = value;
                *normal = mt_str(words[value][0]);
                return MT_OK;
            }
    return mti_fail(e, MT_INVALID, "bad_option", "%s must be true or false, not \"%.60s\".",
                    o->name, text);
}

static mt_status parse_enum(const mti_option *o, const char *text, mt_slice *normal, mti_error *e)
{
    for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++)
        if (strcasecmp(text, aliases[i][0]) == 0)
            text = aliases[i][1];
    size_t len = strlen(text);
    for (const char *p = o->values; p; p = strchr(p, '|') ? strchr(p, '|') + 1 : NULL)
        if (strcspn(p, "|") == len && strncasecmp(p, text, len) == 0) {
            *normal = (mt_slice){p, len};
            return MT_OK;
        }
    return mti_fail(e, MT_INVALID, "bad_option", "%s must be one of %s, not \"%.60s\".", o->name,
                    o->values, text);
}

mt_status mti_option_parse(const mti_option *o, const char *text, int64_t *number, mt_slice *normal,
                           mti_error *e)
{
    *number = 0;
    *normal = mt_str(text);
    switch (o->type) {
    case MTI_OPT_INT:
    case MTI_OPT_SIZE:
    case MTI_OPT_DURATION:
        return parse_number(o, text, number, e);
    case MTI_OPT_BOOL:
        return parse_bool(o, text, number, normal, e);
    case MTI_OPT_ENUM:
        return parse_enum(o, text, normal, e);
    case MTI_OPT_STRING:
    case MTI_OPT_SECRET:
        break;
    }
    return MT_OK;
}
