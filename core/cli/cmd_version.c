/* mortise version: this program, what it can do, and the libraries that it runs with. */
#include "cli/internal.h"

#include <curl/curl.h>
#include <glob.h>
#include <libpq-fe.h>
#include <limits.h>
#include <lua.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

#if __has_include(<h2o/version.h>)
#include <h2o/version.h>
#endif

static const char *const features[] = {
    "http1",
    "sse",
    "managed-postgresql",
    "row-level-security",
    "json-schema",
    "hooks",
    "lua-policies",
    "plugins",
#if defined(__SANITIZE_ADDRESS__)
    "address-sanitizer",
#endif
#if defined(__SANITIZE_THREAD__)
    "thread-sanitizer",
#endif
};

static int version_of_path(const char *path)
{
    const char *p = strstr(path, "postgresql/");
    return p ? atoi(p + strlen("postgresql/")) : 0;
}

bool mti_cli_pg_program(const char *name, char *out, size_t size)
{
    char pattern[128];
    glob_t found;
    snprintf(pattern, sizeof pattern, "/usr/lib/postgresql/*/bin/%s", name);
    *out = 0;
    if (glob(pattern, 0, NULL, &found) == 0)
        for (size_t i = 0; i < found.gl_pathc; i++)
            if (version_of_path(found.gl_pathv[i]) > version_of_path(out))
                snprintf(out, size, "%s", found.gl_pathv[i]);
    globfree(&found);
    return *out != 0;
}

static void add(json_t *list, const char *name, const char *version)
{
    json_object_set_new(list, name, version ? json_string(version) : json_null());
}

static void add_postgresql(json_t *list)
{
    char path[PATH_MAX], command[PATH_MAX + 16], line[128] = "";
    int libpq = PQlibVersion();
    snprintf(line, sizeof line, "%d.%d", libpq / 10000, libpq % 10000);
    add(list, "libpq", line);
    *line = 0;
    if (mti_cli_pg_program("postgres", path, sizeof path)) {
        snprintf(command, sizeof command, "%s -V", path);
        FILE *p = popen(command, "r");
        if (p && fgets(line, sizeof line, p))
            line[strcspn(line, "\n")] = 0;
        if (p)
            pclose(p);
    }
    const char *number = strstr(line, ") ");
    add(list, "postgresql", number ? number + 2 : NULL);
}

/* Its folder is named onnxruntime-VERSION-HASH; opening the library to ask would cost 20 MB. */
static void add_onnxruntime(json_t *list)
{
    char version[32] = "";
    mti_buf prefix;
    if (mti_buf_read_file(&prefix, MORTISE_ONNXRUNTIME_PREFIX_FILE, 4096) == MT_OK && prefix.len) {
        prefix.p[strcspn(prefix.p, "\n")] = 0;
        const char *name = strrchr(prefix.p, '/');
        if (name && access(prefix.p, F_OK) == 0)
            sscanf(name, "/onnxruntime-%31[0-9.]", version);
    }
    mti_buf_dispose(&prefix);
    add(list, "onnxruntime", *version ? version : NULL);
}

static json_t *libraries(void)
{
    json_t *list = json_object();
#ifdef H2O_VERSION
    add(list, "h2o", H2O_VERSION);
#else
    add(list, "h2o", NULL);
#endif
    add_postgresql(list);
    add(list, "jansson", JANSSON_VERSION);
    add(list, "lua", LUA_VERSION_MAJOR "." LUA_VERSION_MINOR "." LUA_VERSION_RELEASE);
    add(list, "openssl", OpenSSL_version(OPENSSL_VERSION_STRING));
    add(list, "curl", curl_version_info(CURLVERSION_NOW)->version);
    add(list, "zlib", zlibVersion());
    add_onnxruntime(list);
    return list;
}

static void print_text(json_t *list)
{
    const char *name;
    json_t *version;
    printf("mortise %s\nfeatures:", MORTISE_VERSION);
    for (size_t i = 0; i < sizeof features / sizeof *features; i++)
        printf(" %s", features[i]);
    puts("");
    json_object_foreach(list, name, version) printf(
        "%-12s %s\n", name, json_is_string(version) ? json_string_value(version) : "not found");
}

static int run(mti_cli *cli)
{
    if (!mti_cli_args(cli, 0, 0))
        return 2;
    json_t *list = libraries(), *names = json_array();
    if (!cli->json) {
        print_text(list);
    } else {
        for (size_t i = 0; i < sizeof features / sizeof *features; i++)
            json_array_append_new(names, json_string(features[i]));
        json_t *root = json_pack("{s:s,s:O,s:O}", "version", MORTISE_VERSION, "features", names,
                                 "libraries", list);
        json_dumpf(root, stdout, JSON_INDENT(2));
        puts("");
        json_decref(root);
    }
    json_decref(list);
    json_decref(names);
    return 0;
}

const mti_command mti_cmd_version = {
    .name = "version",
    .arguments = "[--json]",
    .summary = "Print the version, features and library versions.",
    .help = "The same as mortise --version.\n\nexamples:\n  mortise --version\n  mortise version "
            "--json",
    .run = run,
};
