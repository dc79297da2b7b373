/* The relay against the fake host: signatures, what is queued, and which deliveries are tried again. */
#include <mortise/testkit.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

extern const mt_plugin alert_relay_plugin;

#define TARGET "POST https://chat.example/hook"
#define CONFIG "{\"signing_secret\":\"s3cret\",\"target_url\":\"https://chat.example/hook\",\"tries\":3}"
#define ALERT "{\"title\":\"Disk full\",\"severity\":\"critical\",\"host\":\"db1\"}"
/* printf %s ALERT | openssl dgst -sha256 -hmac s3cret */
#define SIGNATURE "sha256=6b64e575f1b936eb8c379051c2a4b06d2509f93396804510bbdf4f97a931e600"

static mt_testkit *kit;

static int set_up(void **state)
{
    kit = mt_testkit_create(&alert_relay_plugin, MORTISE_PLUGIN_DIR);
    if (kit)
        mt_testkit_config(kit, CONFIG);
    return kit ? 0 : -1;
}

static int tear_down(void **state)
{
    mt_testkit_destroy(kit);
    return 0;
}

static mt_status take(const char *signature)
{
    mt_testkit_begin(kit);
    mt_testkit_header(kit, "x-signature", signature);
    mt_testkit_header(kit, "x-delivery", "d-1");
    mt_testkit_body(kit, ALERT);
    return mt_testkit_run(kit, "on_alert");
}

static void a_signed_alert_is_queued(void **state)
{
    assert_int_equal(take(SIGNATURE), MT_OK);
    assert_int_equal(mt_testkit_status(kit), 202);
    assert_string_equal(mt_testkit_seen(kit, MT_SEEN_JOB, 0)->text, "{\"id\":\"d-1\",\"text\":\"[critical] Disk full\"}");
}

static void another_signature_is_refused(void **state)
{
    char wrong[] = SIGNATURE;
    wrong[sizeof wrong - 2] ^= 1;
    assert_int_equal(take(wrong), MT_DENIED);
    assert_int_equal(take(""), MT_DENIED);
    mt_testkit_config(kit, "{}");                /* no secret: nobody can have signed */
    assert_int_equal(take(SIGNATURE), MT_DENIED);
    assert_int_equal(mt_testkit_count(kit, MT_SEEN_JOB), 0);
}

static unsigned delivered(mt_status wanted)
{
    mt_testkit_begin(kit);
    assert_int_equal(mt_testkit_job(kit, "on_deliver", "{\"id\":\"d-1\",\"text\":\"hello\"}"), wanted);
    return mt_testkit_count(kit, MT_SEEN_HTTP);
}

static void what_may_go_better_is_tried_again(void **state)
{
    mt_testkit_http(kit, TARGET, 503, "");
    mt_testkit_http(kit, TARGET, 0, "");         /* no answer at all */
    mt_testkit_http(kit, TARGET, 204, "");
    assert_int_equal(delivered(MT_OK), 3);
    assert_string_equal(mt_testkit_seen(kit, MT_SEEN_HTTP, 2)->text, "{\"text\":\"hello\"}");
}

static void what_will_not_is_not(void **state)
{
    mt_testkit_http(kit, TARGET, 404, "");
    assert_int_equal(delivered(MT_INVALID), 1);
}

static void after_the_last_try_the_queue_has_it_again(void **state)
{
    mt_testkit_http(kit, TARGET, 500, "");
    assert_int_equal(delivered(MT_UNAVAILABLE), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_signed_alert_is_queued, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_signature_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_may_go_better_is_tried_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_will_not_is_not, set_up, tear_down),
        cmocka_unit_test_setup_teardown(after_the_last_try_the_queue_has_it_again, set_up, tear_down)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
