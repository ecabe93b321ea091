"""A sentence-transformers model as an ONNX graph: the only `import torch`, and slow to import for it.

A few channels of a transformer's activations are far larger than the rest, and with one scale per tensor they would
take the whole int8 range. So every linear layer is smoothed before it is traced: its input is divided, and its weight
multiplied, by a power of two per channel (Xiao et al., "SmoothQuant", 2023, migration strength 0.75). Powers of two
leave the fp32 model what it was.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules.normalize import Normalize
from torch import nn
from torch.nn import functional
from transformers.utils import logging

from features.errors import BadEnvironment

MIGRATION_STRENGTH: Final = 0.75
SMALLEST: Final = 1e-5
OPSET: Final = 17
MOST_TOKENS: Final = 512
TOKENS_AT_ONCE: Final = 512


class TracedModel(NamedTuple):
    """An fp32 graph from `input_ids` int64[1, tokens] to `vector` float32[1, dimension], and what belongs to it."""

    graph: onnx.ModelProto
    tokenizer_json: str  # truncating at max_tokens, not padding
    max_tokens: int
    probe_vectors: npt.NDArray[np.float32]  # [probes, dimension], by sentence-transformers itself


def trace_sentence_model(folder: Path, calibration: Sequence[str], probes: Sequence[str]) -> TracedModel:
    """Trace the model of a sentence-transformers folder, smoothed for the activations that `calibration` causes.

    Raises `BadEnvironment` if it cannot be loaded.
    """
    with _one_thread():
        model = _load(folder)
        probe_vectors = _encode(model, probes)
        _smooth(model, calibration)
        return TracedModel(_graph(model), _tokenizer_json(model), model.max_seq_length, probe_vectors)


class TokenOutputs(NamedTuple):
    """What a model says of each token of its vocabulary alone, and what belongs to it."""

    outputs: npt.NDArray[np.float32]  # [tokens, dimension]
    tokens: list[str]
    tokenizer_json: str  # truncating at max_tokens, not padding
    max_tokens: int


def token_outputs(folder: Path) -> TokenOutputs:
    """Ask the model of a sentence-transformers folder for every token of its vocabulary, between its two marks.

    Raises `BadEnvironment` if it cannot be loaded.
    """
    with _one_thread(), torch.no_grad():
        model = _load(folder)
        tokenizer = model.tokenizer
        tokens: list[str] = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
        first, last = tokenizer("").input_ids
        texts = torch.tensor([[first, token, last] for token in range(len(tokens))])
        one_text = OneText(model).eval()
        outputs = [one_text.unscaled(some) for some in torch.split(texts, TOKENS_AT_ONCE)]
        return TokenOutputs(torch.cat(outputs).numpy(), tokens, _tokenizer_json(model), model.max_seq_length)


class SmoothedLinear(nn.Module):
    """`linear`, with input channels scaled to even magnitudes; `largest_input` is float32[inputs]."""

    shrink: torch.Tensor

    def __init__(self, linear: nn.Linear, largest_input: torch.Tensor) -> None:
        super().__init__()
        largest_weight = linear.weight.detach().abs().amax(0).clamp_min(SMALLEST)
        scale = largest_input.clamp_min(SMALLEST) ** MIGRATION_STRENGTH / largest_weight ** (1 - MIGRATION_STRENGTH)
        scale = torch.exp2(torch.round(torch.log2(scale)))
        self.register_buffer("shrink", 1 / scale)
        self.weight = nn.Parameter(linear.weight.detach() * scale)
        self.bias = linear.bias

    def forward(self, activations: torch.Tensor) -> torch.Tensor:
        return functional.linear(activations * self.shrink, self.weight, self.bias)


class OneText(nn.Module):
    """Token ids int64[1, tokens] of one text to its unit vector float32[1, dimension]: no padding, so no mask."""

    def __init__(self, model: SentenceTransformer) -> None:
        super().__init__()
        self.transformer = model[0].auto_model
        self.heads = nn.ModuleList(list(model)[1:])

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        return functional.normalize(self.sentence(input_ids, self.heads))

    def unscaled(self, input_ids: torch.Tensor) -> torch.Tensor:
        """As long as the model makes it, one row for each of int64[texts, tokens] texts of one length."""
        return self.sentence(input_ids, [head for head in self.heads if not isinstance(head, Normalize)])

    def sentence(self, input_ids: torch.Tensor, heads: Iterable[nn.Module]) -> torch.Tensor:
        features = {
            "token_embeddings": self.transformer(input_ids=input_ids).last_hidden_state,
            "attention_mask": torch.ones_like(input_ids),
        }
        for head in heads:
            features = head(features)
        sentence: torch.Tensor = features["sentence_embedding"]
        return sentence


def _load(folder: Path) -> SentenceTransformer:
    """From local safetensors only, running no code of the folder's own."""
    logging.disable_progress_bar()
    try:
        modules = [module["type"] for module in json.loads((folder / "modules.json").read_bytes())]
        if not all(module.startswith("sentence_transformers.") for module in modules):
            raise ValueError("it wants to run code of its own")
        model = SentenceTransformer(
            str(folder), device="cpu", local_files_only=True, model_kwargs={"use_safetensors": True}
        )
        model.max_seq_length = min(model.max_seq_length or MOST_TOKENS, MOST_TOKENS)
    except Exception as fault:  # each of its files has its own class of error
        raise BadEnvironment(
            "embedder_unreadable",
            f"The sentence-transformers folder {folder} cannot be loaded: {fault}. It needs modules.json, "
            "model.safetensors and tokenizer.json, as save_pretrained writes them.",
        ) from fault
    return model.eval()


def _encode(model: SentenceTransformer, texts: Sequence[str]) -> npt.NDArray[np.float32]:
    vectors: npt.NDArray[np.float32] = model.encode(
        list(texts), batch_size=1, normalize_embeddings=True, show_progress_bar=False
    )
    return vectors


def _smooth(model: SentenceTransformer, texts: Sequence[str]) -> None:
    transformer = model[0].auto_model
    linears = {name: module for name, module in transformer.named_modules() if isinstance(module, nn.Linear)}
    for name, largest in _largest_inputs(model, linears, texts).items():
        transformer.set_submodule(name, SmoothedLinear(linears[name], largest))


def _largest_inputs(
    model: SentenceTransformer, linears: dict[str, nn.Linear], texts: Sequence[str]
) -> dict[str, torch.Tensor]:
    """float32[inputs] for each linear layer: the largest magnitude that each input channel takes."""
    largest = {name: torch.zeros(linear.in_features) for name, linear in linears.items()}

    def watch(name: str) -> Callable[[nn.Module, tuple[torch.Tensor, ...]], None]:
        def see(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            largest[name] = torch.maximum(largest[name], inputs[0].abs().flatten(0, -2).amax(0))

        return see

    hooks = [linear.register_forward_pre_hook(watch(name)) for name, linear in linears.items()]
    _encode(model, texts)
    for hook in hooks:
        hook.remove()
    return largest


def _graph(model: SentenceTransformer) -> onnx.ModelProto:
    ids = torch.tensor([model.tokenizer("one text").input_ids])
    with torch.no_grad(), tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "fp32.onnx"
        torch.onnx.export(
            OneText(model).eval(),
            (ids,),
            path,
            dynamo=False,  # the newer exporter would need onnxscript
            input_names=["input_ids"],
            output_names=["vector"],
            dynamic_axes={"input_ids": {1: "tokens"}},
            opset_version=OPSET,
        )
        return onnx.load(path)


def _tokenizer_json(model: SentenceTransformer) -> str:
    tokenizer = model.tokenizer.backend_tokenizer
    tokenizer.no_padding()
    tokenizer.enable_truncation(model.max_seq_length)
    return str(tokenizer.to_str())


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums have one order and an export one result."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
