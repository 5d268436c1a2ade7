#!/usr/bin/env python3
"""Compile bombs: small recipes for modules that are valid, or nearly, and hard on a compiler.

    test/bombs.py FOLDER [NAME…]    write them as FOLDER/NAME.wasm

Each is made by a function that returns the bytes; BOMBS lists them by name. Sizes are those at which Wasmtime's
validator still takes them or has just stopped to, so that both are met. See reliability.md D6.
"""

import pathlib
import struct
import sys

I32, I64, F32, F64, V128 = 0x7F, 0x7E, 0x7D, 0x7C, 0x7B
MIB = 1 << 20
# What a Wasm binary's own limits allow (the JavaScript API's, which validators took over).
FUNCTION_BYTES = 7_600_000


# ---- the binary format ------------------------------------------------------------------------------------------

def u(value):
    """Unsigned LEB128."""
    out = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)


def s(value):
    """Signed LEB128."""
    out = bytearray()
    while True:
        low = value & 0x7F
        value >>= 7
        if (value == 0 and not low & 0x40) or (value == -1 and low & 0x40):
            out.append(low)
            return bytes(out)
        out.append(low | 0x80)


def vec(items):
    items = list(items)
    return u(len(items)) + b"".join(items)


def name(text):
    raw = text.encode() if isinstance(text, str) else text
    return u(len(raw)) + raw


def section(number, content):
    return bytes([number]) + u(len(content)) + content


def module(*sections):
    return b"\0asm\1\0\0\0" + b"".join(sections)


def func_type(params=(), results=()):
    return b"\x60" + vec(bytes([t]) for t in params) + vec(bytes([t]) for t in results)


def types(*all_types):
    return section(1, vec(all_types))


def functions(*indices):
    return section(3, vec(u(i) for i in indices))


def memory(pages=1):
    return section(5, b"\x01\x00" + u(pages))


def start_export(index=0):
    return section(7, b"\x01" + name("_start") + b"\x00" + u(index))


def body(code, local_groups=()):
    content = vec(u(count) + bytes([t]) for count, t in local_groups) + code + b"\x0b"
    return u(len(content)) + content


def code(*bodies):
    return section(10, vec(bodies))


def one_function(instructions, local_groups=(), *, sections=(), results=(), params=()):
    """A command whose only function has these instructions."""
    return module(types(func_type(params, results)), functions(0), *sections, start_export(),
                  code(body(instructions, local_groups)))


def i32(value):
    return b"\x41" + s(value)


def i64(value):
    return b"\x42" + s(value)


GET, SET, TEE = (lambda i: b"\x20" + u(i)), (lambda i: b"\x21" + u(i)), (lambda i: b"\x22" + u(i))
DROP, END, ADD, VOID = b"\x1a", b"\x0b", b"\x6a", b"\x40"


# ---- control flow -----------------------------------------------------------------------------------------------

def nested(opcode, depth, before=b""):
    return one_function((before + bytes([opcode]) + VOID) * depth + END * depth)


def nested_values(depth):
    """Blocks that pass a value out: a phi each."""
    return one_function(b"\x02\x7f" * depth + i32(1) + (END + GET(0) + ADD) * depth + DROP,
                        [(1, I32)])


def branch_table(targets, tables=1):
    table = GET(0) + b"\x0e" + u(targets) + b"\x00" * targets + b"\x00"
    return one_function((b"\x02\x40" + table + END) * tables, [(1, I32)])


def branch_table_deep(depth):
    """A table to each of as many blocks: every target has its own depth."""
    table = GET(0) + b"\x0e" + u(depth - 1) + b"".join(u(i) for i in range(depth - 1)) + u(depth - 1)
    return one_function(b"\x02\x40" * depth + table + (END + GET(0) + i32(1) + ADD + SET(0)) * depth,
                        [(1, I32)])


def branches_out(depth, each):
    """Every block is left from inside all the deeper ones, with locals that differ."""
    inner = b"".join(GET(level % each) + b"\x0d" + u(level) + GET(level % each) + i32(level) + ADD + SET(level % each)
                     for level in range(depth))
    return one_function(b"\x02\x40" * depth + inner + END * depth, [(each, I32)])


def loops_of_locals(loops, count):
    """Loops behind one another that change all locals: a phi for each local and loop."""
    change = b"".join(GET(i) + GET((i + 1) % count) + ADD + SET(i) for i in range(count))
    return one_function((b"\x03\x40" + change + GET(0) + b"\x0d\x00" + END) * loops, [(count, I32)])


def nested_loops_of_locals(depth, count):
    change = b"".join(GET(i) + GET((i + 1) % count) + ADD + SET(i) for i in range(count))
    return one_function((b"\x03\x40" + change) * depth + (GET(0) + b"\x0d\x00" + END) * depth,
                        [(count, I32)])


def dead_code(size):
    return one_function(b"\x00" + (b"\x41\x01\x1a" * (size // 3)))


def early_returns(count):
    return one_function((GET(0) + b"\x04\x40\x0f\x0b") * count, [(1, I32)])


# ---- huge functions ---------------------------------------------------------------------------------------------

def straight(operation, size, kind=I32):
    """One value changed again and again."""
    return one_function(operation * (size // len(operation)), [(2, kind)])


def doubling(count):
    """x = x + x: the expression is a tree of 2^n leaves."""
    return one_function((GET(0) + GET(0) + ADD + SET(0)) * count + GET(0) + DROP, [(1, I32)])


def rewritable(count):
    """Sums that an optimiser may order anew in very many ways."""
    step = GET(0) + GET(1) + ADD + GET(2) + b"\x6c" + GET(0) + b"\x71" + i32(3) + b"\x74" + SET(0)
    return one_function(step * count, [(3, I32)])


def many_live(count):
    """Values that are all alive at one call."""
    push = b"".join(GET(0) + i32(i) + ADD for i in range(count))
    return module(types(func_type(), func_type((), (I32,))), functions(0, 1), start_export(),
                  code(body(push + b"\x10\x01" + ADD * count + DROP, [(1, I32)]), body(i32(1))))


def many_live_floats(count):
    push = b"".join(GET(0) + b"\x44" + struct.pack("<d", i) + b"\xa0" for i in range(count))
    return module(types(func_type(), func_type((), (F64,))), functions(0, 1), start_export(),
                  code(body(push + b"\x10\x01" + b"\xa0" * count + DROP, [(1, F64)]),
                       body(b"\x44" + struct.pack("<d", 1))))


def calls(count, params):
    """Calls with so many arguments."""
    push = GET(0) * params
    return module(types(func_type(), func_type((I32,) * params)), functions(0, 1), start_export(),
                  code(body((push + b"\x10\x01") * count, [(1, I32)]), body(b"")))


def wide_results(count, width):
    return module(types(func_type(), func_type((), (I64,) * width)), functions(0, 1), start_export(),
                  code(body((b"\x10\x01" + DROP * width) * count), body(i64(1) * width)))


def wide_blocks(depth, width):
    """Blocks that take and give as many values as they may."""
    kind = func_type((I32,) * width, (I32,) * width)
    return module(types(func_type(), kind), functions(0), start_export(),
                  code(body(i32(1) * width + b"\x02\x01" * depth + END * depth + DROP * width)))


def loads(count):
    return one_function((GET(0) + b"\x28\x02" + u(0xFFFF0000) + GET(0) + ADD + SET(0)) * count, [(1, I32)],
                        sections=(memory(),))


def indirect_calls(count):
    table = section(4, b"\x01\x70\x00\x01")
    return one_function((GET(0) + b"\x11\x00\x00") * count, [(1, I32)], sections=(table,))


def bulk_memory(count):
    return one_function((i32(0) + i32(0) + i32(1) + b"\xfc\x0a\x00\x00") * count, sections=(memory(),))


def constants(count):
    out = b"".join(b"\x44" + struct.pack("<d", 1.0 + i / 7) + DROP for i in range(count))
    return one_function(out)


def locals_only(count, kind=I64):
    return one_function(b"", [(count, kind)])


def local_groups(groups):
    return one_function(b"", [(1, I32), (1, I64)] * (groups // 2))


# ---- SIMD -------------------------------------------------------------------------------------------------------

def shuffles(count):
    step = GET(0) + GET(1) + b"\xfd\x0d" + bytes((i * 7) % 32 for i in range(16)) + SET(0)
    return one_function(step * count, [(2, V128)])


def vectors_live(count):
    push = b"".join(GET(0) + b"\xfd\x0c" + struct.pack("<QQ", i, ~i & (2**64 - 1)) + b"\xfd\x6e" for i in range(count))
    return one_function(push + b"\xfd\x6e" * (count - 1) + DROP, [(1, V128)])


def vector_chain(count):
    return one_function((GET(0) + GET(1) + b"\xfd\xb5\x01" + GET(0) + b"\xfd\x4e" + SET(0)) * count, [(2, V128)])


# ---- many things ------------------------------------------------------------------------------------------------

def many_functions(count, instructions=b""):
    one = body(instructions, [(1, I32)])
    return module(types(func_type()), section(3, u(count) + b"\x00" * count), start_export(),
                  section(10, u(count) + one * count))


def many_types(count):
    return module(section(1, u(count) + func_type() * count), functions(0), start_export(), code(body(b"")))


def many_different_types(count):
    """Types that all differ, so that none can be shared."""
    kinds = (I32, I64, F32, F64)
    different = b"".join(func_type([kinds[(i >> shift) & 3] for shift in range(0, 18, 2)]) for i in range(count))
    return module(section(1, u(count) + different))


def many_imports(count, long=0):
    one = b"".join(name("env") + name(f"f{i}" + "x" * long) + b"\x00\x00" for i in range(count))
    return module(types(func_type()), section(2, u(count) + one))


def wasi_imports(count):
    """The same permitted import again and again."""
    one = name("wasi_snapshot_preview1") + name("sched_yield") + b"\x00\x00"
    return module(types(func_type((), (I32,))), section(2, u(count) + one * count))


def many_exports(count, long=0):
    one = b"".join(name(f"e{i}" + "x" * long) + b"\x00\x00" for i in range(count))
    return module(types(func_type()), functions(0), section(7, u(count) + one), code(body(b"")))


def many_globals(count):
    return module(section(6, u(count) + b"\x7f\x01\x41\x00\x0b" * count))


def many_elements(segments, each):
    table = section(4, b"\x01\x70\x00" + u(1))
    segment = b"\x01\x00" + u(each) + b"\x00" * each
    return module(types(func_type()), functions(0), table, section(9, u(segments) + segment * segments),
                  code(body(b"")))


def big_table(entries):
    return module(section(4, b"\x01\x70\x00" + u(entries)))


def many_tables(count):
    return module(section(4, u(count) + b"\x70\x00\x0a" * count))


def many_memories(count, pages=1):
    return module(section(5, u(count) + (b"\x00" + u(pages)) * count))


def big_memory(pages):
    return module(memory(pages))


def many_data(segments):
    return module(memory(), section(11, u(segments) + b"\x00\x41\x00\x0b\x01x" * segments))


def big_data(size):
    return module(memory(1 + size // 65536), section(11, b"\x01\x00\x41\x00\x0b" + u(size) + b"\xa5" * size))


def sparse_data(segments):
    """One byte in each page of 4 GiB: an image of it would be as large."""
    one = b"".join(b"\x00\x41" + s(((i * 65536 * 16) ^ (1 << 31)) - (1 << 31)) + b"\x0b\x01x" for i in range(segments))
    return module(memory(65536), section(11, u(segments) + one))


def many_custom_sections(count):
    return module(section(0, name("x")) * count)


def long_names(count, size):
    names = b"".join(name("n" * size) + name("m" * size) + b"\x00\x00" for _ in range(count))
    return module(types(func_type()), section(2, u(count) + names))


def function_names(count, size):
    """A name section of which a backtrace would be made."""
    names = b"".join(u(i) + name("n" * size) for i in range(count))
    one = body(b"")
    return module(types(func_type()), section(3, u(count) + b"\x00" * count), start_export(),
                  section(10, u(count) + one * count),
                  section(0, name("name") + b"\x01" + u(len(u(count) + names)) + u(count) + names))


def constant_expression(count):
    return module(section(6, b"\x01\x7f\x00" + i32(1) + (i32(1) + ADD) * count + END))


# ---- exceptions, references, GC ---------------------------------------------------------------------------------

def many_tags(count):
    return module(types(func_type()), section(13, u(count) + b"\x00\x00" * count))


def many_catches(tries, catches):
    """try_table with as many clauses as there are tags."""
    tags = section(13, u(catches) + b"\x00\x00" * catches)
    clauses = u(catches) + b"".join(b"\x00" + u(i) + b"\x00" for i in range(catches))
    inner = (b"\x02\x40\x1f\x40" + clauses + b"\x10\x00" + END + END) * tries
    return module(types(func_type()), functions(0), tags, start_export(), code(body(inner)))


def nested_tries(depth):
    tag = section(13, b"\x01\x00\x00")
    return module(types(func_type()), functions(0), tag, start_export(),
                  code(body(b"\x1f\x40\x01\x02\x00" * depth + b"\x10\x00" + END * depth)))


def recursive_group(count):
    """One group of structures that name one another."""
    one = b"".join(b"\x5f\x02" + b"\x63" + s((i + 1) % count) + b"\x01" + b"\x63" + s((i * 7) % count) + b"\x01"
                   for i in range(count))
    return module(section(1, b"\x01\x4e" + u(count) + one))


def wide_structs(count, fields):
    return module(section(1, u(count) + (b"\x5f" + u(fields) + b"\x7f\x01" * fields) * count))


def subtype_chain(depth):
    """Each a subtype of the one before, with one field more."""
    one = b"".join(b"\x50" + (u(1) + u(i - 1) if i else u(0)) + b"\x5f" + u(i + 1) + b"\x7f\x01" * (i + 1)
                   for i in range(depth))
    return module(section(1, u(depth) + one))


def casts(count, depth):
    chain = b"".join(b"\x50" + (u(1) + u(i - 1) if i else u(0)) + b"\x5f\x00" for i in range(depth))
    step = b"".join(b"\xd0\x6e" + b"\xfb\x15" + s(i % depth) + DROP for i in range(count))
    return module(section(1, u(depth + 1) + chain + func_type()), functions(depth), start_export(),
                  code(body(step)))


def array_literals(count, each):
    kinds = b"\x5e\x7f\x01" + func_type()
    step = (i32(1) * each + b"\xfb\x08\x00" + u(each) + DROP) * count
    return module(section(1, b"\x02" + kinds), functions(1), start_export(), code(body(step)))


def array_in_constant(each):
    kinds = b"\x5e\x7f\x01"
    return module(section(1, b"\x01" + kinds),
                  section(6, b"\x01\x64\x00\x00" + i32(1) * each + b"\xfb\x08\x00" + u(each) + END))


# ---- components -------------------------------------------------------------------------------------------------

HEAD = b"\0asm\x0d\0\1\0"


def nested_components(depth):
    out = HEAD
    for _ in range(depth):
        out = HEAD + section(4, out)
    return out


def many_modules(count):
    """A component with as many core modules inside."""
    return HEAD + section(1, module()) * count


def modules_of_functions(count, each):
    return HEAD + section(1, many_functions(each, GET(0) + i32(1) + ADD + SET(0))) * count


def core_instances(count):
    return HEAD + section(1, module()) + section(2, u(count) + b"\x00\x00\x00" * count)


def tuple_tower(depth, width):
    """A tuple of so many of the type before it: it has width^depth members."""
    one = b"\x01\x6f\x02\x7f\x7f"
    out = HEAD + section(7, one)
    for i in range(depth):
        out += section(7, b"\x01\x6f" + u(width) + u(i) * width)
    return out


def component_types(count):
    return HEAD + section(7, u(count) + b"\x7f" * count)


def instance_type_tower(depth):
    """Instance types that each hold two of the one before."""
    inner = b"\x42\x00"
    out = section(7, b"\x01" + inner)
    for i in range(depth):
        exports = b"".join(b"\x04\x00" + name(f"e{i}-{j}") + b"\x05\x00" for j in range(2))
        alias = b"\x02\x03\x02\x01" + u(i)
        out += section(7, b"\x01\x42" + u(3) + alias + exports)
    return HEAD + out


def component_imports(count):
    one = b"".join(b"\x00" + name(f"pkg:iface/i{i}@1.0.0") + b"\x05\x00" for i in range(count))
    return HEAD + section(7, b"\x01\x42\x00") + section(10, u(count) + one)


def record_fields(count):
    fields = b"".join(name(f"f{i}") + b"\x7f" for i in range(count))
    return HEAD + section(7, b"\x01\x72" + u(count) + fields)


# ---- the list ---------------------------------------------------------------------------------------------------

SUM = GET(0) + GET(1) + ADD + SET(0)

BOMBS = {
    "blocks-deep-10k": lambda: nested(0x02, 10_000),
    "blocks-deep-1m": lambda: nested(0x02, 1_000_000),
    "loops-deep-1m": lambda: nested(0x03, 1_000_000),
    "ifs-deep-500k": lambda: nested(0x04, 500_000, i32(1)),
    "block-values-500k": lambda: nested_values(500_000),
    "br-table-1m": lambda: branch_table(1_000_000),
    "br-table-7m": lambda: branch_table(7_500_000),
    "br-tables-1000x7000": lambda: branch_table(7_000, 1_000),
    "br-table-deep-100k": lambda: branch_table_deep(100_000),
    "branches-out-300k": lambda: branches_out(300_000, 100),
    "loops-of-1000-locals": lambda: loops_of_locals(500, 1_000),
    "nested-loops-of-locals": lambda: nested_loops_of_locals(400, 1_000),
    "dead-code-7m": lambda: dead_code(FUNCTION_BYTES),
    "early-returns-1m": lambda: early_returns(1_000_000),
    "function-7m-add": lambda: straight(SUM, FUNCTION_BYTES),
    "function-8m-too-large": lambda: straight(SUM, 8_000_000),
    "function-7m-divide": lambda: straight(GET(0) + GET(1) + b"\x6d" + SET(0), FUNCTION_BYTES),
    "function-7m-select": lambda: straight(GET(0) + GET(1) + GET(0) + b"\x1b" + SET(0), FUNCTION_BYTES),
    "function-7m-float": lambda: straight(GET(0) + GET(1) + b"\xa2" + b"\x9f" + SET(0), FUNCTION_BYTES, F64),
    "function-7m-nops": lambda: straight(b"\x01", FUNCTION_BYTES),
    "doubling-1m": lambda: doubling(1_000_000),
    "rewritable-450k": lambda: rewritable(450_000),
    "live-values-100k": lambda: many_live(100_000),
    "live-values-900k": lambda: many_live(900_000),
    "live-floats-500k": lambda: many_live_floats(500_000),
    "calls-of-1000-arguments": lambda: calls(3_000, 1_000),
    "calls-of-1000-results": lambda: wide_results(3_000, 1_000),
    "blocks-of-1000-values": lambda: wide_blocks(100_000, 1_000),
    "loads-far-500k": lambda: loads(500_000),
    "indirect-calls-1m": lambda: indirect_calls(1_000_000),
    "bulk-memory-600k": lambda: bulk_memory(600_000),
    "constants-700k": lambda: constants(700_000),
    "locals-50k": lambda: locals_only(50_000),
    "locals-too-many": lambda: locals_only(4_000_000_000),
    "local-groups-50k": lambda: local_groups(50_000),
    "shuffles-300k": lambda: shuffles(300_000),
    "vectors-live-300k": lambda: vectors_live(300_000),
    "vector-chain-500k": lambda: vector_chain(500_000),
    "functions-1m": lambda: many_functions(1_000_000),
    "functions-too-many": lambda: many_functions(1_500_000),
    "functions-100k-busy": lambda: many_functions(100_000, SUM.replace(GET(1), GET(0)) * 40),
    "types-1m": lambda: many_types(1_000_000),
    "types-all-differ-250k": lambda: many_different_types(250_000),
    "imports-1m": lambda: many_imports(1_000_000),
    "imports-long-1000": lambda: many_imports(1_000, 99_000),
    "wasi-imports-900k": lambda: wasi_imports(900_000),
    "exports-1m": lambda: many_exports(1_000_000),
    "exports-long-600": lambda: many_exports(600, 99_000),
    "globals-1m": lambda: many_globals(1_000_000),
    "elements-100k": lambda: many_elements(100_000, 1),
    "elements-10m": lambda: many_elements(1, 10_000_000),
    "table-10m": lambda: big_table(10_000_000),
    "table-4g": lambda: big_table(4_294_967_295),
    "tables-100": lambda: many_tables(100),
    "tables-100k": lambda: many_tables(100_000),
    "memories-100": lambda: many_memories(100, 65_536),
    "memories-100k": lambda: many_memories(100_000),
    "memory-4g": lambda: big_memory(65_536),
    "data-100k": lambda: many_data(100_000),
    "data-60m": lambda: big_data(60 * MIB),
    "data-sparse": lambda: sparse_data(4_000),
    "custom-sections-5m": lambda: many_custom_sections(5_000_000),
    "names-long": lambda: long_names(300, 99_000),
    "function-names-100k": lambda: function_names(100_000, 300),
    "constant-expression-2m": lambda: constant_expression(2_000_000),
    "tags-1m": lambda: many_tags(1_000_000),
    "catches-1000x1000": lambda: many_catches(1_000, 1_000),
    "tries-deep-500k": lambda: nested_tries(500_000),
    "gc-group-1m": lambda: recursive_group(1_000_000),
    "gc-structs-10000-fields": lambda: wide_structs(1_000, 10_000),
    "gc-subtypes-63": lambda: subtype_chain(63),
    "gc-subtypes-too-deep": lambda: subtype_chain(2_000),
    "gc-casts-1m": lambda: casts(900_000, 60),
    "gc-arrays-300x10000": lambda: array_literals(300, 10_000),
    "gc-array-constant-1m": lambda: array_in_constant(1_000_000),
    "components-deep-1000": lambda: nested_components(1_000),
    "component-of-100k-modules": lambda: many_modules(100_000),
    "component-of-busy-modules": lambda: modules_of_functions(100, 20_000),
    "component-instances-100k": lambda: core_instances(100_000),
    "component-tuples-2^60": lambda: tuple_tower(60, 2),
    "component-tuples-1000^5": lambda: tuple_tower(5, 1_000),
    "component-types-1m": lambda: component_types(1_000_000),
    "component-instance-types-2^100": lambda: instance_type_tower(100),
    "component-imports-100k": lambda: component_imports(100_000),
    "component-record-100k": lambda: record_fields(100_000),
}

# One of every family, each of which ends in seconds: for every run of the tests.
QUICK = ("blocks-deep-1m", "br-tables-1000x7000", "blocks-of-1000-values", "calls-of-1000-arguments",
         "indirect-calls-1m", "shuffles-300k", "imports-1m", "elements-10m", "constant-expression-2m",
         "tries-deep-500k", "gc-array-constant-1m", "component-tuples-2^60")


def main(arguments):
    if not arguments or arguments[0].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 2
    folder = pathlib.Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    for chosen in arguments[1:] or BOMBS:
        (folder / f"{chosen}.wasm").write_bytes(BOMBS[chosen]())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
