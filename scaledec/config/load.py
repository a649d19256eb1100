"""Read a configuration file, apply ``a.b=c`` overrides, and say in plain words what is wrong with it."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic import BaseModel, ValidationError

from scaledec.config.models import Config
from scaledec.config.text import read_yaml
from scaledec.errors import ConfigError
from scaledec.location import Location

__all__ = ["dump_config", "load_config", "override_file", "parse_config", "with_absolute_paths"]


def load_config(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> Config:
    """Read a YAML file into a :class:`Config`.

    Parameters
    ----------
    path
        A YAML file.
    overrides
        Assignments such as ``cluster.n_clusters=10``; the value is read as YAML.

    Raises
    ------
    ConfigError
        If the file cannot be read, a key is unknown (the nearest known one is named), or a value
        does not fit.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"cannot read config {os.fspath(path)!r}: {error}; `scaledec init` writes one"
        ) from error
    return parse_config(text, overrides, source=os.fspath(path))


def parse_config(text: str, overrides: Sequence[str] = (), *, source: str = "config") -> Config:
    """Read YAML text into a :class:`Config`; ``source`` names it in errors."""
    try:
        data = read_yaml(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{source} is no valid YAML: {error}") from error
    if not isinstance(data, dict):
        raise ConfigError(
            f"{source} holds {type(data).__name__}; expected a mapping of sections (root, archive, ...)"
        )
    for override in overrides:
        _assign(data, override)
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        raise ConfigError(f"{source}: " + "\n".join(_sentences(error))) from error


def dump_config(config: Config) -> str:
    """The whole configuration, defaults included, as YAML that loads back equal."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def override_file(path: str | os.PathLike[str], overrides: Sequence[str], values: Mapping[str, Any]) -> str:
    """The YAML file with other values: as it was written, with ``overrides`` and ``values`` by their keys.

    Comments are lost. A run that was given a name gets another, as it has other settings.
    """
    data = read_yaml(Path(path).read_text(encoding="utf-8"))
    for override in overrides:
        _assign(data, override)
    for key, value in values.items():
        _put(data, key.split("."), value, key)
    if data.get("run") is not None:
        data["run"] = f"{data['run']}-tuned"
    return yaml.safe_dump(data, sort_keys=False)


def with_absolute_paths(config: Config) -> Config:
    """The same configuration with relative local paths taken from this process's folder now.

    A job on a cluster has another current folder; a URL means the same everywhere.
    """
    stationxml = config.archive.stationxml
    archive = config.archive.model_copy(
        update={
            "url": _absolute(config.archive.url),
            "stationxml": None if stationxml is None else _absolute(stationxml),
        }
    )
    catalog = config.windows.catalog
    if catalog.url is not None:
        catalog = catalog.model_copy(update={"url": _absolute(catalog.url)})
    windows = config.windows.model_copy(update={"catalog": catalog})
    return config.model_copy(update={"root": _absolute(config.root), "archive": archive, "windows": windows})


def _absolute(url: str) -> str:
    place = Location(url)
    return str(place.path.absolute()) if place.is_local else url


def _assign(data: dict[str, Any], override: str) -> None:
    name, separator, value = override.partition("=")
    keys = name.strip().split(".")
    if not separator or not all(keys):
        raise ConfigError(f"override {override!r} is not of the form a.b=value, e.g. cluster.n_clusters=10")
    try:
        _put(data, keys, read_yaml(value), override)
    except yaml.YAMLError as error:
        raise ConfigError(f"override {override!r}: the value is no valid YAML: {error}") from error


def _put(data: dict[str, Any], keys: Sequence[str], value: Any, override: str) -> None:
    here = data
    for key in keys[:-1]:
        below = here.get(key)
        if below is None:
            below = here[key] = {}
        if not isinstance(below, dict):
            raise ConfigError(f"override {override!r}: {key} holds a value, not a section")
        here = below
    here[keys[-1]] = value


def _sentences(error: ValidationError) -> Iterator[str]:
    told: set[str] = set()
    for problem in error.errors():
        where = [str(part) for part in problem["loc"]]
        name = ".".join(where) or "the configuration"
        cause = problem.get("ctx", {}).get("error")
        if where[:2] == ["spectrogram", "taper"]:
            # A union reports every branch it tried; one sentence tells them all.
            name = "spectrogram.taper"
            if name not in told:
                yield f"{name} is none of hann, hamming, boxcar, {{kaiser: beta}}, {{tukey: 0..1}}"
            told.add(name)
        elif isinstance(cause, ConfigError):
            yield str(cause)
        elif problem["type"] == "extra_forbidden":
            yield f"unknown key {name!r}{_nearest(where)}"
        elif problem["type"] == "missing":
            yield f"{name!r} is missing"
        else:
            yield f"{name} is {problem['input']!r}: {problem['msg']}"


def _nearest(where: Sequence[str]) -> str:
    known = list(_fields_at(where[:-1]))
    match = difflib.get_close_matches(where[-1], known, n=1, cutoff=0.5)
    if match:
        return f"; did you mean {'.'.join([*where[:-1], match[0]])!r}?"
    return f"; known here: {', '.join(known)}"


def _fields_at(path: Sequence[str]) -> Mapping[str, Any]:
    model: type[BaseModel] = Config
    for key in path:
        field = model.model_fields.get(key)
        annotation = field.annotation if field is not None else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return {}
        model = annotation
    return cast("Mapping[str, Any]", model.model_fields)
