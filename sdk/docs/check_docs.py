#!/usr/bin/env python3
"""Keeps the samples of README.md and policies.md true: check_docs.py ROOT CC.

A block marked `file=PATH` must stand in that file of the tree, where @NAME@ and @IDENT@ are read as the page's own plugin name. A block marked
`compile` must compile. `step=` blocks are run by tests/integration/sdk. A C block without a mark is an error.
"""
import pathlib
import re
import subprocess
import sys

NAME = "sentiment"


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


def main():
    root, cc = pathlib.Path(sys.argv[1]), sys.argv[2]
    pages = [root / "sdk/docs" / name for name in ("README.md", "policies.md")]
    failures, seen = [], 0
    for page, (language, marks, sample, line) in ((page, block) for page in pages for block in blocks(page.read_text())):
        if "file" in marks:
            problem = check_file(root, marks["file"], sample)
        elif "compile" in marks:
            problem = check_compiles(root, cc, sample)
        else:
            problem = None if "step" in marks else "has no mark: it would rot"
        seen += 1
        if problem:
            failures.append(f"{page}:{line}: the {language} block {problem}")
    print("\n".join(failures) or f"{seen} blocks are true")
    sys.exit(1 if failures or not seen else 0)


main()
