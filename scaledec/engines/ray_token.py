"""The token that a Ray cluster asks its clients for, read where Ray itself reads it. It is never printed."""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from pathlib import Path

from scaledec.errors import EngineError

__all__ = ["HOW_TO_GIVE_TOKEN", "ensure_token", "find_token"]

HOW_TO_GIVE_TOKEN = (
    "put the cluster's token into RAY_AUTH_TOKEN, or into a file named by RAY_AUTH_TOKEN_PATH, "
    "or into ~/.ray/auth_token"
)


def find_token() -> str | None:
    """The token of this user's environment, or None.

    The order is Ray's: RAY_AUTH_TOKEN, the file RAY_AUTH_TOKEN_PATH, ~/.ray/auth_token.

    Raises
    ------
    EngineError
        If RAY_AUTH_TOKEN_PATH names a file that cannot be read.
    """
    if token := os.environ.get("RAY_AUTH_TOKEN", "").strip():
        return token
    if named := os.environ.get("RAY_AUTH_TOKEN_PATH"):
        try:
            return Path(named).read_text(encoding="utf-8").strip() or None
        except (OSError, UnicodeDecodeError) as error:
            raise EngineError(
                f"cannot read Ray's token from {named} (RAY_AUTH_TOKEN_PATH): {error}; {HOW_TO_GIVE_TOKEN}"
            ) from error
    try:
        return _default_path().read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError, RuntimeError):  # RuntimeError: this user has no home folder
        return None


def ensure_token() -> None:
    """Make a token for a session on this machine where the user has none.

    Ray would write one itself, readable by every user of the machine, and two sessions that start at the
    same moment would overwrite each other's. This one is readable by its owner only, and appears whole.
    Where the home folder cannot be written, the token lives in this process's environment.
    """
    if find_token() is not None:
        return
    token = secrets.token_hex(32)
    try:
        _publish(token, _default_path())
    except (OSError, RuntimeError):
        os.environ["RAY_AUTH_TOKEN"] = token


def _default_path() -> Path:
    return Path.home() / ".ray" / "auth_token"


def _publish(token: str, path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # mkstemp makes files of mode 600; link fails where another session was first, whose token then counts.
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix="auth_token.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(token)
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(partial)
    finally:
        Path(partial).unlink()
