"""The base classes and common types of all settings."""

from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

SAFE_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"  # names that become folders

Number = TypeVar("Number", int, float)
Name = Annotated[str, Field(pattern=SAFE_NAME)]
Chance = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
# A version of a clip that is scored: the whole clip, or with N frames (samples, for a net on waveforms) of zeros on each side.
View = Annotated[str, Field(pattern=r"^(whole|pad[0-9]{1,6})$")]


def _ordered(limits: tuple[Number, Number]) -> tuple[Number, Number]:
    if limits[0] > limits[1]:
        raise ValueError("the lower limit is above the upper one")
    return limits


Ordered = AfterValidator(_ordered)  # a lower limit and an upper one


class Settings(BaseModel):
    """A group of settings. It is frozen, and refuses settings that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Part(BaseModel):
    """A front end, backbone or head: its name, and the arguments of its class, which are checked when the net is built."""

    model_config = ConfigDict(frozen=True, extra="allow")
    name: str

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of the part's class, by name."""
        return dict(self.model_extra or {})
