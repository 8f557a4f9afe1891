"""Which addresses a process listens on, as its kernel tells: all of them, or localhost alone."""

from pathlib import Path

_LISTEN = "0A"
_EVERYWHERE = {"0" * 8, "0" * 32}


def listens_everywhere(pid: int, port: int) -> bool | None:
    """Tell whether a port is open on all addresses; None if it is not open, or nothing is told."""
    found = [
        address
        for name in ("tcp", "tcp6")
        for address, listening in _sockets(Path(f"/proc/{pid}/net/{name}"))
        if listening == port
    ]
    return any(address in _EVERYWHERE for address in found) if found else None


def _sockets(table: Path) -> list[tuple[str, int]]:
    try:
        lines = table.read_text().splitlines()[1:]
    except OSError:
        return []
    rows = [line.split() for line in lines]
    locals_ = [row[1].partition(":") for row in rows if row[3] == _LISTEN]
    return [(address, int(port, 16)) for address, _, port in locals_]
