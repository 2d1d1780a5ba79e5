#!/usr/bin/env python3
"""Fails when an #include crosses the layers of the architecture.

Each folder may include itself, the folders in its row, and what those may include. LibTorch and
generated protobuf headers are confined to the folders that own them, and so are
sums without noise.
"""
import pathlib
import re
import sys

DEPENDS = {
    "base": [],
    "security": ["base"],
    "model": ["base"],
    "kernels": ["base", "model/tensor.h"],
    "dp": ["base", "security"],
    "dp/clipping": ["dp"],
    "trainer": ["dp", "dp/clipping", "model"],
    "inference": ["kernels", "model", "security"],
    "federation": ["security", "dp", "model"],
    "cli": ["base", "security", "model", "kernels", "dp", "inference", "federation"],
    "cli/train": ["cli", "trainer"],
    "bench": ["dp", "model", "trainer"],
}
TORCH = {"dp/clipping", "trainer", "cli/train", "tests/trainer", "tests/clipping", "bench"}
PROTOBUF = {"federation/rpc", "tests/federation"}
# The one header that reads clipped sums before noise.
UNNOISED = {"dp/mechanism", "dp/matrix_factorization", "tests"}
INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]')


def layer(path: str) -> str:
    """The longest row that holds `path`, or its first folder."""
    rows = [row for row in DEPENDS if path.startswith(row + "/")]
    return max(rows, key=len) if rows else path.split("/")[0]


def allowed(row: str) -> set:
    found, todo = set(), [row]
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += DEPENDS.get(name, [])
    return found


def within(path: str, folders) -> bool:
    return any(path.startswith(folder + "/") for folder in folders)


def problems(root: pathlib.Path):
    for file in sorted(root.rglob("*")):
        name = file.relative_to(root).as_posix()
        if file.suffix not in (".h", ".cc", ".cu") or within(name, ["build", ".venv", "runs"]):
            continue
        tested = name.startswith("tests/")
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            match = INCLUDE.match(line)
            if not match:
                continue
            target = match.group(2)
            where = f"{name}:{number}: includes {target}"
            if re.match(r"(ATen|torch|c10)/", target) and not within(name, TORCH):
                yield f"{where}, but LibTorch stays in {', '.join(sorted(TORCH))}"
            if target.endswith(".pb.h") and not within(name, PROTOBUF):
                yield f"{where}, but generated protobuf code stays in {', '.join(sorted(PROTOBUF))}"
            if target == "dp/mechanism/unnoised.h" and not within(name, UNNOISED):
                yield f"{where}, but sums without noise stay in {', '.join(sorted(UNNOISED))}"
            if match.group(1) == "<" or tested or "/" not in target:
                continue
            reach = allowed(layer(name))
            if layer(target) not in reach and target not in reach:
                yield f"{where}, but {layer(name)} may include only {', '.join(sorted(reach))}"


def main() -> int:
    found = list(problems(pathlib.Path(sys.argv[1]).resolve()))
    for problem in found:
        print(f"error: {problem}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
