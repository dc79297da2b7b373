/* The worker's main: it locks itself in, loads the plugin, says what it has, and serves. */
#include "worker/process.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/ident.h"
#include "base/log.h"
#include "worker/engine.h"
#include "worker/entry.h"
#include "worker/local.h"
#include "worker/sandbox.h"
#include "worker/serve.h"
#include "worker/worker.h"

enum { FIRST_FD = 3, START_US = 10000000, FILES = 64, ENGINE_FILES = 1024, NOTES_MAX = 256 << 10, PATHS_MAX = 64 };

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
    mti_link *l = mti_this.links;
    while (l && (l->lost || !l->started))
        l = l->next;
    mti_channel *ch = l ? &l->lanes[0].ch : NULL;
    n->f.len = (uint32_t)n->text.len;
    if (ch && ch->out.len - ch->sent < NOTES_MAX)
        mti_channel_send(ch, &n->f, n->text.p);
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
    if (mti_loop_current() == mti_this.loop)
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
    unsigned threads;
    mti_sandbox_path *paths;
    mti_sandbox box;
} start;

static const char *take_name(mti_unpack *in, mti_arena *a)
{
    mt_slice s = mti_take_slice(in);
    return mti_arena_strndup(a, s.p ? s.p : "", s.len);
}

static void take_paths(start *s, mti_unpack *in)
{
    uint32_t n = mti_take_u32(in);
    n = n < PATHS_MAX ? n : PATHS_MAX;
    s->paths = mti_arena_alloc(&s->arena, (n + 1) * sizeof *s->paths);
    for (uint32_t i = 0; i < n; i++) {
        s->paths[i].path = take_name(in, &s->arena);
        s->paths[i].writes = mti_take_bool(in);
    }
    s->box.paths = s->paths;
    s->box.n_paths = n;
}

static mt_status read_start(start *s, int fd)
{
    mti_frame f;
    mti_buf_init(&s->text, 1 << 20);
    mti_arena_init(&s->arena, 0);
    MT_TRY(mti_frame_read(fd, &f, &s->text, mti_mono_us() + START_US));
    mti_unpack in = {.p = s->text.p, .end = s->text.p + s->text.len, .arena = &s->arena};
    s->slug = take_name(&in, &s->arena);
    s->version = take_name(&in, &s->arena);
    s->box.dir = take_name(&in, &s->arena);
    s->box.object = s->file = take_name(&in, &s->arena);
    s->symbol = take_name(&in, &s->arena);
    s->box.memory = mti_take_u64(&in);
    s->box.files = mti_this.engine ? ENGINE_FILES : FILES + mti_this.links->n_lanes;
    mti_this.slug = s->slug;
    mti_this.log_level = mti_take_i32(&in);
    mti_this.granted = mti_take_slices(&in, &mti_this.n_granted);
    s->box.threads = mti_take_bool(&in);
    s->threads = mti_take_u32(&in);
    take_paths(s, &in);
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
    mti_this.offload = mti_offload_create(s->threads);
    if (!mti_this.offload)
        return mti_fail(e, MT_NO_MEMORY, "no_memory", "there is no memory for a worker");
    MT_TRY(mti_sandbox_seal(&s->box, e));
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
    mti_put_bool(b, MT_PLUGIN_HAS(t, hand_over));
    mti_put_bool(b, MT_PLUGIN_HAS(t, take_over));
}

void mti_process_greet(mti_buf *b, mti_frame *f, const mti_error *refused)
{
    mti_buf_init(b, 1 << 20);
    if (refused)
        mti_put_error(b, refused);
    else
        put_entry(b);
    *f = (mti_frame){.len = (uint32_t)b->len, .kind = refused ? MTI_FRAME_REFUSED : MTI_FRAME_HELLO, .method = refused ? refused->status : 0};
}

static bool say(int fd, const mti_error *refused)
{
    mti_buf b;
    mti_frame f;
    mti_process_greet(&b, &f, refused);
    mt_status s = mti_frame_write(fd, &f, b.p, mti_mono_us() + START_US);
    mti_buf_dispose(&b);
    return s == MT_OK;
}

/* The host that had it started: its lanes are there already, or they come with its first message. */
static bool take_host(const char *channels)
{
    int fds[MTI_ENGINE_FDS];
    unsigned n = 0;
    if (mti_this.engine) {
        mti_engine_message m;
        bool ended;
        struct pollfd p = {.fd = FIRST_FD, .events = POLLIN};
        if (poll(&p, 1, START_US / 1000) != 1 || !mti_engine_receive(FIRST_FD, &m, fds, &n, &ended))
            return false;
    } else {
        n = (unsigned)atoi(channels);
        for (unsigned i = 0; i < n && n <= MTI_WORKER_CHANNELS; i++)
            fds[i] = FIRST_FD + (int)i;
    }
    if (!n || n > MTI_WORKER_CHANNELS)
        return false;
    mti_link_create(fds, n)->started = true;
    return true;
}

int mti_worker_main(int argc, char **argv, const mti_worker_tables *tables)
{
    mti_error e = {0};
    start s = {0};
    mti_this.tables = tables;
    mti_this.engine = argc == 5 && !strcmp(argv[3], "engine");
    if (argc != 5 || (!mti_this.engine && !atoi(argv[3]))) {
        fputs("mortise: the host starts workers, not people: see core/worker/README.md.\n", stderr);
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != atoi(argv[4]))
        return 0;            /* the host died before the line above */
    signal(SIGPIPE, SIG_IGN);
    mti_log_setup(STDERR_FILENO, MTI_LOG_ERROR, MTI_LOG_LOGFMT);
    if (!take_host(argv[3]))
        return 1;
    int first = mti_this.links->lanes[0].ch.fd;
    if (read_start(&s, first) != MT_OK)
        return 1;
    mt_status status = set_up(&s, &e);
    bool heard = say(first, status == MT_OK ? NULL : &e);
    if (status != MT_OK || (!heard && !mti_this.engine))     /* another host may have come to an engine meanwhile */
        return 1;
    mti_link_open(mti_this.links);
    if (mti_this.engine)
        mti_links_accept();
    mti_loop_run(mti_this.loop);
    return 0;
}
