"""What ``import scaledec`` shows."""

from __future__ import annotations

import importlib

import pytest

import scaledec


@pytest.mark.parametrize("name", scaledec.__all__)
def test_every_public_name_is_there_even_after_all_modules_are_loaded(name: str) -> None:
    for module in ("queries", "api", "pipeline.run", "store.datasets", "synthetic.archive"):
        importlib.import_module(f"scaledec.{module}")
    found = getattr(scaledec, name)
    assert name == "__version__" or callable(found)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonesuch'"):
        _ = scaledec.nonesuch


def test_dir_lists_the_public_names() -> None:
    assert set(scaledec.__all__) <= set(dir(scaledec))
