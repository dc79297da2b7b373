/* mortise plugin new: a copy of one of the SDK's templates, @NAME@ and @IDENT@ filled in, in contents and
 * file names. */
#include "cli/internal.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct names {
    const char *name; /* "sentiment-score" */
    char ident[64];   /* "sentiment_score" */
} names;

/* Folders of sdk/templates. */
static const struct kind {
    const char *name, *summary;
} kinds[] = {
    {"plugin", "in C: an operation, queries, a table, a hook, a policy, unit tests"},
    {"llm", "in C: language models behind an HTTP API, streamed (llm_engine/1)"},
    {"tool", "in C: a function for language models, with a schema of its arguments"},
    {"policy", "in Lua: a rule on a hook, with its cases"},
    {"query", "in SQL: operations that are queries, without C"},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static bool check_name(const char *s, names *out)
{
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-_");
    if (n < 2 || n > 32 || s[n] || s[0] < 'a' || s[0] > 'z')
        return false;
    out->name = s;
    for (size_t i = 0; i <= n; i++)
        out->ident[i] = s[i] == '-' ? '_' : s[i];
    return true;
}

/* Names that CMake, PostgreSQL or the host keep for themselves, and those of Mortise's own plugins. */
static bool is_taken(const char *ident)
{
    static const char *const kept[] = {"all", "clean", "core", "help", "host", "install", "mt", "package", "public", "test"};
    char part[128], path[PATH_MAX];
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        if (!strcmp(ident, kept[i]))
            return true;
    snprintf(part, sizeof part, "plugins/%s/plugin.json", ident);
    return !strncmp(ident, "pg_", 3) || mti_cli_find(part, path, sizeof path);
}

/* A name like the one that was meant: letters in lower case, '-' for what may not be there. "" when nothing is left. */
static void propose(const char *s, char out[33])
{
    size_t n = 0;
    for (; *s && n < 32; s++) {
        char c = *s >= 'A' && *s <= 'Z' ? *s + 32 : *s;
        bool letter = c >= 'a' && c <= 'z', other = (c >= '0' && c <= '9') || c == '_';
        if (letter || (n && other))
            out[n++] = c;
        else if (n && out[n - 1] != '-')
            out[n++] = '-';
    }
    while (n && out[n - 1] == '-')
        n--;
    out[n < 2 ? 0 : n] = 0;
}

static int refuse_name(const mti_cli *cli, const char *name)
{
    char like[33], what[200];
    propose(name, like);
    snprintf(what, sizeof what, "A plugin's name begins with a lower-case letter and has 2 to 32 of a-z, 0-9, - and _%s%s.", *like ? ", as " : "", like);
    return mti_cli_usage(cli, what);
}

/* Insertions, deletions and replacements that make b of a. */
static size_t distance(const char *a, const char *b)
{
    size_t row[16], n = strlen(b), left, up;
    if (n > 15)
        return n;
    for (size_t i = 0; i <= n; i++)
        row[i] = i;
    for (size_t i = 1; *a; a++, i++) {
        up = row[0];
        row[0] = i;
        for (size_t k = 1; k <= n; k++) {
            left = row[k];
            row[k] = *a == b[k - 1] ? up : 1 + (up < left ? up < row[k - 1] ? up : row[k - 1] : left < row[k - 1] ? left : row[k - 1]);
            up = left;
        }
    }
    return row[n];
}

static int refuse_kind(const mti_cli *cli, const char *kind)
{
    char what[240];
    size_t best = 0;
    for (size_t i = 1; i < KINDS; i++)
        if (distance(kind, kinds[i].name) < distance(kind, kinds[best].name))
            best = i;
    int n = snprintf(what, sizeof what, "There is no kind \"%.20s\"", kind);
    if (distance(kind, kinds[best].name) < strlen(kinds[best].name) / 2 + 1)
        n += snprintf(what + n, sizeof what - (size_t)n, ": did you mean %s", kinds[best].name);
    snprintf(what + n, sizeof what - (size_t)n, "? Kinds: plugin, llm, tool, policy, query.");
    return mti_cli_usage(cli, what);
}

static int print_kinds(const mti_cli *cli)
{
    if (cli->json)
        putchar('[');
    for (size_t i = 0; i < KINDS; i++)
        if (cli->json)
            printf("%s{\"kind\":\"%s\",\"summary\":\"%s\"}", i ? "," : "", kinds[i].name, kinds[i].summary);
        else
            printf("%-8s %s\n", kinds[i].name, kinds[i].summary);
    if (cli->json)
        puts("]");
    return 0;
}

static void substitute(mt_slice text, const names *v, mti_buf *out)
{
    static const char *const marks[] = {"@NAME@", "@IDENT@"};
    for (size_t i = 0; i < text.len;) {
        const char *with = NULL;
        size_t skip = 1;
        for (int m = 0; m < 2 && !with; m++)
            if (text.len - i >= strlen(marks[m]) &&
                memcmp(text.p + i, marks[m], strlen(marks[m])) == 0) {
                with = m ? v->ident : v->name;
                skip = strlen(marks[m]);
            }
        if (with)
            mti_buf_adds(out, with);
        else
            mti_buf_addc(out, text.p[i]);
        i += skip;
    }
}

static mt_status copy_file(const char *from, const char *to, const names *v, mode_t mode,
                           mti_error *e)
{
    mti_buf in, out;
    mti_buf_init(&out, 4 << 20);
    mt_status s = mti_buf_read_file(&in, from, 1 << 20);
    if (s == MT_OK)
        substitute(mti_buf_slice(&in), v, &out);
    FILE *f = s == MT_OK && out.status == MT_OK ? fopen(to, "wx") : NULL;
    bool ok = f && fwrite(out.p ? out.p : "", 1, out.len, f) == out.len;
    ok = f && fclose(f) == 0 && ok && chmod(to, mode & 0755) == 0;
    mti_buf_dispose(&in);
    mti_buf_dispose(&out);
    return ok ? MT_OK
              : mti_fail(e, MT_INTERNAL, "copy_failed", "%.300s could not be written: %s.", to,
                         strerror(errno));
}

static mt_status copy_folder(const char *from, const char *to, const names *v, mti_error *e)
{
    if (mkdir(to, 0755) != 0)
        return errno == EEXIST ? mti_fail(e, MT_CONFLICT, "folder_exists", "%.250s is there already. Choose another name or --dir.", to)
                               : mti_fail(e, MT_CONFLICT, "folder_failed", "%.250s cannot be made: %s. Choose another --dir.", to, strerror(errno));
    DIR *d = opendir(from);
    if (!d)
        return mti_fail(e, MT_INTERNAL, "template_unreadable",
                        "The template %.250s cannot be read: %s.", from, strerror(errno));
    mt_status s = MT_OK;
    for (struct dirent *entry; s == MT_OK && (entry = readdir(d));) {
        char source[PATH_MAX], target[PATH_MAX];
        struct stat st;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        mti_buf name;
        mti_buf_init(&name, NAME_MAX);
        substitute(mt_str(entry->d_name), v, &name);
        bool fits = snprintf(source, sizeof source, "%s/%s", from, entry->d_name) < PATH_MAX &&
                    snprintf(target, sizeof target, "%s/%s", to, name.p ? name.p : "") < PATH_MAX &&
                    name.status == MT_OK;
        mti_buf_dispose(&name);
        if (!fits || stat(source, &st) != 0)
            s = mti_fail(e, MT_INTERNAL, "copy_failed", "%.100s cannot be copied.", entry->d_name);
        else
            s = S_ISDIR(st.st_mode) ? copy_folder(source, target, v, e)
                                    : copy_file(source, target, v, st.st_mode, e);
    }
    closedir(d);
    return s;
}

static mt_status make(const char *kind, const char *target, const names *v, mti_error *e)
{
    char part[64], template[PATH_MAX];
    snprintf(part, sizeof part, "sdk/templates/%s", kind);
    if (!mti_cli_find(part, template, sizeof template))
        return mti_fail(e, MT_NOT_FOUND, "no_template", "The template (%s) is neither beside the program nor in its source tree: install the SDK.", part);
    return copy_folder(template, target, v, e);
}

int mti_plugin_new(mti_cli *cli)
{
    const char *dir = mti_cli_value(cli, "--dir"), *kind = mti_cli_value(cli, "--kind");
    char target[PATH_MAX], what[160];
    names v = {0};
    mti_error e = {0};
    bool known = !kind;
    if (mti_cli_flag(cli, "--list"))
        return mti_cli_args(cli, 0, 0) ? print_kinds(cli) : 2;
    if (!mti_cli_args(cli, 1, 1))
        return 2;
    for (size_t i = 0; i < KINDS; i++)
        known |= kind && !strcmp(kind, kinds[i].name);
    if (!known)
        return refuse_kind(cli, kind);
    if (!check_name(cli->argv[0], &v))
        return refuse_name(cli, cli->argv[0]);
    snprintf(what, sizeof what, "The name %s is taken by Mortise or its tools: choose another.", v.ident);
    if (is_taken(v.ident))
        return mti_cli_usage(cli, what);
    if (dir && strcmp(dir, "."))
        snprintf(target, sizeof target, "%s/%s", dir, v.name);
    else
        snprintf(target, sizeof target, "%s", v.name);
    if (make(kind ? kind : "plugin", target, &v, &e) != MT_OK)
        return mti_cli_fail(&e);
    if (cli->json)
        printf("{\"name\":\"%s\",\"kind\":\"%s\",\"folder\":\"%s\"}\n", v.name, kind ? kind : "plugin", target);
    else
        printf("%s is ready: mortise plugin test %s\n", target, target);
    return 0;
}
