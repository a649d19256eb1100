"""YAML as configurations are written: booleans are true and false, as YAML 1.2 has them.

PyYAML follows version 1.1, where ``on``, ``off``, ``yes`` and ``no`` are booleans as well, keys included:
``{on: 15, off: 10}`` would be a mapping from true and false.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

__all__ = ["read_yaml"]

_BOOLEAN = "tag:yaml.org,2002:bool"


class _Loader(yaml.SafeLoader):
    """The safe loader with fewer words for booleans."""

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in known if tag != _BOOLEAN]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver(_BOOLEAN, re.compile("^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))


def read_yaml(text: str) -> Any:
    """The value of a YAML text; ``yaml.YAMLError`` if it is none.

    Examples
    --------
    >>> read_yaml("{on: 15, gpu: false}")
    {'on': 15, 'gpu': False}
    """
    return yaml.load(text, Loader=_Loader)
