/* The part that knows ONNX Runtime's C API. Every call of it answers an OrtStatus that must be released: see failed(). */
#include "onnx_session.h"

#include <dlfcn.h>
#include <math.h>
#include <onnxruntime_c_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "pooling.h"

#define OLDEST_API 16 /* the first one with everything used here */

struct onnx_session {
    const OrtApi *api;
    OrtEnv *env;
    OrtSession *session;
    OrtMemoryInfo *memory;
    const char *version;
    size_t dim;
    onnx_head head;
    bool has_types, pooled;
    char output[64];
};

/* Takes the status: answers false when it is fine, else writes its message to reason and answers true. */
static bool failed(const OrtApi *api, OrtStatus *status, const char *what, char *reason)
{
    if (!status)
        return false;
    snprintf(reason, ONNX_REASON, "%s: %.180s", what, api->GetErrorMessage(status));
    for (char *p = reason; *p; p++)
        if ((unsigned char)*p < ' ')
            *p = ' ';
    api->ReleaseStatus(status);
    return true;
}

static mt_status open_library(onnx_session *s, const char *path, char *reason)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL); /* never closed: its threads may outlive the last session */
    if (!library) {
        snprintf(reason, ONNX_REASON, "The ONNX Runtime library cannot be opened: %.180s", dlerror());
        return access(path, F_OK) == 0 ? MT_UNSUPPORTED : MT_NOT_FOUND;
    }
    const OrtApiBase *(*base_of)(void) = (const OrtApiBase *(*)(void))dlsym(library, "OrtGetApiBase");
    const OrtApiBase *base = base_of ? base_of() : NULL;
    for (uint32_t v = ORT_API_VERSION; base && v >= OLDEST_API && !s->api; v--)
        s->api = base->GetApi(v);
    if (!s->api) {
        snprintf(reason, ONNX_REASON, "%.150s offers no ONNX Runtime API between %d and %d.", path, OLDEST_API, ORT_API_VERSION);
        return MT_UNSUPPORTED;
    }
    s->version = base->GetVersionString();
    return MT_OK;
}

static mt_status open_session(onnx_session *s, const onnx_options *o, char *reason)
{
    const OrtApi *api = s->api;
    OrtSessionOptions *options = NULL;
    mt_status status = MT_INVALID;
    if (failed(api, api->CreateEnv(ORT_LOGGING_LEVEL_FATAL, "mortise", &s->env), "environment", reason) ||
        failed(api, api->CreateSessionOptions(&options), "options", reason) ||
        failed(api, api->SetIntraOpNumThreads(options, o->threads > 0 ? o->threads : 1), "threads", reason) ||
        failed(api, api->SetInterOpNumThreads(options, 1), "threads", reason) ||
        failed(api, api->SetSessionGraphOptimizationLevel(options, ORT_ENABLE_ALL), "optimization", reason) ||
        failed(api, api->AddSessionConfigEntry(options, "session.intra_op.allow_spinning", o->spin ? "1" : "0"), "spin", reason) ||
        failed(api, api->DisableMemPattern(options), "memory", reason) || /* shapes change with each batch */
        failed(api, api->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &s->memory), "memory", reason))
        status = MT_INTERNAL;
    else if (access(o->model, R_OK) != 0) {
        snprintf(reason, ONNX_REASON, "The model %.180s cannot be read.", o->model);
        status = MT_NOT_FOUND;
    } else if (!failed(api, api->CreateSession(s->env, o->model, options, &s->session), "The model cannot be loaded", reason))
        status = MT_OK;
    if (options)
        api->ReleaseSessionOptions(options);
    return status;
}

/* Copies the name of an input or output to name[64]; false when there is no such one. */
static bool name_of(const onnx_session *s, bool input, size_t i, char name[64])
{
    OrtAllocator *allocator = NULL;
    char *p = NULL, ignored[ONNX_REASON];
    if (failed(s->api, s->api->GetAllocatorWithDefaultOptions(&allocator), "", ignored) ||
        failed(s->api, (input ? s->api->SessionGetInputName : s->api->SessionGetOutputName)(s->session, i, allocator, &p), "", ignored))
        return false;
    snprintf(name, 64, "%s", p);
    if (failed(s->api, s->api->AllocatorFree(allocator, p), "", ignored))
        return false;
    return true;
}

/* The number of dimensions of output i and the last of them. */
static bool output_shape(const onnx_session *s, size_t i, size_t *rank, int64_t *last, char *reason)
{
    const OrtApi *api = s->api;
    OrtTypeInfo *type = NULL;
    const OrtTensorTypeAndShapeInfo *shape = NULL;
    ONNXTensorElementDataType element = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
    int64_t dims[8] = {0};
    bool ok = !failed(api, api->SessionGetOutputTypeInfo(s->session, i, &type), "output", reason) &&
              !failed(api, api->CastTypeInfoToTensorInfo(type, &shape), "output", reason) && shape &&
              !failed(api, api->GetTensorElementType(shape, &element), "output", reason) &&
              !failed(api, api->GetDimensionsCount(shape, rank), "output", reason) && *rank > 0 && *rank <= 8 &&
              !failed(api, api->GetDimensions(shape, dims, *rank), "output", reason);
    if (ok)
        *last = dims[*rank - 1];
    if (type)
        api->ReleaseTypeInfo(type);
    return ok && element == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
}

static mt_status check_inputs(onnx_session *s, char *reason)
{
    size_t n = 0, known = 0;
    if (failed(s->api, s->api->SessionGetInputCount(s->session, &n), "inputs", reason))
        return MT_INTERNAL;
    for (size_t i = 0; i < n; i++) {
        char name[64];
        if (!name_of(s, true, i, name))
            continue;
        bool types = strcmp(name, "token_type_ids") == 0;
        s->has_types |= types;
        known += types || strcmp(name, "input_ids") == 0 || strcmp(name, "attention_mask") == 0;
    }
    if (known == n && known == 2u + s->has_types)
        return MT_OK;
    snprintf(reason, ONNX_REASON, "The model does not take input_ids and attention_mask: it is no text model.");
    return MT_UNSUPPORTED;
}

/* How well an output of this name suits: the best one is taken, the first of equals. */
static int suits(onnx_head head, const char *name)
{
    if (head == ONNX_SCORE)
        return strcmp(name, "logits") == 0;
    return (head == ONNX_MEAN && strcmp(name, "sentence_embedding") == 0) * 2 + (strcmp(name, "last_hidden_state") == 0);
}

static bool shape_fits(const onnx_session *s, size_t rank, int64_t last)
{
    switch (s->head) {
    case ONNX_SCORE: return rank == 2 && last == 1;
    case ONNX_CLS: return rank == 3 && last >= 1 && last <= 16384;
    default: return (rank == 2 || rank == 3) && last >= 1 && last <= 16384;
    }
}

static mt_status choose_output(onnx_session *s, char *reason)
{
    size_t n = 0, best = 0, rank = 0;
    int64_t last = 0;
    int how_well = -1;
    if (failed(s->api, s->api->SessionGetOutputCount(s->session, &n), "outputs", reason))
        return MT_INTERNAL;
    for (size_t i = 0; i < n; i++) {
        char name[64];
        if (!name_of(s, false, i, name) || suits(s->head, name) <= how_well)
            continue;
        how_well = suits(s->head, name);
        best = i;
        snprintf(s->output, sizeof s->output, "%s", name);
    }
    if (!output_shape(s, best, &rank, &last, reason) || !shape_fits(s, rank, last)) {
        snprintf(reason, ONNX_REASON, "The model's output %.60s has not the shape of %s.", s->output, s->head == ONNX_SCORE ? "one score a row" : "embeddings");
        return MT_UNSUPPORTED;
    }
    s->pooled = rank == 2;
    s->dim = (size_t)last;
    return MT_OK;
}

mt_status onnx_session_open(onnx_session **out, const onnx_options *options, char reason[ONNX_REASON])
{
    *out = NULL;
    onnx_session *s = calloc(1, sizeof *s);
    if (!s)
        return MT_NO_MEMORY;
    s->head = options->head;
    mt_status status = open_library(s, options->library, reason);
    if (status == MT_OK)
        status = open_session(s, options, reason);
    if (status == MT_OK)
        status = check_inputs(s, reason);
    if (status == MT_OK)
        status = choose_output(s, reason);
    if (status == MT_OK)
        *out = s;
    else
        onnx_session_close(s);
    return status;
}

void onnx_session_close(onnx_session *s)
{
    if (!s)
        return;
    if (s->session)
        s->api->ReleaseSession(s->session);
    if (s->memory)
        s->api->ReleaseMemoryInfo(s->memory);
    if (s->env)
        s->api->ReleaseEnv(s->env);
    free(s);
}

size_t onnx_session_dim(const onnx_session *s)
{
    return s->dim;
}

const char *onnx_session_runtime(const onnx_session *s)
{
    return s->version;
}

static OrtValue *wrap(const onnx_session *s, const int64_t *p, const int64_t shape[2], char *reason)
{
    OrtValue *value = NULL;
    size_t bytes = (size_t)(shape[0] * shape[1]) * sizeof *p;
    OrtStatus *status = s->api->CreateTensorWithDataAsOrtValue(s->memory, (void *)(uintptr_t)p, bytes, shape, 2,
                                                               ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64, &value);
    return failed(s->api, status, "input", reason) ? NULL : value;
}

static void read_rows(const onnx_session *s, const float *data, const onnx_batch *b, float *out)
{
    if (s->head == ONNX_SCORE) {
        for (size_t r = 0; r < b->rows; r++)
            out[r] = 1 / (1 + expf(-data[r]));
        return;
    }
    if (s->pooled)
        memcpy(out, data, b->rows * s->dim * sizeof *out);
    else if (s->head == ONNX_CLS)
        for (size_t r = 0; r < b->rows; r++)
            memcpy(out + r * s->dim, data + r * b->length * s->dim, s->dim * sizeof *out);
    else
        pooling_mean(data, b->mask, b->rows, b->length, s->dim, out);
    for (size_t r = 0; r < b->rows; r++)
        pooling_normalize(out + r * s->dim, s->dim);
}

static mt_status take_output(const onnx_session *s, OrtValue *value, const onnx_batch *b, float *out, char *reason)
{
    const OrtApi *api = s->api;
    OrtTensorTypeAndShapeInfo *info = NULL;
    size_t count = 0, want = b->rows * s->dim * (s->pooled ? 1 : b->length);
    float *data = NULL;
    if (failed(api, api->GetTensorTypeAndShape(value, &info), "output", reason))
        return MT_INTERNAL;
    bool bad = failed(api, api->GetTensorShapeElementCount(info, &count), "output", reason);
    api->ReleaseTensorTypeAndShapeInfo(info);
    if (bad || failed(api, api->GetTensorMutableData(value, (void **)&data), "output", reason))
        return MT_INTERNAL;
    if (count != want) {
        snprintf(reason, ONNX_REASON, "The model answered %zu numbers where %zu were due.", count, want);
        return MT_INTERNAL;
    }
    read_rows(s, data, b, out);
    return MT_OK;
}

mt_status onnx_session_run(onnx_session *s, const onnx_batch *b, float *out, char reason[ONNX_REASON])
{
    static const char *const names[3] = {"input_ids", "attention_mask", "token_type_ids"};
    const char *output_name = s->output;
    const int64_t shape[2] = {(int64_t)b->rows, (int64_t)b->length}, *data[3] = {b->ids, b->mask, b->types};
    OrtValue *in[3] = {NULL, NULL, NULL}, *value = NULL;
    size_t n_in = s->has_types ? 3 : 2;
    mt_status status = MT_INTERNAL;
    for (size_t i = 0; i < n_in; i++)
        if (!(in[i] = wrap(s, data[i], shape, reason)))
            goto out;
    if (!failed(s->api, s->api->Run(s->session, NULL, names, (const OrtValue *const *)in, n_in, &output_name, 1, &value),
                "The model failed", reason))
        status = take_output(s, value, b, out, reason);
out:
    if (value)
        s->api->ReleaseValue(value);
    for (size_t i = 0; i < n_in; i++)
        if (in[i])
            s->api->ReleaseValue(in[i]);
    return status;
}
