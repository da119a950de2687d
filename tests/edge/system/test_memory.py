"""Free memory goes back to the system."""

import subprocess
import sys

SCRIPT = """
import ctypes, sys
from edge.system.memory import give_back
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
SIZE, COUNT = 64 * 1024, 1600  # below the size from which the C library maps memory apart
pieces = [libc.malloc(SIZE) for _ in range(COUNT)]
for piece in pieces:
    ctypes.memset(piece, 1, SIZE)
for piece in pieces[:-1]:  # the last one keeps the heap from shrinking by itself
    libc.free(piece)
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
before = resident()
{call}
print(before - resident())
"""


def freed(call: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(call=call)], check=True, capture_output=True, text=True
    )
    return int(done.stdout)


def test_what_is_free_goes_back() -> None:
    assert freed("give_back()") > 90_000_000
    assert freed("pass") < 1_000_000  # the control
