/* Our string functions answer what Lua's own do: the same calls go to both, over fixed and random patterns. */
#include "support.h"

#include <lualib.h>

#include "policy/policy_impl.h"

static const char script[] =
    "local seed = 12345\n"
    "local function random(n) seed = (seed * 1103515245 + 12345) % 2147483648 return seed // 65536 % n + 1 end\n"
    "local function same(name, ...)\n"
    "  local a, b = table.pack(pcall(string[name], ...)), table.pack(our_pcall(ours[name], ...))\n"
    "  local what = name\n"
    "  for i = 1, select('#', ...) do what = what .. ' ' .. tostring((select(i, ...))) end\n"
    "  assert(a[1] == b[1], what .. ': ' .. string.format('%q / %q', a[2], b[2]))\n"
    "  if not a[1] then return end\n"
    "  assert(a.n == b.n, what .. ' count')\n"
    "  for i = 1, a.n do assert(a[i] == b[i], what .. ': ' .. tostring(a[i]) .. ' / ' .. tostring(b[i])) end\n"
    "end\n"
    "local function words(f, s, p) local t = {} for a, b in f(s, p) do t[#t + 1] = tostring(a) .. ',' .. tostring(b) end\n"
    "  return table.concat(t, ';') end\n"
    "local function all(s, p)\n"
    "  same('find', s, p) same('match', s, p) same('find', s, p, 2) same('find', s, p, -2) same('find', s, p, 1, true)\n"
    "  same('gsub', s, p, '<%0>') same('gsub', s, p, '%1') same('gsub', s, p, '') same('gsub', s, p, 'x', 1)\n"
    "  same('gsub', s, p, {a = 1, b = false, ab = 'z'})\n"
    "  same('gsub', s, p, function(a, b) return b or a end)\n"
    "  if p:sub(1, 1) ~= '^' then\n"
    "    local ok, a = pcall(words, string.gmatch, s, p)\n"
    "    local ok2, b = our_pcall(words, ours.gmatch, s, p)\n"
    "    assert(ok == ok2 and (not ok or a == b), s .. ' gmatch ' .. p)\n"
    "  end\n"
    "end\n"
    "for _, case in ipairs{{'hello world', 'o w'}, {'key = value', '^(%w+)%s*=%s*(%w+)$'}, {'abc', ''}, {'', ''},\n"
    "    {'a,b,,c', '([^,]*)'}, {'THE (quick) fox', '%((%a+)%)'}, {'f(a(b)c)d', '%b()'}, {'THE (quick) fox', '%f[%a]%a+%f[%A]'},\n"
    "    {'aaa', 'a-$'}, {'aaab', 'a-b'}, {'x]y', '[]]'}, {'x-y', '[x-]+'}, {'x^y', '[%^x]'}, {'abab', '(ab)%1'}, {'abc', '()b()'},\n"
    "    {'a.b', '%.'}, {'a%b', '%%'}, {'abc', '[a-'}, {'abc', '%'}, {'abc', '('}, {'abc', ')'}, {'abc', '%1'}, {'abc', '%f'},\n"
    "    {'abc', '%b'}, {'a\\0b', '%z'}, {'a\\0b', 'a.b'}, {'\\xff\\x80', '[\\x80-\\xff]+'}, {'abc', '[^%a]*'}, {'ab12', '%a+%d?%d'}} do\n"
    "  all(case[1], case[2])\n"
    "end\n"
    "local atoms = {'a', 'b', '.', '%a', '%d', '%w', '%s', '[ab]', '[^a]', '[%d-]', '(', ')', '()', '%b()', '%f[a]', '%1', '$', '^', '-', ' '}\n"
    "local counts = {'', '', '', '*', '+', '-', '?'}\n"
    "for round = 1, small and 2000 or 20000 do\n"
    "  local p, s = {}, {}\n"
    "  for i = 1, random(6) do p[i] = atoms[random(#atoms)] .. counts[random(#counts)] end\n"
    "  for i = 1, random(8) - 1 do s[i] = ('ab1 ()-'):sub(random(7)):sub(1, 1) end\n"
    "  all(table.concat(s), table.concat(p))\n"
    "end\n"
    "for i = -9, 9 do for j = -9, 9 do same('sub', 'abcdef', i, j) same('byte', 'abcdef', i, j) end\n"
    "  same('sub', 'abcdef', i) same('byte', 'abc', i) same('rep', 'ab', i) same('rep', 'ab', i, '-') end\n"
    "for _, s in ipairs{'', 'a', 'Abc\\0d', ('xy'):rep(3000)} do\n"
    "  same('len', s) same('lower', s) same('upper', s) same('reverse', s) end\n"
    "same('char') same('char', 65, 66) same('char', 256) same('char', -1)\n"
    "for _, f in ipairs{'%d', '%5d', '%-5d|', '%05d', '%+d', '%x', '%X', '%#x', '%o', '%i', '%f', '%.3f', '%10.2f', '%e', '%g', '%c', '%%',\n"
    "    '%s', '%10s', '%-10s|', '%.2s', '%5.1s', '%y', '%', '%999d', '%.999f', 'a%sb', '%.0f'} do\n"
    "  for _, v in ipairs{0, 7, -7, 65, 123456789, 1.5, 1e15, 'text', '12', true} do same('format', f, v) end\n"
    "  same('format', f)\n"
    "end\n"
    "same('format', '%s %s', 'a', nil) same('format', '%s', ('x'):rep(500)) same('format', '%.99f', 1e308)\n";

static void same_as_lua(void **state)
{
    lua_State *L = luaL_newstate();
    luaL_openlibs(L);
    mti_policies *engine =
        mti_policies_create(&(mti_policy_limits){.instructions = INT64_MAX, .cpu_us = 600000000}, NULL, 0);
    mti_policy_frame frame = {.engine = engine, .started = mti_ticks()};
    *mti_policy_running_at(L) = &frame;
    mti_policy_open_string(L);
    lua_setglobal(L, "ours");
    lua_newtable(L);
    mti_policy_open_base(L);
    lua_getfield(L, -1, "pcall");
    lua_setglobal(L, "our_pcall");
    lua_pushboolean(L, getenv("MORTISE_TEST_SMALL") != NULL);
    lua_setglobal(L, "small");
    if (luaL_dostring(L, script))
        fail_msg("%s", lua_tostring(L, -1));
    assert_true(frame.steps > 1000);
    mti_policies_destroy(engine);
    lua_close(L);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(same_as_lua)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
