/* mortise plugin build: the SDK that is at hand, CMake where there is code, and FOLDER/build as the only place that is written. */
#include "cli/plugin_work.h"

#include <errno.h>
#include <glob.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/process.h"
#include "package/package.h"

/* The folder of MortiseConfig.cmake: in the program's own prefix, which a build folder is too. */
static mt_status find_sdk(char out[PATH_MAX], mti_error *e)
{
    char program[PATH_MAX], pattern[PATH_MAX + 64];
    glob_t found;
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    program[n > 0 ? n : 0] = 0;
    snprintf(pattern, sizeof pattern, "%s/../lib{,/*}/cmake/Mortise/MortiseConfig.cmake", dirname(program));
    if (glob(pattern, GLOB_BRACE, NULL, &found) == 0 && found.gl_pathc && realpath(dirname(found.gl_pathv[0]), out)) {
        globfree(&found);
        return MT_OK;
    }
    globfree(&found);
    return mti_fail(e, MT_NOT_FOUND, "no_sdk",
                    "The SDK (lib/cmake/Mortise) is not beside this program: install it with cmake --install BUILD --prefix PREFIX --component sdk.");
}

/* --- CMake --- */

typedef struct words {
    const mti_work *w;
    bool failed;             /* the line before was ninja's FAILED: the next one is the command, which nobody wants to read */
} words;

/* What the compiler says, with paths as the developer knows them: ninja runs in DIR/build, so they begin with "../". */
static void on_line(void *arg, char *line)
{
    words *x = arg;
    bool command = x->failed, here = !strcmp(x->w->dir, ".");
    x->failed = !strncmp(line, "FAILED: ", 8);
    if (command || x->failed || !strncmp(line, "ninja: build stopped", 20) || !strncmp(line, "ninja: no work", 14) || !strncmp(line, "-- ", 3))
        return;
    if (!strncmp(line, "../", 3))
        fprintf(x->w->out, "%s%s%s\n", here ? "" : x->w->dir, here ? "" : "/", line + 3);
    else
        fprintf(x->w->out, "%s\n", line);
}

static mt_status run_cmake(const mti_work *w, char *const argv[], const char *what, mti_error *e)
{
    words x = {.w = w};
    mti_error why = {0};
    mt_status s = mti_process_lines(argv, on_line, &x, &why);
    if (s == MT_NOT_FOUND)
        return mti_fail(e, s, "no_cmake", "CMake is needed to build a plugin in C: install the package cmake.");
    return s == MT_OK ? s : mti_fail(e, MT_INVALID, "build_failed", "%s could not be %s; the reason is above.", w->slug, what);
}

static bool has_file(const char *folder, const char *name)
{
    char path[PATH_MAX + 32];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return access(path, R_OK) == 0;
}

/* Whether DIR/build was configured for this SDK; the folder may have been moved or copied since. */
static bool is_configured(const char *build, const char *sdk)
{
    char path[PATH_MAX + 32], real[PATH_MAX], here[PATH_MAX + 40], there[PATH_MAX + 40];
    mti_buf cache;
    snprintf(path, sizeof path, "%s/CMakeCache.txt", build);
    if (!realpath(build, real) || !(has_file(build, "build.ninja") || has_file(build, "Makefile")))
        return false;
    snprintf(here, sizeof here, "CMAKE_CACHEFILE_DIR:INTERNAL=%s\n", real);
    snprintf(there, sizeof there, "Mortise_DIR:PATH=%s\n", sdk);
    bool same = mti_buf_read_file(&cache, path, 4 << 20) == MT_OK && cache.p && strstr(cache.p, here) && strstr(cache.p, there);
    mti_buf_dispose(&cache);
    return same;
}

static bool has_program(const char *name)
{
    char path[PATH_MAX], *folders = strdup(getenv("PATH") ? getenv("PATH") : ""), *rest = folders, *folder;
    bool found = false;
    while (!found && folders && (folder = strsep(&rest, ":")))
        found = snprintf(path, sizeof path, "%s/%s", folder, name) < PATH_MAX && access(path, X_OK) == 0;
    free(folders);
    return found;
}

static mt_status configure(const mti_work *w, const char *build, const char *sdk, mti_error *e)
{
    char cache[PATH_MAX], dir[PATH_MAX + 32];
    snprintf(cache, sizeof cache, "%.*s/CMakeCache.txt", PATH_MAX - 32, build);
    unlink(cache);               /* of another place or another SDK */
    snprintf(dir, sizeof dir, "-DMortise_DIR:PATH=%s", sdk);
    char *const argv[] = {"cmake", "-S", (char *)w->dir, "-B", (char *)build, "-G",
                          has_program("ninja") ? "Ninja" : "Unix Makefiles", dir, "-Wno-dev", "--log-level=NOTICE", NULL};
    return run_cmake(w, argv, "configured", e);
}

/* mortise_add_plugin(SLUG) makes the targets SLUG, where there is code, and SLUG_files. */
static mt_status compile(const mti_work *w, const char *build, bool tests, mti_error *e)
{
    char target[80];
    snprintf(target, sizeof target, "%s%s", tests ? "all" : w->slug, tests || w->object ? "" : "_files");
    char *const argv[] = {"cmake", "--build", (char *)build, "--target", target, "--", has_file(build, "build.ninja") ? "--quiet" : "-s", NULL};
    return run_cmake(w, argv, "built", e);
}

/* --- without code --- */

/* Laid down anew: what is gone from the source is gone from there. */
static mt_status copy(const mti_work *w, mti_error *e)
{
    static const char *const folders[] = {"build", "build/plugins"};
    char path[PATH_MAX];
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%.*s/%s", PATH_MAX - 64, w->dir, folders[i]);
        if (mkdir(path, 0755) && errno != EEXIST)
            return mti_fail(e, MT_INTERNAL, "cannot_write", "%.300s: %s.", path, strerror(errno));
    }
    MT_TRY(mti_package_remove(w->built, e));
    return mti_package_copy(w->dir, w->built, e);
}

mt_status mti_work_build(const mti_work *w, bool tests, mti_error *e)
{
    char build[PATH_MAX], sdk[PATH_MAX];
    MT_TRY(mti_work_check(w, e));
    if (!w->code)
        return copy(w, e);
    snprintf(build, sizeof build, "%.*s/build", PATH_MAX - 64, w->dir);
    MT_TRY(find_sdk(sdk, e));
    if (!is_configured(build, sdk))
        MT_TRY(configure(w, build, sdk, e));
    return compile(w, build, tests, e);
}

mt_status mti_work_find(const mti_cli *cli, const char *path, mti_work *w, char out[PATH_MAX], mti_error *e)
{
    char cmake[PATH_MAX];
    struct stat st;
    snprintf(out, PATH_MAX, "%s", path ? path : ".");
    snprintf(w->dir, sizeof w->dir, "%s", out);
    if (stat(out, &st) || !S_ISDIR(st.st_mode))
        return MT_OK;            /* a package; or what is not there, which the caller tells */
    if (snprintf(cmake, sizeof cmake, "%s/CMakeLists.txt", out) >= (int)sizeof cmake || access(cmake, R_OK))
        return MT_OK;            /* built, or without code: all is there */
    MT_TRY(mti_work_open(cli, path, w, e));
    MT_TRY(mti_work_build(w, false, e));
    snprintf(out, PATH_MAX, "%s", w->built);
    return MT_OK;
}

int mti_plugin_build(mti_cli *cli)
{
    mti_work w;
    mti_error e = {0};
    if (!mti_cli_args(cli, 0, 1))
        return 2;
    mt_status s = mti_work_open(cli, cli->argv[0], &w, &e);
    if (s == MT_OK)
        s = mti_work_build(&w, false, &e);
    if (s != MT_OK)
        return mti_work_fail(&w, &e);
    if (cli->json)
        printf("{\"slug\":\"%s\",\"version\":\"%s\",\"folder\":\"%s\"}\n", w.slug, w.version, w.built);
    else
        printf("built %s %s in %s\n", w.slug, w.version, w.built);
    return 0;
}
