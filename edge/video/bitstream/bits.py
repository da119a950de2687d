"""Reads the bits of a NAL unit, as H.264 and H.265 write them."""


class Bits:
    """Bits of a NAL unit, from its first byte on.

    Args:
        data: The unit, or its beginning, without a start code.

    A read beyond the end raises ``ValueError``.
    """

    def __init__(self, data: bytes) -> None:
        plain = data.replace(b"\0\0\3", b"\0\0")  # emulation prevention (H.264, 7.4.1)
        self._value = int.from_bytes(plain, "big")
        self._left = 8 * len(plain)

    def u(self, count: int) -> int:
        """Read an unsigned number of ``count`` bits."""
        left = self._left - count
        if left < 0:
            raise ValueError("a NAL unit ends within a number")
        self._left = left
        return (self._value >> left) & ((1 << count) - 1)

    def flag(self) -> bool:
        """Read one bit."""
        return self.u(1) == 1

    def ue(self) -> int:
        """Read an unsigned Exp-Golomb number."""
        rest = self._value & ((1 << self._left) - 1)
        zeros = self._left - rest.bit_length()
        self._left -= zeros
        return self.u(zeros + 1) - 1

    def se(self) -> int:
        """Read a signed Exp-Golomb number."""
        number = self.ue()
        return (number + 1) // 2 if number & 1 else -(number // 2)

    def ues(self, count: int) -> None:
        """Skip ``count`` Exp-Golomb numbers; signed ones are as long."""
        for _ in range(count):
            self.ue()

    def count(self, largest: int) -> int:
        """Read an unsigned Exp-Golomb number that is at most ``largest``."""
        number = self.ue()
        if number > largest:
            raise ValueError(f"a NAL unit counts to {number}, expected at most {largest}")
        return number
