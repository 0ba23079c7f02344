"""The vocabulary of the schema: bounds, choices and components."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits of a number; None is no limit."""

    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None

    def admit(self, value: float) -> bool:
        """Whether the value lies within the limits (NaN and infinities never do)."""
        return (
            math.isfinite(value)
            and (self.ge is None or value >= self.ge)
            and (self.gt is None or value > self.gt)
            and (self.le is None or value <= self.le)
            and (self.lt is None or value < self.lt)
        )

    def __str__(self) -> str:
        signs = ((">=", self.ge), (">", self.gt), ("<=", self.le), ("<", self.lt))
        return " and ".join(f"{sign} {limit}" for sign, limit in signs if limit is not None)


NonNegativeInt = Annotated[int, Bounds(ge=0)]
PositiveInt = Annotated[int, Bounds(ge=1)]
NonNegative = Annotated[float, Bounds(ge=0)]
Positive = Annotated[float, Bounds(gt=0)]
Seed = Annotated[int, Bounds(ge=0, le=2**32 - 1)]
Share = Annotated[float, Bounds(ge=0, le=1)]
OpenShare = Annotated[float, Bounds(gt=0, lt=1)]


@dataclass(frozen=True)
class Component:
    """A class or function named by `_target_`, with its arguments, as Hydra's users know it.

    The arguments of a target that dsmath ships are checked like any other section (config/components.py); those of
    a user's own class are checked against its signature.
    """

    target: str
    arguments: Mapping[str, Any]
    is_partial: bool = False

    def build(self, **more: Any) -> Any:
        """Import the target and call it with the config's arguments and `more`; a partial is returned uncalled."""
        from hydra.utils import instantiate

        # `more` holds models and the like, which Hydra would copy: it only sees what came from the config
        factory = instantiate({"_target_": self.target, "_partial_": True, **self.arguments}, _convert_="all")
        return partial(factory, **more) if self.is_partial else factory(**more)
