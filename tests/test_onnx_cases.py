"""The test cases of ONNX itself: a network read from each gives what the standard says, or is refused with a reason.

Of every operator that npcnn.onnx reads, all cases are here: those of one node, and those that PyTorch converted.
"""

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx
from onnx_cases import cases
from onnx_networks import run

import npcnn as nn
from npcnn.onnx.operators import READ

KINDS = ("node", "pytorch-converted", "pytorch-operator")
DOCUMENT = (Path(__file__).parent.parent / "docs" / "onnx.md").read_text()

# Why a case is refused, and what the message then says.
REASONS = {
    "numbers that are not float32 or float64": ["must be of FLOAT or DOUBLE"],
    "not of two dimensions": [
        "pictures of two dimensions", "for vectors (N, features)", "for (N, C, H, W) and (N, features)",
    ],
    "two inputs, or one for each number": [
        "all that it joins", "joins arrays of one kind", "adds one number for each channel",
        "adds a constant as the bias",
        "multiplies by one number", "its C must be a bias", "one input and one output", "one input that is computed",
    ],
    "another axis than that of the channels": ["along the channels", "over the channels alone", "its axes in an order"],
    "mixes the pictures of a batch, or cuts them anew": [
        "leave the batch", "keep the batch", "turn its input round", "has it as Flatten", "flattens pictures",
        "mean over all pixels", "pictures of one pixel", "and nowhere else",
    ],
    "does what is done in training": ["got training_mode"],
    "another setting": [
        "pads with zeros", "larger by whole numbers", "repeats pixels", "must stretch", "from 0 to infinity",
        "got alpha",
        "transposed convolution in groups",
    ],
}  # fmt: skip


# All that ONNX has for these is refused; test_onnx_reading.py holds them to onnxruntime.
WITHOUT_A_CASE = {"Div", "Gather", "Mul", "ReduceMean", "Squeeze"}


def claimed(kind):
    return cases(kind, frozenset(READ))


def read(case):
    """Return the network of a case, or the reason why there is none."""
    refusal = ""
    try:
        return nn.onnx.from_model(case.model), None
    except nn.OnnxError as error:
        refusal = str(error)
    found = [reason for reason, said in REASONS.items() if any(words in refusal for words in said)]
    assert found, f"{case.name} is refused, and that is new: {refusal}"
    return None, found[0]


def channels_last(x):
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1)) if x.ndim == 4 else x


def channels_first(y):
    return y.transpose(0, 3, 1, 2) if y.ndim == 4 else y


def operator(case):
    """Return the operator a case is of."""
    (found,) = case.operators if len(case.operators) == 1 else ["several"]
    return found


@pytest.mark.parametrize("name", [*READ, "several"])
def test_networks_give_what_the_standard_says(name):
    held_to, tried = 0, [case for kind in KINDS for case in claimed(kind) if operator(case) == name]
    if not tried:
        pytest.skip("this release of ONNX has no case of it")
    for case in tried:
        net, _ = read(case)
        if net is None:
            continue
        y = net(channels_last(case.x))
        assert y.dtype == case.y.dtype
        np.testing.assert_allclose(
            channels_first(y), case.y, rtol=case.rtol, atol=max(case.atol, 1e-6), err_msg=case.name
        )
        held_to += 1
    assert (held_to == 0) == (name in WITHOUT_A_CASE)


def test_networks_give_it_again_from_a_file_of_ours():
    """What is read is written, and run by onnxruntime."""
    written = 0
    for case in claimed("node"):
        net, _ = read(case)
        if net is None or case.x.ndim not in (2, 4) or case.x.dtype != np.float32:
            continue
        shape = channels_last(case.x).shape[1:]
        dilated_mean = any(isinstance(layer, nn.AvgPool2D) and layer.dilation != 1 for layer in net.layers)
        model = nn.onnx.to_model(net, shape, opset=19 if dilated_mean else 18)
        y = channels_first(run(model, channels_last(case.x)))
        np.testing.assert_allclose(y, case.y, rtol=case.rtol, atol=max(case.atol, 1e-6), err_msg=case.name)
        written += 1
    assert written >= 70


@pytest.mark.parametrize("kind", KINDS)
def test_the_document_counts_them(kind):
    passed = sum(read(case)[0] is not None for case in claimed(kind))
    reasons = Counter(reason for _, reason in map(read, claimed(kind)) if reason)
    (version,) = re.findall(r"ONNX (\d+\.\d+)", DOCUMENT)
    if not onnx.__version__.startswith(f"{version}."):
        pytest.skip(f"the document counts the cases of ONNX {version}")
    column = KINDS.index(kind)
    rows = {
        row[0]: row[1 + column]
        for row in (line.strip("| ").split(" | ") for line in DOCUMENT.splitlines())
        if len(row) == 4
    }
    assert int(rows["read, and right"]) == passed
    for reason in REASONS:
        assert int(rows[f"refused: {reason}"]) == reasons[reason], reason


def test_the_document_has_every_operator_and_no_other():
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", DOCUMENT, re.MULTILINE)
    assert sorted(re.findall(r"\w+", " ".join(rows))) == sorted(READ)
