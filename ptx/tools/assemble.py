"""assemble.py PTXAS [--joined] FILE.ptx…: registers, spills, shared memory and stack of each kernel on each architecture, as Markdown.

Fails where ptxas refuses a file or spills. With --joined all files are in one table, and those that spill in another: a spill is no failure.
"""

import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys

ARCHITECTURES = (70, 80, 86, 89, 90, 100, 120)
COLUMNS = ("registers", "spilled", "shared", "stack")


def assemble(ptxas, path, architecture):
    """What each kernel of a file needs: {kernel: (registers, spilled, shared and stack bytes)}."""
    command = [ptxas, f"--gpu-name=sm_{architecture}", "--verbose", "--output-file=/dev/null", path]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        sys.exit(f"ptxas, sm_{architecture}, {path}:\n{run.stdout}{run.stderr}")
    kernels = {}
    name = None
    for line in run.stderr.splitlines():
        if found := re.search(r"Compiling entry function '(\w+)'", line):
            name = found[1]
            kernels[name] = dict.fromkeys(COLUMNS, 0)
        if name and (found := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", line)):
            kernels[name]["stack"] = int(found[1])
            kernels[name]["spilled"] = int(found[2]) + int(found[3])
        if name and (found := re.search(r"Used (\d+) registers", line)):
            kernels[name]["registers"] = int(found[1])
            if found := re.search(r"(\d+) bytes smem", line):
                kernels[name]["shared"] = int(found[1])
    return kernels


def table(path, results):
    """A table of one file: registers on each architecture; shared memory, spills and stack where they are equal on all."""
    lines = [f"## {pathlib.Path(path).stem}", ""]
    lines.append("| kernel | " + " | ".join(f"sm_{architecture}" for architecture in ARCHITECTURES) + " | spilled, bytes | shared, bytes | stack, bytes |")
    lines.append("|---" * (len(ARCHITECTURES) + 4) + "|")
    for kernel in sorted(results[ARCHITECTURES[0]]):
        of = [results[architecture][kernel] for architecture in ARCHITECTURES]
        worst = [max(x[column] for x in of) for column in COLUMNS[1:]]
        lines.append(f"| `{kernel}` | " + " | ".join(str(x["registers"]) for x in of) + " | " + " | ".join(map(str, worst)) + " |")
    return "\n".join(lines) + "\n"


def joined(paths, results):
    """Two tables of all files: what each kernel needs, and the bytes that are stored and loaded where registers do not suffice."""
    architectures = " | ".join(f"sm_{architecture}" for architecture in ARCHITECTURES)
    needs = [f"| module | kernel | {architectures} | shared, bytes | stack, bytes |", "|---" * (len(ARCHITECTURES) + 4) + "|"]
    spills = [f"| module | kernel | {architectures} |", "|---" * (len(ARCHITECTURES) + 2) + "|"]
    for path in paths:
        for kernel in sorted(results[path, ARCHITECTURES[0]]):
            of = [results[path, architecture][kernel] for architecture in ARCHITECTURES]
            row = lambda column: f"| {pathlib.Path(path).stem} | `{kernel}` | " + " | ".join(str(x[column]) for x in of) + " |"
            needs.append(row("registers") + "".join(f" {max(x[column] for x in of)} |" for column in COLUMNS[2:]))
            if any(x["spilled"] for x in of):
                spills.append(row("spilled"))
    return "\n".join(["## Registers", "", *needs, "", "## Spilled, bytes", "", *spills, ""])


def main():
    ptxas, *paths = sys.argv[1:]
    together = paths[0] == "--joined"
    if together:
        paths = sorted(paths[1:])
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = {(path, architecture): pool.submit(assemble, ptxas, path, architecture) for path in paths for architecture in ARCHITECTURES}
        results = {key: job.result() for key, job in jobs.items()}
    if together:
        print(joined(paths, results), end="")
        return
    print("\n".join(table(path, {a: results[path, a] for a in ARCHITECTURES}) for path in paths), end="")
    spills = [f"{kernel} on sm_{a}" for (_, a), kernels in results.items() for kernel, x in kernels.items() if x["spilled"]]
    if spills:
        sys.exit("spilled registers: " + ", ".join(spills))


if __name__ == "__main__":
    main()
