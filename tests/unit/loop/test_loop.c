#include "support.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define POSTERS  4
#define MESSAGES 25000

typedef struct poster {
    mti_loop *loop;
    int index;
    struct poster_total *total;
    int next; /* the number its next message must carry */
    pthread_t thread;
} poster;

typedef struct poster_total {
    int received;
    bool ordered;
} poster_total;

typedef struct numbered {
    poster *from;
    int number;
} numbered;

static numbered sent[POSTERS][MESSAGES];

static void on_numbered(void *arg)
{
    numbered *n = arg;
    poster_total *t = n->from->total;
    t->ordered &= n->number == n->from->next++;
    if (++t->received == POSTERS * MESSAGES)
        mti_loop_stop(n->from->loop);
}

static void *post_all(void *arg)
{
    poster *p = arg;
    numbered *mine = sent[p->index];
    for (int i = 0; i < MESSAGES; i++) {
        mine[i] = (numbered){p, i};
        mti_loop_post(p->loop, on_numbered, &mine[i]);
    }
    return NULL;
}

static void posts_from_four_threads(void **state)
{
    poster p[POSTERS];
    poster_total total = {.ordered = true};
    for (int i = 0; i < POSTERS; i++) {
        p[i] = (poster){.loop = *state, .index = i, .total = &total};
        assert_int_equal(pthread_create(&p[i].thread, NULL, post_all, &p[i]), 0);
    }
    mti_loop_run(*state);
    for (int i = 0; i < POSTERS; i++)
        pthread_join(p[i].thread, NULL);
    assert_int_equal(total.received, POSTERS * MESSAGES);
    assert_true(total.ordered);
}

typedef struct pong {
    mti_loop *self, *other;
    atomic_int *left;
    struct pong *peer;
} pong;

static void on_pong(void *arg)
{
    pong *p = arg;
    if (atomic_fetch_sub(p->left, 1) > 1) {
        mti_loop_post(p->other, on_pong, p->peer);
        return;
    }
    mti_loop_stop(p->self);
    mti_loop_stop(p->other);
}

static void *run_loop(void *arg)
{
    mti_loop_run(arg);
    return NULL;
}

static void loops_wake_each_other(void **state)
{
    atomic_int left = 2000;
    mti_loop *b = mti_loop_create(1);
    pong pa = {.self = *state, .other = b, .left = &left};
    pong pb = {.self = b, .other = *state, .left = &left, .peer = &pa};
    pthread_t thread;
    pa.peer = &pb;
    assert_int_equal(mti_loop_index(b), 1);
    assert_int_equal(pthread_create(&thread, NULL, run_loop, b), 0);
    mti_loop_post(*state, on_pong, &pa);
    mti_loop_run(*state);
    pthread_join(thread, NULL);
    assert_true(left <= 0);
    mti_loop_destroy(b);
}

static void on_append(void *arg)
{
    char **at = arg;
    *(*at)++ = 'x';
}

typedef struct named {
    char **at;
    char name;
} named;

static void on_named(void *arg)
{
    named *n = arg;
    *(*n->at)++ = n->name;
}

static void timers_fire_in_order(void **state)
{
    char out[16] = "", *at = out;
    named n[] = {{&at, 'c'}, {&at, 'a'}, {&at, 'b'}, {&at, 'X'}, {&at, 'd'}};
    mti_timer_start(*state, 9, on_named, &n[0]);
    mti_timer_start(*state, 0, on_named, &n[1]);
    mti_timer_start(*state, 4, on_named, &n[2]);
    mti_timer *never = mti_timer_start(*state, 1, on_named, &n[3]);
    mti_timer_start(*state, 13, on_named, &n[4]);
    mti_timer_cancel(never);
    int64_t end = mti_mono_us() + 5000000;
    while (at - out < 4 && mti_mono_us() < end)
        mti_loop_step(*state, 100);
    assert_string_equal(out, "abcd");
}

/* Arms and cancels at random and checks that what is left fires by due time. */
static void timer_heap_survives_cancels(void **state)
{
    enum { N = 500 };
    static mti_timer *timers[N];
    char out[N + 1] = "", *at = out;
    unsigned seed = 7, kept = 0;
    for (int i = 0; i < N; i++) {
        seed = seed * 1103515245u + 12345u;
        timers[i] = mti_timer_start(*state, seed >> 16 & 15, on_append, &at);
    }
    for (int i = 0; i < N; i++) {
        seed = seed * 1103515245u + 12345u;
        if (seed >> 16 & 1)
            mti_timer_cancel(timers[i]);
        else
            kept++;
    }
    int64_t end = mti_mono_us() + 5000000;
    while (at - out < kept && mti_mono_us() < end)
        mti_loop_step(*state, 100);
    assert_int_equal(at - out, kept);
}

typedef struct pipe_end {
    int fd;
    mti_watch *watch, *other;
    unsigned calls, last;
    char byte;
} pipe_end;

static void on_readable(void *arg, unsigned ready)
{
    pipe_end *p = arg;
    p->calls++;
    p->last = ready;
    if (ready & MTI_READ && read(p->fd, &p->byte, 1) != 1)
        p->byte = 0;
}

static void watch_reads_and_pauses(void **state)
{
    int fd[2];
    assert_int_equal(pipe(fd), 0);
    pipe_end r = {.fd = fd[0]};
    r.watch = mti_watch_start(*state, fd[0], MTI_READ, on_readable, &r);
    assert_non_null(r.watch);
    mti_loop_step(*state, 0);
    assert_int_equal(r.calls, 0);
    assert_int_equal(write(fd[1], "ab", 2), 2);
    mti_loop_step(*state, 1000);
    assert_int_equal(r.byte, 'a');
    assert_int_equal(r.last, MTI_READ);
    mti_watch_set(r.watch, 0);
    mti_loop_step(*state, 0);
    assert_int_equal(r.calls, 1);
    mti_watch_set(r.watch, MTI_READ);
    mti_loop_step(*state, 1000);
    assert_int_equal(r.byte, 'b');
    close(fd[1]);
    mti_loop_step(*state, 1000);
    assert_int_equal(r.calls, 3);
    assert_int_equal(r.byte, 0);
    mti_watch_stop(r.watch);
    close(fd[0]);
}

static void watch_writes(void **state)
{
    int fd[2];
    assert_int_equal(pipe(fd), 0);
    pipe_end w = {.fd = fd[1]};
    w.watch = mti_watch_start(*state, fd[1], MTI_WRITE, on_readable, &w);
    mti_loop_step(*state, 1000);
    assert_int_equal(w.last, MTI_WRITE);
    mti_watch_stop(w.watch);
    assert_null(mti_watch_start(*state, -1, MTI_READ, on_readable, &w));
    close(fd[0]);
    close(fd[1]);
}

static void on_stop_both(void *arg, unsigned ready)
{
    pipe_end *p = arg;
    p->calls++;
    mti_watch_stop(p->watch);
    mti_watch_stop(p->other);
}

static void stop_inside_the_callback(void **state)
{
    int fd[2];
    assert_int_equal(pipe(fd), 0);
    assert_int_equal(write(fd[1], "x", 1), 1);
    pipe_end p = {.fd = fd[0]};
    p.watch = mti_watch_start(*state, fd[0], MTI_READ, on_stop_both, &p);
    p.other = mti_watch_start(*state, fd[1], MTI_WRITE, on_stop_both, &p);
    mti_loop_step(*state, 1000);
    mti_loop_step(*state, 0);
    assert_int_equal(p.calls, 1);
    close(fd[0]);
    close(fd[1]);
}

static void on_timer_over(void *arg)
{
    mti_loop_stop(arg);
}

static void slots(void **state)
{
    unsigned a = mti_loop_slot(), b = mti_loop_slot();
    int x;
    assert_int_not_equal(a, b);
    assert_null(mti_loop_get(*state, a));
    mti_loop_set(*state, a, &x);
    assert_ptr_equal(mti_loop_get(*state, a), &x);
    assert_null(mti_loop_get(*state, b));
}

/* A minute without anything to do: the turns come back at once all the same, until what was expected is overdue. */
static void expecting_is_no_sleep(void **state)
{
    mti_loop_step(*state, 0);    /* its clock is set by a turn */
    mti_loop_expect(*state, 3600 * INT64_C(1000000));
    for (int i = 0; i < 3; i++)
        mti_loop_step(*state, 60000);
    mti_loop_expect(*state, -1);
    mti_timer_start(*state, 1, on_timer_over, *state);
    mti_loop_run(*state);
}

static void stop_before_run_counts(void **state)
{
    mti_loop_stop(*state);
    mti_loop_run(*state);
    assert_null(mti_loop_current());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(posts_from_four_threads),  LOOP_TEST(loops_wake_each_other),
        LOOP_TEST(timers_fire_in_order),     LOOP_TEST(timer_heap_survives_cancels),
        LOOP_TEST(watch_reads_and_pauses),   LOOP_TEST(watch_writes),
        LOOP_TEST(stop_inside_the_callback), LOOP_TEST(slots),
        LOOP_TEST(stop_before_run_counts),   LOOP_TEST(expecting_is_no_sleep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
