/* mortise plugin new: a copy of the SDK's template, @NAME@ and @IDENT@ filled in, in contents and
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
        return mti_fail(e, MT_CONFLICT, "folder_exists",
                        "%.250s cannot be made: %s. Choose another name or --dir.", to,
                        strerror(errno));
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

int mti_plugin_new(mti_cli *cli)
{
    const char *dir = mti_cli_value(cli, "--dir");
    char template[PATH_MAX], target[PATH_MAX];
    names v = {0};
    mti_error e = {0};
    if (!mti_cli_args(cli, 1, 1))
        return 2;
    if (!check_name(cli->argv[0], &v))
        return mti_cli_usage(cli, "A plugin's name begins with a lower-case letter and has 2 to "
                                  "32 of a-z, 0-9, - and _.");
    if (!mti_cli_find("sdk/templates/plugin", template, sizeof template)) {
        mti_fail(&e, MT_NOT_FOUND, "no_template",
                 "The template (sdk/templates/plugin) is neither beside the program nor in its "
                 "source tree: install the SDK.");
        return mti_cli_fail(&e);
    }
    snprintf(target, sizeof target, "%s/%s", dir ? dir : ".", v.name);
    if (copy_folder(template, target, &v, &e) != MT_OK)
        return mti_cli_fail(&e);
    if (cli->json)
        printf("{\"name\":\"%s\",\"folder\":\"%s\"}\n", v.name, target);
    else
        printf("%s is ready; its README.md says how to build, test and load it.\n", target);
    return 0;
}
