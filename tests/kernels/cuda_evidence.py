#!/usr/bin/env python3
"""Holds the compiled CUDA kernels against the claims of the design note.

usage: cuda_evidence.py NOTE.md CUBIN_DIR [DIRECTORY_WITH_CUOBJDUMP…]

The note's table names, for each kernel and architecture, the most registers, the shared memory, the
blocks an SM holds, and the instructions that must be there. Checked: what ptxas reported (no spills,
no stack, registers, shared memory), the occupancy that follows, the PTX and the machine code.
"""
import pathlib
import re
import shutil
import subprocess
import sys

# Per SM: threads, registers, shared memory in bytes, blocks. A block's shared memory takes 1 KiB
# more, registers come in units of 256 a warp (CUDA programming guide, compute capabilities).
LIMITS = {
    "sm_80": {"threads": 2048, "registers": 65536, "shared": 164 * 1024, "blocks": 32},
    "sm_90": {"threads": 2048, "registers": 65536, "shared": 228 * 1024, "blocks": 32},
}
ROW = re.compile(r"^\| `(\w+)` \| (sm_\d+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \| ([^|]+)\|")


def claims(note: str):
    rows = []
    for line in note.splitlines():
        match = ROW.match(line)
        if match:
            kernel, architecture, *numbers, words = match.groups()
            threads, registers, shared, blocks = map(int, numbers)
            rows.append({"kernel": kernel, "architecture": architecture, "threads": threads,
                         "registers": registers, "shared": shared, "blocks": blocks,
                         "instructions": re.findall(r"`([^`]+)`", words)})
    return rows


def resident_blocks(architecture: str, threads: int, registers: int, shared: int) -> int:
    limit = LIMITS[architecture]
    warps = threads // 32
    warp_registers = (registers * 32 + 255) // 256 * 256
    return min(limit["threads"] // threads,
               limit["registers"] // (warp_registers * warps),
               limit["shared"] // (shared + 1024),
               limit["blocks"])


def report_problems(claim: dict, report: str):
    if "Compiling entry function" not in report:
        yield "the ptxas report names no kernel"
        return
    for what in re.findall(r"(\d+) bytes (stack frame|spill stores|spill loads)", report):
        if what[0] != "0":
            yield f"{what[0]} bytes {what[1]}"
    used = re.search(r"Used (\d+) registers", report)
    shared = re.search(r"(\d+) bytes smem", report)
    registers = int(used.group(1)) if used else 10**6
    shared_bytes = int(shared.group(1)) if shared else 0
    if registers > claim["registers"]:
        yield f"{registers} registers, but the note claims at most {claim['registers']}"
    if shared_bytes != claim["shared"]:
        yield f"{shared_bytes} bytes of shared memory, but the note claims {claim['shared']}"
    blocks = resident_blocks(claim["architecture"], claim["threads"], registers, shared_bytes)
    if blocks != claim["blocks"]:
        yield f"{blocks} blocks fit an SM, but the note claims {claim['blocks']}"


def instruction_problems(claim: dict, code: str, where: str, ptx: bool):
    for name in claim["instructions"]:
        is_ptx = name.islower() or "." in name and name.split(".")[0].islower()
        if is_ptx == ptx and name not in code:
            yield f"no {name} in the {where}"


def machine_code(cubin: pathlib.Path, folders):
    path = ":".join(folders)
    tool = shutil.which("cuobjdump", path=path) or shutil.which("cuobjdump")
    if tool is None:
        return None
    done = subprocess.run([tool, "-sass", str(cubin)], capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else None


def check(claim: dict, folder: pathlib.Path, tools):
    stem = folder / f"{claim['kernel']}.{claim['architecture']}"
    yield from report_problems(claim, stem.with_name(stem.name + ".ptxas.txt").read_text())
    ptx = stem.with_name(stem.name + ".ptx").read_text()
    yield from instruction_problems(claim, ptx, "PTX", True)
    code = machine_code(stem.with_name(stem.name + ".cubin"), tools)
    if code is None:
        yield "no cuobjdump could read its machine code: run ./dev setup"
    else:
        yield from instruction_problems(claim, code, "machine code", False)


def main() -> int:
    note, folder, *tools = sys.argv[1:]
    rows = claims(pathlib.Path(note).read_text(encoding="utf-8"))
    folder = pathlib.Path(folder)
    compiled = {path.name.removesuffix(".cubin") for path in folder.glob("*.cubin")}
    claimed = {f"{row['kernel']}.{row['architecture']}" for row in rows}
    problems = [f"{name}: compiled, but {note} claims nothing of it" for name in compiled - claimed]
    problems += [f"{name}: claimed, but not compiled" for name in claimed - compiled]
    if not rows:
        problems.append(f"{note} has no table of claims")
    for row in rows:
        name = f"{row['kernel']}.{row['architecture']}"
        if name in compiled:
            problems += [f"{name}: {what}" for what in check(row, folder, tools)]
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
