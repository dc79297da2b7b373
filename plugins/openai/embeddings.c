/* POST /v1/embeddings. */
#include "openai.h"

enum { TEXT_MAX = 100000 };

static mt_status read_inputs(mt_call *c, mt_handle doc, mt_slice **texts, size_t *n)
{
    int64_t count = mt_json_count(c, doc, MT_SLICE("/input"));
    *n = count < 0 ? 1 : (size_t)count;
    *texts = mt_alloc(c, *n * sizeof **texts);
    if (!*texts)
        return MT_TOO_LARGE;
    if (count < 0)
        (*texts)[0] = mt_json_text(c, doc, MT_SLICE("/input"));
    for (int64_t i = 0; i < count; i++) {
        mt_slice at = mt_printf(c, "/input/%lld", (long long)i), raw = mt_json_text(c, doc, at);
        /* a number reads back as itself; a text never does with a fallback that is no number */
        double number = mt_json_number(c, doc, at, -1);
        if (mt_json_count(c, doc, at) >= 0 || number != -1 || !raw.p)
            return refuse(c, "tokens_unsupported", "Inputs are texts: arrays of tokens cannot be read here.", "/input");
        (*texts)[i] = raw;
    }
    for (size_t i = 0; i < *n; i++)
        if (!(*texts)[i].len || (*texts)[i].len > TEXT_MAX)
            return refuse(c, "input_invalid", "Each input must be a text of 1 to 100000 bytes.", "/input");
    return MT_OK;
}

static mt_slice base64(mt_call *c, const float *v, size_t n)
{
    static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *p = (const unsigned char *)v;      /* the host is little-endian, as the format wants */
    size_t bytes = n * sizeof *v, len = 0;
    char *out = mt_alloc(c, (bytes + 2) / 3 * 4 + 1);
    for (size_t i = 0; out && i < bytes; i += 3) {
        size_t left = bytes - i;
        uint32_t x = (uint32_t)p[i] << 16 | (left > 1 ? (uint32_t)p[i + 1] << 8 : 0) | (left > 2 ? p[i + 2] : 0);
        out[len++] = set[x >> 18];
        out[len++] = set[x >> 12 & 63];
        out[len++] = left > 1 ? set[x >> 6 & 63] : '=';
        out[len++] = left > 2 ? set[x & 63] : '=';
    }
    return (mt_slice){out, len};
}

static void write_vector(mt_call *c, mt_writer *w, const float *v, size_t n, bool encoded)
{
    if (encoded) {
        mt_write_text(w, "embedding", base64(c, v, n));
        return;
    }
    mt_write_array(w, "embedding");
    for (size_t i = 0; i < n; i++) {
        char text[32];
        int len = snprintf(text, sizeof text, "%.9g", (double)v[i]);    /* nine digits read back as the same float */
        mt_write_raw(w, NULL, (mt_slice){text, (size_t)len});
    }
    mt_write_close(w);
}

static mt_status find(mt_call *c, mt_slice model, mt_embedder_info *info)
{
    *info = (mt_embedder_info){.size = sizeof *info};
    mt_status s = mt_embedder_describe(c, model, info);
    if (s == MT_NOT_FOUND)
        return mt_problem(c, 404, MT_SLICE("model_not_found"), MT_SLICE("There is no embedding model of this name: GET /v1/models lists them."), MT_SLICE("/model"));
    MT_TRY(s);
    mt_slice wanted = mt_body_text(c, MT_SLICE("/dimensions"));
    if (wanted.p && mt_int(wanted, 0) != info->dimensions)
        return refuse(c, "dimensions_unsupported", mt_printf(c, "This model has %u dimensions and cannot be shortened.", info->dimensions).p, "/dimensions");
    return MT_OK;
}

mt_status on_embeddings(void *self, mt_call *c)
{
    mt_slice model = mt_body_text(c, MT_SLICE("/model")), json, *texts;
    mt_embedder_info info;
    mt_handle doc;
    const float *vectors;
    size_t n, floats;
    int64_t tokens = 0;
    bool entered;
    MT_TRY(target_enter_workspace(c, &entered));
    MT_TRY(find(c, model, &info));
    MT_TRY(mt_json_parse(c, mt_body(c), &doc));
    MT_TRY(read_inputs(c, doc, &texts, &n));
    MT_TRY(mt_embedder_embed(c, model, texts, n, &vectors, &floats));
    if (floats != n * info.dimensions)
        return mt_problem(c, 503, MT_SLICE("engine_broken"), MT_SLICE("The engine of this model did not answer one vector a text."), MT_SLICE(""));
    bool encoded = mt_slice_eq(mt_body_text(c, MT_SLICE("/encoding_format")), MT_SLICE("base64"));
    mt_writer w = mt_write_begin(c);
    mt_write_object(&w, NULL);
    mt_write_text(&w, "object", MT_SLICE("list"));
    mt_write_array(&w, "data");
    for (size_t i = 0; i < n; i++) {
        mt_write_object(&w, NULL);
        mt_write_text(&w, "object", MT_SLICE("embedding"));
        mt_write_int(&w, "index", (int64_t)i);
        write_vector(c, &w, vectors + i * info.dimensions, info.dimensions, encoded);
        mt_write_close(&w);
        tokens += mt_embedder_count_tokens(c, model, texts[i]);
    }
    mt_write_close(&w);
    mt_write_text(&w, "model", model);
    mt_write_object(&w, "usage");
    mt_write_int(&w, "prompt_tokens", tokens);
    mt_write_int(&w, "total_tokens", tokens);
    mt_write_close(&w);
    mt_write_close(&w);
    MT_TRY(mt_write_end(&w, &json));
    return mt_respond(c, 200, json);
}
