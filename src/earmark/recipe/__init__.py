"""Recipes: the typed settings of a whole system, loading them, and explaining what is wrong in them."""

from earmark.recipe.basics import Part, View
from earmark.recipe.batches import BalancedSettings, FrequencyMaskSettings, ShuffledSettings
from earmark.recipe.learning import ValidationSettings
from earmark.recipe.load import built_in_recipes, load_recipe
from earmark.recipe.schema import (
    AgreementSettings,
    EnsembleSettings,
    InputSettings,
    MemberSettings,
    Recipe,
    ScoringSettings,
    VoterSettings,
)

__all__ = [
    "AgreementSettings",
    "BalancedSettings",
    "EnsembleSettings",
    "FrequencyMaskSettings",
    "InputSettings",
    "MemberSettings",
    "Part",
    "Recipe",
    "ScoringSettings",
    "ShuffledSettings",
    "ValidationSettings",
    "View",
    "VoterSettings",
    "built_in_recipes",
    "load_recipe",
]
