/* @NAME@: a tool is an operation whose body is its arguments. The host has checked them against api.json before it runs. */
#include <mortise/entry.h>

#include <inttypes.h>

/* Days from some day long ago to a date: 400 years have 146,097 days, and in years that begin in March the leap day is the last. */
static int64_t days_of(mt_slice date)
{
    int64_t year = 0, month = 0, day = 0;
    sscanf(date.p, "%4" SCNd64 "-%2" SCNd64 "-%2" SCNd64, &year, &month, &day);
    year += month > 2 ? 400 : 399;
    return year * 365 + year / 4 - year / 100 + year / 400 + (153 * ((month + 9) % 12) + 2) / 5 + day;
}

static mt_status on_call(void *self, mt_call *c)
{
    int64_t days = days_of(mt_body_text(c, MT_SLICE("/to"))) - days_of(mt_body_text(c, MT_SLICE("/from")));
    return mt_respond(c, 200, mt_printf(c, "{\"days\":%" PRId64 "}", days));
}

static mt_status load(void *self, const mt_host *host)
{
    mt_bind(host);
    return MT_OK;
}

static const mt_handler_entry handlers[] = {{"on_call", on_call}};

MT_EXPORT const mt_plugin @IDENT@_plugin = {
    .abi = MT_ABI, .size = sizeof(mt_plugin), .slug = "@IDENT@", .version = "0.1.0", .load = load, .handlers = handlers, .n_handlers = 1};
