"""Which station is talked to, and with which token.

What is given comes first, then `STRONGROOM_URL` and `STRONGROOM_TOKEN`, then
what `strongroom login` stored. A stored token is sent to the station that it
was stored for, and to no other.
"""

from __future__ import annotations

import os
import re
from typing import Dict, Optional, Tuple
from urllib.parse import urlsplit

from ._errors import NotLoggedIn

URL_DEFAULT = "http://127.0.0.1:7878"
_LINE = re.compile(r'(url|token) = "([^"\\]*)"')


def found(url: Optional[str], token: Optional[str]) -> Tuple[str, str]:
    """The station's address, without a slash at its end, and the token."""
    url = url or os.environ.get("STRONGROOM_URL") or None
    token = token or os.environ.get("STRONGROOM_TOKEN") or None
    if token is not None:
        stored = {} if url else _stored()
        return checked_url(url or stored.get("url") or URL_DEFAULT), checked_token(token)
    stored = _stored()
    if "token" not in stored or "url" not in stored:
        raise NotLoggedIn(
            "you are not logged in; give a url and a token, set STRONGROOM_URL and "
            "STRONGROOM_TOKEN, or type `strongroom login`"
        )
    if url is not None and checked_url(url) != stored["url"]:
        raise NotLoggedIn(
            f"you are not logged in to {checked_url(url)}; the stored token is for {stored['url']}"
        )
    return checked_url(stored["url"]), checked_token(stored["token"])


def _stored() -> Dict[str, str]:
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    try:
        with open(os.path.join(base, "strongroom", "login.toml"), encoding="utf-8") as file:
            return dict(_LINE.findall(file.read(65536)))
    except FileNotFoundError:
        return {}


def checked_url(raw: str) -> str:
    """An address with a scheme and a host, and nothing after its path."""
    trimmed = raw.rstrip("/")
    if not _is_address(trimmed):
        raise ValueError(f"{raw!r} is not the address of a station, such as {URL_DEFAULT}")
    return trimmed


def _is_address(text: str) -> bool:
    try:
        place = urlsplit(text)
        plain = place.scheme in ("http", "https") and place.hostname and place.port != 0
    except ValueError:
        return False
    more = place.query or place.fragment or "@" in place.netloc
    return bool(plain) and not more and all(32 < ord(c) < 127 for c in text)


def checked_token(raw: str) -> str:
    """A token without what a copy may have put around it."""
    token = raw.strip()
    if not re.fullmatch(r"[A-Za-z0-9_-]+", token):
        # Said without the token: messages end up in logs.
        raise ValueError("a token is one line of letters, digits, `-` and `_`")
    return token
