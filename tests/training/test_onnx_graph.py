"""Rewritten graphs compute what they computed."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from training.onnx_graph import drop_unused, quantise, quantise_rows, settle_reshapes

X = np.array([[[1.0, 2.0, -1.0], [0.5, 0.0, 4.0]]], np.float32)


def model(nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray]) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, "tokens", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


def run(graph: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


def operators(graph: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in graph.graph.node]


def test_a_row_uses_the_whole_range() -> None:
    integers, scale = quantise_rows(np.array([[2.54, -1.27, 0.02], [0, 0, 0]], np.float32))
    assert integers.tolist() == [[127, -64, 1], [0, 0, 0]]
    assert scale == pytest.approx([0.02, 1])


def test_products_of_one_activation_quantise_it_once_and_take_their_bias_along() -> None:
    weights = {"v": np.eye(3, dtype=np.float32) * 2, "w": np.array([[1, 0, 0], [0, -1, 0], [0, 0, 0.5]], np.float32)}
    nodes = [
        helper.make_node("MatMul", ["x", "v"], ["xv"]),
        helper.make_node("Add", ["b", "xv"], ["sum"]),
        helper.make_node("MatMul", ["x", "w"], ["xw"]),
        helper.make_node("Add", ["sum", "xw"], ["y"]),
    ]
    graph = model(nodes, {**weights, "b": np.array([10, 20, 30], np.float32)})
    quantise(graph)
    drop_unused(graph)
    assert operators(graph) == ["DynamicQuantizeLinear", "MatMulIntegerToFloat", "MatMulIntegerToFloat", "Add"]
    assert "v" not in {constant.name for constant in graph.graph.initializer}
    expected = [[[13, 22, 27.5], [11.5, 20, 40]]]  # 2x + b + (x1, -x2, x3 / 2)
    assert run(graph, X) == pytest.approx(np.array(expected), abs=0.1)


def test_a_sum_that_is_used_twice_keeps_its_addition() -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "v"], ["xv"]),
        helper.make_node("Add", ["xv", "b"], ["sum"]),
        helper.make_node("Add", ["sum", "xv"], ["y"]),
    ]
    graph = model(nodes, {"v": np.eye(3, dtype=np.float32), "b": np.array([10, 20, 30], np.float32)})
    quantise(graph)
    drop_unused(graph)
    assert operators(graph)[-2:] == ["Add", "Add"]
    assert run(graph, X) == pytest.approx(2 * X + [10, 20, 30], abs=0.1)


@pytest.mark.parametrize(
    ("rows", "expected"), [(4096, ["Cast", "Gather", "Gather", "Cast", "Mul"]), (4095, ["Cast", "Gather"])]
)
def test_only_a_large_table_is_looked_up_in_eight_bits(rows: int, expected: list[str]) -> None:
    table = np.arange(rows, dtype=np.float32)[:, None] * np.array([1, -0.5], np.float32)
    nodes = [
        helper.make_node("Cast", ["x"], ["ids"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "ids"], ["y"]),
    ]
    graph = model(nodes, {"table": table})
    quantise(graph)
    drop_unused(graph)
    assert operators(graph) == expected
    looked_up = run(graph, np.array([[[0, 7, 1000]]], np.float32))
    assert looked_up == pytest.approx(np.array([[[[0, 0], [7, -3.5], [1000, -500]]]]), rel=0.01)


def test_a_computed_reshape_becomes_a_constant_one() -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "first"], ["one"]),
        helper.make_node("Gather", ["shape", "second"], ["tokens"]),
        helper.make_node("Concat", ["one", "tokens", "three", "ones"], ["target"], axis=0),
        helper.make_node("Reshape", ["x", "target"], ["reshaped"]),
        helper.make_node("Identity", ["reshaped"], ["y"]),
    ]
    places = {"first": 0, "second": 1, "three": 3, "ones": 1}
    graph = model(nodes, {name: np.array([value], np.int64) for name, value in places.items()})
    settle_reshapes(graph)
    drop_unused(graph)
    assert operators(graph) == ["Reshape", "Identity"]
    assert run(graph, X).tolist() == X[..., None].tolist()


def test_a_reshape_with_two_open_sizes_is_left() -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["sizes"], to=TensorProto.INT64),
        helper.make_node("Reshape", ["sizes", "two"], ["target"]),
        helper.make_node("Reshape", ["x", "target"], ["reshaped"]),
        helper.make_node("Identity", ["reshaped"], ["y"]),
    ]
    graph = model(nodes, {"two": np.array([2], np.int64)})
    settle_reshapes(graph)
    assert graph.graph.node[2].input[1] == "target"
