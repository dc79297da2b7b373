#!/usr/bin/env python3
"""The signature of the SDK: what sdk/docs/abi.md says is frozen, as data.

    abi.py check CC             compares this tree with every tests/abi/VERSION/signature.json; says what changed, and how to add instead
    abi.py rust CC RUSTC        compares sdk/rust/raw.rs with the headers: every size and offset, as both compilers see them
    abi.py headers CC CXX       compiles each public header alone, as C17 and C++17, pedantically
    abi.py freeze CC VERSION    writes tests/abi/VERSION/signature.json, once, when VERSION is released
"""
import hashlib
import json
import pathlib
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
INCLUDE = ROOT / "sdk/include"
sys.path.insert(0, str(ROOT / "sdk/tools"))
import catalogue  # noqa: E402
import rust  # noqa: E402

NOT_SUSPENDING = "no suspend"


# --- what there is now ---

def declared_structs():
    """The structs of types.h and plugin.h with their members, in order."""
    found = {}
    for name in ("types.h", "plugin.h"):
        text = re.sub(r"/\*.*?\*/", "", (INCLUDE / "mortise" / name).read_text(), flags=re.S)
        for body, struct in re.findall(r"typedef struct \w+ \{(.*?)\} (\w+);", text, re.S):
            pieces = [piece.strip() for piece in body.split(";") if piece.strip()]
            found[struct] = [(re.search(r"\(\*(\w+)\)\(", p) or re.search(r"(\w+)$", p))[1] for p in pieces]
    return found


def all_structs(interfaces, hooks):
    found = declared_structs()
    for i in interfaces:
        found.update({i.prefix + name: ["size", *members] for name, members in i.structs.items()})
        found[i.table] = ["size", "version", *(f.name for f in i.functions)]
        if i.kind == "service":
            found[i.table + "_provider"] = found[i.table]
    found.update({catalogue.hook_struct(h): ["size", *(name for name, *_ in h["fields"])] for h in hooks})
    return found


def run_program(command, source, suffix):
    with tempfile.TemporaryDirectory() as folder:
        program, file = pathlib.Path(folder) / "program", pathlib.Path(folder) / ("layout" + suffix)
        file.write_text(source)
        subprocess.run([*command, "-o", program, file], check=True)
        return subprocess.run([program], check=True, capture_output=True, text=True).stdout


def parse_layouts(text):
    """struct → [size, {member: [offset, size]}]"""
    found = {}
    for line in text.splitlines():
        name, *numbers = line.split()
        struct, _, member = name.partition(".")
        numbers = [int(n) for n in numbers]
        found.setdefault(struct, [0, {}])
        if member:
            found[struct][1][member] = numbers
        else:
            found[struct][0] = numbers[0]
    return found


def c_layouts(cc, structs):
    lines = ["#include <mortise/hooks.h>", "#include <mortise/interfaces.h>", "#include <stdio.h>", "#define WHOLE(s) printf(#s \" %zu\\n\", sizeof(s))",
             "#define PART(s, m) printf(#s \".\" #m \" %zu %zu\\n\", offsetof(s, m), sizeof(((s *)0)->m))", "int main(void)", "{"]
    for struct, members in structs.items():
        lines += [f"    WHOLE({struct});"] + [f"    PART({struct}, {m});" for m in members]
    return parse_layouts(run_program([cc, "-std=gnu17", "-w", f"-I{INCLUDE}"], "\n".join(lines + ["}", ""]), ".c"))


def rust_layouts(rustc, structs):
    lines = ["#![allow(dead_code, unused_unsafe)]", f'#[path = "{ROOT / "sdk/rust/raw.rs"}"]', "mod raw;", "use raw::*;", "fn size_of_pointee<T>(_: *const T) -> usize {", "    std::mem::size_of::<T>()", "}",
             "macro_rules! part {", "    ($s:ident, $m:ident, $name:literal) => {{", "        let room = std::mem::MaybeUninit::<$s>::uninit();", "        let (base, at) = unsafe { (room.as_ptr(), std::ptr::addr_of!((*room.as_ptr()).$m)) };",
             '        println!(concat!(stringify!($s), ".", $name, " {} {}"), at as usize - base as usize, size_of_pointee(at));', "    }};", "}", "fn main() {"]
    for struct, members in structs.items():
        lines.append(f'    println!("{struct} {{}}", std::mem::size_of::<{struct}>());')
        lines += [f'    part!({struct}, {rust.word(m)}, "{m}");' for m in members]
    return parse_layouts(run_program([rustc, "--edition", "2021", "-A", "dead_code"], "\n".join(lines + ["}", ""]), ".rs"))


def interface_signature(i):
    return {"kind": i.kind, "permission": i.permission, "prefix": i.prefix, "addressed": i.addressed, "in_workers": i.worker != "none", "provided_from_workers": i.provided_by_workers,
            "structs": {name: [[m, kind] for m, kind in members.items()] for name, members in i.structs.items()},
            "filled": sorted({kind.rstrip("*") for f in i.functions for _, kind in f.parameters if kind.endswith("*") and kind.rstrip("*") in i.structs}),
            "functions": [[f.name, ", ".join(f"{n}: {k}" for n, k in f.parameters), f.returns, {
                "suspends": not f.facts["fiber"].startswith(NOT_SUSPENDING), "any_thread": f.any_thread, "in_workers": f.worker != "none"}] for f in i.functions],
            "later": [f.name for f in i.functions if f.later]}


def hook_signature(h):
    return {"type": h["type"], "fail": h["fail"], "suspends": h["suspends"], "scope": h["scope"], "later": sorted(h.get("later", {})),
            "fields": [[name, kind, "patch" in flags] for name, kind, *flags in h["fields"]]}


def schema_keys(schema, at=""):
    """Every key that plugin.json may have, as a path, and which of them must be there."""
    for name, part in schema.get("properties", {}).items():
        yield f"{at}/{name}", name in schema.get("required", [])
        if part.get("type") == "object":
            yield from schema_keys(part, f"{at}/{name}")
        elif part.get("type") == "array":
            yield from schema_keys(part.get("items", {}), f"{at}/{name}/*")


def api_keys():
    text = (ROOT / "core/contract/expand.c").read_text()
    return sorted(key for table in re.findall(r"\w+_keys\[\] = \{(.*?)\};", text, re.S) for key in re.findall(r'\{"([^"]+)"', table)
                  if key != "x-public")         # the core's own


def signature(cc):
    interfaces, hooks = catalogue.read()
    structs = all_structs(interfaces, hooks)
    return {"abi": rust.abi(), "numbers": rust.enums(), "layouts": c_layouts(cc, structs),
            "interfaces": {i.id: interface_signature(i) for i in interfaces}, "hooks": {h["name"]: hook_signature(h) for h in hooks},
            "manifest": dict(schema_keys(json.loads((ROOT / "manifests/schemas/plugin.json").read_text()))), "contract": api_keys()}


# --- what may not change ---

def prefix_changes(what, before, now, instead):
    """Lists only grow at their end."""
    for n, old in enumerate(before):
        new = now[n] if n < len(now) else None
        if old != new:
            yield f"{what}: {old[0]} was number {n + 1}: {old}; there is now {new}. {instead}"
            return


def interface_changes(name, before, now):
    base, version = name.split("/")
    other = f"Make {base}/{int(version) + 1} beside it."
    for key in ("kind", "permission", "prefix", "addressed"):
        if before[key] != now[key]:
            yield f"{name}: its {key} was {before[key]} and is {now[key]}. {other}"
    for key in ("in_workers", "provided_from_workers"):
        if before[key] and not now[key]:
            yield f"{name}: workers had it ({key}), and now have not. {other}"
    for struct, members in before["structs"].items():
        there = now["structs"].get(struct, [])
        if struct in before["filled"] and there != members:
            yield f"{name}: struct {struct} is filled by functions, so it may not even grow: callers made room for {members}. Make a function with another struct."
        yield from prefix_changes(f"{name}: struct {struct}", members, there, "Append the new member.")
    old, new = before["functions"], now["functions"]
    yield from prefix_changes(f"{name}: functions", [f[:3] for f in old], [f[:3] for f in new], f'Append the new function, with "since". For another signature: {other}')
    for f in new[len(old):]:
        if f[0] not in now["later"]:
            yield f'{name}: {f[0]} came later than the frozen table: give it "since", or older providers are refused.'
    for (then_f, _, _, then), (f, _, _, facts) in zip(old, new):
        if then_f != f:
            break
        if facts["suspends"] and not then["suspends"]:
            yield f"{name}: {f} did not suspend: who holds a lock around it would hold it while others run. {other}"
        if (then["any_thread"], then["in_workers"]) > (facts["any_thread"], facts["in_workers"]):
            yield f"{name}: {f} could be called from more places. {other}"


def hook_changes(name, before, now):
    for key in ("type", "fail", "suspends", "scope"):
        if before[key] != now[key]:
            yield f"hook {name}: its {key} was {before[key]} and is {now[key]}. Make another hook."
    yield from prefix_changes(f"hook {name}", [f[:2] for f in before["fields"]], [f[:2] for f in now["fields"]], 'Append the new field, and name it under "later".')
    for field, _, _ in now["fields"][len(before["fields"]):]:
        if field not in now["later"]:
            yield f'hook {name}: {field} came later than the frozen payload: name it under "later", or older emitters are refused.'
    for (field, _, patch), new in zip(before["fields"], now["fields"]):
        if patch and not new[2]:
            yield f"hook {name}: {field} could be patched. Make another hook."


def layout_changes(before, now):
    for struct, (size, members) in before.items():
        there = now.get(struct, [0, {}])
        for member, place in members.items():
            if there[1].get(member) != place:
                yield f"{struct}.{member} was at [offset, size] {place} and is at {there[1].get(member)}. New members go to the end."
        if size > there[0]:
            yield f"{struct} had {size} bytes and has {there[0]}."
        if size != there[0] and "size" not in members:
            yield f"{struct} has no size member, so it can never grow: it had {size} bytes and has {there[0]}."


def changes(before, now):
    if before["abi"] != now["abi"]:
        yield f"MT_ABI was {before['abi']} and is {now['abi']}: every plugin there is would be refused."
    for enum, values in before["numbers"].items():
        for name, number in values.items():
            if now["numbers"].get(enum, {}).get(name) != number:
                yield f"{name} was {number} and is {now['numbers'].get(enum, {}).get(name)}. Append a new number to {enum}."
    for name, old in before["interfaces"].items():
        yield from interface_changes(name, old, now["interfaces"][name]) if name in now["interfaces"] else [f"{name} is gone. It stays for as long as MT_ABI is {before['abi']}."]
    for name, old in before["hooks"].items():
        yield from hook_changes(name, old, now["hooks"][name]) if name in now["hooks"] else [f"hook {name} is gone. It stays for as long as MT_ABI is {before['abi']}."]
    yield from layout_changes(before["layouts"], now["layouts"])
    for key in before["manifest"]:
        if key not in now["manifest"]:
            yield f"plugin.json: {key} is not known any more."
    for key, needed in now["manifest"].items():
        if needed and not before["manifest"].get(key, False) and key.count("/") == 1:
            yield f"plugin.json: {key} must be there now: older manifests lack it. Give it a default."
    yield from (f"api.json: {key} is not known any more." for key in before["contract"] if key not in now["contract"])


def kept_changes(folder):
    """The kept plugins are the bytes that were built."""
    for line in (folder / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split()
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != digest:
            yield f"{folder.name}/{name} is not what was built with that release: take it from the history."


# --- commands ---

def check(cc):
    now, failures, frozen = signature(cc), [], sorted(HERE.glob("*/signature.json"))
    for file in frozen:
        failures += [f"frozen in {file.parent.name}: {change}" for change in changes(json.loads(file.read_text()), now)] + list(kept_changes(file.parent))
    print("\n".join(failures) or f"{', '.join(f.parent.name for f in frozen)} holds: {len(now['interfaces'])} interfaces, {len(now['hooks'])} hooks, {len(now['layouts'])} layouts")
    return 1 if failures or not frozen else 0


def check_rust(cc, rustc):
    interfaces, hooks = catalogue.read()
    structs = all_structs(interfaces, hooks)
    ours, theirs = c_layouts(cc, structs), rust_layouts(rustc, structs)
    differ = [f"{name}: C has {ours[name]}, Rust has {theirs.get(name)}" for name in ours if theirs.get(name) != ours[name]]
    print("\n".join(differ) or f"{len(ours)} layouts are the same in Rust")
    return 1 if differ or not ours else 0


def check_headers(cc, cxx):
    failed = False
    for header in sorted((INCLUDE / "mortise").glob("*.h")):
        for command, language in ((cc, "c17"), (cxx, "c++17")):
            source = f"#include <mortise/{header.name}>\nint main({'void' if language == 'c17' else ''}) {{ return 0; }}\n"
            flags = [f"-std={language}", "-Wall", "-Wextra", "-pedantic", "-Werror", "-fsyntax-only", f"-I{INCLUDE}", "-x", "c" if language == "c17" else "c++", "-"]
            failed |= subprocess.run([command, *flags], input=source, text=True).returncode != 0
    return 1 if failed else 0


def pretty(value, depth=0):
    """A line for each thing that a person may look for: an interface's function, a struct, a hook's field."""
    flat = json.dumps(value, sort_keys=True)
    if len(flat) < 150 or not isinstance(value, (dict, list)):
        return flat
    pad, ends = " " * (depth + 1), "{}" if isinstance(value, dict) else "[]"
    inner = [f"{json.dumps(k)}: {pretty(v, depth + 1)}" for k, v in sorted(value.items())] if isinstance(value, dict) else [pretty(v, depth + 1) for v in value]
    return f"{ends[0]}\n{pad}" + f",\n{pad}".join(inner) + f"\n{' ' * depth}{ends[1]}"


def freeze(cc, version):
    file = HERE / version / "signature.json"
    if file.exists():
        sys.exit(f"{file} is frozen: a later release has a folder of its own")
    file.parent.mkdir(exist_ok=True)
    file.write_text(pretty(signature(cc)) + "\n")
    print(f"wrote {file}")
    return 0


COMMANDS = {"check": check, "rust": check_rust, "headers": check_headers, "freeze": freeze}

if __name__ == "__main__":
    sys.exit(COMMANDS[sys.argv[1]](*sys.argv[2:]))
