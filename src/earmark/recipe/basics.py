"""The base classes and common types of all settings. Every number has bounds, within which arithmetic stays finite."""

from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

SAFE_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"  # names that become folders
MOST_MEMBERS = 100  # of a recipe
MOST_SAMPLES = 2**28  # in a window; more than an hour and a half at 44.1 kHz

Number = TypeVar("Number", int, float)


def _no_flag(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(f"a number is needed, not {str(value).lower()}")
    return value


IsNumber = BeforeValidator(_no_flag)  # pydantic would take true for 1
Real = Annotated[float, Field(allow_inf_nan=False), IsNumber]
Whole = Annotated[int, IsNumber]

Name = Annotated[str, Field(pattern=SAFE_NAME, max_length=100)]
Count = Annotated[Whole, Field(ge=1, le=10**9)]
Few = Annotated[Whole, Field(ge=1, le=1000)]  # a number of things that are kept side by side
Size = Annotated[Whole, Field(ge=1, le=2**16)]  # of a layer, a kernel or a frame
Samples = Annotated[Whole, Field(ge=1, le=MOST_SAMPLES)]
Hertz = Annotated[Whole, Field(ge=1000, le=1_000_000)]  # a sample rate
Chance = Annotated[Real, Field(ge=0, le=1)]
Share = Annotated[Real, Field(gt=0, le=1)]
BelowOne = Annotated[Real, Field(ge=0, lt=1)]  # dropout, an optimiser's momentum
Rate = Annotated[Real, Field(gt=0, le=1000)]  # of learning
# Sums of weights, and shares of these sums, are finite: with 1e308 twice they would not be.
Weight = Annotated[Real, Field(ge=1e-6, le=1e6)]
Concentration = Annotated[Real, Field(ge=1e-3, le=1e3)]  # α of a Beta(α, α); far outside, random numbers of it are NaN
Power = Annotated[Real, Field(ge=0.01, le=100)]  # an exponent of scores
Factor = Annotated[Real, Field(gt=0, le=1e6)]  # what sounds are multiplied by
FactorOrZero = Annotated[Real, Field(ge=0, le=1e6)]
Epsilon = Annotated[Real, Field(ge=1e-12, le=100)]  # added to what is divided by
Floor = Annotated[Real, Field(ge=1e-30, le=1)]  # lower power counts as this; float32 ends at 1e-38
Decibels = Annotated[Real, Field(gt=0, le=1000)]
# A version of a clip that is scored: the whole clip; with N frames (samples, for a net on waveforms) of zeros on each side; or, for a net
# that stands on an embedding, the vector of variation N.
View = Annotated[str, Field(pattern=r"^(whole|pad[0-9]{1,6}|varied[1-9][0-9]?)$")]


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
    name: Name

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of the part's class, by name."""
        return dict(self.model_extra or {})
