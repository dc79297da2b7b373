#!/usr/bin/env python3
"""Keeps the pages' samples true.

    check_docs.py ROOT CC                 checks all of them
    check_docs.py ROOT --assemble DIR     writes the plugin of guide.md, put together from its blocks, into DIR

A block marked `file=PATH` must stand in that file of the tree, where @NAME@ and @IDENT@ are read as the page's own plugin name. A block marked
`compile` must compile. Blocks marked `into=FILE` are the parts of that file, in order; together they must be sdk/examples/llm-provider/FILE, which is
built and run. `step=` blocks are run by tests/integration/sdk. A block without a mark is an error.
"""
import json
import pathlib
import re
import subprocess
import sys

NAME = "sentiment"
PAGES = ("README.md", "guide.md", "cookbook.md", "policies.md", "apply.md", "abi.md")
EXAMPLE = "sdk/examples/llm-provider"


def blocks(text):
    for match in re.finditer(r"^```(\w+)([^\n]*)\n(.*?)^```$", text, re.M | re.S):
        marks = dict(word.partition("=")[::2] for word in match[2].split())
        yield match[1], marks, match[3], text.count("\n", 0, match.start()) + 1


def check_file(root, path, sample):
    text = (root / path).read_text().replace("@NAME@", NAME).replace("@IDENT@", NAME)
    return None if sample in text else f"is not in {path} any more"


def check_compiles(root, cc, sample):
    unit = "#include <mortise/entry.h>\n#include <mortise/hooks.h>\n" + sample
    command = [cc, "-std=gnu17", "-Wall", "-Wextra", "-Werror", "-Wno-unused", "-Wno-unused-parameter", "-fsyntax-only",
               f"-I{root}/sdk/include", "-xc", "-"]
    result = subprocess.run(command, input=unit, text=True, capture_output=True)
    return None if result.returncode == 0 else f"does not compile:\n{result.stderr}"


def assembled(page):
    """file → text, of the page's `into` blocks."""
    parts = {}
    for _, marks, sample, _ in blocks(page.read_text()):
        if "into" in marks:
            parts.setdefault(marks["into"], []).append(sample)
    return {file: "\n".join(samples) for file, samples in parts.items()}


def check_guide(root):
    """The guide's plugin is the example, to the byte, but for the example's README."""
    made, folder = assembled(root / "sdk/docs/guide.md"), root / EXAMPLE
    there = {str(f.relative_to(folder)): f for f in folder.rglob("*") if f.is_file() and f.name != "README.md" and "build" not in f.relative_to(folder).parts}
    failures = [f"guide.md: its parts of {file} are not {EXAMPLE}/{file}" for file, text in made.items() if file not in there or there[file].read_text() != text]
    return failures + [f"guide.md: {EXAMPLE}/{file} is not on the page" for file in there if file not in made]


def check_links(page):
    """Links within the tree lead somewhere."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S)
    targets = {target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text)}
    return [f"{page.name}: the link to {t} leads nowhere" for t in targets if t and "://" not in t and not (page.parent / t).exists()]


def check_reference(root):
    """Each function of the catalogue has its heading and the four facts below it."""
    page, failures = (root / "sdk/docs/reference.md").read_text(), []
    for file in sorted((root / "manifests/interfaces").glob("*.json")):
        data = json.loads(file.read_text())
        for f in data.get("functions", []):
            name = data["prefix"] + f["name"]
            _, _, after = page.partition(f"### {name}\n")
            said = after.partition("\n#")[0]
            failures += [f"reference.md: {name} lacks its {fact}" for fact in ("Fiber", "State", "Ownership", "Fails") if not re.search(rf"^- {fact}: \S", said, re.M)]
    return failures


def check(root, cc):
    failures, seen = check_guide(root) + check_reference(root) + check_links(root / "sdk/docs/reference.md"), 0
    for page in (root / "sdk/docs" / name for name in PAGES):
        failures += check_links(page)
        for language, marks, sample, line in blocks(page.read_text()):
            if "file" in marks:
                problem = check_file(root, marks["file"], sample)
            elif "compile" in marks:
                problem = check_compiles(root, cc, sample)
            else:
                problem = None if marks.keys() & {"step", "into"} else "has no mark: it would rot"
            seen += 1
            if problem:
                failures.append(f"{page}:{line}: the {language} block {problem}")
    print("\n".join(failures) or f"{seen} blocks are true")
    return 1 if failures or not seen else 0


def assemble(root, folder):
    for file, text in assembled(root / "sdk/docs/guide.md").items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text)
    return 0


def main():
    root = pathlib.Path(sys.argv[1])
    sys.exit(assemble(root, pathlib.Path(sys.argv[3])) if sys.argv[2] == "--assemble" else check(root, sys.argv[2]))


main()
