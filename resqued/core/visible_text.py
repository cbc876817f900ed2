"""Text from Redis in the form in which a page may show it."""

from __future__ import annotations

import re

# Control characters but tab and line feed; marks that change the direction of the text
# around them or cannot be seen; surrogates, which have no UTF-8.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e"
    "\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)


def visible(text: str) -> str:
    r"""Return the text with hidden characters as escapes, such as \u202e."""
    return _HIDDEN.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def shortened(text: str, most: int) -> str:
    """Return the text, cut at `most` characters with an ellipsis."""
    return text if len(text) <= most else f"{text[:most]}…"


def bytes_of(text: str) -> bytes:
    """Return the bytes that a text was made of.

    Text from Redis keeps bytes that are not UTF-8 as half characters (PEP 383). JSON
    can name other halves, which are kept as they are.
    """
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
