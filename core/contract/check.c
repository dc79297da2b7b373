/* Rule 2 of the contract: what the database says of a query against what api.json says of its answer. */
#include "contract/contract.h"
#include "db/json_rows.h"
#include "db/oid.h"

#include <stdio.h>

static mt_status drift(mt_call *c, const mti_query *q, const char *why, const char *what, const char *op)
{
    return mti_fail(&c->error, MT_INVALID, "contract_drift", "%s:%d: query %s: %s %s (operation %s)", q->file, q->line, q->name, why, what, op);
}

/* True when a column whose rows are written as `written` fits a property of schema type `type` (a name or a list of names). */
static bool type_fits(const json_t *type, const char *written)
{
    if (!type || !strcmp(written, "json"))
        return true;
    if (json_is_array(type)) {
        size_t i;
        json_t *v;
        json_array_foreach((json_t *)type, i, v)
            if (type_fits(v, written))
                return true;
        return false;
    }
    const char *t = json_string_value(type);
    if (!strcmp(t, written))
        return true;
    return !strcmp(t, "number") && !strcmp(written, "integer");
}

static mt_status check_columns(mt_call *c, const mti_operation *op, const mti_query *q, const mti_description *d, const json_t *schema)
{
    const json_t *properties = json_object_get(schema, "properties");
    for (unsigned i = 0; i < d->n_columns; i++) {
        const mti_column *col = &d->columns[i];
        const char *written = mti_rows_json_type(col->type);
        if (!written)
            return drift(c, q, "no rule writes the type of column", col->name, op->id);
        if (col->name[0] == '_')
            continue;
        const json_t *p = json_object_get(properties, col->name);
        if (!p)
            return drift(c, q, "x-returns has no property for column", col->name, op->id);
        if (!type_fits(json_object_get(p, "type"), written))
            return drift(c, q, "x-returns has another type for column", col->name, op->id);
    }
    size_t i;
    json_t *name;
    json_array_foreach(json_object_get(schema, "required"), i, name) {
        bool found = false;
        for (unsigned n = 0; n < d->n_columns && !found; n++)
            found = !strcmp(d->columns[n].name, json_string_value(name));
        if (!found)
            return drift(c, q, "no column gives the required property", json_string_value(name), op->id);
    }
    return MT_OK;
}

/* True when each value that passes the property's schema is a text of the parameter's type. Text takes any scalar, json anything; null is every type's. */
static bool type_binds(const json_t *property, const json_t *type, unsigned oid)
{
    const char *t = json_string_value(type), *format = json_string_value(json_object_get(property, "format")), *written = mti_rows_json_type(oid);
    if (json_is_array(type)) {
        size_t i;
        json_t *v;
        json_array_foreach((json_t *)type, i, v)
            if (!type_binds(property, v, oid))
                return false;
        return true;
    }
    if (!t || !written || !strcmp(t, "null") || !strcmp(written, "json"))
        return true;
    if (oid == OID_TEXT || oid == OID_VARCHAR)
        return strcmp(t, "object") && strcmp(t, "array");
    if (oid == OID_UUID)
        return !strcmp(t, "string") && format && !strcmp(format, "uuid");
    if (oid == OID_TIMESTAMPTZ)
        return !strcmp(t, "string") && format && !strcmp(format, "date-time");
    if (oid == OID_NUMERIC)
        return true;
    return !strcmp(t, written) || (!strcmp(t, "integer") && !strcmp(written, "number"));
}

/* Parameters that come from the body or the query string; the host's own and the path's are right by construction. */
static mt_status check_params(mt_call *c, const mti_contract *k, const mti_operation *op, const mti_query *q, const mti_description *d)
{
    const json_t *body = op->body ? json_object_get(json_object_get(json_object_get(k->api, "components"), "schemas"), op->body) : NULL;
    for (unsigned i = 0; i < d->n_params; i++) {
        const char *name = q->params[i];
        const json_t *p = json_object_get(json_object_get(body, "properties"), name);
        if (!p)
            p = json_object_get(json_object_get(op->query_schema, "properties"), name);
        if (!strcmp(name, "cursor") && d->params[i] != OID_UUID)
            return drift(c, q, "a list's cursor must be a uuid, not the parameter", name, op->id);
        if (p && strcmp(name, "cursor") && strcmp(name, "limit") && !type_binds(p, json_object_get(p, "type"), d->params[i]))
            return drift(c, q, "api.json has another type for parameter", name, op->id);
    }
    return MT_OK;
}

static mt_status check_operation(mt_call *c, const mti_contract *k, const mti_operation *op)
{
    for (unsigned i = 0; i < op->n_queries; i++)
        MT_TRY(check_params(c, k, op, op->queries[i], mti_contract_description(k, op->queries[i])));
    if (!op->n_queries || !op->returns)
        return MT_OK;
    const json_t *schema = json_object_get(json_object_get(json_object_get(k->api, "components"), "schemas"), op->returns);
    const mti_query *q = op->queries[0];
    return check_columns(c, op, q, mti_contract_description(k, q), schema);
}

/* The database's own words are for the author: what is told here are names of the plugin's own query. */
static mt_status refused(mt_call *c, const mti_contract *k, const mti_query *q)
{
    char path[4096], state[8], why[300];
    int line = q->line, column = 1, position;
    mti_buf text;
    snprintf(path, sizeof path, "%s/%s", k->dir, q->file);
    snprintf(why, sizeof why, "%s", mti_db_message(c, &position));
    snprintf(state, sizeof state, "%s", mti_db_sqlstate(c));
    if (mti_buf_read_file(&text, path, 1 << 20) == MT_OK)
        mti_query_place(mti_buf_slice(&text), q, position, &line, &column);
    mti_buf_dispose(&text);
    return mti_fail(&c->error, MT_INVALID, "contract_drift", "%s:%d:%d: query %s: the database refuses it: %s (state %s)", q->file, line, column, q->name,
                    why[0] ? why : c->error.detail, state);
}

static mt_status describe_all(mt_call *c, const mti_db_role *role, mti_contract *k, const mti_description **list)
{
    for (size_t i = 0; i < k->n_queries; i++) {
        mti_description *d;
        mt_status s = mti_db_describe(c, role, &k->queries[i], &d);
        /* here nothing was prepared before, so 0A000 is no change of the schema: PostgreSQL cannot do what the query asks */
        if ((s == MT_UNAVAILABLE && strcmp(mti_db_sqlstate(c), "0A000")) || s == MT_CANCELLED)
            return s;
        if (s != MT_OK)
            return refused(c, k, &k->queries[i]);
        /* the description lives in the call's arena; the contract outlives it */
        mti_description *copy = mti_arena_alloc(&k->arena, sizeof *copy);
        *copy = *d;
        copy->params = mti_arena_alloc(&k->arena, d->n_params * sizeof *copy->params + 1);
        memcpy(copy->params, d->params, d->n_params * sizeof *copy->params);
        copy->columns = mti_arena_alloc(&k->arena, d->n_columns * sizeof *copy->columns + 1);
        for (unsigned n = 0; n < d->n_columns; n++)
            copy->columns[n] = (mti_column){mti_arena_strndup(&k->arena, d->columns[n].name, strlen(d->columns[n].name)), d->columns[n].type};
        list[i] = copy;
    }
    return MT_OK;
}

/* One transaction for all queries: each would else have a trip for its beginning and one for its end, and a start waits for hundreds. */
mt_status mti_contract_check(mt_call *c, const mti_db_role *role, mti_contract *k)
{
    const mti_description **list = mti_arena_alloc(&k->arena, (k->n_queries + 1) * sizeof *list);
    mt_status s = MT_OK;
    if (k->n_queries) {
        MT_TRY(mti_db_begin(c, role));
        s = describe_all(c, role, k, list);
        mti_db_rollback(c);
        if (s != MT_OK)
            return s;
    }
    k->descriptions = list;
    for (unsigned i = 0; i < k->n_operations && s == MT_OK; i++)
        s = check_operation(c, k, &k->operations[i]);
    if (s != MT_OK)
        k->descriptions = NULL;              /* not checked: the next attempt looks again */
    return s;
}
