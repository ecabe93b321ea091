"""What a search, or a configuration, may set of the trees; everything else of them is fixed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from training.boosting import Parameters


@dataclass(frozen=True)
class TreeChoice:
    """LightGBM's parameters of these names; None leaves one as the model has it. How many trees is learnt anyway."""

    learning_rate: float | None = None
    num_leaves: int | None = None
    min_data_in_leaf: int | None = None
    lambda_l2: float | None = None
    feature_fraction: float | None = None

    def over(self, parameters: Parameters) -> Parameters:
        """The parameters with what is chosen in the place of what they hold."""
        return {**parameters, **{name: value for name, value in vars(self).items() if value is not None}}


@dataclass(frozen=True)
class TreeChoices:
    """A choice for each of the two models."""

    stage: TreeChoice = TreeChoice()
    conversion: TreeChoice = TreeChoice()


AS_THEY_ARE = TreeChoice()
ALL_AS_THEY_ARE = TreeChoices()
