/* The first start. All rows are one transaction, and the key's file is on disk before it commits:
 * no key is in force that nobody holds. */
#include "key_text.h"
#include "tenancy.h"

#include <errno.h>
#include <fcntl.h>
#include <mortise/json.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULT_ORGANIZATION MT_SLICE("00000000-0000-0000-0000-000000000001")

static bool write_file(const char *path, mt_slice text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return false;
    bool ok = !fchmod(fd, 0600) && write(fd, text.p, text.len) == (ssize_t)text.len && !fsync(fd);
    return !close(fd) && ok;
}

/* Aside and then moved: whoever waits for the file reads a whole key. */
static mt_status keep_key(mt_call *c, const char *path, const key_text *k)
{
    mt_slice aside = mt_printf(c, "%s.new", path);
    if (write_file(aside.p, mt_printf(c, "%s\n", k->text)) && !rename(aside.p, path))
        return MT_OK;
    return mt_problem(c, 500, MT_SLICE("admin_key_unwritable"),
                      mt_printf(c, "%s cannot be written: %s", path, strerror(errno)),
                      MT_SLICE(""));
}

static mt_status make_key(tenancy *t, mt_call *c, const char *path)
{
    unsigned char random[KEY_RANDOM], hash[32];
    key_text k;
    if (getrandom(random, sizeof random, 0) != sizeof random ||
        !key_text_make(&k, mt_setting(c, MT_SLICE("key.prefix")), false, random))
        return mt_problem(c, 500, MT_SLICE("key_not_made"),
                          MT_SLICE("No key could be made: key.prefix may have 64 characters."),
                          MT_SLICE(""));
    if (!tenancy_hash(t, (mt_slice){k.text, k.len}, hash))
        return MT_INTERNAL;
    const mt_field args[] = {
        {MT_SLICE("id"), mt_new_id(c)},
        {MT_SLICE("key_prefix"), {k.text, k.shown}},
        {MT_SLICE("hash"), {(const char *)hash, sizeof hash}},
    };
    MT_TRY(mt_db_exec(c, MT_SLICE("provision_key"), args, 3, NULL));
    return keep_key(c, path, &k);
}

static mt_status make_rest(tenancy *t, mt_call *c, const char *path)
{
    mt_slice workspace = mt_setting(c, MT_SLICE("tenancy.default_workspace_id"));
    const mt_field in_workspace[] = {{MT_SLICE("id"), workspace}};
    const mt_field agent[] = {{MT_SLICE("id"), mt_setting(c, MT_SLICE("tenancy.default_agent_id"))},
                              {MT_SLICE("in_workspace"), workspace}};
    MT_TRY(tenancy_apply_limits(c, plans_find(&t->plans, MT_SLICE("enterprise"))));
    MT_TRY(mt_db_exec(c, MT_SLICE("provision_workspace"), in_workspace, 1, NULL));
    MT_TRY(mt_db_exec(c, MT_SLICE("provision_agent"), agent, 2, NULL));
    return make_key(t, c, path);
}

static mt_status provision(tenancy *t, mt_call *c)
{
    mt_slice dir = mt_setting(c, MT_SLICE("data.dir")),
             path = mt_printf(c, "%.*s/admin.key", (int)dir.len, dir.p);
    mt_handle made;
    MT_TRY(mt_db_query(c, MT_SLICE("provision_organization"), NULL, 0, &made));
    bool first = mt_db_rows(c, made) > 0;
    if (first)
        MT_TRY(make_rest(t, c, path.p));
    MT_TRY(mt_db_commit(c));
    if (first)
        mt_log(1, "admin.key_created", (mt_field[]){{MT_SLICE("file"), path}}, 1);
    return MT_OK;
}

mt_status tenancy_provision(tenancy *t, mt_call *c)
{
    MT_TRY(mt_db_as_org(c, DEFAULT_ORGANIZATION, (mt_slice){0}));
    MT_TRY(mt_db_begin(c));
    mt_status s = provision(t, c);
    if (s != MT_OK)
        mt_db_rollback(c);
    return s;
}
