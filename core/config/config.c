#include "config/config.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "config/parse.h"

typedef struct value {
    char *text;
    char *origin;
    int64_t number;
} value;

struct mti_config {
    size_t n;
    value *values; /* in the table's order */
};

/* Where a value comes from decides which one stays, so sources may be read in any order. */
static int rank_of(const char *origin)
{
    static const char *const sources[] = {"default", "file", "env", "flag"};
    for (int i = 0; i < 4; i++)
        if (strncmp(origin, sources[i], strlen(sources[i])) == 0)
            return i;
    return 4;
}

static void *must(void *p)
{
    if (!p)
        abort();
    return p;
}

static void value_put(value *v, mt_slice text, int64_t number, const char *origin)
{
    free(v->text);
    free(v->origin);
    v->text = must(strndup(text.p ? text.p : "", text.len));
    v->origin = must(strdup(origin));
    v->number = number;
}

/* Where each name is in the table: options are read for every request, by name. */
static uint8_t places[256]; /* index + 1; 0: free */
static pthread_once_t places_once = PTHREAD_ONCE_INIT;

static uint8_t *place_of(const char *name)
{
    const mti_option *o = mti_options(&(size_t){0});
    uint32_t hash = 2166136261u;
    for (const char *p = name; *p; p++)
        hash = (hash ^ (unsigned char)*p) * 16777619u;
    uint8_t at = (uint8_t)(hash >> 24 ^ hash);
    while (places[at] && strcmp(o[places[at] - 1].name, name) != 0)
        at++;
    return &places[at];
}

static void fill_places(void)
{
    size_t n;
    const mti_option *o = mti_options(&n);
    if (n > sizeof places / 2)
        abort();
    for (size_t i = 0; i < n; i++)
        *place_of(o[i].name) = (uint8_t)(i + 1);
}

static ptrdiff_t option_find(const char *name)
{
    pthread_once(&places_once, fill_places);
    return (ptrdiff_t)*place_of(name) - 1;
}

mti_config *mti_config_create(void)
{
    size_t n;
    const mti_option *o = mti_options(&n);
    mti_config *c = must(calloc(1, sizeof *c));
    c->n = n;
    c->values = must(calloc(n, sizeof *c->values));
    for (size_t i = 0; i < n; i++) {
        int64_t number;
        mt_slice normal;
        if (mti_option_parse(&o[i], o[i].fallback, &number, &normal, NULL) != MT_OK)
            abort();
        value_put(&c->values[i], normal, number, "default");
    }
    return c;
}

void mti_config_destroy(mti_config *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->n; i++) {
        free(c->values[i].text);
        free(c->values[i].origin);
    }
    free(c->values);
    free(c);
}

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t m = a < b ? a : b;
    return m < c ? m : c;
}

/* Levenshtein distance; names longer than the row are never near. */
static size_t distance(const char *a, const char *b)
{
    size_t row[64], la = strlen(a), lb = strlen(b);
    if (lb >= 64)
        return SIZE_MAX;
    for (size_t j = 0; j <= lb; j++)
        row[j] = j;
    for (size_t i = 1; i <= la; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= lb; j++) {
            size_t above = row[j];
            row[j] = min3(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = above;
        }
    }
    return row[lb];
}

static mt_status unknown_option(const char *name, const char *origin, mti_error *e)
{
    size_t n, best = SIZE_MAX;
    const mti_option *o = mti_options(&n), *nearest = o;
    for (size_t i = 0; i < n; i++) {
        size_t d = distance(name, o[i].name);
        if (d < best) {
            best = d;
            nearest = &o[i];
        }
    }
    return mti_fail(
        e, MT_INVALID, "unknown_option",
        "Unknown option \"%.80s\" (%s); did you mean \"%s\"? `mortise config` lists all.", name,
        origin, nearest->name);
}

mt_status mti_config_set(mti_config *c, const char *name, const char *text, const char *origin,
                         mti_error *e)
{
    ptrdiff_t i = option_find(name);
    if (i < 0)
        return unknown_option(name, origin, e);
    size_t n;
    int64_t number;
    mt_slice normal;
    mti_error why = {0};
    mt_status s = mti_option_parse(&mti_options(&n)[i], text, &number, &normal, &why);
    if (s != MT_OK)
        return mti_fail(e, s, why.code, "%s (%s)", why.detail, origin);
    if (rank_of(origin) >= rank_of(c->values[i].origin))
        value_put(&c->values[i], normal, number, origin);
    return MT_OK;
}

static const value *value_of(const mti_config *c, const char *name)
{
    ptrdiff_t i = option_find(name);
    if (i < 0) {
        fprintf(stderr, "mortise: no option is called %s\n", name);
        abort();
    }
    return &c->values[i];
}

const char *mti_config_str(const mti_config *c, const char *name)
{
    return value_of(c, name)->text;
}

int64_t mti_config_int(const mti_config *c, const char *name)
{
    return value_of(c, name)->number;
}

bool mti_config_bool(const mti_config *c, const char *name)
{
    return value_of(c, name)->number != 0;
}

const char *mti_config_origin(const mti_config *c, const char *name)
{
    return value_of(c, name)->origin;
}

void mti_config_key_file(const mti_config *c, char out[PATH_MAX])
{
    char data[PATH_MAX];
    const char *file = mti_config_str(c, "secrets.key_file"), *dir = mti_config_str(c, "data.dir");
    if (*file)
        snprintf(out, PATH_MAX, "%s", file);
    else
        snprintf(out, PATH_MAX, "%.4000s/secret.key", realpath(dir, data) ? data : dir);
}
