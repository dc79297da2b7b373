#include "contract/contract.h"

#include <pthread.h>
#include <stdlib.h>

/* Append-only: readers see a published count and names that never move. */
enum { MAX_PERMISSIONS = 1024 };
static const char *names[MAX_PERMISSIONS];
static unsigned count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

int mti_permission_id(const char *name)
{
    int id = -1;
    pthread_mutex_lock(&lock);
    for (unsigned i = 0; i < count && id < 0; i++)
        if (!strcmp(names[i], name))
            id = (int)i;
    if (id < 0 && count < MAX_PERMISSIONS) {
        names[count] = strdup(name);
        if (names[count]) {
            id = (int)count;
            __atomic_store_n(&count, count + 1, __ATOMIC_RELEASE);
        }
    }
    pthread_mutex_unlock(&lock);
    return id;
}

unsigned mti_permission_count(void)
{
    return __atomic_load_n(&count, __ATOMIC_ACQUIRE);
}

const char *mti_permission_name(int id)
{
    return id >= 0 && (unsigned)id < mti_permission_count() ? names[id] : NULL;
}

static bool grant_covers(mt_slice grant, const char *name)
{
    if (grant.len == 1 && grant.p[0] == '*')
        return true;
    if (grant.len > 2 && grant.p[grant.len - 1] == '*' && grant.p[grant.len - 2] == '.')
        return !strncmp(name, grant.p, grant.len - 1);
    return mt_slice_eq(grant, mt_str(name));
}

void mti_permset_grant(mti_permset *s, mt_slice grant)
{
    unsigned n = mti_permission_count();
    for (unsigned i = 0; i < n; i++)
        if (grant_covers(grant, names[i]))
            s->bits[i >> 6] |= 1ULL << (i & 63);
}
