/* An api.json and a queries.sql, with a zero byte between them: loads them, merges the result with
 * itself left out, writes the page. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "contract/contract.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static mt_slice api, sql;

static mt_status read_input(mti_buf *b, const char *path, size_t max)
{
    mt_slice s = strstr(path, "api.json") ? api : sql;
    mti_buf_init(b, max);
    return s.p ? mti_buf_add(b, s.p, s.len) : MT_NOT_FOUND;
}

/* The table of names is the process's and never shrinks: one is enough here. */
static int one_permission(const char *name)
{
    return 0;
}

#define mti_buf_read_file read_input
#define mti_permission_id one_permission
#include "../../core/contract/contract.c"

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "fuzz_contract: %s\n", what);
        abort();
    }
}

/* What a request layer takes for granted of a contract that loaded. */
static void check(const mti_contract *k)
{
    for (unsigned i = 0; i < k->n_operations; i++) {
        const mti_operation *op = &k->operations[i];
        must(op->id[0] && op->permission && op->permission_id >= 0 && op->path[0] == '/',
             "an operation is incomplete");
        must(!op->handler == (op->n_queries > 0), "neither query nor handler, or both");
        must(op->n_params <= MTI_MAX_PARAMS && op->status >= 200 && op->status < 300,
             "a bound is broken");
        must((op->content == MTI_CONTENT_JSON) <= (op->body_check != NULL),
             "a body without a check");
        must(!op->query_schema == !op->query_check, "a query without a check");
    }
}

static void publish(mti_contract *k)
{
    mti_error e;
    json_t *doc;
    mti_buf page;
    if (mti_openapi(&k, 1, "1.0.0", &doc, &e) != MT_OK) {
        must(e.status == MT_CONFLICT, "a contract that loads is not published");
        return;
    }
    mti_buf_init(&page, 4 << 20);
    mti_openapi_page(doc, &page);
    mti_buf_dispose(&page);
    json_decref(doc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data, *zero = size ? memchr(text, 0, size) : NULL;
    mti_contract *k;
    mti_error e = {0};
    api = (mt_slice){text, zero ? (size_t)(zero - text) : size};
    sql = zero ? (mt_slice){zero + 1, size - api.len - 1} : (mt_slice){0};
    if (mti_contract_load("fuzz", "/nowhere", &k, &e) == MT_OK) {
        check(k);
        publish(k);
        mti_contract_destroy(k);
    } else {
        must(e.status != MT_OK && e.code[0] && e.detail[0], "refused without a reason");
    }
    return 0;
}
