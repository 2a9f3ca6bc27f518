"""compile.py NVRTC SOURCE…: CUDA C++ to PTX 7.0 by NVRTC, without comments.

Each SOURCE.cu becomes FOLDER/SOURCE.ptx, FOLDER given by --out. The text depends on the sources and NVRTC's version only.
"""

import argparse
import ctypes
import pathlib
import re
import sys

# No contraction: a fused multiply-add is where the source says `fma`.
OPTIONS = ["--gpu-architecture=compute_70", "--std=c++17", "--fmad=false"]


class Nvrtc:
    def __init__(self, library):
        self.library = ctypes.CDLL(library)
        self.library.nvrtcGetErrorString.restype = ctypes.c_char_p

    def check(self, code, log=""):
        if code:
            sys.exit(f"NVRTC: {self.library.nvrtcGetErrorString(code).decode()}\n{log}")

    def text(self, program, kind):
        size = ctypes.c_size_t()
        self.check(getattr(self.library, f"nvrtcGet{kind}Size")(program, ctypes.byref(size)))
        buffer = ctypes.create_string_buffer(size.value)
        self.check(getattr(self.library, f"nvrtcGet{kind}")(program, buffer))
        return buffer.value.decode()

    def compile(self, source):
        program = ctypes.c_void_p()
        arguments = source.read_bytes(), source.name.encode(), 0, None, None
        self.check(self.library.nvrtcCreateProgram(ctypes.byref(program), *arguments))
        options = [*OPTIONS, f"--include-path={source.parent}"]
        array = (ctypes.c_char_p * len(options))(*[option.encode() for option in options])
        code = self.library.nvrtcCompileProgram(program, len(options), array)
        log = self.text(program, "ProgramLog")
        self.check(code, log)
        if log.strip():
            print(log, file=sys.stderr)
        ptx = self.text(program, "PTX")
        self.library.nvrtcDestroyProgram(ctypes.byref(program))
        return ptx


def lowered(ptx):
    """For drivers from R450 on; without comments and empty lines."""
    ptx, count = re.subn(r"^\.version .*$", ".version 7.0", ptx, flags=re.M)
    if count != 1:
        sys.exit("NVRTC: no .version in the PTX")
    lines = [re.sub(r"\s*//.*", "", line).rstrip() for line in ptx.splitlines()]
    return "\n".join(line for line in lines if line) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("library")
    parser.add_argument("sources", nargs="+", type=pathlib.Path)
    parser.add_argument("--out", required=True, type=pathlib.Path)
    arguments = parser.parse_args()
    nvrtc = Nvrtc(arguments.library)
    for source in arguments.sources:
        (arguments.out / f"{source.stem}.ptx").write_text(lowered(nvrtc.compile(source)))


if __name__ == "__main__":
    main()
