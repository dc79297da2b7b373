/*
 * Frames over a socket that belongs to one loop; the same at both ends. Nothing that comes in is believed: a frame of a wrong size ends the channel.
 * Loop's thread, except the two blocking functions.
 */
#ifndef MTI_WORKER_CHANNEL_H
#define MTI_WORKER_CHANNEL_H

#include "loop/fiber.h"
#include "worker/wire.h"

typedef struct mti_channel {
    int fd;                  /* -1: closed */
    mti_loop *loop;
    mti_watch *watch;
    bool broken;             /* the other end is gone, or what it sends is no frame; on_end is called once */
    bool paused;             /* nothing is read */
    char *in;
    size_t in_len, in_cap;
    mti_buf out;             /* what the socket has not taken yet, from `sent` on */
    size_t sent;
    mti_waitlist room;       /* fibers that wait for it to shrink */
    int64_t asked_us;        /* mti_channel_expect; 0: it came */
    unsigned luck, asks;     /* how often lately it came soon */
    /* payload is borrowed. false: such a frame is not allowed here. */
    bool (*on_frame)(void *ctx, const mti_frame *f, const char *payload);
    void (*on_end)(void *ctx);
    void *ctx;
} mti_channel;

/* ch's functions and ctx are set; takes fd, which must not block. */
void mti_channel_open(mti_channel *ch, mti_loop *l, int fd);
void mti_channel_close(mti_channel *ch);     /* wakes who waits for room; not inside on_frame */
/* Queues a frame and writes what the socket takes. In a fiber it waits while much is queued already (a cancel is remembered). MT_UNAVAILABLE when
 * the channel is broken or closed. */
mt_status mti_channel_send(mti_channel *ch, const mti_frame *f, const char *payload);
/* The other end owes an answer: mostly it comes sooner than a sleeping core wakes, so the loop stays awake for a moment, as long as that pays. */
void mti_channel_expect(mti_channel *ch);
void mti_channel_pause(mti_channel *ch, bool on);

/* Before there is a loop: one frame, by a monotonic time in µs. MT_UNAVAILABLE when the other end is gone, MT_TIMEOUT. */
mt_status mti_frame_write(int fd, const mti_frame *f, const char *payload, int64_t until_us);
mt_status mti_frame_read(int fd, mti_frame *f, mti_buf *payload, int64_t until_us);

#endif
