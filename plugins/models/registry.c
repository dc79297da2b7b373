/*
 * An organization's own models: files of weights, stored by their content below DATA/models/ORGANIZATION, and names for models of the platform.
 * A large upload lies in a mapped file of the host; it is checked, hashed and copied from there on the pool, never held in memory.
 */
#include "models.h"
#include "weights.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

typedef struct intake {
    mt_slice data, folder, path; /* path: where the bytes came to lie */
    weights_format format;
    const char *why;             /* why not */
    char sha256[65];
    int error;
} intake;

static void hash(intake *x)
{
    unsigned char digest[32];
    EVP_Digest(x->data.p, x->data.len, digest, NULL, EVP_sha256(), NULL);
    for (unsigned i = 0; i < 32; i++)
        snprintf(x->sha256 + 2 * i, 3, "%02x", digest[i]);
}

static bool write_all(int fd, mt_slice s)
{
    while (s.len) {
        ssize_t n = write(fd, s.p, s.len < 8 << 20 ? s.len : 8 << 20);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        s = (mt_slice){s.p + n, s.len - (size_t)n};
    }
    return true;
}

/* Whole or not at all: a temporary name, synced, renamed. */
static void store(intake *x, char *path, size_t size)
{
    char temporary[4096];
    snprintf(path, size, "%.*s/%s.%s", (int)x->folder.len, x->folder.p, x->sha256, weights_name(x->format));
    if (access(path, R_OK) == 0)
        return;
    snprintf(temporary, sizeof temporary, "%.*s/upload-XXXXXX", (int)x->folder.len, x->folder.p);
    int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0 || !write_all(fd, x->data) || fsync(fd) || rename(temporary, path))
        x->error = errno ? errno : EIO;
    if (fd >= 0)
        close(fd);
    if (fd >= 0 && x->error)
        unlink(temporary);
}

static void take_in(void *arg)
{
    intake *x = arg;
    x->format = weights_check(x->data, &x->why);
    if (x->why)
        return;
    hash(x);
    store(x, (char *)x->path.p, x->path.len);
}

static mt_slice folder_of(mt_call *c)
{
    mt_slice data = mt_setting(c, MT_SLICE("data.dir")), org = mt_org_id(c);
    mt_slice all = mt_printf(c, "%.*s/models", (int)data.len, data.p), own = mt_printf(c, "%s/%.*s", all.p, (int)org.len, org.p);
    mkdir(all.p, 0700);
    mkdir(own.p, 0700);
    return own;
}

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
    mt_slice name, type, version, target, config, file_name, data;
    intake x;
} upload;

static mt_status read_config(mt_call *c, upload *u)
{
    mt_handle doc;
    if (!u->config.len)
        return mt_problem(c, 422, MT_SLICE("config_missing"), MT_SLICE("Send a part \"config\" with a JSON object: name, type and, for type openai, model."), MT_SLICE("/config"));
    if (u->config.len > 65536 || mt_json_parse(c, u->config, &doc) != MT_OK || u->config.p[0] != '{')
        return mt_problem(c, 422, MT_SLICE("config_invalid"), MT_SLICE("The part \"config\" is not a JSON object of at most 64 KiB."), MT_SLICE("/config"));
    u->name = mt_json_text(c, doc, MT_SLICE("/name"));
    u->type = mt_json_text(c, doc, MT_SLICE("/type"));
    u->version = mt_json_text(c, doc, MT_SLICE("/version"));
    u->target = mt_json_text(c, doc, MT_SLICE("/model"));
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
        else if (mt_slice_eq(field, MT_SLICE("model_file")) || mt_slice_eq(field, MT_SLICE("file"))) {
            u->data = data;
            u->file_name = name;
        }
    }
    return read_config(c, u);
}

static mt_status take_file(mt_call *c, upload *u)
{
    char *path = mt_alloc(c, 4096);
    if (!path)
        return MT_NO_MEMORY;
    if (!u->data.len)
        return mt_problem(c, 422, MT_SLICE("file_missing"), MT_SLICE("Send the weights as the part \"model_file\"."), MT_SLICE("/model_file"));
    u->x = (intake){.data = u->data, .folder = folder_of(c), .path = {path, 4096}};
    MT_TRY(mt_offload_run(c, take_in, &u->x));
    if (u->x.why)
        return mt_problem(c, 422, MT_SLICE("weights_invalid"), mt_str(u->x.why), MT_SLICE("/model_file"));
    if (u->x.error)
        return mt_problem(c, 503, MT_SLICE("storage_failed"), MT_SLICE("The file could not be stored: the disk may be full."), (mt_slice){0});
    return MT_OK;
}

static mt_status answer_row(mt_call *c, mt_slice query, const mt_field *args, size_t n, int32_t status)
{
    mt_handle row;
    mt_slice json;
    MT_TRY(mt_db_one(c, query, args, n, &row));
    MT_TRY(mt_db_json(c, row, 0, &json));
    return mt_respond(c, status, json);
}

/* Frees the file of these bytes when no row of the organization names them any more. */
static void sweep(mt_call *c, mt_slice sha256, mt_slice format)
{
    mt_handle rows;
    const mt_field arg = {MT_SLICE("sha256"), sha256};
    if (sha256.len && mt_db_query(c, MT_SLICE("model_uses"), &arg, 1, &rows) == MT_OK && !mt_db_rows(c, rows))
        unlink(mt_printf(c, "%s/%.*s.%.*s", folder_of(c).p, (int)sha256.len, sha256.p, (int)format.len, format.p).p);
}

mt_status models_on_upload(void *self, mt_call *c)
{
    upload u = {0};
    MT_TRY(read_parts(c, &u));
    bool alias = mt_slice_eq(u.type, MT_SLICE("openai"));
    if (alias && !u.target.len)
        return mt_problem(c, 422, MT_SLICE("model_missing"), MT_SLICE("Type openai names a model of this platform in config.model."), MT_SLICE("/config/model"));
    if (!alias)
        MT_TRY(take_file(c, &u));
    mt_slice sha256 = alias ? (mt_slice){0} : mt_str(u.x.sha256), format = mt_str(weights_name(u.x.format));
    const mt_field args[] = {{MT_SLICE("name"), u.name}, {MT_SLICE("type"), u.type}, {MT_SLICE("version"), u.version.len ? u.version : MT_SLICE("1")},
                             {MT_SLICE("format"), format}, {MT_SLICE("target"), alias ? u.target : (mt_slice){0}}, {MT_SLICE("config"), u.config},
                             {MT_SLICE("file_name"), u.file_name}, {MT_SLICE("bytes"), mt_printf(c, "%zu", u.data.len)}, {MT_SLICE("sha256"), sha256}};
    mt_status s = answer_row(c, MT_SLICE("model_add"), args, sizeof args / sizeof *args, 201);
    if (s != MT_OK)
        sweep(c, sha256, format);
    return s;
}

/* --- on, off, gone --- */

static mt_status set_active(mt_call *c, bool on)
{
    mt_handle row;
    MT_TRY(mt_db_one(c, MT_SLICE("model_file"), NULL, 0, &row));
    if (on && mt_slice_eq(mt_db_value(c, row, 0, MT_SLICE("format")), MT_SLICE("onnx")))
        return mt_problem(c, 409, MT_SLICE("format_not_run"),
                          MT_SLICE("ONNX models are kept here but run from the server's own folder of models: ask its operator to install this one."), (mt_slice){0});
    const mt_field arg = {MT_SLICE("active"), on ? MT_SLICE("true") : MT_SLICE("false")};
    return answer_row(c, MT_SLICE("model_switch"), &arg, 1, 200);
}

mt_status models_on_activate(void *self, mt_call *c)
{
    return set_active(c, true);
}

mt_status models_on_deactivate(void *self, mt_call *c)
{
    return set_active(c, false);
}

mt_status models_on_delete(void *self, mt_call *c)
{
    mt_handle row;
    MT_TRY(mt_db_one(c, MT_SLICE("model_delete"), NULL, 0, &row));
    sweep(c, mt_db_value(c, row, 0, MT_SLICE("sha256")), mt_db_value(c, row, 0, MT_SLICE("format")));
    return mt_respond(c, 204, (mt_slice){0});
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
    mt_slice sha256 = mt_db_value(c, rows, 0, MT_SLICE("sha256")), folder = folder_of(c), options;
    mt_writer w = mt_write_begin(c);
    mt_write_object(&w, NULL);
    mt_write_text(&w, "path", mt_printf(c, "%s/%.*s.gguf", folder.p, (int)sha256.len, sha256.p));
    mt_write_close(&w);
    MT_TRY(mt_write_end(&w, &options));
    *out = (models_target){.engine = MT_SLICE("llm_llamacpp"), .model = name, .options = options, .weight = 1, .health = health_of(MT_SLICE("llm_llamacpp"), sha256, mt_org_id(c))};
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
    *out = (mt_llm_model){.size = sizeof *out, .model = mt_db_value(c, rows, 0, MT_SLICE("name")), .provider = MT_SLICE("models"), .context_tokens = 4096};
    return MT_OK;
}
