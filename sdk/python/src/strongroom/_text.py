"""Text of strangers, made harmless for a terminal.

What a guest or another user wrote may hold characters that move a cursor or
turn the direction of reading. They are spelt out before a person reads them.
"""

from __future__ import annotations

_TURNING = {0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x2028, 0x2029}


def shown(text: str, most: int = 4000) -> str:
    """`text` on one line, in at most `most` characters and a mark."""
    cut = text[:most]
    out = "".join(_spelt(c) for c in cut)
    return out if len(text) <= most else out + "…"


def _spelt(c: str) -> str:
    code = ord(c)
    if (
        c == "\t"
        or (32 <= code < 127)
        or (159 < code and code not in _TURNING and not 0xD800 <= code < 0xE000)
    ):
        return c
    return c.encode("unicode_escape", "surrogatepass").decode("ascii")
