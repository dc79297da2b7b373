#!/usr/bin/env python3
"""test_changes.py CC: what abi.py says of changes to a frozen signature, good and bad ones; and that what is added is not asked of older tables."""
import copy
import json
import pathlib
import subprocess
import sys
import tempfile

import abi
import catalogue

FROZEN = json.loads(next(abi.HERE.glob("*/signature.json")).read_text())
CC = sys.argv[1]

GOOD = {
    "a function": lambda s: grow(s, "limiter/1", ["peek", "key: slice, remaining: u32*", "status", {"suspends": False, "any_thread": False, "in_workers": True}]),
    "a member of a struct that is given": lambda s: s["interfaces"]["llm/1"]["structs"]["in"].append(["effort", "slice"]),
    "a field of a payload": lambda s: (s["hooks"]["chat.prepare"]["fields"].append(["effort", "slice", True]), s["hooks"]["chat.prepare"]["later"].append("effort")),
    "an interface and a hook": lambda s: (s["interfaces"].update({"llm/2": s["interfaces"]["llm/1"]}), s["hooks"].update({"chat.begun": s["hooks"]["chat.prepare"]})),
    "a number": lambda s: s["numbers"]["mt_status"].update(MT_NEW=16),
    "a key of the manifest": lambda s: s["manifest"].update({"/icon": False}),
    "a struct's end": lambda s: s["layouts"]["mt_host"].__setitem__(0, s["layouts"]["mt_host"][0] + 8),
    "a field that may be patched": lambda s: s["hooks"]["chat.prepare"]["fields"][0].__setitem__(2, True),
}
BAD = {
    "MT_ABI": lambda s: s.update(abi=2),
    "Append a new number": lambda s: s["numbers"]["mt_status"].update(MT_LIMITED=10),
    "MT_STOP was 1 and is None": lambda s: s["numbers"]["mt_outcome"].pop("MT_STOP"),
    "cache/1 is gone": lambda s: s["interfaces"].pop("cache/1"),
    "its permission was": lambda s: s["interfaces"]["cache/1"].update(permission="caches"),
    "was number 1": lambda s: s["interfaces"]["db/1"]["functions"].insert(0, ["new", "", "status", {}]),
    "For another signature: Make db/2": lambda s: s["interfaces"]["db/1"]["functions"][0].__setitem__(1, "name: slice"),
    'give it "since"': lambda s: s["interfaces"]["db/1"]["functions"].append(["new", "", "status", {"suspends": False, "any_thread": False, "in_workers": True}]),
    "did not suspend": lambda s: function(s, "request/1", "param").update(suspends=True),
    "from more places": lambda s: function(s, "thread/1", "raise").update(any_thread=False),
    "workers had it": lambda s: s["interfaces"]["http/1"].update(in_workers=False),
    "may not even grow": lambda s: s["interfaces"]["llm/1"]["structs"]["counts"].append(["thoughts", "i64"]),
    "Append the new member": lambda s: s["interfaces"]["llm/1"]["structs"]["in"].insert(0, ["effort", "slice"]),
    "hook chat.prepare is gone": lambda s: s["hooks"].pop("chat.prepare"),
    "its fail was closed": lambda s: s["hooks"]["chat.prepare"].update(fail="open"),
    'name it under "later"': lambda s: s["hooks"]["chat.prepare"]["fields"].append(["effort", "slice", True]),
    "Append the new field": lambda s: s["hooks"]["chat.prepare"]["fields"].pop(0),
    "could be patched": lambda s: s["hooks"]["chat.prepare"]["fields"][3].__setitem__(2, False),
    "New members go to the end": lambda s: s["layouts"]["mt_host"][1].update(get=[32, 8]),
    "can never grow": lambda s: s["layouts"]["mt_slice"].__setitem__(0, 24),
    "had 56 bytes": lambda s: s["layouts"]["mt_host"].__setitem__(0, 48),
    "/slug is not known": lambda s: s["manifest"].pop("/slug"),
    "Give it a default": lambda s: s["manifest"].update({"/icon": True}),
    "x-query is not known": lambda s: s["contract"].remove("x-query"),
}


def function(s, interface, name):
    return next(f for f in s["interfaces"][interface]["functions"] if f[0] == name)[3]


def grow(s, interface, added):
    s["interfaces"][interface]["functions"].append(added)
    s["interfaces"][interface]["later"].append(added[0])


def after(change):
    now = copy.deepcopy(FROZEN)
    change(now)
    assert now != FROZEN
    return list(abi.changes(FROZEN, now))


PROGRAM = """
#include <mortise/interfaces.h>
const mt_limiter_1 *mt_limiter_1_api;
static mt_status peek(mt_call *c, mt_slice key, uint32_t *remaining)
{
    return MT_OK;
}
int main(void)
{
    static mt_limiter_1 host = {.size = offsetof(mt_limiter_1, peek), .version = 1, .peek = peek};
    uint32_t n;
    mt_limiter_1_api = &host;
    if (mt_limiter_peek(NULL, mt_str("k"), &n) != MT_UNSUPPORTED)
        return 1;
    host.size = sizeof host;
    return mt_limiter_peek(NULL, mt_str("k"), &n) == MT_OK ? 0 : 2;
}
"""


def added_functions_are_not_asked_of_older_tables():
    data = json.loads((catalogue.SOURCE / "limiter.json").read_text())
    data["functions"].append({"name": "peek", "sig": "key: slice, remaining: u32*", "doc": "d", "fiber": "no suspend", "owner": "none", "fails": "never", "since": "1.1"})
    grown = catalogue.Interface(data, "limiter.json")
    proxies = "\n".join(catalogue.proxies_c([grown], []))
    assert "!MT_HAS(t, peek) || !t->peek" in proxies and "offsetof(mt_limiter_1_provider, peek)" in proxies, proxies
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "mortise").mkdir()
        (folder / "mortise/interfaces.h").write_text("\n".join(catalogue.interfaces_h([grown], [])) + "\n")
        (folder / "old.c").write_text(PROGRAM)
        subprocess.run([CC, "-std=gnu17", "-w", f"-I{folder}", f"-I{abi.INCLUDE}", "-o", folder / "old", folder / "old.c"], check=True)
        subprocess.run([folder / "old"], check=True)


def main():
    assert list(abi.changes(FROZEN, FROZEN)) == []
    for what, change in GOOD.items():
        assert after(change) == [], (what, after(change))
    for wanted, change in BAD.items():
        assert any(wanted in said for said in after(change)), (wanted, after(change))
    added_functions_are_not_asked_of_older_tables()
    print(f"{len(GOOD)} additions are allowed, {len(BAD)} breaks are told")


main()
