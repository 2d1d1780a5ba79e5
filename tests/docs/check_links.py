#!/usr/bin/env python3
"""Fails when a Markdown file links to a file of the repository that is not there."""
import pathlib
import re
import sys

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
SKIPPED = {"build", ".venv", "runs", ".git", "models"}


def broken(root: pathlib.Path):
    for file in sorted(root.rglob("*.md")):
        if SKIPPED & set(file.relative_to(root).parts):
            continue
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            for target in LINK.findall(line):
                path = target.split("#")[0]
                if path and "://" not in path and not (file.parent / path).exists():
                    yield f"{file.relative_to(root)}:{number}: no {target}"


def main() -> int:
    found = list(broken(pathlib.Path(sys.argv[1]).resolve()))
    for line in found:
        print(f"error: {line}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
