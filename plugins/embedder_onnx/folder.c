#include "folder.h"

#include <mortise/json.h>

#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MANIFEST_MAX = 64 << 10 };

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

static bool is_name(mt_slice name)
{
    return name.len && name.len <= 100 && name.p[0] != '.' && !memchr(name.p, '/', name.len) && !memchr(name.p, 0, name.len);
}

static bool describe(mt_call *c, model *m, const char *manifest, const char *vocab, char *reason)
{
    return access(m->path, R_OK) == 0 && access(vocab, R_OK) == 0 && folder_describe(c, read_file(c, manifest), m, reason);
}

static model *read_one(mt_call *c, model_set *set, const char *dir, const model *as, bool tell)
{
    char vocab[4096], manifest[4096], reason[WORDPIECE_REASON] = "";
    model m = *as;
    snprintf(m.path, sizeof m.path, "%.3800s/%s/model.onnx", dir, m.name);
    snprintf(vocab, sizeof vocab, "%.3800s/%s/vocab.txt", dir, m.name);
    snprintf(manifest, sizeof manifest, "%.3800s/%s/manifest.json", dir, m.name);
    if (describe(c, &m, manifest, vocab, reason) && model_add(set, &m, vocab, reason) == MT_OK)
        return model_get(set, mt_str(m.org), mt_str(m.name));
    if (reason[0] && tell) {
        const mt_field fields[] = {{MT_SLICE("model"), mt_str(m.name)}, {MT_SLICE("reason"), mt_str(reason)}};
        mt_log(2, "embedder_onnx.model_unusable", fields, 2);
    }
    return NULL;
}

/* Which manifest lies there; 0: none. */
static uint64_t stamp_of(const char *dir, mt_slice name)
{
    char path[4096];
    struct stat st;
    snprintf(path, sizeof path, "%.3800s/%.*s/manifest.json", dir, (int)name.len, name.p);
    return stat(path, &st) ? 0 : ((uint64_t)st.st_ino << 32) ^ ((uint64_t)st.st_mtim.tv_sec << 20) ^ (uint64_t)st.st_mtim.tv_nsec ^ 1;
}

model *folder_get(mt_call *c, model_set *set, const char *dir, mt_slice org, mt_slice name, bool tell)
{
    model as = {.stamp = is_name(name) ? stamp_of(dir, name) : 0}, *known = model_get(set, org, name);
    if (known && (known->stamp == as.stamp || !org.len))
        return known;                        /* the machine's own are what they were when they were first seen */
    if (known) {
        model_forget(set, known);
        model_put(set, known);
    }
    if (!as.stamp || !copy_text(as.org, sizeof as.org, org) || !copy_text(as.name, sizeof as.name, name))
        return NULL;
    return read_one(c, set, dir, &as, tell);
}

/* In the order of names, so that hosts with the same models list them alike. */
void folder_read(mt_call *c, model_set *set, const char *dir, bool tell)
{
    struct dirent **list;
    int n = scandir(dir, &list, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        model *m = folder_get(c, set, dir, (mt_slice){0}, mt_str(list[i]->d_name), tell);
        if (m)
            model_put(set, m);
        free(list[i]);
    }
    if (n >= 0)
        free(list);
}

model *folder_at(mt_call *c, model_set *set, const char *dir, mt_slice org, uint32_t index)
{
    struct dirent **list;
    model *found = NULL;
    int n = scandir(dir, &list, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        model *m = found ? NULL : folder_get(c, set, dir, org, mt_str(list[i]->d_name), false);
        if (m && m->head != ONNX_SCORE && !index--)
            found = m;
        else if (m)
            model_put(set, m);
        free(list[i]);
    }
    if (n >= 0)
        free(list);
    return found;
}
