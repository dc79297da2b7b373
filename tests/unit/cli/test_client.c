/* The commands that talk to a server, against one that answers each connection on the admin socket
 * with prepared bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli/client.h"
#include "supervisor/supervisor.h"

static char dir[200] = "/tmp/mortise-client-XXXXXX";
static int server = -1;
static const char *prepared;
static char heard[8192];
static mti_cli cli;

static size_t body_length(const char *text)
{
    const char *field = strcasestr(text, "content-length: ");
    return field ? (size_t)atol(field + strlen("content-length: ")) : 0;
}

static void *answer_one(void *arg)
{
    size_t n = 0;
    int fd = accept(server, NULL, NULL);
    for (ssize_t got; (got = read(fd, heard + n, sizeof heard - 1 - n)) > 0;) {
        n += (size_t)got;
        heard[n] = 0;
        const char *end = strstr(heard, "\r\n\r\n");
        if (end && strlen(end + 4) >= body_length(heard))
            break;
    }
    if (write(fd, prepared, strlen(prepared)) < 0)
        abort();
    close(fd);
    return NULL;
}

static mt_status call(const char *method, const json_t *body, const char *bytes, mti_reply *r,
                      mti_error *e)
{
    pthread_t t;
    prepared = bytes;
    assert_int_equal(pthread_create(&t, NULL, answer_one, NULL), 0);
    mt_status s = mti_client_call(&cli, method, "/v1/x?y=1", body, r, e);
    pthread_join(t, NULL);
    return s;
}

static void test_an_answer_is_parsed(void **state)
{
    mti_reply r;
    mti_error e = {0};
    assert_int_equal(
        call("GET", NULL, "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{\"a\":1}", &r, &e), MT_OK);
    assert_int_equal(r.status, 200);
    assert_int_equal(mti_json_get_int(r.json, "a", 0), 1);
    assert_memory_equal(heard, "GET /v1/x?y=1 HTTP/1.1\r\n", 24);
    mti_reply_dispose(&r);
}

static void test_a_body_is_sent(void **state)
{
    mti_reply r;
    mti_error e = {0};
    json_t *body = json_pack("{s:s}", "q", "x");
    assert_int_equal(call("POST", body, "HTTP/1.1 204 No Content\r\n\r\n", &r, &e), MT_OK);
    assert_non_null(strstr(heard, "Content-Type: application/json\r\n"));
    assert_non_null(strstr(heard, "\r\n\r\n{\"q\":\"x\"}"));
    mti_reply_dispose(&r);
    assert_int_equal(call("POST", NULL, "HTTP/1.1 204 No Content\r\n\r\n", &r, &e), MT_OK);
    assert_non_null(strstr(heard, "Content-Length: 0\r\n"));
    mti_reply_dispose(&r);
    json_decref(body);
}

static void test_a_problem_becomes_one_sentence(void **state)
{
    mti_reply r;
    mti_error e = {0};
    assert_int_equal(call("GET", NULL,
                          "HTTP/1.1 404 Not Found\r\nContent-Type: "
                          "application/problem+json\r\nContent-Length: 48\r\n\r\n"
                          "{\"detail\":\"No such plugin.\",\"code\":\"not_found\"} ",
                          &r, &e),
                     MT_NOT_FOUND);
    assert_string_equal(e.detail, "No such plugin.");
    assert_string_equal(e.code, "not_found");
    assert_int_equal(e.http, 404);
    mti_reply_dispose(&r);
    assert_int_equal(
        call("GET", NULL, "HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\noops", &r, &e),
        MT_INVALID);
    assert_non_null(strstr(e.detail, "status 500"));
    mti_reply_dispose(&r);
}

static void test_a_server_that_hangs_up(void **state)
{
    mti_reply r;
    mti_error e = {0};
    assert_int_equal(call("GET", NULL, "", &r, &e), MT_UNAVAILABLE);
    assert_string_equal(e.code, "server_lost");
    mti_reply_dispose(&r);
}

static void test_a_file_is_sent_as_multipart(void **state)
{
    pthread_t t;
    mti_reply r;
    mti_error e = {0};
    prepared = "HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}";
    assert_int_equal(pthread_create(&t, NULL, answer_one, NULL), 0);
    assert_int_equal(
        mti_client_upload(&cli, "/u", "a.txt", "text/plain", MT_SLICE("hello"), &r, &e), MT_OK);
    pthread_join(t, NULL);
    assert_non_null(
        strstr(heard, "Content-Disposition: form-data; name=\"file\"; "
                      "filename=\"a.txt\"\r\nContent-Type: text/plain\r\n\r\nhello\r\n--"));
    mti_reply_dispose(&r);
}

static int start(void **state)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int dir_fd;
    mti_error e;
    if (!mkdtemp(dir))
        return -1;
    cli.config = mti_config_create();
    mti_config_set(cli.config, "data.dir", dir, "flag", &e);
    if (mti_admin_socket_path(dir, a.sun_path, &dir_fd) != MT_OK)
        return -1;
    server = socket(AF_UNIX, SOCK_STREAM, 0);
    return bind(server, (struct sockaddr *)&a, sizeof a) || listen(server, 8);
}

static int stop(void **state)
{
    char path[256];
    close(server);
    snprintf(path, sizeof path, "%s/mortise.sock", dir);
    unlink(path);
    mti_config_destroy(cli.config);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_answer_is_parsed),
        cmocka_unit_test(test_a_body_is_sent),
        cmocka_unit_test(test_a_problem_becomes_one_sentence),
        cmocka_unit_test(test_a_server_that_hangs_up),
        cmocka_unit_test(test_a_file_is_sent_as_multipart),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
