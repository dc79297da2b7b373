/* What mortise apply works out by itself: differences, the order of steps, places in its file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/apply.h"

/* JSON with ' for ". */
static json_t *parse(const char *text)
{
    char copy[1024];
    snprintf(copy, sizeof copy, "%s", text);
    for (char *c = copy; *c; c++)
        *c = *c == '\'' ? '"' : *c;
    json_t *v = json_loads(copy, 0, NULL);
    assert_non_null(v);
    return v;
}

static void assert_json(json_t *have, const char *want)
{
    json_t *w = parse(want);
    char *text = json_dumps(have, JSON_COMPACT);
    if (!json_equal(have, w))
        fail_msg("%s, not %s", text, want);
    free(text);
    json_decref(w);
    json_decref(have);
}

static json_t *diff(const char *before, const char *after, const char *secrets)
{
    json_t *b = parse(before), *a = parse(after), *s = parse(secrets), *out = mti_apply_diff_config(b, a, s);
    json_decref(b);
    json_decref(a);
    json_decref(s);
    return out;
}

static void a_difference_names_the_smallest_place(void **state)
{
    assert_json(diff("{'a':1,'b':{'c':[1]}}", "{'b':{'c':[1]},'a':1}", "[]"), "[]");
    assert_json(diff("{'a':1,'b':{'c':1,'d':2}}", "{'b':{'c':1,'d':3,'x/y':true}}", "[]"),
                "[{'op':'-','pointer':'/a','before':1},{'op':'~','pointer':'/b/d','before':2,'after':3},{'op':'+','pointer':'/b/x~1y','after':true}]");
    assert_json(diff("{'l':[1,2]}", "{'l':[1,3]}", "[]"), "[{'op':'~','pointer':'/l','before':[1,2],'after':[1,3]}]");
    assert_json(diff("{'a':{}}", "{'a':1}", "[]"), "[{'op':'~','pointer':'/a','before':{},'after':1}]");
}

static void a_secret_differs_without_looking_different(void **state)
{
    assert_json(diff("{'k':'********','m':{'a':'********'}}", "{'k':'********','m':{'a':'********','b':'********'}}", "['/k','/m/b']"),
                "[{'op':'+','pointer':'/m/b','after':'********'},{'op':'~','pointer':'/k','before':'********','after':'********'}]");
    assert_json(diff("{}", "{'m':{'a':'********'}}", "['/m/a']"), "[{'op':'+','pointer':'/m','after':{'a':'********'}}]");
    assert_json(diff("{'m':1,'ma':'********'}", "{'m':2,'ma':'********'}", "['/ma']"),
                "[{'op':'~','pointer':'/m','before':1,'after':2},{'op':'~','pointer':'/ma','before':'********','after':'********'}]");
}

static void assert_order(const char *items, const char *want)
{
    size_t order[8];
    char have[64] = "";
    json_t *list = parse(items);
    mti_apply_order(list, order);
    for (size_t i = 0; i < json_array_size(list); i++)
        strcat(have, json_string_value(json_object_get(json_array_get(list, order[i]), "slug")));
    assert_string_equal(have, want);
    json_decref(list);
}

static void what_is_needed_comes_first_and_goes_last(void **state)
{
    assert_order("[]", "");
    assert_order("[{'slug':'a'},{'slug':'b'}]", "ab");
    assert_order("[{'slug':'a','needs':['b']},{'slug':'b','needs':['c','elsewhere']},{'slug':'c'}]", "cba");
    assert_order("[{'slug':'b','removed':true},{'slug':'a','needs':['b'],'removed':true}]", "ab");
    assert_order("[{'slug':'b','removed':true},{'slug':'a','needs':['b']}]", "ab"); /* a's new version may need it no more */
    assert_order("[{'slug':'b'},{'slug':'a','needs':['b'],'removed':true}]", "ab"); /* a may be in the way of b's */
    assert_order("[{'slug':'x'},{'slug':'a','needs':['b']},{'slug':'b','needs':['a']}]", "xab"); /* in the order of the file */
    assert_order("[{'slug':'a','needs':['a']}]", "a");
}

static void needs_are_dependencies_and_who_provides(void **state)
{
    json_t *all = parse("{'a':{'dependencies':{'t':'^1'},'requires':['x/1','y/1']},'b':{'provides':['x/1']},'c':{'provides':['z/1','x/1']}}"), *to = json_array();
    mti_apply_add_needs(to, json_object_get(all, "a"), all);
    mti_apply_add_needs(to, json_object_get(all, "b"), all);
    mti_apply_add_needs(to, NULL, all);
    assert_json(to, "['t','b','c']");
    json_decref(all);
}

/* ---- the file ---- */

static char path[] = "/tmp/apply.XXXXXX";

static mt_status read_file(const char *text, mti_apply *a, mti_error *e)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    *a = (mti_apply){.file = path};
    *e = (mti_error){0};
    return mti_apply_read(a, e);
}

static void done(mti_apply *a)
{
    json_decref(a->wanted);
    mti_buf_dispose(&a->text);
}

static void refused_at(const char *text, const char *place, const char *says)
{
    mti_apply a;
    mti_error e;
    char begin[64];
    assert_int_equal(read_file(text, &a, &e), MT_INVALID);
    snprintf(begin, sizeof begin, "%s:%s: ", path, place);
    if (strncmp(e.detail, begin, strlen(begin)) != 0 || !strstr(e.detail, says))
        fail_msg("%s", e.detail);
    done(&a);
}

static void mistakes_have_their_line(void **state)
{
    refused_at("{\n  \"plugins\": {\n    \"x\": { \"enabeld\": true } } }", "3:12", "enabeld");
    refused_at("{ \"plugins\": { \"hello\": {\n  \"enabled\": 1 } } }", "2:3", "true or false");
    refused_at("{ \"organizations\": { \"a\": { \"policies\": { \"p\": {\n\n \"enabled\": 7 } } } } }", "3:2", "");
    refused_at("{ \"plugins\": }", "1:14", "");
    mti_apply a;
    mti_error e;
    assert_int_equal(read_file("{ \"plugins\": { \"hello\": { \"config\": { \"key\" \"hunter2\" } } } }", &a, &e), MT_INVALID);
    assert_null(strstr(e.detail, "hunter2"));
    done(&a);
}

static void values_come_from_elsewhere(void **state)
{
    mti_apply a;
    mti_error e;
    json_t *out;
    char other[80], text[300];
    snprintf(other, sizeof other, "%s.value", path);
    FILE *f = fopen(other, "w");
    assert_non_null(f);
    fputs("from a file\r\n", f);
    fclose(f);
    setenv("APPLY_TEST", "from the environment", 1);
    snprintf(text, sizeof text, "{\"plugins\": {\"hello\": {\"config\": {\"a\": {\"$env\": \"APPLY_TEST\"},\n \"l\": [{\"$file\": \"%s\"}, {\"$env\": \"x\", \"y\": 1}]}}}}", strrchr(other, '/') + 1);
    assert_int_equal(read_file(text, &a, &e), MT_OK);
    const json_t *config = json_object_get(json_object_get(json_object_get(a.wanted, "plugins"), "hello"), "config");
    assert_int_equal(mti_apply_resolve(&a, "/plugins/hello/config", config, &out, &e), MT_OK);
    assert_json(out, "{'a':'from the environment','l':['from a file',{'$env':'x','y':1}]}");
    unsetenv("APPLY_TEST");
    unlink(other);
    assert_int_equal(mti_apply_resolve(&a, "/plugins/hello/config", config, &out, &e), MT_INVALID);
    assert_non_null(strstr(e.detail, ":1:35: The environment variable APPLY_TEST is not set."));
    json_object_del((json_t *)config, "a");
    assert_int_equal(mti_apply_resolve(&a, "/plugins/hello/config", config, &out, &e), MT_INVALID);
    assert_non_null(strstr(e.detail, ":2:8: "));
    done(&a);
}

static int set_up(void **state)
{
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int tear_down(void **state)
{
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_difference_names_the_smallest_place),
        cmocka_unit_test(a_secret_differs_without_looking_different),
        cmocka_unit_test(what_is_needed_comes_first_and_goes_last),
        cmocka_unit_test(needs_are_dependencies_and_who_provides),
        cmocka_unit_test(mistakes_have_their_line),
        cmocka_unit_test(values_come_from_elsewhere),
    };
    return cmocka_run_group_tests_name("apply", tests, set_up, tear_down);
}
