#include "plans.h"

#include <mortise/json.h>

/* The names that api.json lets through; "professional" is another word for pro. */
static const char *const names[] = {"free", "starter", "pro", "enterprise", "custom"};

static mt_status read_file(mt_call *c, const char *path, mt_slice *out)
{
    enum { MOST = 64 << 10 };
    char *text = mt_alloc(c, MOST);
    FILE *f = text ? fopen(path, "re") : NULL;
    if (!f)
        return mt_problem(c, 500, MT_SLICE("plans_unreadable"),
                          mt_printf(c, "%s cannot be read", path), MT_SLICE(""));
    *out = (mt_slice){text, fread(text, 1, MOST, f)};
    fclose(f);
    return MT_OK;
}

static int64_t limit(mt_call *c, mt_handle doc, const char *plan, const char *what)
{
    mt_slice pointer = mt_printf(c, "/plans/%s/%s", plan, what);
    return (int64_t)mt_json_number(c, doc, pointer, -1);
}

static void override(mt_call *c, const char *setting, int64_t *value)
{
    mt_slice text = mt_setting(c, mt_str(setting));
    if (text.len)
        *value = mt_int(text, *value);
}

mt_status plans_load(plans *p, mt_call *c)
{
    mt_slice root = mt_setting(c, MT_SLICE("root")), text;
    mt_handle doc;
    MT_TRY(read_file(c, mt_printf(c, "%.*s/manifests/plans.json", (int)root.len, root.p).p, &text));
    MT_TRY(mt_json_parse(c, text, &doc));
    p->n = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        plan *one = &p->list[p->n++];
        snprintf(one->name, sizeof one->name, "%s", names[i]);
        if (mt_json_count(c, doc, mt_printf(c, "/plans/%s", names[i])) < 0)
            return mt_problem(c, 500, MT_SLICE("plan_missing"),
                              mt_printf(c, "manifests/plans.json has no plan %s", names[i]),
                              MT_SLICE(""));
        one->workspaces = limit(c, doc, names[i], "workspaces");
        one->documents = limit(c, doc, names[i], "documents_per_workspace");
        one->requests = limit(c, doc, names[i], "requests_per_month");
    }
    override(c, "plans.free_workspaces", &p->list[0].workspaces);
    override(c, "plans.free_documents", &p->list[0].documents);
    override(c, "plans.starter_workspaces", &p->list[1].workspaces);
    return MT_OK;
}

const plan *plans_find(const plans *p, mt_slice name)
{
    if (mt_slice_eq(name, MT_SLICE("professional")))
        name = MT_SLICE("pro");
    for (unsigned i = 0; i < p->n; i++)
        if (mt_slice_eq(name, mt_str(p->list[i].name)))
            return &p->list[i];
    return NULL;
}
