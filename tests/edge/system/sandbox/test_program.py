"""The filter of system calls, run as the kernel runs it, for both processors."""

import ctypes
import errno
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from edge.system.sandbox.calls import (
    ABSENT,
    AUDIT,
    CLOSED,
    FIRST_UNKNOWN,
    JUDGED,
    MACHINES,
    SECCOMP,
    Machine,
    Numbers,
    number,
)
from edge.system.sandbox.program import ALLOW, ERROR, KILL, Step, program

REFUSED = ERROR | errno.EPERM
NO_SUCH_CALL = ERROR | errno.ENOSYS
OURSELVES = 4711
LIBSECCOMP = "libseccomp.so.2"
ALL: dict[str, Numbers] = {**CLOSED, **ABSENT, **JUDGED}


def run(steps: list[Step], data: Mapping[int, int]) -> int:
    """Answer of a filter for a call, whose words are ``data`` by their offset."""
    place, word = 0, 0
    while True:
        step = steps[place]
        place += 1
        match step.code:
            case 0x20:
                word = data.get(step.value, 0)
            case 0x54:
                word &= step.value
            case 0x15:
                place += step.true if word == step.value else step.false
            case 0x35:
                place += step.true if word >= step.value else step.false
            case 0x06:
                return step.value
            case other:
                pytest.fail(f"no such step: {other:#x}")


def answer(machine: Machine, name: str, *arguments: int, local: bool = True) -> int:
    wanted = number(ALL[name], machine)
    assert wanted is not None
    return answer_to(machine, wanted, *arguments, local=local)


def answer_to(machine: Machine, wanted: int, *arguments: int, local: bool = True) -> int:
    data = {0: wanted, 4: AUDIT[machine]}
    for index, value in enumerate(arguments):
        data[16 + 8 * index] = value & 0xFFFFFFFF
        data[20 + 8 * index] = value >> 32
    return run(program(machine, OURSELVES, local=local), data)


@pytest.fixture(params=MACHINES)
def machine(request: pytest.FixtureRequest) -> Machine:
    found: Machine = request.param
    return found


def test_what_is_closed_is_refused_and_what_hides_its_arguments_does_not_exist(
    machine: Machine,
) -> None:
    for name, numbers in CLOSED.items():
        if number(numbers, machine) is not None:
            assert answer(machine, name) == REFUSED, name
    for name in ABSENT:
        assert answer(machine, name) == NO_SUCH_CALL, name


@pytest.mark.parametrize(
    ("name", "numbers"),
    {
        "read": (0, 63), "write": (1, 64), "mmap": (9, 222), "connect": (42, 203), "bind": (49, 200),
        "sendto": (44, 206), "recvfrom": (45, 207), "poll or ppoll": (7, 73), "futex": (202, 98),
        "exit_group": (231, 94), "getrandom": (318, 278), "newfstatat": (262, 79),
    }.items(),
)  # fmt: skip
def test_what_every_process_needs_is_free(machine: Machine, name: str, numbers: Numbers) -> None:
    wanted = number(numbers, machine)
    assert wanted is not None
    assert answer_to(machine, wanted) == ALLOW


@pytest.mark.parametrize(
    ("name", "arguments", "allowed"),
    [
        ("openat", (0, 0, 0o2000000), True),  # O_CLOEXEC
        ("openat", (0, 0, 1), False),
        ("openat", (0, 0, 2), False),
        ("openat", (0, 0, 0o100), False),  # O_CREAT
        ("openat", (0, 0, 0o1000), False),  # O_TRUNC
        ("openat", (0, 0, 0o20200000), False),  # O_TMPFILE
        ("clone", (0x3D0F00,), True),  # pthread_create
        ("clone", (17,), False),  # fork
        ("clone", (0x3D0F00 | 0x20000000,), False),  # with a PID namespace
        ("kill", (OURSELVES, 10), True),
        ("kill", (OURSELVES + 1, 0), False),
        ("kill", (0, 9), False),
        ("kill", (2**64 - 1, 9), False),  # -1, everybody
        ("tgkill", (OURSELVES, 1, 6), True),
        ("tgkill", (1, 1, 6), False),
        ("prctl", (15,), True),  # the thread's name
        ("prctl", (1, 0), False),  # the signal at the parent's death
        ("prctl", (4, 1), False),  # dumpable
        ("prlimit64", (0, 7, 0), True),
        ("prlimit64", (0, 7, 0x7FFF12345678), False),
        ("prlimit64", (0, 7, 0x7FFF00000000), False),  # its lower half is 0
        ("socket", (2, 1), True),
        ("socket", (10, 2 | 0o2000000), True),
        ("socket", (2, 3), False),  # raw
        ("socket", (16, 2), False),  # netlink
        ("socket", (17, 2), False),  # packets
        ("socket", (38, 5), False),  # the kernel's ciphers
        ("ioctl", (1, 0x5401), True),
        ("ioctl", (1, 0x5412), False),
        ("ioctl", (1, 0xFFFFFFFF00005412), False),  # the kernel sees the lower half
        ("fcntl", (1, 4), True),
        ("fcntl", (1, 8), False),
    ],
)
def test_the_others_are_judged_by_their_arguments(
    machine: Machine, name: str, arguments: tuple[int, ...], allowed: bool
) -> None:
    assert answer(machine, name, *arguments) == (ALLOW if allowed else REFUSED)


def test_the_old_way_to_open_is_judged_too() -> None:
    assert answer("x86_64", "open", 0, 0) == ALLOW
    assert answer("x86_64", "open", 0, 0o101) == REFUSED


@pytest.mark.parametrize(("local", "expected"), [(True, ALLOW), (False, REFUSED)])
def test_services_of_the_machine_are_open_to_whom_they_do_not_obey(
    machine: Machine, local: bool, expected: int
) -> None:
    assert answer(machine, "socket", 1, 1, local=local) == expected


def test_calls_that_are_newer_than_the_tables_do_not_exist(machine: Machine) -> None:
    assert answer_to(machine, FIRST_UNKNOWN) == NO_SUCH_CALL
    assert answer_to(machine, FIRST_UNKNOWN - 1) == ALLOW
    assert answer_to(machine, 0x40000000 | 59) == NO_SUCH_CALL  # execve of x32


def test_a_call_by_another_processors_numbers_ends_the_process(machine: Machine) -> None:
    other = 0x40000003  # 32-bit x86
    assert run(program(machine, OURSELVES, local=True), {0: 11, 4: other}) == KILL


def test_no_filter_is_longer_than_the_kernel_takes(machine: Machine) -> None:
    steps = program(machine, OURSELVES, local=True)
    assert len(steps) <= 4096
    assert all(len(step.packed()) == 8 for step in steps)


@pytest.fixture(scope="module")
def resolve() -> Callable[[Machine, str], int]:
    """Number of a call by libseccomp."""
    try:
        library = ctypes.CDLL(LIBSECCOMP)
    except OSError:
        pytest.skip(f"{LIBSECCOMP} is not installed here: the numbers cannot be compared")
    function = library.seccomp_syscall_resolve_name_arch
    function.argtypes = [ctypes.c_uint32, ctypes.c_char_p]
    return lambda machine, name: int(function(AUDIT[machine], name.encode()))


def test_the_numbers_are_those_of_libseccomp(
    resolve: Callable[[Machine, str], int], machine: Machine
) -> None:
    own: Numbers = (SECCOMP["x86_64"], SECCOMP["aarch64"])
    for name, numbers in {**ALL, "seccomp": own}.items():
        found = resolve(machine, name)
        assert number(numbers, machine) == (found if found >= 0 else None), name


def test_no_number_stands_there_twice(machine: Machine) -> None:
    numbers = [number(numbers, machine) for numbers in ALL.values()]
    known = [one for one in numbers if one is not None]
    assert len(set(known)) == len(known) == len([one for one in known if one < FIRST_UNKNOWN])


HEADER = Path("/usr/include/asm-generic/unistd.h")


@pytest.mark.skipif(not HEADER.exists(), reason="the kernel's headers are not installed here")
def test_the_numbers_of_arm_are_those_of_the_kernels_headers() -> None:
    plain = dict(re.findall(r"#define __NR_(\w+) (\d+)$", HEADER.read_text(), re.MULTILINE))
    assert len(plain) > 200
    for name, numbers in ALL.items():
        if name in plain:
            assert numbers[1] == int(plain[name]), name
