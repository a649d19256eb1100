"""The commented configuration that ``scaledec init`` writes: made from the models, so it cannot go stale."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from scaledec.config.models import Config

__all__ = ["config_template"]

_HEADER = """\
# A scaledec configuration. Every key is listed with its default; delete what you do not change.
# Check it with   scaledec plan THIS_FILE     run it with   scaledec run THIS_FILE
"""


def config_template(*, root: str = "scaledec-output", archive_url: str = "path/to/archive") -> str:
    """YAML text of every key with its default, each under its docstring as a comment.

    Parameters
    ----------
    root, archive_url
        Values written for the two keys that have no default.
    """
    given: dict[str, Any] = {"root": root, "url": archive_url}
    return _HEADER + "\n" + "\n".join(_section(Config, "", given)) + "\n"


def _section(model: type[BaseModel], indent: str, given: dict[str, Any]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        below = _nested_model(field)
        for line in _comment(field, below):
            yield f"{indent}# {line}"
        if below is not None:
            yield f"{indent}{name}:"
            yield from _section(below, indent + "  ", given)
        else:
            value = given[name] if field.is_required() else _default(field)
            yield f"{indent}{name}: {_inline(value)}"
        if not indent:
            yield ""


def _nested_model(field: FieldInfo) -> type[BaseModel] | None:
    annotation: object = field.annotation
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _comment(field: FieldInfo, section: type[BaseModel] | None) -> list[str]:
    text = field.description or (section.__doc__ if section else None) or ""
    return [line.strip() for line in text.strip().splitlines()]


def _default(field: FieldInfo) -> Any:
    """What stands for the default: a default that depends on other keys is left open."""
    extra = field.json_schema_extra
    value = extra["written"] if isinstance(extra, dict) and "written" in extra else field.default
    return list(value) if isinstance(value, tuple) else value


def _inline(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("\n").removesuffix("\n...")
