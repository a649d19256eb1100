"""What the sections of a configuration share: their base, and the kinds of numbers they hold."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Band", "Count", "Fraction", "NonNegative", "Positive", "Section", "StorageOptions"]

Positive: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative: TypeAlias = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction: TypeAlias = Annotated[float, Field(ge=0, le=1)]
Count: TypeAlias = Annotated[int, Field(ge=1)]
Band: TypeAlias = tuple[NonNegative, Positive]
StorageOptions: TypeAlias = dict[str, Any]


class Section(BaseModel):
    """What all sections share: unknown keys are refused, values cannot be changed after loading."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, validate_default=True
    )
