#include "contract/contract.h"

#include "base/names.h"

static const char *list[1024];
static mti_names permissions = MTI_NAMES(list);

int mti_permission_id(const char *name)
{
    return mti_names_id(&permissions, name);
}

unsigned mti_permission_count(void)
{
    return mti_names_count(&permissions);
}

const char *mti_permission_name(int id)
{
    return mti_names_get(&permissions, id);
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
        if (grant_covers(grant, list[i]))
            s->bits[i >> 6] |= 1ULL << (i & 63);
}
