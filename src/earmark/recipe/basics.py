"""What all groups of settings are made of."""

from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

SAFE_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"  # names that become folders

Number = TypeVar("Number", int, float)
Name = Annotated[str, Field(pattern=SAFE_NAME)]
Chance = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
# A version of a clip that is scored: as it is, or with so many frames (samples, for a waveform net) of zeros on both sides.
View = Annotated[str, Field(pattern=r"^(whole|pad[0-9]{1,6})$")]


def _ordered(limits: tuple[Number, Number]) -> tuple[Number, Number]:
    if limits[0] > limits[1]:
        raise ValueError("the lower limit is above the upper one")
    return limits


Ordered = AfterValidator(_ordered)  # a lower limit and an upper one


class Settings(BaseModel):
    """A group of settings: frozen, and a setting that it does not know is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Part(BaseModel):
    """A front end, backbone or head: its name, and the flat arguments of its class, which checks them when it is built."""

    model_config = ConfigDict(frozen=True, extra="allow")
    name: str

    @property
    def arguments(self) -> dict[str, Any]:
        return dict(self.model_extra or {})
