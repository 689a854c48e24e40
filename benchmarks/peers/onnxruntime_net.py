"""The forward pass in onnxruntime, on the CPU in float32."""

import os

import onnxruntime

from peers import onnx_model


def load(model):
    """Return what runs the model, and the versions."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", os.cpu_count()))
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda x: session.run(None, {"x": x})[0], f"onnxruntime {onnxruntime.__version__}"


def build(batch, network):
    """Return (None, forward, versions)."""
    return onnx_model.build(batch, network, load)
