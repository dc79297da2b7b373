/* A plugin.json against the schema that ships. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "plugin/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static mt_slice input;

static mt_status read_input(mti_buf *b, const char *path, size_t max)
{
    if (strstr(path, "/manifests/"))
        return mti_buf_read_file(b, path, max);
    mti_buf_init(b, max);
    return mti_buf_add(b, input.p, input.len);
}

#define mti_buf_read_file read_input
#include "../../core/plugin/manifest.c"

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "fuzz_manifest: %s\n", what);
        abort();
    }
}

static void check(const mti_manifest *m)
{
    must(m->slug && m->version && m->description, "a required member is absent");
    must(!m->file == !m->symbol, "half an entry point");
    must(!m->file || !strchr(m->file + strlen(m->dir) + 1, '/'),
         "an entry point outside the folder");
    must(!strchr(m->slug, '/') && !strchr(m->slug, '.') && !strchr(m->slug, '\n'),
         "a slug that is no name");
    for (size_t i = 0; i < m->n_hooks; i++)
        must(m->hooks[i].name && m->hooks[i].handler, "a hook without a handler");
    for (size_t i = 0; i < m->n_queues; i++)
        must(m->queues[i].name && m->queues[i].handler && m->queues[i].concurrency,
             "a queue without a handler");
    for (size_t i = 0; i < m->n_dependencies; i++)
        must(m->dependencies[i].range && m->dependencies[i].range[0],
             "a dependency without a range");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static mti_schema *schema;
    mti_manifest *m;
    mti_error e = {0};
    if (!schema && mti_manifest_schema(MORTISE_ROOT, &schema, &e) != MT_OK) {
        fprintf(stderr, "%s\n", e.detail);
        abort();
    }
    input = (mt_slice){(const char *)data, size};
    if (mti_manifest_load(schema, "/folder", &m, &e) == MT_OK) {
        check(m);
        mti_manifest_destroy(m);
    } else {
        must(e.status != MT_OK && e.detail[0], "refused without a reason");
    }
    return 0;
}
