/* Results: libpq's, owned by the call's arena. */
#include "db/internal.h"

struct mti_result {
    PGresult *pg;
    mti_arena *arena;
};

static void result_clear(void *arg)
{
    mti_result *r = arg;
    PQclear(r->pg);
    r->pg = NULL;
}

mt_status mti_result_take(mt_call *c, mti_op *o, mti_result **out)
{
    mti_result *r = mti_arena_alloc(&c->arena, sizeof *r);
    r->arena = &c->arena;
    r->pg = o->result;
    o->result = NULL;
    mti_arena_defer(&c->arena, result_clear, r);
    *out = r;
    return MT_OK;
}

void mti_result_free(mti_result *r)
{
    if (r && r->pg && mti_arena_undefer(r->arena, result_clear, r))
        result_clear(r);
}

const PGresult *mti_result_pg(const mti_result *r)
{
    return r->pg;
}

unsigned mti_result_rows(const mti_result *r)
{
    return (unsigned)PQntuples(r->pg);
}

unsigned mti_result_columns(const mti_result *r)
{
    return (unsigned)PQnfields(r->pg);
}

const char *mti_result_name(const mti_result *r, unsigned column)
{
    return PQfname(r->pg, (int)column);
}

unsigned mti_result_type(const mti_result *r, unsigned column)
{
    return PQftype(r->pg, (int)column);
}

int mti_result_column(const mti_result *r, const char *name)
{
    for (int i = 0; i < PQnfields(r->pg); i++)
        if (!strcmp(PQfname(r->pg, i), name))
            return i;
    return -1;
}

bool mti_result_null(const mti_result *r, unsigned row, unsigned column)
{
    return PQgetisnull(r->pg, (int)row, (int)column);
}

mt_slice mti_result_get(const mti_result *r, unsigned row, unsigned column)
{
    size_t len = (size_t)PQgetlength(r->pg, (int)row, (int)column); /* 0 for NULL too */
    if (!len && PQgetisnull(r->pg, (int)row, (int)column))
        return (mt_slice){NULL, 0};
    return (mt_slice){PQgetvalue(r->pg, (int)row, (int)column), len};
}

long mti_result_affected(const mti_result *r)
{
    const char *n = PQcmdTuples(r->pg);
    long affected = 0;
    for (; *n >= '0' && *n <= '9'; n++)
        affected = affected * 10 + *n - '0';
    return affected;
}
