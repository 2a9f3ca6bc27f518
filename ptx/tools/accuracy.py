"""accuracy.py FUNCTIONS.inc OUT.inc: the macros of mathematical functions as C++, instruction by instruction, for accuracy.cpp.

An instruction that is not known is an error.
"""

import pathlib
import re
import sys

REGISTERS = {"pred": "bool", "b32": "u32", "b64": "u64", "f32": "float", "f64": "double"}
TYPES = {"f32": "float", "f64": "double", "u32": "u32", "s32": "i32", "b32": "u32", "u64": "u64", "s64": "i64", "b64": "u64", "pred": "bool"}
OPERATORS = {"add": "+", "sub": "-", "mul": "*", "and": "&", "or": "|", "xor": "^"}
COMPARISONS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}


def operand(text):
    """A register's name or a number, as C++."""
    if text.startswith("%"):
        return text[1:]
    if text.startswith("0f"):
        return f"from_bits(u32(0x{text[2:]}u))"
    if text.startswith("0d"):
        return f"from_bits(u64(0x{text[2:]}ull))"
    return f"i64({int(text)}ull)" if int(text) >= 0 else f"i64(0ull - {-int(text)}ull)"


def expression(opcode, operands):
    """The value of an instruction."""
    name, *modifiers = opcode.split(".")
    kind = modifiers[-1]
    c = TYPES[kind]
    if name == "mov" and operands[0].startswith("{"):
        low, high = (operand(o.strip()) for o in operands[0].strip("{}").split(","))
        return f"from_words({low}, {high})"
    x = [f"{c}({operand(o)})" if not o.startswith("0") or o.isdigit() else operand(o) for o in operands]
    if name == "mov":
        return operand(operands[0])
    if name in ("add", "sub", "mul") and kind[0] == "f":
        if modifiers[0] == "rn":
            return f"{x[0]} {OPERATORS[name]} {x[1]}"
        return f"rounded<{modifiers[0]}>([&] {{ return opaque({x[0]}) {OPERATORS[name]} opaque({x[1]}); }})"
    if name in ("add", "sub", "and", "or", "xor") or (name == "mul" and modifiers[0] == "lo"):
        return f"{x[0]} {OPERATORS[name]} {x[1]}"
    if name == "mul":
        return f"multiplied_{modifiers[0]}({x[0]}, {x[1]})"
    if name == "mad" and modifiers[0] == "lo":
        return f"{x[0]} * {x[1]} + {x[2]}"
    if name == "fma":
        call = f"std::fma({x[0]}, {x[1]}, {x[2]})"
        if modifiers[0] == "rn":
            return call
        return f"rounded<{modifiers[0]}>([&] {{ return std::fma(opaque({x[0]}), opaque({x[1]}), opaque({x[2]})); }})"
    if name == "div" and modifiers[0] == "rn":
        return f"{x[0]} / {x[1]}"
    if name in ("abs", "neg", "not", "clz", "min", "max"):
        return f"{name}_of({', '.join(x)})"
    if name in ("sqrt", "rcp") and modifiers[0] == "rn":
        return f"{name}_rn({x[0]})"
    if name in ("rcp", "rsqrt", "ex2", "lg2") and modifiers[0] == "approx":
        return f"{name}_approx<{str('ftz' in modifiers).lower()}>({x[0]})"
    if name == "setp":
        comparison, unordered = modifiers[0], False
        if kind[0] == "f" and comparison.endswith("u"):
            comparison, unordered = comparison[:-1], True
        test = f"{x[0]} {COMPARISONS[comparison]} {x[1]}"
        either_nan = f"({x[0]} != {x[0]} || {x[1]} != {x[1]})"
        if unordered:
            return f"{either_nan} || {test}"
        return f"!{either_nan} && {test}" if comparison == "ne" and kind[0] == "f" else test
    if name == "selp":
        return f"{operand(operands[2])} ? {x[0]} : {x[1]}"
    if name in ("shl", "shr"):
        return f"{name}_by({c}({operand(operands[0])}), u32({operand(operands[1])}))"
    if name == "cvt":
        to, of = TYPES[modifiers[-2]], f"{c}({operand(operands[0])})"
        if modifiers[0] == "sat":
            return f"saturated({of})"
        if modifiers[0] in ("rni", "rzi"):
            return f"{to}({'std::nearbyint' if modifiers[0] == 'rni' else 'std::trunc'}({of}))"
        if modifiers[0] in ("f64", "rn") or modifiers[0][0] in "us":
            return f"{to}({of})"
    sys.exit(f"accuracy: unknown instruction: {opcode} {', '.join(operands)}")


def statement(line):
    if line in ("{", "}"):
        return line
    if label := re.fullmatch(r"\$(M\d+):", line):
        return f"{label[1]}:;"
    if declared := re.fullmatch(r"\.reg \.(\w+) %(\w+)(?:<(\d+)>)?;", line):
        names = [declared[2] + (str(i) if declared[3] else "") for i in range(int(declared[3] or 1))]
        return f"{REGISTERS[declared[1]]} {', '.join(names)};"
    guard = ""
    if found := re.match(r"@(!?)%(\w+) ", line):
        guard, line = f"if ({found[1]}{found[2]}) ", line[found.end():]
    opcode, rest = line.rstrip(";").split(" ", 1)
    if opcode in ("bra", "bra.uni"):
        return f"{guard}goto {rest.lstrip('$')};"
    operands = [o.strip() for o in re.findall(r"\{[^}]*\}|[^,\s{][^,]*", rest)]
    if operands[0].startswith("{"):
        low, high = (operand(o.strip()) for o in operands[0].strip("{}").split(","))
        return f"{guard}to_words({operand(operands[1])}, {low}, {high});"
    return f"{guard}assign({operand(operands[0])}, {expression(opcode, operands[1:])});"


def main():
    source, out = map(pathlib.Path, sys.argv[1:])
    functions = []
    listed = []
    for name, precision, arguments, text in re.findall(r"@function (\w+) (f32|f64) (\d)\n(.*?)\n@end", source.read_text(), re.S):
        real = TYPES[precision]
        body = "\n".join("  " + statement(line) for line in text.splitlines())
        functions.append(f"static {real} {name}_{precision}({real} a, {real} b) {{\n  {real} r;\n{body}\n  return r;\n}}\n")
        count = sum(not line.startswith((".", "$", "{", "}", "mov.")) for line in text.splitlines())
        listed.append(f"  {{\"{name}\", {arguments}, {count}, {name}_{precision}}},")
    tables = [f"static const Macro<{TYPES[p]}> {p.upper()}[] = {{\n" + "\n".join(x for x in listed if p in x) + "\n};\n" for p in ("f32", "f64")]
    out.write_text("\n".join(functions + tables))


if __name__ == "__main__":
    main()
