"""Text becomes a vector: by an exported int8 model, or by vectors of its tokens. The only `import onnxruntime`.

Every text is embedded alone. Activations are quantised with one scale for each tensor, so in a padded batch a text's
vector would depend on its neighbours; alone, a batch job and the endpoint agree to the last bit, and no work is spent
on padding.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # else ONNX Runtime reports to its maker once imported
import onnxruntime
from tokenizers import Tokenizer

from features.errors import BadEnvironment
from features.static_network import STATIC_FILE, StaticNetwork
from features.vector_cache import VectorCache, text_hash

Vectors = npt.NDArray[np.float32]

MODEL_FILE: Final = "model.onnx"
TOKENIZER_FILE: Final = "tokenizer.json"
CARD_FILE: Final = "embedder.json"
CHARACTERS_PER_TOKEN: Final = 32
FORMAT_VERSION: Final = 1  # to be raised whenever an export would give other bytes
TEXTS_PER_CHUNK: Final = 256
MOST_KEYS: Final = 50_000
NO_TEXT: Final = b""
SAMPLE_TEXT: Final = "How long does the delivery take, and what does it cost?"
LEAST_SAMPLE_COSINE: Final = 0.99
CPU_FILE: Final = Path("/proc/cpuinfo")
VNNI_FLAGS: Final = frozenset({"avx512_vnni", "avx_vnni"})

_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROL = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f]")


def normalise_text(text: str, max_characters: int) -> str:
    """The form in which a text is hashed and embedded; texts of one form are one text.

    Only the first `max_characters` count. Surrogate pairs are joined and lone surrogates become U+FFFD; the composed
    form (NFC) is taken; control characters vanish; every run of white space, line ends and tabs included, becomes one
    space. Emoji and every language stay. Nothing left ("") means: no text.
    """
    text = text[:max_characters]
    if _SURROGATE.search(text):
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return " ".join(_CONTROL.sub("", unicodedata.normalize("NFC", text)).split())


@dataclass(frozen=True)
class EmbedderCard:
    """What an embedder folder says of itself in `embedder.json`.

    `files` gives each file's SHA-256: of the tokenizer, and of an ONNX graph or of a static embedder's token vectors.
    `cosine_mean` and `cosine_min` compare with the fp32 source on the probe sentences, measured at export; None for a
    static embedder, whose axes are others. `sample` is the vector of `SAMPLE_TEXT` on the exporting machine.
    """

    format_version: int
    name: str
    dimension: int
    max_tokens: int
    source_sha256: str
    cosine_mean: float | None
    cosine_min: float | None
    files: dict[str, str]
    sample: list[float]

    @property
    def model_file(self) -> str:
        return STATIC_FILE if STATIC_FILE in self.files else MODEL_FILE

    @staticmethod
    def read(folder: Path) -> EmbedderCard:
        """Read the card and check every file against it; raises `BadEnvironment`."""
        return EmbedderCard.of(folder, read_files(folder))

    @staticmethod
    def of(folder: Path, files: Mapping[str, bytes]) -> EmbedderCard:
        """The card among `files`, every other file checked against it; `folder` is where faults say they came from."""
        try:
            card = EmbedderCard(**json.loads(files[CARD_FILE]))
            needed = (card.model_file, TOKENIZER_FILE)
            damaged = [name for name in needed if _sha256(files[name]) != card.files[name]]
        except (ValueError, TypeError, KeyError) as fault:
            raise _unusable(folder, f"{CARD_FILE} is not an embedder's card") from fault
        if card.format_version != FORMAT_VERSION:
            raise _unusable(folder, f"its format is {card.format_version}, this program reads {FORMAT_VERSION}")
        if damaged:
            raise _unusable(folder, f"{' and '.join(damaged)} has not the SHA-256 that {CARD_FILE} gives")
        return card


class Embedder:
    """Texts to unit vectors, each text embedded alone, on `threads` threads.

    `folder` comes from `training.embedder_export`; `files` are its files where they were read, and checked, before.
    Otherwise nothing is read before it is needed: the card first, the model at the first text that the cache does not
    hold, or at `load`. Several threads may use one embedder.
    """

    def __init__(
        self,
        folder: Path,
        cache: VectorCache | None = None,
        threads: int = 1,
        files: Mapping[str, bytes] | None = None,
    ) -> None:
        self.folder = folder
        self.cache = cache
        self.threads = threads
        self.texts_computed = self.texts_remembered = 0  # since the start; computed: how often the model was run
        self._files = files
        self._keys: dict[bytes, bytes] = {}

    @staticmethod
    def with_cache(
        folder: Path, threads: int = 1, cache_path: Path | None = None, files: Mapping[str, bytes] | None = None
    ) -> Embedder:
        """An embedder with the machine's shared cache, or one at `cache_path`; raises `BadEnvironment`."""
        embedder = Embedder(folder, threads=threads, files=files)
        embedder.cache = VectorCache(cache_path, embedder.dimension, embedder.sha256)
        return embedder

    @cached_property
    def card(self) -> EmbedderCard:
        return EmbedderCard.of(self.folder, self._files or read_files(self.folder))

    @property
    def dimension(self) -> int:
        return self.card.dimension

    @property
    def max_characters(self) -> int:
        """Where a text is cut before it is tokenised; `max_tokens` tokens of any human language are shorter."""
        return self.card.max_tokens * CHARACTERS_PER_TOKEN

    @cached_property
    def sha256(self) -> str:
        """Of the model and the tokenizer: two embedders of one SHA-256 give the same vectors."""
        both = self.card.files[self.card.model_file] + self.card.files[TOKENIZER_FILE]
        return hashlib.sha256(both.encode()).hexdigest()

    def load(self) -> None:
        """Load the model now instead of at the first text.

        Raises `BadEnvironment` when a file is missing, damaged or unreadable, or when this machine computes something
        else than the exporting one did.
        """
        _ = self._network

    def close(self) -> None:
        """Let go of the cache's file."""
        if self.cache is not None:
            self.cache.close()

    def embed(self, texts: Sequence[str], progress: Callable[[int, int], None] | None = None) -> Vectors:
        """float32[n, dimension], row i for `texts[i]`: a unit vector, or zeros where no text is left.

        A static embedder gives zeros as well for a text without a known token.

        Equal texts (after `normalise_text`) are embedded once, and not at all when the cache holds them.
        `progress(done, total)` counts distinct texts. Raises `BadEnvironment` as `load` does.
        """
        vectors = np.zeros((len(texts), self.dimension), np.float32)
        rows_of: dict[bytes, list[int]] = {}
        for row, text in enumerate(texts):
            rows_of.setdefault(self._key(text), []).append(row)
        rows_of.pop(NO_TEXT, None)
        distinct = list(rows_of)
        for start in range(0, len(distinct), TEXTS_PER_CHUNK):
            chunk = distinct[start : start + TEXTS_PER_CHUNK]
            for key, vector in self._remembered({key: texts[rows_of[key][0]] for key in chunk}).items():
                vectors[rows_of[key]] = vector
            if progress is not None:
                progress(start + len(chunk), len(distinct))
        return vectors

    def remembers(self, texts: Iterable[str]) -> bool:
        """Whether the vectors of all these texts are in this process's memory, so that `embed` takes no time."""
        keys = {self._key(text) for text in texts} - {NO_TEXT}
        return not keys or (self.cache is not None and self.cache.remembers(keys))

    def _key(self, text: str) -> bytes:
        """The hash of the normalised text; of the texts last asked about, remembered by their own hash."""
        as_given = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        key = self._keys.get(as_given)
        if key is None:
            normalised = normalise_text(text, self.max_characters)
            key = text_hash(normalised) if normalised else NO_TEXT
            if len(self._keys) >= MOST_KEYS:
                self._keys.clear()
            self._keys[as_given] = key
        return key

    def _remembered(self, texts: Mapping[bytes, str]) -> dict[bytes, Vectors]:
        """The vectors of texts, given by key, from the cache as far as it holds them."""
        known = {} if self.cache is None else self.cache.get_many(list(texts))
        self.texts_remembered += len(known)
        new = {key: normalise_text(text, self.max_characters) for key, text in texts.items() if key not in known}
        if new:
            made = dict(zip(new, self._computed(list(new.values())), strict=True))
            if self.cache is not None:
                self.cache.put_many(made)
            known |= made
        return known

    def _computed(self, texts: Sequence[str]) -> list[Vectors]:
        self.texts_computed += len(texts)
        if self.threads == 1 or len(texts) < 2:
            return [self._network.vector(text) for text in texts]
        with ThreadPoolExecutor(self.threads) as pool:
            return list(pool.map(self._network.vector, texts))

    @cached_property
    def _network(self) -> Network | StaticNetwork:
        # The bytes that are parsed are the very bytes that were hashed, whatever happens to the folder meanwhile.
        files = self._files or read_files(self.folder)
        if EmbedderCard.of(self.folder, files) != self.card:
            raise _unusable(self.folder, "it was exchanged while it was in use")
        expected = np.asarray(self.card.sample, np.float32)
        network = open_network(self.folder, files)
        vector = network.vector(SAMPLE_TEXT)
        if vector.shape != expected.shape or not vector @ expected >= LEAST_SAMPLE_COSINE:
            raise _unusable(self.folder, "its vectors differ from those of the machine that exported it")
        self._files = None
        return network


def open_network(folder: Path, files: Mapping[str, bytes]) -> Network | StaticNetwork:
    """Read tokenizer and model from the `files` of `folder`; raises `BadEnvironment` where a library cannot."""
    try:
        if STATIC_FILE in files:
            return StaticNetwork(files[STATIC_FILE], files[TOKENIZER_FILE])
        return Network(files)
    except Exception as fault:  # the libraries raise classes of their own
        raise _unusable(folder, f"its model or tokenizer cannot be read ({type(fault).__name__})") from fault


class Network:
    """Tokenizer and model; the session has one thread, so that messages, not matrices, are what runs in parallel.

    Of `files`, read before, only `MODEL_FILE` and `TOKENIZER_FILE` are looked at.
    """

    def __init__(self, files: Mapping[str, bytes]) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # u8 times s8 saturates in 16 bits on processors without VNNI: there, the path that is exact and half as fast.
        options.add_session_config_entry("session.x64quantprecision", "0" if has_vnni() else "1")
        self._tokenizer = Tokenizer.from_buffer(files[TOKENIZER_FILE])
        self._session = onnxruntime.InferenceSession(
            files[MODEL_FILE],
            options,
            providers=["CPUExecutionProvider"],
            disabled_optimizers=["SkipLayerNormFusion"],  # the fused kernel takes 60 µs, its two parts 13
        )
        # It keeps the file's bytes beside the network made of them, to make it anew for other providers: 23 MB.
        self._session._model_bytes = None

    def vector(self, text: str) -> Vectors:
        """float32[dimension] of one normalised text."""
        tokens = np.array([self._tokenizer.encode(text).ids], np.int64)
        vector: Vectors = self._session.run(None, {"input_ids": tokens})[0][0]
        return vector


def read_files(folder: Path) -> dict[str, bytes]:
    """The files of an embedder folder; raises `BadEnvironment` where one cannot be read."""
    try:
        model_file = STATIC_FILE if (folder / STATIC_FILE).is_file() else MODEL_FILE
        return {name: (folder / name).read_bytes() for name in (CARD_FILE, model_file, TOKENIZER_FILE)}
    except OSError as fault:
        raise _unusable(folder, f"{fault.strerror}: {Path(str(fault.filename)).name}") from fault


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def has_vnni() -> bool:
    """Whether products of 8-bit integers are summed in 32 bits at once. Where Linux does not say so: no."""
    try:
        words = CPU_FILE.read_text().split()
    except OSError:
        return False
    return not VNNI_FLAGS.isdisjoint(words)


def _unusable(folder: Path, found: str) -> BadEnvironment:
    return BadEnvironment(
        "embedder_unusable",
        f"The embedder in {folder} cannot be used: {found}. Export it again on this machine, or restore the bundle.",
    )
