"""Writes test/io/fixture-python.safetensors with the Python library: our writer must produce the same bytes.

Needs `pip install safetensors`. Run from the repository's root. The tests read the committed file and need no Python.
"""

import ctypes
import struct

from safetensors import TensorSpec, serialize

# Every element type and kind of shape, names that sort differently in UTF-8 and UTF-16 or need escapes.
TENSORS = {
    "weight": ("bfloat16", [2, 3], struct.pack("<6H", 0x3F80, 0xBF80, 0x4000, 0x7F80, 0x0001, 0x7FC0)),
    "bias": ("float16", [3], struct.pack("<3H", 0x3C00, 0xBC00, 0x0001)),
    "10": ("float32", [2], struct.pack("<2f", 1.5, -0.0)),
    "9": ("float32", [1, 1, 2], struct.pack("<2I", 0x7FC00000, 0x00000001)),
    "labels": ("int32", [2, 2], struct.pack("<4i", 0, -1, 2**31 - 1, -(2**31))),
    "positions": ("int64", [2], struct.pack("<2q", 2**53 + 1, -(2**63))),
    "loss": ("float64", [], struct.pack("<d", 0.1)),
    "empty": ("float64", [0, 5], b""),
    "__proto__": ("uint8", [3], bytes([0, 127, 255])),
    "quote\"\\\n\x01": ("uint8", [1], b"\x07"),
    "\ue000": ("uint8", [1], b"\x01"),
    "\U0001f600": ("uint8", [1], b"\x02"),
}


def main() -> None:
    buffers = {name: ctypes.create_string_buffer(data, max(1, len(data))) for name, (_, _, data) in TENSORS.items()}
    specs = {
        name: TensorSpec(dtype=dtype, shape=shape, data_ptr=ctypes.addressof(buffers[name]), data_len=len(data))
        for name, (dtype, shape, data) in TENSORS.items()
    }
    with open("test/io/fixture-python.safetensors", "wb") as file:
        file.write(serialize(specs, {"format": "pt"}))


if __name__ == "__main__":
    main()
