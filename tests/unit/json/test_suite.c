/* The official JSON-Schema-Test-Suite, draft 2020-12: every file, except what SKIPS names. The
 * suite is fetched by the set-up; where it is not there, this test is reported as skipped. */
#include "json/schema.h"

#include <dirent.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>

#define SKIPPED 77

static const struct {
    const char *file, *group, *test; /* patterns; NULL: all */
    const char *why;
} SKIPS[] = {
    {"vocabulary.json", NULL, NULL,
     "dialects other than the standard one are refused at compile time"},
    {"format-assertion.json", NULL, NULL,
     "dialects other than the standard one are refused at compile time"},
    {"cross-draft.json", NULL, NULL, "documents of older drafts are not read as such"},
    {"dependencies-compatibility.json", NULL, NULL,
     "'dependencies' of older drafts is refused at compile time"},
    {"bignum.json", NULL, NULL, "integers outside int64 are refused by the parser"},
    {"ecmascript-regex.json", "*ECMA 262 \\\\[sS]*", NULL, "\\s and \\S know ASCII only"},
    {"ecmascript-regex.json", "*unicode semantics*", NULL,
     "the long names of Unicode properties are refused"},
    {"ecmascript-regex.json", "*non-ASCII digits", NULL,
     "the long names of Unicode properties are refused"},
    {"ecmascript-regex.json", "*is not an ECMA 262*", NULL,
     "a few escapes beyond ECMA-262 are accepted"},
    {"idn-email.json", NULL, NULL, "the format is not supported and refused at compile time"},
    {"idn-hostname.json", NULL, NULL, "the format is not supported and refused at compile time"},
    {"iri.json", NULL, NULL, "the format is not supported and refused at compile time"},
    {"iri-reference.json", NULL, NULL, "the format is not supported and refused at compile time"},
    {"relative-json-pointer.json", NULL, NULL,
     "the format is not supported and refused at compile time"},
    {"uri-template.json", NULL, NULL, "the format is not supported and refused at compile time"},
};
#define SKIP_COUNT (sizeof SKIPS / sizeof *SKIPS)

typedef struct tally {
    int passed, failed, skipped;
} tally;

static char root[4096];
static json_t *documents; /* by URI: what the resolver read */
static tally total;
static int skips[SKIP_COUNT]; /* tests left out by each row */

static json_t *load(const char *path)
{
    json_error_t e;
    /* some of the suite's numbers are beyond int64: as reals they can be read, and their file be
     * counted */
    json_t *v = json_load_file(path, JSON_ALLOW_NUL | JSON_DECODE_ANY, &e);
    if (!v)
        v = json_load_file(path, JSON_ALLOW_NUL | JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, &e);
    if (!v)
        fprintf(stderr, "%s:%d: %s\n", path, e.line, e.text);
    return v;
}

static json_t *resolve(void *arg, mt_slice uri)
{
    static const struct {
        const char *uri, *folder, *ending;
    } places[] = {
        {"http://localhost:1234/", "remotes", ""},
        {"https://json-schema.org/draft/2020-12/schema", "dialect/metaschema.json", ""},
        {"https://json-schema.org/draft/2020-12/meta/", "dialect/vocabularies", ""},
    };
    json_t *known = json_object_getn(documents, uri.p, uri.len);
    for (size_t i = 0; !known && i < sizeof places / sizeof *places; i++) {
        size_t n = strlen(places[i].uri);
        if (uri.len < n || memcmp(uri.p, places[i].uri, n) != 0)
            continue;
        char path[8192];
        snprintf(path, sizeof path, "%s/%s%s%.*s", root, places[i].folder, uri.len > n ? "/" : "",
                 (int)(uri.len - n), uri.p + n);
        known = load(path);
        if (known)
            json_object_setn_new(documents, uri.p, uri.len, known);
    }
    return known;
}

static bool fits(const char *pattern, const char *text)
{
    return !pattern || fnmatch(pattern, text, 0) == 0;
}

/* The row that leaves a test out, or -1. */
static int skip_row(const char *file, const char *group, const char *test)
{
    for (size_t i = 0; i < SKIP_COUNT; i++) {
        if (fits(SKIPS[i].file, file) && fits(SKIPS[i].group, group) && fits(SKIPS[i].test, test))
            return (int)i;
    }
    return -1;
}

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static void run_group(const char *file, json_t *group, const mti_schema_options *options, tally *t)
{
    const char *name = text_of(group, "description");
    mti_schema *schema;
    mti_error e = {0};
    mt_status compiled = mti_schema_compile(json_object_get(group, "schema"), resolve, NULL,
                                            MTI_SCHEMA_ALLOW_UNKNOWN, &schema, &e);
    json_t *tests = json_object_get(group, "tests"), *test;
    size_t i;
    json_array_foreach(tests, i, test)
    {
        const char *what = text_of(test, "description");
        int row = skip_row(file, name, what);
        if (row >= 0) {
            skips[row]++;
            t->skipped++;
            continue;
        }
        mt_status status = compiled;
        if (status == MT_OK)
            status = mti_schema_validate(schema, json_object_get(test, "data"), options, &e);
        bool valid = json_is_true(json_object_get(test, "valid"));
        if (compiled == MT_OK && status == (valid ? MT_OK : MT_INVALID)) {
            t->passed++;
            continue;
        }
        t->failed++;
        fprintf(stderr, "MISMATCH %s | %s | %s: should be %s; %s %s\n", file, name, what,
                valid ? "valid" : "invalid", mti_status_name(status), e.detail);
    }
    mti_schema_destroy(schema);
}

static void run_file(const char *folder, const char *file, bool formats)
{
    char path[8192];
    tally t = {0};
    snprintf(path, sizeof path, "%s/tests/draft2020-12/%s%s", root, folder, file);
    json_t *groups = load(path), *group;
    size_t i;
    t.failed += groups == NULL;
    json_array_foreach(groups, i, group)
    {
        run_group(file, group, &(mti_schema_options){.formats = formats}, &t);
    }
    json_decref(groups);
    printf("%-12s%-32s passed %3d  failed %d  skipped %d\n", folder, file, t.passed, t.failed,
           t.skipped);
    total.passed += t.passed;
    total.failed += t.failed;
    total.skipped += t.skipped;
}

static int is_json(const struct dirent *d)
{
    return fnmatch("*.json", d->d_name, 0) == 0;
}

static int run_folder(const char *folder, bool formats)
{
    char path[8192];
    struct dirent **names;
    snprintf(path, sizeof path, "%s/tests/draft2020-12/%s", root, folder);
    int n = scandir(path, &names, is_json, alphasort);
    for (int i = 0; i < n; i++) {
        run_file(folder, names[i]->d_name, formats);
        free(names[i]);
    }
    if (n >= 0)
        free(names);
    return n;
}

/* The suite's folder: from the environment, or from what the set-up wrote down in the folder given
 * as argument. */
static bool find_suite(const char *deps)
{
    const char *set = getenv("MORTISE_SCHEMA_SUITE");
    char path[4096];
    snprintf(root, sizeof root, "%s", set ? set : "");
    if (set)
        return true;
    snprintf(path, sizeof path, "%s/schema-suite.prefix", deps);
    FILE *f = fopen(path, "r");
    bool ok = f && fgets(root, sizeof root, f);
    root[strcspn(root, "\n")] = 0;
    if (f)
        fclose(f);
    return ok;
}

int main(int argc, char **argv)
{
    if (!find_suite(argc > 1 ? argv[1] : "")) {
        printf("SKIP: the JSON-Schema-Test-Suite is not there; mortise.d/fetch-schema-suite.sh "
               "fetches it\n");
        return SKIPPED;
    }
    documents = json_object();
    int files = run_folder("", false);
    run_folder("optional/", false);
    run_folder("optional/format/", true);
    json_decref(documents);
    for (size_t i = 0; i < SKIP_COUNT; i++)
        printf("not supported: %-32s %3d tests: %s\n", SKIPS[i].file, skips[i], SKIPS[i].why);
    printf("total: passed %d, failed %d, skipped %d\n", total.passed, total.failed, total.skipped);
    return total.failed == 0 && files > 40 && total.passed > 1000 ? 0 : 1;
}
