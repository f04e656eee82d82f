"""gdb shows a framegrad tensor as type, sizes, strides and first values.

    (gdb) source scripts/gdb/framegrad_gdb.py
    (gdb) print x
    $1 = Tensor<float, 2> [2, 3] {1, 2, 3, 4, 5, 6}

Values are in logical order; a view shows its strides if it isn't row-major. `set print elements N` limits how many are read.
"""

import re
import struct

import gdb
import gdb.printing

# In the order of fg::Dtype: its name, bytes of an item, and how struct reads one (bf16 by hand).
DTYPES = [("float", 4, "<f"), ("double", 8, "<d"), ("bf16", 2, None), ("half", 2, "<e"),
          ("int32", 4, "<i"), ("int64", 8, "<q"), ("uint8", 1, "<B"), ("bool", 1, "<?")]
DEFAULT_VALUES = 16


def shape(value):
    """fg::Shape -> list of int."""
    return [int(value["n_"]["_M_elems"][i]) for i in range(int(value["rank_"]))]


def row_major(sizes):
    strides, step = [], 1
    for n in reversed(sizes):
        strides.insert(0, step)
        step *= max(n, 1)
    return strides


def item(raw, code):
    if code is None:
        return struct.unpack("<f", b"\0\0" + raw)[0]
    return struct.unpack(code, raw)[0]


def text(x):
    return "%.6g" % x if isinstance(x, float) else str(x)


class ShapePrinter:
    def __init__(self, value):
        self.value = value

    def to_string(self):
        return str(shape(self.value))


class TensorPrinter:
    def __init__(self, value):
        self.value = value

    def base(self):
        """The AnyTensor inside a Tensor<T> or Tensor<T, R>."""
        v = self.value
        while "storage_" not in [f.name for f in v.type.strip_typedefs().fields()]:
            v = v[v.type.strip_typedefs().fields()[0]]
        return v

    def values(self, storage, geometry, sizes, strides, size, code):
        address, offset = int(storage["data_"]), int(geometry["offset"])
        limit = gdb.parameter("print elements") or DEFAULT_VALUES
        count = 1
        for n in sizes:
            count *= n
        found = []
        for i in range(min(count, limit, DEFAULT_VALUES)):
            at, rest = offset, i
            for n, s in zip(reversed(sizes), reversed(strides)):
                at += rest % n * s
                rest //= n
            raw = gdb.selected_inferior().read_memory(address + at * size, size).tobytes()
            found.append(text(item(raw, code)))
        return "{" + ", ".join(found + (["..."] if count > len(found) else [])) + "}"

    def to_string(self):
        name = re.sub(r"fg::(v0_\w+::)?", "", str(self.value.type.unqualified().strip_typedefs()))
        v = self.base()
        if not bool(v["defined_"]):
            return name + " undefined"
        geometry = v["geometry_"]
        sizes, strides = shape(geometry["sizes"]), shape(geometry["strides"])
        dtype, size, code = DTYPES[int(v["dtype_"])]
        parts = [name if name != "AnyTensor" else "AnyTensor(%s)" % dtype, str(sizes)]
        if strides != row_major(sizes):
            parts.append("strides " + str(strides))
        if bool(v["node_"]["_M_ptr"]):
            parts.append("in the graph")
        storage = v["storage_"]["_M_ptr"]
        if not bool(storage):
            parts.append("without memory")
        elif int(storage["device_"]["kind"]) != 0:
            parts.append("not on the CPU")
        else:
            try:
                parts.append(self.values(storage, geometry, sizes, strides, size, code))
            except gdb.MemoryError:
                parts.append("{memory can't be read}")
        return " ".join(parts)


def printers():
    p = gdb.printing.RegexpCollectionPrettyPrinter("framegrad")
    p.add_printer("Tensor", r"^fg::(v0_\w+::)?(Any)?Tensor(<.*>)?$", TensorPrinter)
    p.add_printer("Shape", r"^fg::(v0_\w+::)?Shape$", ShapePrinter)
    return p


gdb.printing.register_pretty_printer(gdb.current_objfile(), printers(), replace=True)
