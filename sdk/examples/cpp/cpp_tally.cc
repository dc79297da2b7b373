// Votes of an organization, counted by the database and ordered here.
#include "host.hpp"

#include <mortise/entry.h>

#include <vector>

namespace {

struct choice {
    std::string name;
    int64_t votes;
};

// Copies: what is read outlives the result that it came from.
std::vector<choice> read_choices(mt_call *c)
{
    const host::rows rows(c, "vote_list");
    std::vector<choice> all;
    all.reserve(rows.size());
    for (uint32_t i = 0; i < rows.size(); i++)
        all.push_back({std::string(rows.value(i, "choice")), std::stoll(std::string(rows.value(i, "votes")))});
    return all;
}

void write(mt_writer &w, const choice &one)
{
    const host::scope object(w, host::scope::object);
    mt_write_text(&w, "choice", host::slice(one.name));
    mt_write_int(&w, "votes", one.votes);
}

void respond(mt_call *c, int status, mt_writer &w)
{
    mt_slice json;
    host::check(mt_write_end(&w, &json));
    host::check(mt_respond(c, status, json));
}

// The body's members bind by name: nothing is passed here.
void on_vote(mt_call *c)
{
    mt_handle row;
    mt_slice json;
    host::check(mt_db_one(c, MT_SLICE("vote_add"), nullptr, 0, &row));
    host::check(mt_db_json(c, row, 0, &json));
    host::check(mt_respond(c, 201, json));
}

void on_result(mt_call *c)
{
    const std::vector<choice> all = read_choices(c);
    int64_t total = 0;
    for (const choice &one : all)
        total += one.votes;
    mt_writer w = mt_write_begin(c);
    {
        const host::scope object(w, host::scope::object);
        mt_write_int(&w, "total", total);
        const host::scope list(w, host::scope::array, "choices");
        for (const choice &one : all)
            write(w, one);
    }
    respond(c, 200, w);
}

// vector::at throws for a place that nobody took: the wall answers 404.
void on_place(mt_call *c)
{
    const unsigned long place = std::stoul(std::string(host::view(mt_param(c, MT_SLICE("place")))));
    mt_writer w = mt_write_begin(c);
    write(w, read_choices(c).at(place - 1));
    respond(c, 200, w);
}

mt_status load(void *, const mt_host *host) noexcept
{
    mt_bind(host);
    return MT_OK;
}

constexpr mt_handler_entry handlers[] = {
    {"on_vote", host::handler<on_vote>}, {"on_result", host::handler<on_result>}, {"on_place", host::handler<on_place>}};

// C++17 has no designated initializers; members that are not named stay null. Constant: nothing runs when the file is opened.
constexpr mt_plugin table = [] {
    mt_plugin p{};
    p.abi = MT_ABI;
    p.size = sizeof p;
    p.slug = "cpp_tally";
    p.version = "0.1.0";
    p.load = load;
    p.handlers = handlers;
    p.n_handlers = sizeof handlers / sizeof *handlers;
    return p;
}();

} // namespace

MT_EXPORT constexpr mt_plugin cpp_tally_plugin = table;
