/* A queries.sql, and the same text as a migration that is split into statements. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "db/query.h"
#include "db/split.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "fuzz_query: %s\n", what);
        abort();
    }
}

static void check(const mti_query *q)
{
    must(q->name[0] && q->sql[0] && q->line > 0 && strlen(q->statement) < sizeof q->statement,
         "a query is incomplete");
    must(q->n_params <= 64, "too many parameters");
    for (unsigned i = 0; i < q->n_params; i++)
        for (unsigned k = 0; k < i; k++)
            must(strcmp(q->params[i], q->params[k]) != 0, "a parameter has two numbers");
}

static void parse(mt_slice text)
{
    mti_arena arena;
    mti_query *queries;
    size_t n;
    mti_error e = {0};
    mti_arena_init(&arena, 0);
    if (mti_query_parse(&arena, "queries.sql", text, &queries, &n, &e) == MT_OK)
        for (size_t i = 0; i < n; i++)
            check(&queries[i]);
    else
        must(e.status != MT_OK && e.detail[0], "refused without a reason");
    mti_arena_dispose(&arena);
}

static void split(mt_slice text)
{
    mti_splitter s = {text.p, text.p + text.len, 1};
    mt_slice statement;
    int line, last = 1;
    const char *before = text.p;
    while (mti_split_next(&s, &statement, &line) == MT_OK) {
        must(statement.len > 0 && statement.p >= before &&
                 statement.p + statement.len <= text.p + text.len,
             "a statement lies outside its text");
        must(line >= last, "lines go backwards");
        before = statement.p + statement.len;
        last = line;
        mti_split_allowed(statement);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mt_slice text = {(const char *)data, size};
    parse(text);
    if (size)
        split(text);
    return 0;
}
