"""What is done to a traced ONNX graph to make it small and fast: settled shapes, eight-bit weights, nothing unused."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper, shape_inference

CONTRIB_DOMAIN: Final = "com.microsoft"
FEWEST_TABLE_ROWS: Final = 4096


def settle_reshapes(model: onnx.ModelProto) -> None:
    """Give each Reshape a constant target where inference leaves at most one size open, in place.

    A tracer writes down how every size was computed; in short texts those computations cost as much as attention.
    """
    shapes = _shapes(shape_inference.infer_shapes(model, data_prop=True).graph)
    for node in model.graph.node:
        if node.op_type != "Reshape" or node.input[0] not in shapes or node.output[0] not in shapes:
            continue
        target = _reshape_target(shapes[node.input[0]], shapes[node.output[0]])
        if target.count(-1) <= 1:
            node.input[1] = f"{node.output[0]}_target"
            model.graph.initializer.append(numpy_helper.from_array(np.array(target, np.int64), node.input[1]))


def quantise(model: onnx.ModelProto) -> None:
    """Quantise every product with a constant float32[inputs, outputs], and every large table looked up, in place.

    Weights become s8, a product's with one scale per output and a table's with one per row. A product's activations
    become u8 with one scale and zero point per tensor, found at run time (ONNX DynamicQuantizeLinear); products of one
    activation share them. Tables of fewer than 4,096 rows stay as they are.
    """
    graph = model.graph
    constants = {constant.name: constant for constant in graph.initializer}
    biases = _biases(graph)
    nodes: dict[str, onnx.NodeProto] = {}  # by first output: whatever would compute it again is left out
    for node in graph.node:
        replacement = [node]
        if node.op_type == "MatMul" and _rank(constants.get(node.input[1])) == 2:
            graph.initializer.extend(_product_weight(constants[node.input[1]]))
            bias, output = biases.get(node.output[0], ("", node.output[0]))
            replacement = _product(node.input[0], node.input[1], bias, output)
        elif node.op_type == "Gather" and _is_large_table(constants.get(node.input[0])):
            graph.initializer.extend(_table(constants[node.input[0]]))
            replacement = _lookup(node.input[0], node.input[1], node.output[0])
        nodes.update({each.output[0]: each for each in replacement if each.output[0] not in nodes})
    graph.ClearField("node")
    graph.node.extend(nodes.values())
    model.opset_import.append(helper.make_opsetid(CONTRIB_DOMAIN, 1))


def drop_unused(model: onnx.ModelProto) -> None:
    """Remove nodes and constants that no output depends on, in place."""
    graph = model.graph
    used = {output.name for output in graph.output}
    nodes: list[onnx.NodeProto] = []
    for node in reversed(graph.node):
        if used.intersection(node.output):
            nodes.append(node)
            used.update(node.input)
    constants = {constant.name: constant for constant in graph.initializer if constant.name in used}
    graph.ClearField("node")
    graph.node.extend(reversed(nodes))
    graph.ClearField("initializer")
    graph.initializer.extend(constants.values())


def quantise_rows(matrix: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """s8[rows, n] and float32[rows] scales whose product is nearest to float32[rows, n]; a row of zeros has scale 1."""
    largest = np.abs(matrix).max(axis=1)
    scale = np.where(largest > 0, largest / 127, 1).astype(np.float32)
    return np.rint(matrix / scale[:, None]).astype(np.int8), scale


def _shapes(graph: onnx.GraphProto) -> dict[str, list[int | str]]:
    """For each tensor whose rank is known: each size, or the name that stands for it."""
    tensors = {value.name: value.type.tensor_type for value in (*graph.input, *graph.value_info, *graph.output)}
    return {
        name: [size.dim_value or size.dim_param for size in tensor.shape.dim]
        for name, tensor in tensors.items()
        if tensor.HasField("shape")
    }


def _reshape_target(before: list[int | str], after: list[int | str]) -> list[int]:
    """ONNX's notation: 0 keeps the size at this place, -1 is whatever is left."""
    kept = [place < len(before) and before[place] == size != "" for place, size in enumerate(after)]
    return [size if isinstance(size, int) else 0 if keep else -1 for size, keep in zip(after, kept, strict=True)]


def _biases(graph: onnx.GraphProto) -> dict[str, tuple[str, str]]:
    """For each tensor whose one use is the addition of a constant vector: that vector, and the sum's name."""
    vectors = {constant.name for constant in graph.initializer if _rank(constant) == 1}
    uses = [name for node in graph.node for name in node.input]
    found: dict[str, tuple[str, str]] = {}
    for node in graph.node:
        if node.op_type == "Add" and len(vectors.intersection(node.input)) == 1:
            bias, summand = sorted(node.input, key=lambda name: name not in vectors)
            if uses.count(summand) == 1:
                found[summand] = (bias, node.output[0])
    return found


def _rank(constant: onnx.TensorProto | None) -> int:
    return -1 if constant is None else len(constant.dims)


def _product_weight(weight: onnx.TensorProto) -> list[onnx.TensorProto]:
    integers, scale = quantise_rows(numpy_helper.to_array(weight).T)
    return [
        numpy_helper.from_array(np.ascontiguousarray(integers.T), _integers(weight.name)),
        numpy_helper.from_array(scale, _scale(weight.name)),
    ]


def _product(activation: str, weight: str, bias: str, output: str) -> list[onnx.NodeProto]:
    parts = [_integers(activation), _scale(activation), f"{activation}_zero_point"]
    inputs = [parts[0], _integers(weight), parts[1], _scale(weight), parts[2], "", bias]
    return [
        helper.make_node("DynamicQuantizeLinear", [activation], parts),
        helper.make_node("MatMulIntegerToFloat", inputs, [output], domain=CONTRIB_DOMAIN),
    ]


def _is_large_table(constant: onnx.TensorProto | None) -> bool:
    return constant is not None and len(constant.dims) == 2 and constant.dims[0] >= FEWEST_TABLE_ROWS


def _table(table: onnx.TensorProto) -> list[onnx.TensorProto]:
    integers, scale = quantise_rows(numpy_helper.to_array(table))
    return [
        numpy_helper.from_array(integers, _integers(table.name)),
        numpy_helper.from_array(scale[:, None], _scale(table.name)),
    ]


def _lookup(table: str, ids: str, output: str) -> list[onnx.NodeProto]:
    rows, scale, floats = (f"{output}_{part}" for part in ("rows", "scale", "floats"))
    return [
        helper.make_node("Gather", [_integers(table), ids], [rows]),
        helper.make_node("Gather", [_scale(table), ids], [scale]),
        helper.make_node("Cast", [rows], [floats], to=onnx.TensorProto.FLOAT),
        helper.make_node("Mul", [floats, scale], [output]),
    ]


def _integers(name: str) -> str:
    return f"{name}_integers"


def _scale(name: str) -> str:
    return f"{name}_scale"
