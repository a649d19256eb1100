"""Headers of objects, read by a process of its own, which alone ends where a compiled library crashes.

Workers that die while they decode are replaced by their engine. Headers are read by the coordinator, whose
death would end the command; so it has another process read them. That one lives as long as it does.
"""

from __future__ import annotations

import atexit
import json
import os
import selectors
import signal
import struct
import subprocess
import sys
import threading
from contextlib import suppress
from typing import IO, Any

from scaledec.archive.pieces import HeaderSpan
from scaledec.errors import UnreadableInputError
from scaledec.vocabulary import ChannelId

__all__ = ["HeaderReader", "scan_headers", "serve"]

_LENGTHS = struct.Struct("<QQ")
_LENGTH = struct.Struct("<Q")
# Headers alone are read at hundreds of MB/s.
_LONGEST_S = 300.0
_SLOWEST_BYTES_PER_S = 1_000_000


def scan_headers(data: bytes, name: str) -> list[HeaderSpan]:
    """As :func:`.miniseed.scan_headers`; a crash or a hang there is one more reason not to be readable.

    Raises
    ------
    UnreadableInputError
        If no record can be read.
    """
    return _reader.scan(data, name)


class HeaderReader:
    """The other process: started when it is first needed, and again when it has died. Threads may share it.

    Parameters
    ----------
    longest_s
        After which a process that says nothing is ended, beside a second for each MB.
    """

    def __init__(self, longest_s: float = _LONGEST_S) -> None:
        self._longest_s = longest_s
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def scan(self, data: bytes, name: str) -> list[HeaderSpan]:
        """See :func:`scan_headers`."""
        with self._lock:
            reply = self._ask(data, name)
        if "error" in reply:
            raise UnreadableInputError(str(reply["error"]))
        return [HeaderSpan(ChannelId.parse(channel), *rest) for channel, *rest in reply["spans"]]

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def _ask(self, data: bytes, name: str) -> dict[str, Any]:
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        told = name.encode()
        try:
            process.stdin.write(_LENGTHS.pack(len(told), len(data)) + told)
            process.stdin.write(data)
            process.stdin.flush()
            if _answers(process.stdout, self._longest_s + len(data) / _SLOWEST_BYTES_PER_S):
                (length,) = _LENGTH.unpack(process.stdout.read(_LENGTH.size))
                return dict(json.loads(process.stdout.read(length)))
        except (OSError, ValueError, struct.error) as error:
            code = process.wait(timeout=10)
            raise self._ended(name, f"ended with code {code}, by a fault of a compiled library") from error
        except BaseException:
            self.close()  # half a question or half an answer is in the pipes
            raise
        raise self._ended(name, "made no progress and was ended")

    def _ended(self, name: str, what: str) -> UnreadableInputError:
        self.close()
        return UnreadableInputError(f"{name}: the process that read its headers {what}")

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._process = subprocess.Popen(
                [sys.executable, "-c", f"from {__name__} import serve; serve()"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                # It finds modules where this process does.
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        return self._process


def serve() -> None:
    """What the other process does: answer until nobody asks any more."""
    from scaledec.archive import miniseed

    # Ctrl-C goes to every process of the terminal; this one ends when its questions do.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # what libraries print must not get among the answers
    while lengths := source.read(_LENGTHS.size):
        n_name, n_data = _LENGTHS.unpack(lengths)
        name, data = source.read(n_name).decode(), source.read(n_data)
        try:
            spans = miniseed.scan_headers(data, name)
            reply: dict[str, object] = {
                "spans": [[str(s.channel), s.start_ns, s.end_ns, s.sampling_rate_hz] for s in spans]
            }
        except UnreadableInputError as error:
            reply = {"error": str(error)}
        answer = json.dumps(reply).encode()
        with suppress(BrokenPipeError):
            sink.write(_LENGTH.pack(len(answer)) + answer)
            sink.flush()


def _answers(source: IO[bytes], within_s: float) -> bool:
    """Whether anything comes (the end included) within a time."""
    with selectors.DefaultSelector() as selector:
        selector.register(source, selectors.EVENT_READ)
        return bool(selector.select(within_s))


_reader = HeaderReader()
atexit.register(_reader.close)
