"""functions.py MATH.ptx FUNCTIONS.inc PROOF.ptx: text macros of mathematical functions from their kernels.

MATH.ptx has one kernel NAME_PRECISION for each function, its instructions between the markers `@argument REGISTER;`, one or
two, and `@result REGISTER;`. The macros are described in ptx/README.md. PROOF.ptx has a kernel for each, with the macro in it
twice, the second time with the result in the register of an argument.
"""

import collections
import pathlib
import re
import sys

REGISTER = re.compile(r"%(?:rs|rd|fd|f|p|r)\d+\b")
TYPES = {"p": "pred", "rs": "b16", "r": "b32", "rd": "b64", "f": "f32", "fd": "f64"}
ENTRY = re.compile(r"\.visible \.entry (\w+)_(f32|f64)\(\s*\)\n\{\n(.*?)\n\}\n", re.S)
CALL = re.compile(r"\{\n\s*\.reg \.b32 temp_param_reg;\n(.*?)call\.uni \(retval0\),\s*(\w+),\s*\([^)]*\);\s*"
                  r"ld\.param\.(\w+)\s+(%\w+), \[retval0\+0\];\n\s*\}", re.S)


def inlined(body, functions):
    """The body with the functions that it calls in place of their calls."""

    def replace(call):
        arguments = re.findall(r"st\.param\.\w+\s+\[param\d+\+0\], (%\w+);", call[1])
        text = functions[call[2]]
        # Names of its own; the registers of the caller come in afterwards.
        text = REGISTER.sub(lambda register: register[0] + "00000", text)
        text = re.sub(r"(\$L_\w+)", r"\1_inlined", text)
        for i, argument in enumerate(arguments):
            text = re.sub(rf"ld\.param\.(\w+)(\s+%\w+), \[{call[2]}_param_{i}\];", rf"mov.\1\2, {argument};", text)
        text, results = re.subn(r"st\.param\.(\w+)\s+\[func_retval0\+0\], (%\w+);\s*ret;\s*$", rf"mov.\1 {call[4]}, \2;", text)
        if results != 1 or "ret;" in text or ".param" in text:
            sys.exit(f"functions: {call[2]} cannot be put in place of its call")
        return text

    return CALL.sub(replace, body)


def destinations(line):
    """Registers that the line's instruction writes."""
    instruction = re.match(r"(?:@!?%p\d+ )?([a-z][\w.]*)\s+(\{[^}]*\}|[^,;]+)", line)
    if not instruction or instruction[1].split(".")[0] in ("bra", "st", "bar"):
        return []
    return REGISTER.findall(instruction[2])


def macro(name, body):
    lines = [line.strip() for line in body.splitlines()]
    lines = [line for line in lines if not re.match(r"\.reg .*%\w+<\d+>;", line)]
    markers = [i for i, line in enumerate(lines) if re.match(r"@(argument|result) ", line)]
    arguments = [lines[i].split()[1].rstrip(";") for i in markers[:-1]]
    if markers[:-1] != list(range(len(arguments))) or lines[markers[-1] + 1:] != ["ret;"]:
        sys.exit(f"functions: {name}: instructions outside of the markers")
    result = lines[markers[-1]].split()[1].rstrip(";")
    lines = lines[len(arguments):markers[-1]]
    for line in lines:
        if re.search(r"\.(local|global|shared|const|param)\b|\bcall\b|\bret\b", line):
            sys.exit(f"functions: {name}: not in registers: {line}")
    written = collections.Counter(register for line in lines for register in destinations(line))

    # A constant goes where it is used.
    constants = {}
    kept = []
    for line in lines:
        constant = re.match(r"mov\.f(?:32|64)\s+(%\w+), (0[fd][0-9A-F]+);", line)
        if constant and written[constant[1]] == 1 and constant[1] != result:
            constants[constant[1]] = constant[2]
        else:
            kept.append(line)
    lines = [REGISTER.sub(lambda register: constants.get(register[0], register[0]), line) for line in kept]

    names = {}
    precision = name[-3:]
    for argument, register in reversed(list(zip("ab", arguments))):
        if written[register]:
            lines.insert(0, f"mov.{precision} {register}, %{argument};")
        else:
            names[register] = f"%{argument}"
    uses = sum(len(re.findall(rf"{result}\b", line)) for line in lines)
    if written[result] == uses == 1 and destinations(lines[-1]) == [result] and "}" not in lines[-1]:
        names[result] = "%r"
    else:
        lines.append(f"mov.{precision} %r, {result};")

    counts = collections.Counter()

    def renamed(register):
        if register[0] not in names:
            kind = re.match(r"%(\D+)", register[0])[1]
            names[register[0]] = f"%m{kind}{counts[kind]}"
            counts[kind] += 1
        return names[register[0]]

    labels = {}
    text = REGISTER.sub(renamed, "\n".join(lines)).replace("%temp", "%mt")
    text = re.sub(r"\$L_\w+", lambda label: labels.setdefault(label[0], f"$M{len(labels)}"), text)
    text = re.sub(r"[ \t]+", " ", text)
    declared = [f".reg .{TYPES[kind]} %m{kind}<{counts[kind]}>;" for kind in TYPES if counts[kind]]
    return len(arguments), "\n".join([*declared, text])


def proof(name, precision, arguments, text):
    """A kernel that loads the arguments, has the macro in it twice and stores both results."""
    kind, size = ("f", 4) if precision == "f32" else ("fd", 8)
    first, second = f"%{kind}0", f"%{kind}1"

    def scope(result):
        names = {"%a": first, "%b": second, "%r": result}
        return "{\n" + re.sub(r"%[abr]\b", lambda token: names[token[0]], text) + "\n}"

    loads = "\n".join(f"ld.global.{precision} %{kind}{i}, [%rd0+{size * i}];" for i in range(arguments))
    return f"""
.visible .entry {name}_{precision}(.param .u64 x)
{{
.reg .b64 %rd<1>;
.reg .{precision} %{kind}<3>;
ld.param.u64 %rd0, [x];
cvta.to.global.u64 %rd0, %rd0;
{loads}
{scope(f"%{kind}2")}
{scope(first)}
st.global.{precision} [%rd0], {first};
st.global.{precision} [%rd0+{size}], %{kind}2;
ret;
}}
"""


def main():
    source, macros, proofs = map(pathlib.Path, sys.argv[1:])
    ptx = source.read_text()
    functions = {}
    for function in re.finditer(r"^\.func .*?(\w+)\(\n[^)]*\)\n\{\n(.*?)\n\}\n", ptx, re.S | re.M):
        functions[function[1]] = function[2]
    entries, kernels = [], [".version 7.0\n.target sm_70\n.address_size 64\n"]
    for name, precision, body in ENTRY.findall(ptx):
        arguments, text = macro(f"{name}_{precision}", inlined(body, functions))
        entries.append(f"@function {name} {precision} {arguments}\n{text}\n@end\n")
        kernels.append(proof(name, precision, arguments, text))
    macros.write_text("\n".join(entries))
    proofs.write_text("".join(kernels))


if __name__ == "__main__":
    main()
