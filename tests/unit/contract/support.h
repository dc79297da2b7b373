/* A plugin's folder of two files, written for one test and removed after it. */
#ifndef TEST_CONTRACT_SUPPORT_H
#define TEST_CONTRACT_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "contract/contract.h"

static inline void folder_write(const char *dir, const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    unlink(path);
    if (!text)
        return;
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    fclose(f);
}

/* Loads a contract from the two texts; NULL leaves the file out. */
static inline mt_status load_as(const char *slug, const char *api, const char *sql,
                                mti_contract **out, mti_error *e)
{
    char dir[] = "/tmp/mortise-contract-XXXXXX";
    assert_non_null(mkdtemp(dir));
    folder_write(dir, "api.json", api);
    folder_write(dir, "queries.sql", sql);
    *out = NULL;
    *e = (mti_error){0};
    mt_status s = mti_contract_load(slug, dir, out, e);
    folder_write(dir, "api.json", NULL);
    folder_write(dir, "queries.sql", NULL);
    rmdir(dir);
    return s;
}

static inline mti_contract *load(const char *api, const char *sql)
{
    mti_contract *k;
    mti_error e;
    mt_status s = load_as("shop", api, sql, &k, &e);
    if (s != MT_OK)
        fail_msg("the contract was refused: %s", e.detail);
    return k;
}

/* The contract must not load, and the message must say why. */
static inline void refused(const char *api, const char *sql, const char *why)
{
    mti_contract *k;
    mti_error e;
    mt_status s = load_as("shop", api, sql, &k, &e);
    mti_contract_destroy(k);
    if (s == MT_OK)
        fail_msg("loaded, but should be refused (%s): %s", why, api);
    if (!strstr(e.detail, why))
        fail_msg("refused with \"%s\", not with \"%s\": %s", e.detail, why, api);
    assert_int_equal(s, e.status);
    assert_true(e.code[0]);
}

static inline const mti_operation *operation(const mti_contract *k, const char *id)
{
    for (unsigned i = 0; i < k->n_operations; i++)
        if (!strcmp(k->operations[i].id, id))
            return &k->operations[i];
    fail_msg("no operation %s", id);
    return NULL;
}

#endif
