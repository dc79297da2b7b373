/*
 * An organization's own models: files of weights, kept by their content (files.c), and names for models of the platform.
 * A large upload lies in a mapped file of the host; it is checked, hashed and copied from there on the pool, never held in memory.
 */
#include "files.h"
#include "models.h"
#include "weights.h"

#include <mortise/hooks.h>

static bool listed(mt_slice list, mt_slice word)
{
    while (list.len) {
        const char *comma = memchr(list.p, ',', list.len);
        size_t n = comma ? (size_t)(comma - list.p) : list.len;
        if (mt_slice_eq((mt_slice){list.p, n}, word))
            return true;
        list = (mt_slice){list.p + n + (comma != NULL), list.len - n - (comma != NULL)};
    }
    return false;
}

/* --- uploading --- */

typedef struct upload {
    mt_slice name, type, version, target, config, file_name;
    mt_handle doc;               /* config, parsed */
    weights_format format;
    const char *why;             /* why the weights are none */
    models_file weights, vocab;
} upload;

static mt_status read_config(mt_call *c, upload *u)
{
    if (!u->config.len)
        return mt_problem(c, 422, MT_SLICE("config_missing"), MT_SLICE("Send a part \"config\" with a JSON object: name, type and, for type openai, model."), MT_SLICE("/config"));
    if (u->config.len > 65536 || mt_json_parse(c, u->config, &u->doc) != MT_OK || u->config.p[0] != '{')
        return mt_problem(c, 422, MT_SLICE("config_invalid"), MT_SLICE("The part \"config\" is not a JSON object of at most 64 KiB."), MT_SLICE("/config"));
    u->name = mt_json_text(c, u->doc, MT_SLICE("/name"));
    u->type = mt_json_text(c, u->doc, MT_SLICE("/type"));
    u->version = mt_json_text(c, u->doc, MT_SLICE("/version"));
    u->target = mt_json_text(c, u->doc, MT_SLICE("/model"));
    if (!u->name.len || u->name.len > 200)
        return mt_problem(c, 422, MT_SLICE("name_invalid"), MT_SLICE("config.name has 1 to 200 bytes."), MT_SLICE("/config/name"));
    if (!listed(mt_setting(c, MT_SLICE("models.supported_types")), u->type))
        return mt_problem(c, 422, MT_SLICE("type_unsupported"), mt_printf(c, "config.type is one of %.*s.", (int)mt_setting(c, MT_SLICE("models.supported_types")).len,
                                                                          mt_setting(c, MT_SLICE("models.supported_types")).p), MT_SLICE("/config/type"));
    return MT_OK;
}

static mt_status read_parts(mt_call *c, upload *u)
{
    mt_slice field, name, type, data;
    u->config = mt_param(c, MT_SLICE("config"));
    for (uint32_t i = 0; mt_file(c, i, &field, &name, &type, &data) == MT_OK; i++) {
        if (mt_slice_eq(field, MT_SLICE("config")))
            u->config = data;
        else if (mt_slice_eq(field, MT_SLICE("vocab_file")))
            u->vocab = (models_file){.data = data, .kind = "vocab"};
        else if (mt_slice_eq(field, MT_SLICE("model_file")) || mt_slice_eq(field, MT_SLICE("file"))) {
            u->weights = (models_file){.data = data};
            u->file_name = name;
        }
    }
    return read_config(c, u);
}

static void check_weights(void *arg)
{
    upload *u = arg;
    u->format = weights_check(u->weights.data, &u->why);
}

static mt_status refuse(mt_call *c, const char *code, const char *detail, const char *pointer)
{
    return mt_problem(c, 422, mt_str(code), mt_str(detail), mt_str(pointer));
}

static bool is_folder_name(mt_slice name)
{
    bool good = name.len && name.len <= 100 && name.p[0] != '.' && name.p[0] != '_' && name.p[0] != '-';
    for (size_t i = 0; i < name.len && good; i++)
        good = (name.p[i] >= 'a' && name.p[i] <= 'z') || (name.p[i] >= '0' && name.p[i] <= '9') || memchr("._-", name.p[i], 3);
    return good;
}

static bool reranks(mt_call *c, mt_handle config)
{
    return mt_slice_eq(mt_json_text(c, config, MT_SLICE("/task")), MT_SLICE("rerank"));
}

/* What embedder_onnx must be told to run it: without these an ONNX model would be kept for nothing. */
static mt_status check_onnx(mt_call *c, const upload *u)
{
    mt_slice task = mt_json_text(c, u->doc, MT_SLICE("/task")), pooling = mt_json_text(c, u->doc, MT_SLICE("/pooling"));
    double dimensions = mt_json_number(c, u->doc, MT_SLICE("/dimensions"), reranks(c, u->doc) ? 1 : 0), window = mt_json_number(c, u->doc, MT_SLICE("/max_tokens"), 0);
    if (!is_folder_name(u->name))
        return refuse(c, "name_invalid", "An ONNX model's config.name has 1 to 100 of a-z, 0-9, '.', '_' and '-', and begins with a letter or digit.", "/config/name");
    if (!u->vocab.data.len)
        return refuse(c, "vocabulary_missing", "An ONNX model runs with its tokenizer: send the word pieces of the uncased BERT vocabulary, one a line, as the part \"vocab_file\". "
                                               "Models with other tokenizers do not run here.", "/vocab_file");
    const char *why = weights_check_vocabulary(u->vocab.data);
    if (why)
        return refuse(c, "vocabulary_invalid", why, "/vocab_file");
    if (task.p && !mt_slice_eq(task, MT_SLICE("embedding")) && !reranks(c, u->doc))
        return refuse(c, "task_unsupported", "config.task is \"embedding\" or \"rerank\".", "/config/task");
    if (!(dimensions >= 1 && dimensions <= 16384) || dimensions != (uint32_t)dimensions)
        return refuse(c, "dimensions_invalid", "config.dimensions is how many numbers the model makes of a text: 1 to 16384.", "/config/dimensions");
    if (!(window >= 8 && window <= 8192) || window != (uint32_t)window)
        return refuse(c, "max_tokens_invalid", "config.max_tokens is the model's window in word pieces: 8 to 8192.", "/config/max_tokens");
    if (pooling.p && !mt_slice_eq(pooling, MT_SLICE("mean")) && !mt_slice_eq(pooling, MT_SLICE("cls")))
        return refuse(c, "pooling_unsupported", "config.pooling is \"mean\" or \"cls\".", "/config/pooling");
    return mt_json_text(c, u->doc, MT_SLICE("/prefix")).len < 256 ? MT_OK : refuse(c, "prefix_too_long", "config.prefix has at most 255 bytes.", "/config/prefix");
}

static mt_status take_files(mt_call *c, upload *u)
{
    if (!u->weights.data.len)
        return refuse(c, "file_missing", "Send the weights as the part \"model_file\".", "/model_file");
    MT_TRY(mt_offload_run(c, check_weights, u));
    if (u->why)
        return refuse(c, "weights_invalid", u->why, "/model_file");
    u->weights.kind = weights_name(u->format);
    if (u->format != WEIGHTS_ONNX)
        return models_file_keep(c, &u->weights);
    MT_TRY(check_onnx(c, u));
    MT_TRY(models_file_keep(c, &u->vocab));
    return models_file_keep(c, &u->weights);
}

static mt_slice digest(const models_file *f)
{
    return f->sha256[0] ? mt_str(f->sha256) : (mt_slice){0};
}

static mt_status keep_named(mt_call *c, upload *u)
{
    if (u->vocab.sha256[0])
        MT_TRY(models_file_keep_named(c, &u->vocab));
    return u->weights.sha256[0] ? models_file_keep_named(c, &u->weights) : MT_OK;
}

static mt_status add_row(mt_call *c, upload *u)
{
    bool alias = u->format == WEIGHTS_UNKNOWN;
    const mt_field args[] = {{MT_SLICE("name"), u->name}, {MT_SLICE("type"), u->type}, {MT_SLICE("version"), u->version.len ? u->version : MT_SLICE("1")},
                             {MT_SLICE("format"), mt_str(weights_name(u->format))}, {MT_SLICE("target"), alias ? u->target : (mt_slice){0}}, {MT_SLICE("config"), u->config},
                             {MT_SLICE("file_name"), u->file_name}, {MT_SLICE("bytes"), mt_printf(c, "%zu", u->weights.data.len)},
                             {MT_SLICE("sha256"), digest(&u->weights)}, {MT_SLICE("vocab_sha256"), digest(&u->vocab)}};
    mt_handle row;
    mt_slice json;
    MT_TRY(mt_db_one(c, MT_SLICE("model_add"), args, sizeof args / sizeof *args, &row));
    MT_TRY(mt_db_json(c, row, 0, &json));
    MT_TRY(keep_named(c, u));
    return mt_respond(c, 201, json);
}

mt_status models_on_upload(void *self, mt_call *c)
{
    upload *u = mt_alloc(c, sizeof *u);
    if (!u)
        return MT_NO_MEMORY;
    *u = (upload){0};
    MT_TRY(read_parts(c, u));
    bool alias = mt_slice_eq(u->type, MT_SLICE("openai"));
    if (alias && !u->target.len)
        return refuse(c, "model_missing", "Type openai names a model of this platform in config.model.", "/config/model");
    mt_status s = alias ? MT_OK : take_files(c, u);
    if (s == MT_OK)
        s = add_row(c, u);
    if (s != MT_OK && (u->weights.sha256[0] || u->vocab.sha256[0]))
        models_files_sweep(c);
    return s;
}

/* --- on, off, gone --- */

static mt_status write_manifest(mt_call *c, mt_handle config, mt_slice vocab_sha256, mt_slice *json)
{
    mt_slice pooling = mt_json_text(c, config, MT_SLICE("/pooling")), prefix = mt_json_text(c, config, MT_SLICE("/prefix"));
    mt_writer w = mt_write_begin(c);
    mt_write_object(&w, NULL);
    mt_write_text(&w, "task", reranks(c, config) ? MT_SLICE("rerank") : MT_SLICE("embedding"));
    mt_write_int(&w, "dimensions", (int64_t)mt_json_number(c, config, MT_SLICE("/dimensions"), 1));
    mt_write_int(&w, "max_tokens", (int64_t)mt_json_number(c, config, MT_SLICE("/max_tokens"), 0));
    if (pooling.p)
        mt_write_text(&w, "pooling", pooling);
    if (prefix.p)
        mt_write_text(&w, "prefix", prefix);
    mt_write_array(&w, "files");
    mt_write_object(&w, NULL);
    mt_write_text(&w, "name", MT_SLICE("vocab.txt"));
    mt_write_text(&w, "sha256", vocab_sha256);
    mt_write_close(&w);
    mt_write_close(&w);
    mt_write_close(&w);
    return mt_write_end(&w, json);
}

/* Once, before anybody relies on it: what does not run is refused with the runtime's words. */
static mt_status try_onnx(mt_call *c, mt_slice name, bool scores)
{
    const mt_slice word = MT_SLICE("ready");
    const float *out;
    size_t n;
    return scores ? mt_reranker_score(c, name, word, &word, 1, 0, &out, &n) : mt_embedder_embed(c, name, &word, 1, &out, &n);
}

static bool is_taken(mt_call *c, mt_slice name, bool scores)
{
    mt_embedder_info info = {.size = sizeof info};
    return !scores && mt_embedder_describe(c, name, &info) == MT_OK;
}

static mt_status switch_onnx(mt_call *c, mt_handle row, bool on)
{
    mt_slice name = mt_db_value(c, row, 0, MT_SLICE("name")), manifest;
    mt_handle config;
    models_onnx_remove(c, name);
    if (!on)
        return MT_OK;
    MT_TRY(mt_json_parse(c, mt_db_value(c, row, 0, MT_SLICE("config")), &config));
    bool scores = reranks(c, config);
    if (is_taken(c, name, scores))
        return mt_problem(c, 409, MT_SLICE("model_name_taken"), MT_SLICE("The platform has an embedding model of this name: upload it under another."), MT_SLICE("/config/name"));
    mt_slice vocab = mt_db_value(c, row, 0, MT_SLICE("vocab_sha256"));
    if (!vocab.p)
        return mt_problem(c, 409, MT_SLICE("vocabulary_missing"), MT_SLICE("This model was uploaded without its vocabulary: upload it anew with the part \"vocab_file\"."), (mt_slice){0});
    MT_TRY(write_manifest(c, config, vocab, &manifest));
    MT_TRY(models_onnx_place(c, name, manifest, mt_db_value(c, row, 0, MT_SLICE("sha256")), vocab));
    mt_status s = try_onnx(c, name, scores);
    if (s != MT_OK)
        models_onnx_remove(c, name);
    return s;
}

/* The row stays locked until its folder is as it says. */
static mt_status set_active(mt_call *c, bool on, mt_slice *json)
{
    const mt_field arg = {MT_SLICE("active"), on ? MT_SLICE("true") : MT_SLICE("false")};
    mt_handle row;
    MT_TRY(mt_db_one(c, MT_SLICE("model_switch"), &arg, 1, &row));
    if (mt_slice_eq(mt_db_value(c, row, 0, MT_SLICE("format")), MT_SLICE("onnx")))
        MT_TRY(switch_onnx(c, row, on));
    return mt_db_json(c, row, 0, json);
}

static mt_status on_switch(mt_call *c, bool on)
{
    mt_slice json;
    MT_TRY(mt_db_begin(c));
    mt_status s = set_active(c, on, &json);
    if (s == MT_OK) {
        MT_TRY(mt_db_commit(c));
        return mt_respond(c, 200, json);
    }
    mt_db_rollback(c);
    return s;
}

mt_status models_on_activate(void *self, mt_call *c)
{
    return on_switch(c, true);
}

mt_status models_on_deactivate(void *self, mt_call *c)
{
    return on_switch(c, false);
}

mt_status models_on_delete(void *self, mt_call *c)
{
    mt_handle row;
    MT_TRY(mt_db_begin(c));
    mt_status s = mt_db_one(c, MT_SLICE("model_delete"), NULL, 0, &row);
    if (s != MT_OK) {
        mt_db_rollback(c);
        return s;
    }
    if (mt_slice_eq(mt_db_value(c, row, 0, MT_SLICE("format")), MT_SLICE("onnx")))
        models_onnx_remove(c, mt_db_value(c, row, 0, MT_SLICE("name")));
    MT_TRY(mt_db_commit(c));
    models_files_sweep(c);
    return mt_respond(c, 204, (mt_slice){0});
}

mt_outcome models_on_organization_deleted(void *self, mt_call *c, const void *in, mt_patch *out)
{
    models_files_forget(c, ((const mt_organization_deleted *)in)->organization_id);
    return MT_CONTINUE;
}

/* --- for routes --- */

mt_status models_registry_find(mt_call *c, mt_slice name, models_target *out, mt_slice *alias)
{
    mt_handle rows;
    const mt_field arg = {MT_SLICE("name"), name};
    *alias = (mt_slice){0};
    if (!mt_org_id(c).len)
        return MT_NOT_FOUND;
    MT_TRY(mt_db_query(c, MT_SLICE("model_by_name"), &arg, 1, &rows));
    if (!mt_db_rows(c, rows))
        return MT_NOT_FOUND;
    *alias = mt_db_value(c, rows, 0, MT_SLICE("target"));
    if (alias->p)
        return MT_OK;
    mt_slice sha256 = mt_db_value(c, rows, 0, MT_SLICE("sha256")), options;
    mt_writer w = mt_write_begin(c);
    mt_write_object(&w, NULL);
    mt_write_text(&w, "path", models_file_path(c, sha256, "gguf"));
    mt_write_close(&w);
    MT_TRY(mt_write_end(&w, &options));
    *out = (models_target){.engine = MT_SLICE("llm_llamacpp"), .model = name, .options = options, .weight = 1, .small = true, .here = true, .health = health_of(MT_SLICE("llm_llamacpp"), sha256, mt_org_id(c))};
    return MT_OK;
}

mt_status models_registry_list(mt_call *c, uint32_t index, mt_llm_model *out)
{
    mt_handle rows;
    if (!mt_org_id(c).len)
        return MT_DONE;
    const mt_field arg = {MT_SLICE("index"), mt_printf(c, "%u", index)};
    MT_TRY(mt_db_query(c, MT_SLICE("model_at"), &arg, 1, &rows));
    if (!mt_db_rows(c, rows))
        return MT_DONE;
    *out = (mt_llm_model){.size = sizeof *out, .model = mt_db_value(c, rows, 0, MT_SLICE("name")), .provider = MT_SLICE("models"), .context_tokens = REGISTERED_CONTEXT};
    return MT_OK;
}
