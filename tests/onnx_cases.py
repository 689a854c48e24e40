"""The test cases that ONNX comes with, each as a network of one input.

A case is a graph with the arrays that go in and have to come out.  Weights go in too; here they are made constants of
the graph, as they are in a file.  Where several arrays meet, they come as one, and a product with a matrix of zeros
and ones takes each out of it again.
"""

import functools
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
from onnx import helper, numpy_helper

AROUND = {"Constant", "Identity"}  # they name arrays, or carry constants, and are no layers
# Operators whose inputs are all computed.
JOINS = {"Concat", "Add", "Sum"}


class Case(NamedTuple):
    """A model, the array that goes in, the one that must come out, and how far off a number may be."""

    name: str
    operators: frozenset[str]
    model: onnx.ModelProto
    x: np.ndarray
    y: np.ndarray
    rtol: float
    atol: float


@functools.cache
def cases(kind, operators):
    """Return the cases of a kind whose layers are all of these operators.

    The kinds are "node", one operator each, "pytorch-converted" and "pytorch-operator".
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the expected arrays are computed now, some with overflows
        from onnx.backend.test.loader import load_model_tests

        found = load_model_tests(kind=kind)
    with_models = [(case, model_of(case)) for case in sorted(found, key=lambda case: case.name)]
    return [as_network(case, model) for case, model in with_models if set() < operators_of(model) - AROUND <= operators]


def model_of(case):
    """Return the model of a case, to be changed."""
    if case.model is None:
        return onnx.load(Path(case.model_dir) / "model.onnx")
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    return model


def operators_of(model):
    return frozenset(node.op_type for node in model.graph.node)


def as_network(case, model):
    """Return a case as one of one input."""
    if case.model is None:
        data = Path(case.model_dir) / "test_data_set_0"
        given, expected = arrays(data, "input"), arrays(data, "output")
    else:
        given, expected = case.data_sets[0]
    model.ir_version = max(model.ir_version, 4)  # until then all constants had to be inputs as well
    operators = operators_of(model)
    constants = {one.name for one in model.graph.initializer}
    inputs = [one for one in model.graph.input if one.name not in constants]
    given = [np.asarray(one) if isinstance(one, np.generic) else one for one in given]
    del model.graph.output[1:]  # a network has one; what comes out first is what the others are said of
    x, y = given[0] if given else None, expected[0]
    if operators <= {"Add", "Sum"} and all(is_float32(one) and one.shape == x.shape for one in given):
        # Number by number, so any shape is as good as another.
        given, y = [one.reshape(len(one), -1) for one in given], y.reshape(len(y), -1)
        name = model.graph.output[0].name
        model.graph.output[0].CopyFrom(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, y.shape))
    if operators <= JOINS and all(is_float32(one) and one.ndim == 2 and len(one) == len(x) for one in given):
        x = np.concatenate(given, axis=1)
        take_apart(model, inputs, given)
    elif all(isinstance(one, np.ndarray) for one in given):
        for one, array in zip(inputs[1:], given[1:], strict=True):
            model.graph.input.remove(one)
            model.graph.initializer.append(numpy_helper.from_array(array, one.name))
    return Case(case.name, operators, model, x, y, case.rtol, case.atol)


def is_float32(one):
    return isinstance(one, np.ndarray) and one.dtype == np.float32


def arrays(folder, what):
    """Return what is in the files input_0.pb, input_1.pb, ..., or output_0.pb, ..."""
    count = len(list(folder.glob(f"{what}_*.pb")))
    return [numpy_helper.to_array(onnx.load_tensor(folder / f"{what}_{number}.pb")) for number in range(count)]


def take_apart(model, inputs, given):
    """Make the inputs of a graph parts of one, `whole`."""
    nodes, ends = [], np.cumsum([array.shape[1] for array in given])
    for one, array, end in zip(inputs, given, ends, strict=True):
        model.graph.input.remove(one)
        matrix = np.eye(ends[-1], dtype=np.float32)[:, end - array.shape[1] : end]
        model.graph.initializer.append(numpy_helper.from_array(matrix, f"take {one.name}"))
        nodes.append(helper.make_node("MatMul", ["whole", f"take {one.name}"], [one.name], f"take {one.name}"))
    shape = (len(given[0]), int(ends[-1]))
    model.graph.input.append(helper.make_tensor_value_info("whole", onnx.TensorProto.FLOAT, shape))
    after = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(nodes + after)
