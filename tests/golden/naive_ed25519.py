"""Ed25519 as RFC 8032 writes it down, slowly, in affine coordinates: the reference of the tests."""

import hashlib

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P

Point = tuple[int, int]
IDENTITY: Point = (0, 1)


def add(a: Point, b: Point) -> Point:
    (x1, y1), (x2, y2) = a, b
    t = D * x1 * x2 * y1 * y2 % P
    x = (x1 * y2 + x2 * y1) * pow(1 + t, -1, P)
    y = (y1 * y2 + x1 * x2) * pow(1 - t, -1, P)
    return x % P, y % P


def times(factor: int, point: Point) -> Point:
    result = IDENTITY
    while factor:
        if factor & 1:
            result = add(result, point)
        point, factor = add(point, point), factor >> 1
    return result


def decode(data: bytes) -> Point:
    """A point; a y of P or more is taken modulo P, which is lenient. ValueError: there is none."""
    number = int.from_bytes(data, "little")
    sign, y = number >> 255, (number & (2**255 - 1)) % P
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    if x * x % P != square:
        raise ValueError("no point")
    return (P - x if x % 2 != sign and x else x), y


BASE = decode((4 * pow(5, -1, P) % P).to_bytes(32, "little"))


def encode(point: Point) -> bytes:
    x, y = point
    return (y | (x % 2) << 255).to_bytes(32, "little")


def _number(*parts: bytes) -> int:
    return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little")


def public(seed: bytes) -> bytes:
    return encode(times(_secret(seed), BASE))


def sign(seed: bytes, message: bytes) -> bytes:
    prefix = hashlib.sha512(seed).digest()[32:]
    r = _number(prefix, message) % ORDER
    point = encode(times(r, BASE))
    s = (r + _number(point, public(seed), message) * _secret(seed)) % ORDER
    return point + s.to_bytes(32, "little")


def _secret(seed: bytes) -> int:
    number = int.from_bytes(hashlib.sha512(seed).digest()[:32], "little")
    return number & (2**254 - 8) | 2**254
