#include "quarantine/quarantine.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CRASHES = 256, MAX_BYTES = 1 << 20, TRY_NS = 10000000 };

static json_t *list(const json_t *q, const char *name)
{
    json_t *l = json_object_get(q, name);
    if (json_is_array(l))
        return l;
    json_object_set_new((json_t *)q, name, json_array());
    return json_object_get(q, name);
}

int mti_quarantine_lock(const char *dir, unsigned tries)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/quarantine.lock", dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600), s = -1;
    while (fd >= 0 && (s = flock(fd, tries ? LOCK_EX | LOCK_NB : LOCK_EX)) && (errno == EINTR || (errno == EWOULDBLOCK && --tries)))
        nanosleep(&(struct timespec){.tv_nsec = TRY_NS}, NULL);
    if (fd >= 0 && s)
        close(fd);
    return s ? -1 : fd;
}

void mti_quarantine_unlock(int lock)
{
    if (lock >= 0)
        close(lock);
}

json_t *mti_quarantine_read(const char *dir, mti_error *why)
{
    char path[PATH_MAX];
    mti_buf text;
    json_t *q = NULL;
    snprintf(path, sizeof path, "%s/quarantine.json", dir);
    mt_status s = mti_buf_read_file(&text, path, MAX_BYTES);
    if (s == MT_OK)
        s = mti_json_parse(mti_buf_slice(&text), 0, &q, why);
    if (s == MT_OK && !json_is_object(q))
        s = MT_INVALID;
    if (s != MT_OK && s != MT_NOT_FOUND && why)
        mti_fail(why, s, "quarantine_unreadable", "%s cannot be read and counts as empty.", path);
    mti_buf_dispose(&text);
    if (!json_is_object(q)) {
        json_decref(q);
        q = json_object();
    }
    list(q, "crashes");
    list(q, "quarantined");
    return q;
}

static bool write_all(int fd, mt_slice text)
{
    while (text.len) {
        ssize_t n = write(fd, text.p, text.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        text = (mt_slice){text.p + n, text.len - (size_t)n};
    }
    return fsync(fd) == 0;
}

mt_status mti_quarantine_write(const char *dir, const json_t *q, mti_error *e)
{
    char path[PATH_MAX], fresh[PATH_MAX];
    mti_buf text;
    snprintf(path, sizeof path, "%s/quarantine.json", dir);
    snprintf(fresh, sizeof fresh, "%s/quarantine.json.new", dir);
    mti_buf_init(&text, MAX_BYTES);
    mt_status s = mti_json_dump(q, &text);
    int fd = s == MT_OK ? open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;
    bool done = fd >= 0 && write_all(fd, mti_buf_slice(&text));
    if (fd >= 0)
        close(fd);
    mti_buf_dispose(&text);
    if (done && rename(fresh, path) == 0)
        return MT_OK;
    return mti_fail(e, MT_INTERNAL, "quarantine_unwritable", "%s cannot be written: %s.", path, strerror(errno));
}

static bool says(const json_t *x, const char *key, const char *value)
{
    const char *s = json_string_value(json_object_get(x, key));
    return !strcmp(s ? s : "", value ? value : "");
}

static bool is_version(const json_t *x, const char *plugin, const char *version)
{
    return says(x, "plugin", plugin) && says(x, "version", version);
}

/* Removes what is of a version (NULL: of any). */
static size_t drop(json_t *l, const char *plugin, const char *version)
{
    size_t n = 0;
    for (size_t i = json_array_size(l); i--;) {
        const json_t *x = json_array_get(l, i);
        if (says(x, "plugin", plugin) && (!version || says(x, "version", version)) && json_array_remove(l, i) == 0)
            n++;
    }
    return n;
}

static json_t *text_or_null(const char *s)
{
    return s && *s ? json_string(s) : json_null();
}

static void remember(json_t *crashes, const mti_crash *c, int64_t window_s)
{
    for (size_t i = json_array_size(crashes); i--;) {
        int64_t at = mti_json_get_int(json_array_get(crashes, i), "at", 0);
        if (at <= c->at_s - window_s || at > c->at_s + window_s) /* or the clock was set back */
            json_array_remove(crashes, i);
    }
    while (json_array_size(crashes) >= MAX_CRASHES)
        json_array_remove(crashes, 0);
    json_array_append_new(crashes, json_pack("{s:I, s:s, s:s, s:o, s:o, s:s}", "at", (json_int_t)c->at_s, "plugin", c->plugin, "version", c->version,
                                             "organization_id", text_or_null(c->org), "operation", text_or_null(c->operation), "how", c->how));
}

/* How many crashes a version has, and whether all came from the organization of c. */
static int64_t count(const json_t *crashes, const mti_crash *c, bool *one)
{
    size_t i;
    json_t *x;
    int64_t n = 0;
    *one = *c->org;
    json_array_foreach((json_t *)crashes, i, x) {
        if (!is_version(x, c->plugin, c->version))
            continue;
        n++;
        *one &= says(x, "organization_id", c->org);
    }
    return n;
}

static bool any_entry(const json_t *entries, const mti_crash *c)
{
    size_t i;
    json_t *x;
    json_array_foreach((json_t *)entries, i, x)
        if (is_version(x, c->plugin, c->version))
            return true;
    return false;
}

const json_t *mti_quarantine_crash(json_t *q, const mti_crash *c, const mti_quarantine_rule *rule)
{
    json_t *crashes = list(q, "crashes"), *entries = list(q, "quarantined");
    char reason[256];
    bool one;
    remember(crashes, c, rule->window_s);
    int64_t n = count(crashes, c, &one);
    if (n < rule->crashes)
        return NULL;
    one = one && !any_entry(entries, c);
    snprintf(reason, sizeof reason, "the host died %lld times within %lld s in the code of version %.31s, last of %.23s%s%.63s%s", (long long)n,
             (long long)rule->window_s, c->version, c->how, *c->operation ? " in " : "", c->operation, one ? ", each time for the same organization" : "");
    drop(crashes, c->plugin, c->version);
    drop(entries, c->plugin, c->version);
    json_array_append_new(entries, json_pack("{s:I, s:s, s:s, s:o, s:s}", "at", (json_int_t)c->at_s, "plugin", c->plugin, "version", c->version,
                                             "organization_id", text_or_null(one ? c->org : ""), "reason", reason));
    return json_array_get(entries, json_array_size(entries) - 1);
}

const json_t *mti_quarantine_find(const json_t *q, const char *plugin, const char *version, const char *org)
{
    size_t i;
    json_t *x;
    json_array_foreach(list(q, "quarantined"), i, x)
        if (is_version(x, plugin, version) && says(x, "organization_id", org))
            return x;
    return NULL;
}

size_t mti_quarantine_release(json_t *q, const char *plugin)
{
    drop(list(q, "crashes"), plugin, NULL);
    return drop(list(q, "quarantined"), plugin, NULL);
}
