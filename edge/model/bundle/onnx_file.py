"""Checks that a file is an ONNX model with all its weights inside, before a runtime sees it.

A tensor may point to another file ("external data"). The runtimes follow the pointer even when
the model was passed as bytes: relative to the working directory, and through hard links
(onnxruntime 1.31, openvino 2026.4). So a crafted model could carry any readable file of the device
into its embeddings. This walk over the protobuf wire format visits every place where a tensor can
be, without the ``onnx`` package, in time linear in the number of fields.
"""

from collections.abc import Iterator

from edge.errors import ModelError

# Message kind -> field number -> kind of the message inside (onnx.proto, IR version 13).
_NESTED: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
_GRAPH = 7  # ModelProto.graph
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14  # of TensorProto

_VARINT, _I64, _LEN, _I32 = 0, 1, 2, 5

# A CLIP ViT-L text tower has some 20,000; a file of nothing but tiny fields would cost minutes.
_MAX_FIELDS = 2_000_000


def check_self_contained(model: bytes, name: str) -> None:
    """Refuse a model with external data, and a file that is no ONNX model.

    Args:
        model: The serialized model.
        name: Name of the file, for the message.

    Raises:
        ModelError: The file is no protobuf, has no graph, has more fields than any real model, or
            has a tensor whose data is in another file.
    """
    view = memoryview(model)
    pending = [("model", view)]
    fields = 0
    graphs = 0
    try:
        while pending:
            kind, message = pending.pop()
            nested = _NESTED[kind]
            for number, value in _fields(message):
                fields += 1
                if fields > _MAX_FIELDS:
                    raise ModelError(
                        f"{name}: expected at most {_MAX_FIELDS} protobuf fields, found more"
                    )
                if kind == "tensor" and (
                    number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value)
                ):
                    raise ModelError(
                        f"{name}: expected all weights inside the model, found a tensor with "
                        "external data; export it as one file"
                    )
                if number in nested and isinstance(value, memoryview):
                    pending.append((nested[number], value))
                    graphs += kind == "model" and number == _GRAPH
    except _MalformedError as exc:
        raise ModelError(f"{name}: expected an ONNX model, found {exc}") from exc
    if graphs != 1:
        raise ModelError(f"{name}: expected an ONNX model with one graph, found {graphs}")


class _MalformedError(Exception):
    pass


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield (field number, value); a value is an int, or the bytes of a length-delimited field."""
    at, end = 0, len(message)
    while at < end:
        tag, at = _varint(message, at)
        number, wire = tag >> 3, tag & 7
        size = 0
        if wire == _VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        if wire == _LEN:
            size, at = _varint(message, at)
        elif wire in (_I64, _I32):
            size = 8 if wire == _I64 else 4
        else:  # groups: ONNX has none
            raise _MalformedError(f"wire type {wire} at byte {at} of a message")
        if number == 0 or at + size > end:
            raise _MalformedError(f"a field of {size} bytes where {end - at} are left")
        yield number, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            raise _MalformedError("a number cut off at the end of a message")
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise _MalformedError("a number of more than ten bytes")
