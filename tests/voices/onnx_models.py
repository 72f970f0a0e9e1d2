"""Small ONNX files, written byte by byte (protocol buffers), so that no further package is needed."""

from collections.abc import Mapping, Sequence
from pathlib import Path

Node = tuple[str, Sequence[str], str, Mapping[str, Sequence[int] | int]]
"""Operator, inputs, output, attributes."""


def write_model(path: Path, nodes: Sequence[Node], *, takes: Sequence[int | str], **metadata: str) -> Path:
    """A model with the input `x` of the shape `takes` and the output of the last node."""
    graph = b"".join(_field(1, _node(*node)) for node in nodes) + _field(2, b"g")
    graph += _field(11, _value("x", takes)) + _field(12, _value(nodes[-1][2], ["a", "b"]))
    model = _field(1, 8) + _field(7, graph) + _field(8, _field(2, 13))
    model += b"".join(
        _field(14, _field(1, key.encode()) + _field(2, value.encode())) for key, value in metadata.items()
    )
    path.write_bytes(model)
    return path


def _node(operator: str, inputs: Sequence[str], output: str, attributes: Mapping[str, Sequence[int] | int]) -> bytes:
    parts = [_field(1, name.encode()) for name in inputs]
    parts += [_field(2, output.encode()), _field(4, operator.encode())]
    for name, value in attributes.items():
        numbers = _field(3, value) if isinstance(value, int) else b"".join(_field(8, number) for number in value)
        kind = 2 if isinstance(value, int) else 7
        parts.append(_field(5, _field(1, name.encode()) + numbers + _field(20, kind)))
    return b"".join(parts)


def _value(name: str, shape: Sequence[int | str]) -> bytes:
    sizes = (_field(1, size) if isinstance(size, int) else _field(2, size.encode()) for size in shape)
    tensor = _field(1, 1) + _field(2, b"".join(_field(1, size) for size in sizes))
    return _field(1, name.encode()) + _field(2, _field(1, tensor))


def _field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    digits = []
    while True:
        value, digit = value >> 7, value & 127
        digits.append(digit | (128 if value else 0))
        if not value:
            return bytes(digits)
