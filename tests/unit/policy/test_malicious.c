/* Every script of malicious/ must end as its second line says, in bounded time, and leave the state
 * usable. */
#include "support.h"

#include <dirent.h>

#define FOLDER "tests/unit/policy/malicious"
#define CPU_MAX_US 60000

static const char *const OUTCOMES[] = {"continue", "stop", "deny", "error"};

static const char *ending(world *w, const mti_policy *p)
{
    if (!p)
        return "syntax";
    if (w->outcome == MT_ERROR && strcmp(w->call.error.code, "policy_limit") == 0)
        return "limit";
    return OUTCOMES[w->outcome];
}

/* Whether the words of "-- expect: a b" in the script's head hold the ending. */
static bool expects(const mti_buf *text, const char *got)
{
    const char *line = strstr(text->p, "-- expect: ");
    assert_non_null(line);
    char words[64] = " ";
    snprintf(words + 1, sizeof words - 2, "%.*s", (int)strcspn(line + 11, "\n"), line + 11);
    strcat(words, " ");
    char word[32];
    snprintf(word, sizeof word, " %s ", got);
    return strstr(words, word) != NULL;
}

static void assert_usable(world *w, mti_uuid org, const char *file)
{
    mt_outcome outcome = run_text(w, org, CHAT
        "assert(leaked == nil and leaked_too == nil)\n"
        "assert(string.format('%d-%s', 7, ('ab'):upper()) == '7-AB')\n"
        "local t = {3, 1, 2} table.sort(t) assert(table.concat(t, ',') == '1,2,3')\n"
        "assert(#('x'):rep(100000) == 100000)\n"
        "assert(ctx.query == 'why' and ('k=v'):match('(%w)=') == 'k')\n"
        "patch('/temperature', 0.5)\n");
    if (outcome != MT_CONTINUE)
        fail_msg("after %s: %s", file, w->call.error.detail);
    assert_int_equal(w->patch.count, 1);
}

static void run_file(world *w, mti_uuid org, const char *file)
{
    char path[512];
    snprintf(path, sizeof path, FOLDER "/%s", file);
    mti_buf text;
    assert_int_equal(mti_buf_read_file(&text, path, 1 << 20), MT_OK);
    mti_policy *p;
    mti_policy_compile(w->engine, file, mti_buf_slice(&text), &p, &w->error);
    w->cpu_us = 0;
    if (p) {
        mti_policy_set_org(p, org);
        run_policy(w, p);
    }
    const char *got = ending(w, p);
    if (!expects(&text, got))
        fail_msg("%s ended with %s: %s", file, got, p ? w->call.error.detail : w->error.detail);
    if (w->cpu_us > CPU_MAX_US * slower())
        fail_msg("%s used %lld us of CPU", file, (long long)w->cpu_us);
    if (getenv("MORTISE_TEST_VERBOSE"))
        printf("%-40s %-8s %6lld us\n", file, got, (long long)w->cpu_us);
    mti_policy_release(p);
    mti_buf_dispose(&text);
    assert_usable(w, org, file);
}

static void run_folder(world *w, mti_uuid org)
{
    DIR *d = opendir(FOLDER);
    assert_non_null(d);
    int count = 0;
    w->chat.query = MT_SLICE("why");
    for (struct dirent *e; (e = readdir(d));) {
        size_t len = strlen(e->d_name);
        if (len < 5 || strcmp(e->d_name + len - 4, ".lua") != 0)
            continue;
        run_file(w, org, e->d_name);
        mti_arena_reset(&w->call.arena);
        count++;
    }
    closedir(d);
    assert_true(count >= 25);
}

static void in_the_platforms_state(void **state)
{
    run_folder(*state, NOBODY);
}

static void in_an_organizations_state(void **state)
{
    run_folder(*state, mti_uuid_v7());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(in_the_platforms_state, setup, teardown),
        cmocka_unit_test_setup_teardown(in_an_organizations_state, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
