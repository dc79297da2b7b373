#include "folder.h"

#include <mortise/json.h>

#include <dirent.h>
#include <unistd.h>

enum { MANIFEST_MAX = 64 << 10 };

typedef struct addition {
    model_set *set;
    model description;
    char vocab[4096], reason[WORDPIECE_REASON];
    mt_status status;
} addition;

static bool copy_text(char *to, size_t size, mt_slice text)
{
    if (text.len >= size)
        return false;
    snprintf(to, size, "%.*s", (int)text.len, text.p ? text.p : "");
    return true;
}

/* The digest that the manifest gives for vocab.txt. */
static mt_slice vocabulary_digest(mt_call *c, mt_handle doc)
{
    int64_t n = mt_json_count(c, doc, MT_SLICE("/files"));
    for (int64_t i = 0; i < n; i++)
        if (mt_slice_eq(mt_json_text(c, doc, mt_printf(c, "/files/%lld/name", (long long)i)), MT_SLICE("vocab.txt")))
            return mt_json_text(c, doc, mt_printf(c, "/files/%lld/sha256", (long long)i));
    return (mt_slice){0};
}

static bool read_head(mt_slice task, mt_slice pooling, onnx_head *head)
{
    if (mt_slice_eq(task, MT_SLICE("rerank")))
        *head = ONNX_SCORE;
    else if (mt_slice_eq(pooling, MT_SLICE("cls")))
        *head = ONNX_CLS;
    else if (!pooling.p || mt_slice_eq(pooling, MT_SLICE("mean")))
        *head = ONNX_MEAN;
    else
        return false;
    return true;
}

bool folder_describe(mt_call *c, mt_slice manifest, model *out, char reason[WORDPIECE_REASON])
{
    mt_handle doc;
    reason[0] = 0;
    if (mt_json_parse(c, manifest, &doc) != MT_OK) {
        snprintf(reason, WORDPIECE_REASON, "its manifest.json is no JSON");
        return false;
    }
    mt_slice task = mt_json_text(c, doc, MT_SLICE("/task")), tokenizer = mt_json_text(c, doc, MT_SLICE("/tokenizer"));
    bool reranks = mt_slice_eq(task, MT_SLICE("rerank"));
    if (!reranks && !mt_slice_eq(task, MT_SLICE("embedding")))
        return false;
    double dimensions = mt_json_number(c, doc, MT_SLICE("/dimensions"), reranks ? 1 : 0), window = mt_json_number(c, doc, MT_SLICE("/max_tokens"), 0);
    if (tokenizer.p && !mt_slice_eq(tokenizer, MT_SLICE("wordpiece")))
        snprintf(reason, WORDPIECE_REASON, "its tokenizer is \"%.*s\", and only \"wordpiece\" runs here", (int)(tokenizer.len < 40 ? tokenizer.len : 40), tokenizer.p);
    else if (!read_head(task, mt_json_text(c, doc, MT_SLICE("/pooling")), &out->head))
        snprintf(reason, WORDPIECE_REASON, "pooling is \"mean\" or \"cls\"");
    else if (!(dimensions >= 1 && dimensions <= 16384) || !(window >= 8 && window <= 8192))
        snprintf(reason, WORDPIECE_REASON, "dimensions (1 to 16384) and max_tokens (8 to 8192) must be told");
    else if (!copy_text(out->prefix, sizeof out->prefix, mt_json_text(c, doc, MT_SLICE("/prefix"))) ||
             !copy_text(out->vocabulary, sizeof out->vocabulary, vocabulary_digest(c, doc)))
        snprintf(reason, WORDPIECE_REASON, "its prefix, or a digest, is too long");
    out->dimensions = (uint32_t)dimensions;
    out->window = (uint32_t)window;
    return !reason[0];
}

static mt_slice read_file(mt_call *c, const char *path)
{
    FILE *f = fopen(path, "rbe");
    char *p = f ? mt_alloc(c, MANIFEST_MAX) : NULL;
    size_t n = p ? fread(p, 1, MANIFEST_MAX, f) : 0;
    if (f)
        fclose(f);
    return n < MANIFEST_MAX ? (mt_slice){p, n} : (mt_slice){0};
}

static void add(void *arg)
{
    addition *a = arg;
    a->status = model_add(a->set, &a->description, a->vocab, a->reason);
}

static mt_status read_one(mt_call *c, model_set *set, const char *dir, const char *name)
{
    char path[4096];
    addition *a = mt_alloc(c, sizeof *a);
    if (!a)
        return MT_NO_MEMORY;
    a->set = set;
    snprintf(a->description.name, sizeof a->description.name, "%s", name);
    snprintf(a->description.path, sizeof a->description.path, "%.3800s/%.200s/model.onnx", dir, name);
    snprintf(a->vocab, sizeof a->vocab, "%.3800s/%.200s/vocab.txt", dir, name);
    snprintf(path, sizeof path, "%.3800s/%.200s/manifest.json", dir, name);
    if (access(path, R_OK) || access(a->description.path, R_OK) || access(a->vocab, R_OK))
        return MT_OK;
    if (folder_describe(c, read_file(c, path), &a->description, a->reason)) {
        MT_TRY(mt_offload_run(c, add, a));
        if (a->status == MT_OK)
            return MT_OK;
    }
    if (a->reason[0]) {
        const mt_field fields[] = {{MT_SLICE("model"), mt_str(name)}, {MT_SLICE("reason"), mt_str(a->reason)}};
        mt_log(2, "embedder_onnx.model_unusable", fields, 2);
    }
    return MT_OK;
}

/* In the order of names, so that hosts with the same models list them alike. */
mt_status folder_read(mt_call *c, model_set *set, const char *dir)
{
    struct dirent **list;
    mt_status status = MT_OK;
    int n = scandir(dir, &list, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        bool known = model_find(set, mt_str(list[i]->d_name)) != NULL;
        if (status == MT_OK && list[i]->d_name[0] != '.' && strlen(list[i]->d_name) <= 100 && !known)
            status = read_one(c, set, dir, list[i]->d_name);
        free(list[i]);
    }
    if (n >= 0)
        free(list);
    return status;
}
