"""What the files that `strongroom connector` writes stand on."""

from __future__ import annotations

from typing import Any, Callable, Dict, Mapping, Optional

from ._records import Run
from ._runs import Limits, On, tell_pending
from ._station import Station


class _Unset:
    def __repr__(self) -> str:
        return "UNSET"


#: An argument that is not sent, so that the function's own default counts.
UNSET: Any = _Unset()


def given(args: Mapping[str, Any], more: Optional[Mapping[str, Any]] = None) -> Dict[str, Any]:
    """The arguments that were given. Raises `TypeError` for one that is given twice."""
    found = {name: value for name, value in args.items() if value is not UNSET}
    for name in more or {}:
        if name in args:
            raise TypeError(f"the argument {name!r} has a parameter of its own")
    return {**found, **(more or {})}


def call(
    function: str,
    *,
    on: On = None,
    args: Optional[Mapping[str, Any]] = None,
    station: Optional[Station] = None,
    limits: Optional[Limits] = None,
    purpose: str = "",
    expose: Optional[str] = None,
    key: Optional[str] = None,
    timeout: Optional[float] = None,
    on_pending: Optional[Callable[[Run], None]] = tell_pending,
) -> Any:
    """Calls a function on `station`, or on the one that this user is logged in to.

    What it takes and raises is said at `Station.run`.
    """
    if station is None:
        with Station() as own:
            return call(
                function,
                on=on,
                args=args,
                station=own,
                limits=limits,
                purpose=purpose,
                expose=expose,
                key=key,
                timeout=timeout,
                on_pending=on_pending,
            )
    return station.call(
        function,
        on,
        args,
        limits=limits,
        purpose=purpose,
        expose=expose,
        key=key,
        timeout=timeout,
        on_pending=on_pending,
    )
