#include "plugin/identity.h"
#include "plugin/api.h"

#include "base/log.h"
#include "base/map.h"

#include <stdio.h>
#include <stdlib.h>

enum { KNOWN_TTL_US = 30 * 1000000, UNKNOWN_TTL_US = 5 * 1000000, MAX_ENTRIES = 65536 };

typedef struct entry {
    int64_t until_us;            /* monotonic */
    unsigned known;              /* permissions that there were: "*" grants no others */
    bool found, active, platform;
    int64_t expires_us;          /* UTC; 0: never */
    mti_uuid org_id, workspace_id, id;
    uint32_t rate;
    char kind[16];
    mti_permset permissions;
} entry;

typedef struct loop_cache {
    mti_identities *owner;
    mti_map *credentials, *scopes;
    unsigned emptied;            /* how often: what was read before is not kept after */
} loop_cache;

struct mti_identities {
    mti_host *host;
    unsigned slot;
    json_t *roles;
    mti_arena arena;
    mti_query *queries;          /* find_credential, find_scope */
};

static const char text[] =
    "-- name: find_credential :one\n"
    "SELECT id, org_id, workspace_id, scopes, rate_per_minute, is_active, platform, "
    "(extract(epoch FROM expires_at) * 1000000)::bigint AS expires_us FROM mt.find_credential(:hash::bytea);\n"
    "-- name: find_scope :one\n"
    "SELECT org_id, kind FROM mt.find_scope(:id::uuid);\n";

mt_status mti_identities_create(mti_host *h, mti_identities **out, mti_error *e)
{
    char path[4096];
    mti_buf file;
    size_t n;
    mti_identities *i = calloc(1, sizeof *i);
    snprintf(path, sizeof path, "%s/manifests/roles.json", h->root);
    mt_status s = mti_buf_read_file(&file, path, 1 << 20);
    if (s == MT_OK)
        s = mti_json_parse(mti_buf_slice(&file), 0, &i->roles, e);
    else
        mti_fail(e, s, "installation_broken", "%s cannot be read: the installation is incomplete", path);
    mti_buf_dispose(&file);
    mti_arena_init(&i->arena, 0);
    if (s == MT_OK)
        s = mti_query_parse(&i->arena, "core/plugin/identity.c", mt_str(text), &i->queries, &n, e);
    i->host = h;
    i->slot = mti_loop_slot();
    if (s != MT_OK) {
        mti_identities_destroy(i);
        return s;
    }
    *out = i;
    return MT_OK;
}

void mti_identities_destroy(mti_identities *i)
{
    json_decref(i->roles);
    mti_arena_dispose(&i->arena);
    free(i);
}

static void clear(mti_map **m)
{
    size_t pos = 0;
    mt_slice key;
    void *val;
    while (*m && mti_map_next(*m, &pos, &key, &val))
        free(val);
    if (*m)
        mti_map_destroy(*m);
    *m = mti_map_create();
}

static void clear_cache(void *arg)
{
    loop_cache *k = arg;
    k->emptied++;
    clear(&k->credentials);
    clear(&k->scopes);
}

/* Also what was unknown: it may be known now. */
static void expire_credential(mti_map *m, mti_uuid id)
{
    size_t pos = 0;
    mt_slice key;
    void *val;
    while (mti_map_next(m, &pos, &key, &val)) {
        entry *e = val;
        if (!e->found || mti_uuid_eq(e->id, id))
            e->until_us = 0;
    }
}

static void expire_scope(mti_map *m, mti_uuid id)
{
    entry *e = mti_map_get(m, (mt_slice){(const char *)id.b, sizeof id.b});
    if (e)
        e->until_us = 0;
}

/* "credential ID" and "scope:KIND ID" touch only what they name, so that one organization's changes do not cost the others their caches. */
static void on_notify(void *arg, const char *payload)
{
    loop_cache *k = arg;
    const char *space = payload ? strchr(payload, ' ') : NULL;
    mti_uuid id;
    if (space && memchr(payload, '.', (size_t)(space - payload)))
        return;                  /* of a table (SCHEMA.TABLE ORG): not kept here */
    if (!space || !mti_uuid_parse(mt_str(space + 1), &id)) {
        clear_cache(k);
        return;
    }
    k->emptied++;
    if (!strncmp(payload, "credential ", 11))
        expire_credential(k->credentials, id);
    else if (!strncmp(payload, "scope:", 6))
        expire_scope(k->scopes, id);
    else
        clear_cache(k);
}

static void free_cache(void *arg)
{
    loop_cache *k = arg;
    clear_cache(k);
    mti_map_destroy(k->credentials);
    mti_map_destroy(k->scopes);
    free(k);
}

void mti_identities_attach(mti_identities *i, mti_loop *l)
{
    loop_cache *k = calloc(1, sizeof *k);
    k->owner = i;
    clear_cache(k);
    mti_loop_set(l, i->slot, k);
    mti_db_listen(i->host->db, l, "mt_cache", on_notify, k);
}

void mti_identities_detach(mti_identities *i, mti_loop *l)
{
    loop_cache *k = mti_loop_get(l, i->slot);
    mti_loop_set(l, i->slot, NULL);
    if (k)
        free_cache(k);
}

static entry *store(mti_map *m, mt_slice key, const entry *e)
{
    entry *copy = malloc(sizeof *copy);
    *copy = *e;
    copy->until_us = mti_mono_us() + (e->found ? KNOWN_TTL_US : UNKNOWN_TTL_US);
    free(mti_map_put(m, key, copy));
    return copy;
}

static void grant_scope(mti_identities *i, mti_permset *set, mt_slice scope)
{
    json_t *list = json_object_getn(json_object_get(i->roles, "scopes"), scope.p, scope.len), *v;
    size_t n;
    json_array_foreach(list, n, v)
        mti_permset_grant(set, mt_str(json_string_value(v)));
    if (!list)
        mti_permset_grant(set, scope);       /* a permission's own name, or "agent.*" */
}

/* {chat,search}: scope names hold no characters that PostgreSQL would quote, except by an operator's mistake. */
static void grant_scopes(mti_identities *i, mti_permset *set, mt_slice array)
{
    const char *p = array.p + 1, *end = array.p + array.len - 1;
    while (array.len > 2 && p < end) {
        const char *comma = memchr(p, ',', (size_t)(end - p));
        const char *stop = comma ? comma : end;
        mt_slice name = {p, (size_t)(stop - p)};
        if (name.len > 2 && name.p[0] == '"')
            name = (mt_slice){name.p + 1, name.len - 2};
        grant_scope(i, set, name);
        p = stop + 1;
    }
}

static void read_credential(mti_identities *i, const mti_result *r, entry *e)
{
    *e = (entry){.found = mti_result_rows(r) > 0};
    if (!e->found)
        return;
    mti_uuid_parse(mti_result_get(r, 0, 0), &e->id);
    mti_uuid_parse(mti_result_get(r, 0, 1), &e->org_id);
    mti_uuid_parse(mti_result_get(r, 0, 2), &e->workspace_id);
    grant_scopes(i, &e->permissions, mti_result_get(r, 0, 3));
    if (!mti_result_null(r, 0, 4))
        e->rate = (uint32_t)strtoul(mti_result_get(r, 0, 4).p, NULL, 10);
    e->active = !mti_result_null(r, 0, 5) && mti_result_get(r, 0, 5).p[0] == 't';
    e->platform = !mti_result_null(r, 0, 6) && mti_result_get(r, 0, 6).p[0] == 't';
    if (!mti_result_null(r, 0, 7))
        e->expires_us = strtoll(mti_result_get(r, 0, 7).p, NULL, 10);
}

static entry *fresh(mti_map *m, mt_slice key)
{
    entry *e = mti_map_get(m, key);
    return e && e->until_us > mti_mono_us() && e->known == mti_permission_count() ? e : NULL;
}

/* Answers a stable copy in the call's arena: the map may be emptied while a fiber is suspended. */
static mt_status look_up(mt_call *c, mti_map *(*which)(loop_cache *), const mti_query *q, mt_slice key, mti_param param,
                         void (*read)(mti_identities *, const mti_result *, entry *), entry *out)
{
    mti_identities *i = c->host->identities;
    loop_cache *k = mti_loop_get(c->loop, i->slot);
    entry *hit = fresh(which(k), key);
    mti_result *r;
    if (hit) {
        *out = *hit;
        return MT_OK;
    }
    unsigned emptied = k->emptied, known = mti_permission_count();
    MT_TRY(mti_db_run(c, &(mti_db_role){0}, q, &param, &r));
    read(i, r, out);
    out->known = known;
    mti_result_free(r);
    if (emptied != k->emptied)               /* the answer may be older than the change that was told meanwhile */
        return MT_OK;
    if (mti_map_count(which(k)) >= MAX_ENTRIES)
        clear_cache(k);
    store(which(k), key, out);
    return MT_OK;
}

static mti_map *credentials_of(loop_cache *k) { return k->credentials; }
static mti_map *scopes_of(loop_cache *k) { return k->scopes; }

mt_status mti_identity_find(mt_call *c, const uint8_t sha256[32], bool *found)
{
    mt_slice key = {(const char *)sha256, 32};
    entry *e = mti_arena_alloc(&c->arena, sizeof *e);
    MT_TRY(look_up(c, credentials_of, &c->host->identities->queries[0], key, (mti_param){key, true}, read_credential, e));
    *found = e->found;
    if (!e->found)
        return MT_OK;
    if (!e->active)
        return mti_fail(&c->error, MT_UNAUTHENTICATED, "key_revoked", "This key was revoked: ask for a new one.");
    if (e->expires_us && e->expires_us < mti_now_us())
        return mti_fail(&c->error, MT_UNAUTHENTICATED, "key_expired", "This key has expired: ask for a new one.");
    c->who = (mti_identity){.org_id = e->org_id, .workspace_id = e->workspace_id, .subject_id = e->id, .known = true,
                            .platform = e->platform, .rate_per_minute = e->rate, .permissions = &e->permissions};
    return MT_OK;
}

static void read_scope(mti_identities *i, const mti_result *r, entry *e)
{
    *e = (entry){.found = mti_result_rows(r) > 0};
    if (!e->found)
        return;
    mti_uuid_parse(mti_result_get(r, 0, 0), &e->org_id);
    snprintf(e->kind, sizeof e->kind, "%s", mti_result_get(r, 0, 1).p);
}

mt_status mti_scope_find(mt_call *c, mti_uuid id, mti_scope *out)
{
    mt_slice key = {(const char *)id.b, 16};
    loop_cache *k = mti_loop_get(c->loop, c->host->identities->slot);
    entry asked, *e = fresh(k->scopes, key);
    if (!e) {
        char name[37];
        mti_uuid_format(id, name);
        e = &asked;
        MT_TRY(look_up(c, scopes_of, &c->host->identities->queries[1], key, (mti_param){mt_str(name), false}, read_scope, e));
    }
    if (!e->found)
        return mti_fail(&c->error, MT_NOT_FOUND, "not_found", "There is nothing of this id here.");
    out->org_id = e->org_id;
    memcpy(out->kind, e->kind, sizeof out->kind);
    return MT_OK;
}

static mt_status auth_find(mt_call *c, mt_slice sha256, bool *found)
{
    if (sha256.len != 32)
        return mti_fail(&c->error, MT_INVALID, "hash_invalid", "A SHA-256 has 32 bytes.");
    return mti_identity_find(c, (const uint8_t *)sha256.p, found);
}

const mt_auth_1 mti_api_auth = {.size = sizeof mti_api_auth, .version = 1, .find = auth_find};
