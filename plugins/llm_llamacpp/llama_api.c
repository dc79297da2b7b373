#include "llama_api.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static llama_api api;
static bool opened;
static void (*log_line)(mt_slice line);

static void on_log(enum ggml_log_level level, const char *text, void *arg)
{
    mt_slice line = mt_str(text);
    while (line.len && line.p[line.len - 1] == '\n')
        line.len--;
    if (line.len > 1 && log_line)
        log_line(line);
}

static mt_status find_functions(void *library, char *reason)
{
#define X(name)                                                                                          \
    if (!(api.name = (__typeof__(api.name))dlsym(library, #name))) {                                     \
        snprintf(reason, LLAMA_REASON, "llama.cpp has no %s: run ./mortise setup.", #name);              \
        return MT_NOT_FOUND;                                                                             \
    }
    LLAMA_FUNCTIONS(X)
#undef X
    return MT_OK;
}

static mt_status open_once(const char *folder, char *reason)
{
    char path[4200];
    snprintf(path, sizeof path, "%s/libllama.v0.5.0.so", folder);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        snprintf(reason, LLAMA_REASON, "llama.cpp is not set up: run ./mortise setup (%.300s)", dlerror());
        return MT_NOT_FOUND;
    }
    MT_TRY(find_functions(library, reason));
    api.llama_log_set(on_log, NULL);
    api.ggml_backend_load_all_from_path(folder);    /* chooses the variant for this processor */
    api.llama_backend_init();
    opened = true;
    return MT_OK;
}

mt_status llama_api_open(const char *folder, void (*log)(mt_slice line), const llama_api **out, char reason[LLAMA_REASON])
{
    pthread_mutex_lock(&lock);
    log_line = log;
    mt_status s = opened ? MT_OK : open_once(folder, reason);
    pthread_mutex_unlock(&lock);
    *out = &api;
    return s;
}
