#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "worker/engine.h"

enum { SOON_MS = 20, LONG_MS = 60000 };

/* A supervisor that answers every question that waits, with pids from 100 on. */
static void *answer_all(void *arg)
{
    const int *fds = arg;
    for (int i = 0; i < fds[1]; i++) {
        mti_engine_message m;
        int handed[MTI_ENGINE_FDS];
        unsigned n;
        bool ended;
        if (!mti_engine_receive(fds[0], &m, handed, &n, &ended))
            return NULL;
        while (n)
            close(handed[--n]);
        m.pid = 100 + i;
        mti_engine_send(fds[0], &m, NULL, 0);
    }
    return NULL;
}

static void a_late_answer_is_nobody_elses(void **state)
{
    int pair[2];
    pthread_t thread;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    mti_engine_message first = mti_engine_join(pair[0], "a", "a 1", pair, 1, SOON_MS);
    assert_int_equal(first.pid, 0);
    assert_int_equal(first.error, ETIMEDOUT);
    int arg[] = {pair[1], 2};
    assert_int_equal(pthread_create(&thread, NULL, answer_all, arg), 0);
    mti_engine_message second = mti_engine_join(pair[0], "b", "b 1", pair, 1, LONG_MS);
    pthread_join(thread, NULL);
    assert_int_equal(second.pid, 101);
    assert_string_equal(second.key, "b 1");
    close(pair[1]);
    assert_int_equal(mti_engine_join(pair[0], "c", "c 1", pair, 1, LONG_MS).error, ECONNRESET);
    close(pair[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_late_answer_is_nobody_elses)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
