/* Models "bag-32" and "bag-48": each word adds one to a bucket. A text with "slow" in it takes a twentieth of a second. */
#include <mortise/entry.h>

#include <math.h>
#include <string.h>

enum { MOST = 48 };

static uint32_t dimensions_of(mt_slice model)
{
    return !model.p || mt_slice_eq(model, MT_SLICE("bag-32")) ? 32 : mt_slice_eq(model, MT_SLICE("bag-48")) ? 48 : 0;
}

static mt_status describe(void *self, mt_call *c, mt_slice model, mt_embedder_engine_info *out)
{
    uint32_t n = dimensions_of(model);
    if (!n)
        return MT_NOT_FOUND;
    *out = (mt_embedder_engine_info){.size = sizeof *out, .model = n == 32 ? MT_SLICE("bag-32") : MT_SLICE("bag-48"), .dimensions = n, .max_tokens = 256,
                                     .provider = MT_SLICE("bag")};
    return MT_OK;
}

static mt_status models(void *self, mt_call *c, uint32_t index, mt_embedder_engine_info *out)
{
    return index > 1 ? MT_DONE : describe(self, c, index ? MT_SLICE("bag-48") : MT_SLICE("bag-32"), out);
}

static void fill(mt_slice text, float *v, uint32_t n)
{
    uint32_t hash = 2166136261u;
    double sum = 0;
    memset(v, 0, n * sizeof *v);
    for (size_t i = 0; i <= text.len; i++) {
        char ch = i < text.len ? text.p[i] : ' ';
        if (ch == ' ' || ch == '\n' || ch == '.') {
            v[hash % n] += 1;
            hash = 2166136261u;
        } else {
            hash = (hash ^ (uint8_t)ch) * 16777619u;
        }
    }
    for (uint32_t i = 0; i < n; i++)
        sum += (double)v[i] * v[i];
    for (uint32_t i = 0; i < n; i++)
        v[i] = (float)(v[i] / sqrt(sum));
}

static mt_status embed(void *self, mt_call *c, mt_slice model, const mt_slice *texts, size_t n, const float **out, size_t *n_out)
{
    uint32_t d = dimensions_of(model);
    float *v = d ? mt_alloc(c, (n * d + 1) * sizeof *v) : NULL;
    if (!v)
        return d ? MT_NO_MEMORY : MT_NOT_FOUND;
    for (size_t i = 0; i < n; i++) {
        fill(texts[i], v + i * d, d);
        if (memmem(texts[i].p, texts[i].len, "slow", 4))
            MT_TRY(mt_sleep(c, 50));
    }
    *out = v;
    *n_out = n * d;
    return MT_OK;
}

static uint32_t count_tokens(void *self, mt_call *c, mt_slice model, mt_slice text)
{
    uint32_t n = 1;
    for (size_t i = 0; i < text.len; i++)
        n += text.p[i] == ' ';
    return n;
}

static mt_status load(void *self, const mt_host *host)
{
    mt_bind(host);
    return MT_OK;
}

static const mt_embedder_engine_1_provider service = {.size = sizeof service, .version = 1, .describe = describe, .models = models, .embed = embed,
                                                      .count_tokens = count_tokens};
static const mt_service_entry services[] = {{"embedder_engine/1", &service}};

MT_EXPORT const mt_plugin bag_plugin = {
    .abi = MT_ABI, .size = sizeof(mt_plugin), .slug = "bag", .version = "0.1.0", .load = load, .services = services, .n_services = 1};
