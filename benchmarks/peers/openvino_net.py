"""The forward pass in OpenVINO, on the CPU in float32, which has to be asked for where the CPU can do bfloat16."""

import os

import openvino

from peers import onnx_model


def load(model):
    """Return what runs the model, and the versions."""
    core = openvino.Core()
    threads = int(os.environ.get("OMP_NUM_THREADS", os.cpu_count()))
    options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
    request = core.compile_model(core.read_model(model), "CPU", options).create_infer_request()

    def run(x):
        return request.infer([x], share_inputs=True, share_outputs=True)[0]

    return run, f"OpenVINO {openvino.__version__.split('-')[0]}"


def build(batch, network):
    """Return (None, forward, versions)."""
    return onnx_model.build(batch, network, load)
