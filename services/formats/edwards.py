"""Which 32 bytes are a point that an Ed25519 public key may be (RFC 8032 §5.1.3).

Libraries load any 32 bytes. Guarantees that an encoding is the one of a point on the curve, and that the point is not of
small order: under such a key one signature verifies for any message, so its owner could deny every one.
"""

_P = 2**255 - 19
_D = -121665 * pow(121666, -1, _P) % _P
_ORDER_8_Y = 2707385501144840649318225287225658788936804267575313519463743609750303402022
_SMALL_ORDER_Y = frozenset({0, 1, _P - 1, _ORDER_8_Y, _P - _ORDER_8_Y})


def is_sound(encoded: bytes) -> bool:
    """Whether these 32 bytes are the encoding of a point on edwards25519 whose order is not 1, 2, 4 or 8."""
    y = int.from_bytes(encoded, "little") & (1 << 255) - 1
    return y < _P and y not in _SMALL_ORDER_Y and _has_x(y)


def _has_x(y: int) -> bool:
    # x² = (y² − 1) / (d·y² + 1) has a root where Euler's criterion says so; the denominator is never 0.
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    return pow(square, (_P - 1) // 2, _P) == 1
