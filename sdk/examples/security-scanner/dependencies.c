/* Versions with published holes. A short list of widely used packages; an advisory feed would be a plugin of its own. */
#include "scan.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

typedef struct advisory {
    const char *package, *fixed, *id;
    severity severity;
} advisory;

static const advisory python[] = {
    {"pyyaml", "5.4", "CVE-2020-14343", SEVERITY_CRITICAL}, {"requests", "2.20.0", "CVE-2018-18074", SEVERITY_HIGH},
    {"urllib3", "1.26.5", "CVE-2021-33503", SEVERITY_HIGH}, {"jinja2", "2.11.3", "CVE-2020-28493", SEVERITY_MEDIUM}, {0}};
static const advisory npm[] = {
    {"minimist", "1.2.6", "CVE-2021-44906", SEVERITY_CRITICAL}, {"lodash", "4.17.21", "CVE-2021-23337", SEVERITY_HIGH},
    {"node-fetch", "2.6.7", "CVE-2022-0235", SEVERITY_HIGH}, {"axios", "0.21.2", "CVE-2021-3749", SEVERITY_HIGH}, {0}};
static const advisory gradle[] = {{"log4j-core", "2.17.1", "CVE-2021-44228", SEVERITY_CRITICAL}, {0}};

/* Where a version stands after a package's name in this kind of file. */
static const struct { const char *file; const advisory *list; const char *between; } kinds[] = {
    {"requirements.txt", python, "=~ "}, {"package.json", npm, "\": ^~v="}, {"build.gradle", gradle, ":"}, {"build.gradle.kts", gradle, ":"}};

static int compare_versions(const char *a, const char *b)
{
    for (;;) {
        char *a_end, *b_end;
        long x = strtol(a, &a_end, 10), y = strtol(b, &b_end, 10);
        if (x != y)
            return x < y ? -1 : 1;
        bool more_a = *a_end == '.', more_b = *b_end == '.';
        if (!more_a && !more_b)
            return 0;
        a = more_a ? a_end + 1 : "0";
        b = more_b ? b_end + 1 : "0";
    }
}

static bool is_name(char c)
{
    return isalnum((unsigned char)c) || c == '-' || c == '_';
}

/* The version after package in line; NULL when the line is not about it. */
static const char *version_of(const char *line, const char *package, const char *between)
{
    const char *p = strcasestr(line, package);
    size_t n = strlen(package);
    if (!p || (p > line && is_name(p[-1])) || is_name(p[n]))
        return NULL;
    p += n;
    if (*p == '[') /* pip's extras */
        p += strcspn(p, "]") + 1;
    size_t gap = strspn(p, between);
    return gap && isdigit((unsigned char)p[gap]) ? p + gap : NULL;
}

static bool scan_line(const line_reader *r, const advisory *list, const char *between, scan_report report, void *arg)
{
    for (; list->package; list++) {
        const char *version = version_of(r->text, list->package, between);
        if (!version || compare_versions(version, list->fixed) >= 0)
            continue;
        finding f = {.rule = "vulnerable_dependency", .severity = list->severity, .line = r->line};
        snprintf(f.message, sizeof f.message, "%s %.*s has the hole %s: use %s or later", list->package,
                 (int)strspn(version, "0123456789."), version, list->id, list->fixed);
        if (!report(arg, &f))
            return false;
    }
    return true;
}

void scan_dependencies(mt_slice file_name, mt_slice source, scan_report report, void *arg)
{
    const char *slash = file_name.len ? memrchr(file_name.p, '/', file_name.len) : NULL;
    if (slash)
        file_name = (mt_slice){slash + 1, file_name.len - (size_t)(slash + 1 - file_name.p)};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        line_reader r = {.rest = source};
        if (!mt_slice_eq(file_name, mt_str(kinds[i].file)))
            continue;
        while (line_next(&r) && scan_line(&r, kinds[i].list, kinds[i].between, report, arg))
            ;
    }
}
