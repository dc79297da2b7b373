/* The worker's main: it locks itself in, loads the plugin, says what it has, and serves. */
#include "worker/process.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/ident.h"
#include "base/log.h"
#include "worker/entry.h"
#include "worker/local.h"
#include "worker/sandbox.h"
#include "worker/serve.h"
#include "worker/worker.h"

enum { FIRST_FD = 3, START_US = 10000000, FILES = 64, POOL = 1, NOTES_MAX = 256 << 10 };

mti_process mti_this;

/* --- the host's frozen table --- */

static bool is_granted(mt_slice id)
{
    for (size_t i = 0; i < mti_this.n_granted; i++)
        if (mt_slice_eq(mti_this.granted[i], id))
            return true;
    return false;
}

static const void *host_get(void *ctx, mt_slice id)
{
    const void *local = mti_local_interface(id);
    for (unsigned i = 0; !local && i < mti_asked_count; i++)
        if (mt_slice_eq(id, mt_str(mti_asked_interfaces[i].id)) && is_granted(id))
            return mti_asked_interfaces[i].host;
    return local;
}

typedef struct note {
    mti_frame f;
    mti_buf text;
} note;

static void send_note(void *arg)
{
    note *n = arg;
    const mti_channel *ch = &mti_this.lanes[0].ch;
    n->f.len = (uint32_t)n->text.len;
    if (ch->out.len - ch->sent < NOTES_MAX)
        mti_channel_send(&mti_this.lanes[0].ch, &n->f, n->text.p);
    mti_buf_dispose(&n->text);
    free(n);
}

/* Before the loop runs it is sent when it does. */
void mti_process_tell(uint16_t kind, uint32_t method, mti_buf *text)
{
    note *n = text->status == MT_OK ? malloc(sizeof *n) : NULL;
    if (!n) {
        mti_buf_dispose(text);
        return;
    }
    *n = (note){{.kind = kind, .method = method}, *text};
    if (mti_loop_current() == mti_this.loop && mti_this.lanes[0].ch.loop)
        send_note(n);
    else
        mti_loop_post(mti_this.loop, send_note, n);
}

static void host_log(void *ctx, int level, mt_slice event, const mt_field *fields, size_t n)
{
    mti_buf text;
    if (level < mti_this.log_level)
        return;
    mti_buf_init(&text, 64 << 10);
    mti_put_slice(&text, event);
    mti_put_fields(&text, fields, n < 32 ? n : 32);
    mti_process_tell(MTI_FRAME_LOG, (uint32_t)(level > 3 ? 3 : level), &text);
}

static void *host_alloc(mt_call *c, size_t n)
{
    return mti_arena_try_alloc(&c->arena, n);
}

/* --- start --- */

typedef struct start {
    mti_buf text;
    mti_arena arena;
    const char *slug, *version, *file, *symbol;
    mti_sandbox box;
} start;

static const char *take_name(mti_unpack *in, mti_arena *a)
{
    mt_slice s = mti_take_slice(in);
    return mti_arena_strndup(a, s.p ? s.p : "", s.len);
}

static mt_status read_start(start *s)
{
    mti_frame f;
    mti_buf_init(&s->text, 1 << 20);
    mti_arena_init(&s->arena, 0);
    MT_TRY(mti_frame_read(FIRST_FD, &f, &s->text, mti_mono_us() + START_US));
    mti_unpack in = {.p = s->text.p, .end = s->text.p + s->text.len, .arena = &s->arena};
    s->slug = take_name(&in, &s->arena);
    s->version = take_name(&in, &s->arena);
    s->box.dir = take_name(&in, &s->arena);
    s->box.object = s->file = take_name(&in, &s->arena);
    s->symbol = take_name(&in, &s->arena);
    s->box.memory = mti_take_u64(&in);
    s->box.files = FILES + mti_this.n_lanes;
    mti_this.slug = s->slug;
    mti_this.log_level = mti_take_i32(&in);
    mti_this.granted = mti_take_slices(&in, &mti_this.n_granted);
    return f.kind == MTI_FRAME_START && mti_unpacked(&in) ? MT_OK : MT_INVALID;
}

static mt_status load_plugin(const start *s, mti_error *e)
{
    void *object;
    MT_TRY(mti_entry_open(s->slug, s->version, s->file, s->symbol, &object, &mti_this.entry, e));
    mti_this.table = (mt_host){.size = sizeof mti_this.table, .abi = MT_ABI, .get = host_get, .log = host_log, .alloc = host_alloc, .clock_us = mti_now_us, .dir = s->box.dir};
    if (mti_this.entry->create && mti_this.entry->create(&mti_this.self) != MT_OK)
        return mti_fail(e, MT_INVALID, "plugin_invalid", "plugin %s: create() failed", s->slug);
    if (mti_this.entry->load && mti_this.entry->load(mti_this.self, &mti_this.table) != MT_OK)
        return mti_fail(e, MT_INVALID, "plugin_invalid", "plugin %s: load() failed", s->slug);
    return MT_OK;
}

/* The sandbox is closed before the first instruction of the plugin. */
static mt_status set_up(const start *s, mti_error *e)
{
    MT_TRY(mti_sandbox_restrict(&s->box, e));
    mti_this.loop = mti_loop_create(0);
    mti_this.offload = mti_offload_create(POOL);
    if (!mti_this.offload)
        return mti_fail(e, MT_NO_MEMORY, "no_memory", "there is no memory for a worker");
    MT_TRY(mti_sandbox_seal(e));
    return load_plugin(s, e);
}

static bool is_whole(const mt_service_entry *s)
{
    for (unsigned i = 0; i < mti_served_count; i++)
        if (!strcmp(mti_served_interfaces[i].id, s->id))
            return *(const uint32_t *)s->table >= mti_served_interfaces[i].provider_size;
    return false;
}

static void put_entry(mti_buf *b)
{
    const mt_plugin *t = mti_this.entry;
    mti_put_u32(b, t->n_handlers);
    for (uint32_t i = 0; i < t->n_handlers; i++)
        mti_put_slice(b, mt_str(t->handlers[i].name));
    mti_put_u32(b, t->n_hooks);
    for (uint32_t i = 0; i < t->n_hooks; i++)
        mti_put_slice(b, mt_str(t->hooks[i].name));
    uint32_t n = 0;
    for (uint32_t i = 0; i < t->n_services; i++)
        n += is_whole(&t->services[i]);
    mti_put_u32(b, n);
    for (uint32_t i = 0; i < t->n_services; i++)
        if (is_whole(&t->services[i]))
            mti_put_slice(b, mt_str(t->services[i].id));
}

static bool say(bool ok, const mti_error *e)
{
    mti_buf b;
    mti_buf_init(&b, 1 << 20);
    if (ok)
        put_entry(&b);
    else
        mti_put_error(&b, e);
    mti_frame f = {.len = (uint32_t)b.len, .kind = ok ? MTI_FRAME_HELLO : MTI_FRAME_REFUSED, .method = e->status};
    mt_status s = mti_frame_write(FIRST_FD, &f, b.p, mti_mono_us() + START_US);
    mti_buf_dispose(&b);
    return s == MT_OK;
}

static void on_end(void *ctx)
{
    _exit(0);                /* what the plugin holds is memory, and goes with it */
}

static void serve_lanes(void)
{
    for (unsigned i = 0; i < mti_this.n_lanes; i++) {
        mti_lane *l = &mti_this.lanes[i];
        l->ch = (mti_channel){.on_frame = mti_run_frame, .on_end = on_end, .ctx = l};
        mti_channel_open(&l->ch, mti_this.loop, FIRST_FD + (int)i);
    }
    mti_loop_run(mti_this.loop);
}

int mti_worker_main(int argc, char **argv, const mt_json_1 *json)
{
    mti_error e = {0};
    start s = {0};
    mti_this.json = json;
    mti_this.n_lanes = argc == 5 ? (unsigned)atoi(argv[3]) : 0;
    if (!mti_this.n_lanes || mti_this.n_lanes > MTI_WORKER_CHANNELS) {
        fputs("mortise: the host starts workers, not people: see core/worker/README.md.\n", stderr);
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != atoi(argv[4]))
        return 0;            /* the host died before the line above */
    signal(SIGPIPE, SIG_IGN);
    mti_log_setup(STDERR_FILENO, MTI_LOG_ERROR, MTI_LOG_LOGFMT);
    if (read_start(&s) != MT_OK)
        return 1;
    mt_status status = set_up(&s, &e);
    if (!say(status == MT_OK, &e) || status != MT_OK)
        return 1;
    serve_lanes();
    return 0;
}
