"""A model that is judged: its bundle, and how it reads text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from features.embedder import Embedder
from features.rows import Embed
from models.bundle import Bundle, load_bundle
from models.journey_model import JourneyModel


@dataclass(frozen=True)
class Contender:
    """A bundle that is judged, and how it reads text."""

    bundle: Bundle
    folder: Path
    embed: Embed | None

    @classmethod
    def open(cls, folder: Path) -> Contender:
        """Open a bundle folder with the machine's shared vector cache; raises what `load_bundle` raises."""
        bundle = load_bundle(folder)
        if bundle.embedder_folder is None:
            return cls(bundle, folder, None)
        embedder = Embedder.with_cache(bundle.embedder_folder, threads=2, files=bundle.embedder_files)
        return cls(bundle, folder, embedder.embed)

    @property
    def model(self) -> JourneyModel:
        return self.bundle.model
