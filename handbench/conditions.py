"""What a method's numbers rest on and its joints do not show: centres, cubes, choice of epoch, ensembles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from handbench.errors import HandbenchError

EPOCH_RULES = ("last", "val", "test-best")
MARKS = {"†": "hand centres that rest on the truth", "‡": "epoch chosen on the test set", "§": "ensemble of models"}


@dataclass(frozen=True)
class Conditions:
    """The part of a protocol that only the maker of the predictions knows. None = not stated.

    Attributes:
        center_method: where the hand centres came from: "com", "gt-mean", "refined:<sha256>", ... (docs/store.md).
        cube_rule: full sides of the crop cube, as the maker says it ("250 mm, second subject x 5/6").
        epoch_rule: one of `EPOCH_RULES`: the last epoch, the best on held-out frames, or the best on the test set.
        ensemble: whether several models were averaged.

    Raises:
        HandbenchError: on another epoch rule.
    """

    center_method: str | None = None
    cube_rule: str | None = None
    epoch_rule: str | None = None
    ensemble: bool | None = None

    def __post_init__(self) -> None:
        if self.epoch_rule not in (None, *EPOCH_RULES):
            raise HandbenchError(f"epoch rule {self.epoch_rule!r} is none of {', '.join(EPOCH_RULES)}")

    @classmethod
    def from_provenance(cls, provenance: Mapping[str, Any], stated: Mapping[str, Any]) -> Conditions:
        """What the predictions file records, and over it what the user states.

        Args:
            provenance: of the predictions; keys named as our attributes.
            stated: likewise; None leaves what the file says.

        Raises:
            HandbenchError: if what is recorded is of another kind than it should be.
        """
        known = {f.name: provenance.get(f.name) for f in fields(cls)}
        known |= {key: value for key, value in stated.items() if value is not None}
        for name in ("center_method", "cube_rule", "epoch_rule"):
            if not isinstance(known[name], str | None):
                raise HandbenchError(
                    f"the predictions record {name} = {known[name]!r}, which is no text; state it anew"
                )
        if not isinstance(known["ensemble"], bool | None):
            raise HandbenchError(f"the predictions record ensemble = {known['ensemble']!r}, which is not true or false")
        return cls(**known)

    @property
    def marks(self) -> str:
        """The signs of `MARKS` that apply: why the number may not be ranked without a word against others."""
        daggers = {
            "†": (self.center_method or "").startswith("gt-"),
            "‡": self.epoch_rule == "test-best",
            "§": self.ensemble is True,
        }
        return "".join(mark for mark, applies in daggers.items() if applies)

    @property
    def unstated(self) -> tuple[str, ...]:
        """What nobody has said, in words."""
        words = {"center_method": "centre method", "cube_rule": "cube", "epoch_rule": "choice of epoch"}
        return tuple(word for name, word in words.items() if getattr(self, name) is None)
