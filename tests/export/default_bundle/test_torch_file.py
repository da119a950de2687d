"""The reader of weight files: exact on honest ones, and nothing to be had from the others."""

import pickle
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge.errors import ModelError
from export.default_bundle.torch_file import read_state_dict

MAGIC = 0x1950A86A20F9469CFC6C
REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"
EMPTY_DICT = b"ccollections\nOrderedDict\n)R"


def plain(value: object) -> bytes:
    """The opcodes that push ``value``, without a pickle's head and tail."""
    return pickle.dumps(value, protocol=2)[2:-1]


def whole(opcodes: bytes) -> bytes:
    return b"\x80\x02" + opcodes + b"."


def storage(key: str, kind: bytes = b"torch\nFloatStorage") -> bytes:
    rest = plain(key) + plain("cpu") + plain(0) + plain(None)
    return b"(" + plain("storage") + b"c" + kind + b"\n" + rest + b"tQ"


def tensor(
    source: bytes, offset: object, shape: object, stride: object, rebuild: bytes = REBUILD
) -> bytes:
    numbers = plain(offset) + plain(shape) + plain(stride)
    return rebuild + b"(" + source + numbers + plain(False) + EMPTY_DICT + b"tR"


def state(**tensors: bytes) -> bytes:
    items = b"".join(plain(name) + opcodes for name, opcodes in tensors.items())
    return whole(EMPTY_DICT + b"(" + items + b"u")


def file(
    tensors: bytes, storages: dict[str, np.ndarray] | None = None, magic: int = MAGIC
) -> bytes:
    """A file as ``torch.save`` wrote it before 1.6, with this pickle of the state dict."""
    storages = storages or {}
    head = [pickle.dumps(value, protocol=2) for value in (magic, 1001, {"little_endian": True})]
    raw = [struct.pack("<q", values.size) + values.tobytes() for values in storages.values()]
    return b"".join([*head, tensors, pickle.dumps(list(storages), protocol=2), *raw])


SIX = np.arange(6, dtype=np.float32)
GOOD = file(
    state(
        weight=tensor(storage("0"), 0, (2, 3), (3, 1)),
        turned=tensor(storage("0"), 0, (3, 2), (1, 3)),
        tail=tensor(storage("0"), 4, (2,), (1,)),
        steps=tensor(storage("1", b"torch\nLongStorage"), 0, (), ()),
    ),
    {"0": SIX, "1": np.array([7], np.int64)},
)


def test_tensors_come_out_with_their_shape_order_and_type() -> None:
    tensors = read_state_dict(GOOD)
    assert {name: values.tolist() for name, values in tensors.items()} == {
        "weight": [[0, 1, 2], [3, 4, 5]],
        "turned": [[0, 3], [1, 4], [2, 5]],
        "tail": [4, 5],
        "steps": 7,
    }
    assert {str(values.dtype) for values in tensors.values()} == {"float32", "int64"}


@pytest.mark.parametrize("place", range(5))
def test_a_pickle_that_calls_the_shell_is_refused_wherever_it_stands(
    tmp_path: Path, place: int
) -> None:
    proof = tmp_path / "executed"
    call = whole(b"cos\nsystem\n" + plain(f"touch {proof}") + b"\x85R")
    preamble: list[Any] = [MAGIC, 1001, {}]
    honest: list[bytes] = [
        *(pickle.dumps(value, protocol=2) for value in preamble),
        state(weight=tensor(storage("0"), 0, (6,), (1,))),
        pickle.dumps(["0"], protocol=2),
    ]
    pickles = [call if index == place else honest[index] for index in range(5)]

    with pytest.raises(ModelError, match=r"asks for os\.system: not a tensor"):
        read_state_dict(b"".join(pickles) + struct.pack("<q", 6) + SIX.tobytes())
    assert not proof.exists()
    pickle.loads(call)
    assert proof.exists(), "the pickle does what it threatens"


@pytest.mark.parametrize(
    "name",
    [
        "builtins\neval",
        "builtins\ngetattr",
        "posix\nsystem",
        "collections\ndefaultdict",
        "torch\nHalfStorage",
        "torch\nload",
        "torch._utils\n_rebuild_parameter",
        "torch.nn.modules.module\nModule",
        "edge.errors\nModelError",
    ],
)
def test_every_name_but_four_is_refused(name: str) -> None:
    asked = b"c" + name.encode() + b"\n"
    with pytest.raises(ModelError, match=name.replace("\n", r"\.")):
        read_state_dict(file(state(weight=tensor(storage("0"), 0, (6,), (1,), asked))))


@pytest.mark.parametrize("target", [REBUILD, b"ccollections\nOrderedDict\n", EMPTY_DICT])
def test_a_pickle_cannot_change_what_it_is_read_with(target: bytes) -> None:
    # BUILD with a pair sets attributes: on a class, of every later reader in this process.
    poison = target + plain((None, {"__call__": "gone", "array": "gone"})) + b"b0"
    with pytest.raises(ModelError, match="The weight file"):
        read_state_dict(file(whole(poison + state(x=plain(1))[2:-1])))
    assert read_state_dict(GOOD)["tail"].tolist() == [4, 5]


def test_a_few_bytes_cannot_claim_all_memory() -> None:
    bomb = whole(plain("x") + b"r\xff\xff\xff\x7f")
    tracemalloc.start()
    with pytest.raises(ModelError, match="numbers an object 2147483647"):
        read_state_dict(file(bomb))
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


def test_a_file_cut_off_anywhere_is_refused() -> None:
    for length in range(len(GOOD)):
        with pytest.raises(ModelError):
            read_state_dict(GOOD[:length])


@pytest.mark.parametrize(
    ("offset", "shape", "stride"),
    [
        (1, (6,), (1,)),
        (0, (7,), (1,)),
        (-1, (6,), (1,)),
        (6, (), ()),
        (0, (2, 3), (4, 1)),
        (0, (-3, -2), (1, 1)),
        (5, (6,), (-1,)),
        (0, (2**40,), (0,)),
        (0, (2, 2**62), (2**62, 0)),
        (0, (1,), (2**62,)),
        (0, (2, 3), (1,)),
        (0.5, (2,), (1,)),
        (0, ("2",), (1,)),
        (0, 6, 1),
        (None, (6,), (1,)),
        (True, (6,), (1,)),
    ],
)
def test_a_tensor_beyond_its_storage_is_refused(
    offset: bool | float | None, shape: Any, stride: Any
) -> None:
    with pytest.raises(ModelError):
        read_state_dict(file(state(x=tensor(storage("0"), offset, shape, stride)), {"0": SIX}))


@pytest.mark.parametrize(
    "tensors",
    [
        pickle.dumps([1, 2], protocol=2),
        state(x=plain(1)),
        whole(EMPTY_DICT + b"(" + plain(1) + tensor(storage("0"), 0, (6,), (1,)) + b"u"),
        state(x=tensor(plain("no storage"), 0, (6,), (1,))),
        state(x=tensor(storage("9"), 0, (6,), (1,))),
        state(x=tensor(b"(" + plain("module") + plain("a") + plain("b") + b"tQ", 0, (6,), (1,))),
        state(x=tensor(b"(" + plain("storage") + plain("x") + plain("0") + b"tQ", 0, (6,), (1,))),
    ],
    ids=["list", "number", "name", "no storage", "absent", "module", "type"],
)
def test_anything_but_tensors_by_name_is_refused(tensors: bytes) -> None:
    with pytest.raises(ModelError):
        read_state_dict(file(tensors, {"0": SIX}))


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", file(state(), magic=1)])
def test_another_format_is_named(data: bytes) -> None:
    with pytest.raises(ModelError, match="torch"):
        read_state_dict(data)


@given(st.binary(max_size=200))
def test_no_bytes_lead_to_another_error(data: bytes) -> None:
    with pytest.raises(ModelError):
        read_state_dict(data)


@given(
    st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), min_size=1, max_size=4)
)
@example([(93, 92)])  # a backslash in a name: Python warns of the escape
def test_a_damaged_file_is_read_or_refused_and_nothing_else(changes: list[tuple[int, int]]) -> None:
    damaged = bytearray(GOOD)
    for position, value in changes:
        damaged[position] = value
    try:
        tensors = read_state_dict(bytes(damaged))
    except ModelError:
        pass
    else:
        assert all(isinstance(values, np.ndarray) for values in tensors.values())
