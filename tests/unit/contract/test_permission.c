/* Permission names as numbers, and what a grant covers. The table is the process's own: each test
 * uses names of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include <pthread.h>

#include "contract/contract.h"

static void test_interned(void **state)
{
    unsigned before = mti_permission_count();
    int a = mti_permission_id("one.read"), b = mti_permission_id("one.write");
    assert_int_not_equal(a, b);
    assert_int_equal(mti_permission_id("one.read"), a);
    assert_int_equal(mti_permission_count(), before + 2);
    assert_string_equal(mti_permission_name(b), "one.write");
    assert_null(mti_permission_name(-1));
    assert_null(mti_permission_name((int)mti_permission_count()));
}

static bool covers(const char *grant, const char *name)
{
    mti_permset s = {0};
    int id = mti_permission_id(name);
    mti_permset_grant(&s, mt_str(grant));
    return mti_permset_has(&s, id);
}

static void test_grants(void **state)
{
    static const struct {
        const char *grant, *name;
        bool yes;
    } rows[] = {{"agent.read", "agent.read", true},
                {"agent.*", "agent.read", true},
                {"*", "agent.read", true},
                {"agent.rea", "agent.read", false},
                {"agent.reads", "agent.read", false},
                {"agent*", "agent.read", false},
                {"agent.", "agent.read", false},
                {"agent", "agent.read", false},
                {"", "agent.read", false},
                {".*", "agent.read", false},
                {"**", "agent.read", false},
                {"agent.*", "agents.read", false},
                {"agent.*", "agent.tool.use", true},
                {"agent.tool.*", "agent.read", false},
                {"*.read", "agent.read", false},
                {"Agent.*", "agent.read", false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (covers(rows[i].grant, rows[i].name) != rows[i].yes)
            fail_msg("grant \"%s\" and permission %s", rows[i].grant, rows[i].name);
    mti_permset s = {0};
    mti_permset_grant(&s, (mt_slice){0});
    assert_false(mti_permset_has(&s, mti_permission_id("agent.read")));
    assert_false(mti_permset_has(&s, -1));
}

static void *intern_many(void *arg)
{
    int *ids = arg;
    char name[32];
    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof name, "thread.p%d", i);
        ids[i] = mti_permission_id(name);
    }
    return NULL;
}

static void test_threads_agree(void **state)
{
    static int ids[4][200];
    pthread_t t[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&t[i], NULL, intern_many, ids[i]), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    for (int i = 1; i < 4; i++)
        assert_memory_equal(ids[i], ids[0], sizeof ids[0]);
}

/* Last: it uses up the table. */
static void test_full(void **state)
{
    char name[32];
    int id = 0;
    for (int i = 0; i < 1100 && id >= 0; i++) {
        snprintf(name, sizeof name, "full.p%d", i);
        id = mti_permission_id(name);
    }
    assert_int_equal(id, -1);
    assert_int_equal(mti_permission_count(), 1024);
    assert_true(covers("full.*", "full.p0"));
    assert_int_equal(mti_permission_id("one.read"), 0);
    mti_permset s = {0};
    mti_permset_grant(&s, MT_SLICE("*"));
    assert_true(mti_permset_has(&s, 1023));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_interned), cmocka_unit_test(test_grants),
        cmocka_unit_test(test_threads_agree), cmocka_unit_test(test_full)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
