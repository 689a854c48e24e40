"""Networks to be written to ONNX files and read back, each layer in its settings, and what runs such files."""

import numpy as np
import onnxruntime

import npcnn as nn

LARGEST_ERROR = 1e-5  # of the largest output, or of 1


def seeded():
    return np.random.default_rng(0)


def drawn_arrays(net):
    """Give every parameter and statistic a value of its own, so that none can be mistaken for another."""
    rng = np.random.default_rng(7)
    for name, array in net.arrays.items():
        spread = rng.uniform(0.5, 1.5, array.shape) if name.endswith(("variance", "scale")) else None
        array[...] = array + rng.normal(0, 0.1, array.shape) if spread is None else spread
    return net


def run(model, x):
    """Return what onnxruntime makes of pictures (N, H, W, C) or of vectors."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    content = model if isinstance(model, bytes) else model.SerializeToString()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {"x": x.transpose(0, 3, 1, 2) if x.ndim == 4 else x})
    return y.transpose(0, 2, 3, 1) if y.ndim == 4 else y


def assert_close(y, expected):
    """Hold outputs to 1e-5 of the largest, or of 1."""
    assert y.shape == expected.shape
    np.testing.assert_allclose(y, expected, rtol=0, atol=LARGEST_ERROR * max(1, np.abs(expected).max()))


PICTURE = (7, 6, 4)
LAYERS = {
    "same, with a stride": lambda: nn.Conv2D(4, 3, 3, stride=2, rng=seeded()),
    "no bias, dilated": lambda: nn.Conv2D(4, 3, (3, 2), padding=((1, 0), (2, 1)), dilation=2, bias=False, rng=seeded()),
    "groups": lambda: nn.Conv2D(4, 6, 3, groups=2, activation="relu", rng=seeded()),
    "depthwise": lambda: nn.DepthwiseConv2D(4, 3, multiplier=2, stride=2, rng=seeded()),
    "depthwise separable": lambda: nn.DepthwiseSeparableConv2D(4, 5, 3, activation="relu", rng=seeded()),
    "along the height": lambda: nn.Conv1D(4, 3, 5, axis="height", stride=2, rng=seeded()),
    "along the width": lambda: nn.Conv1D(4, 3, 3, axis="width", padding=(2, 0), dilation=2, rng=seeded()),
    "spatially separable": lambda: nn.SpatiallySeparableConv2D(4, 3, 5, rng=seeded()),
    "transposed, same": lambda: nn.Conv2DTranspose(4, 3, 5, stride=2, activation="relu", rng=seeded()),
    "transposed, a kernel smaller than the stride": lambda: nn.Conv2DTranspose(4, 3, 2, stride=3, rng=seeded()),
    "transposed, valid": lambda: nn.Conv2DTranspose(4, 3, 3, stride=2, padding="valid", bias=False, rng=seeded()),
    "transposed, more": lambda: nn.Conv2DTranspose(
        4, 3, (3, 2), stride=(2, 3), padding=((1, 0), (0, 1)), dilation=2, output_padding=(1, 2), rng=seeded()
    ),
    "max pool": lambda: nn.MaxPool2D(2, padding="same"),
    "max pool, dilated, in ceil mode": lambda: nn.MaxPool2D(2, 2, dilation=(1, 2), ceil_mode=True),
    "mean pool": lambda: nn.AvgPool2D((3, 2), 2, padding="same"),
    "mean pool with its padding": lambda: nn.AvgPool2D(3, 2, padding=1, count_include_pad=True),
    "mean pool in ceil mode": lambda: nn.AvgPool2D(2, ceil_mode=True),
    "global mean": lambda: nn.GlobalAvgPool2D(),
    "batch norm": lambda: nn.BatchNorm(4, activation="relu"),
    "batch norm without scale and shift": lambda: nn.BatchNorm(4, scale=False, shift=False, eps=1e-5),
    "layer norm": lambda: nn.LayerNorm(4),
    "flatten": lambda: nn.Flatten(),
    "flatten, channels first": lambda: nn.Flatten(channels_first=True),
    "zero pad": lambda: nn.ZeroPad2D(((0, 1), (2, 3))),
    "repeated pixels": lambda: nn.UpSample2D((2, 3)),
    "bilinear": lambda: nn.UpSample2D((3, 2), mode="bilinear"),
    "dropout": lambda: nn.Dropout(0.4),
    "rescale": lambda: nn.Rescale(0.3),
    "relu": nn.ReLU,
    "leaky relu": lambda: nn.LeakyReLU(0.2),
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "gelu by tanh": lambda: nn.GELU("tanh"),
    "softmax": nn.Softmax,
    "log softmax": nn.LogSoftmax,
    "identity": nn.Identity,
    "concat": lambda: nn.Concat(nn.Identity(), nn.Conv2D(4, 2, 3, rng=seeded())),
    "add": lambda: nn.Add(*(nn.Conv2D(4, 2, size, rng=seeded()) for size in (1, 3, 5)), activation="relu"),
    "residual": lambda: nn.Residual(nn.Conv2D(4, 4, 3, rng=seeded()), activation="relu"),
    "shortcut": lambda: nn.Residual(nn.Conv2D(4, 3, 3, 2, rng=seeded()), nn.Conv2D(4, 3, 1, 2, rng=seeded())),
}
