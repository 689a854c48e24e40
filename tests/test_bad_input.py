"""Wrong input, one row a case: each raises the documented exception and names the argument."""

import numpy as np
import pytest

import npcnn as nn
from npcnn import functional as F

X = np.zeros((2, 6, 6, 3), np.float32)
W = np.zeros((3, 3, 3, 4), np.float32)
W1 = np.zeros((3, 3, 4), np.float32)
B = np.zeros(4, np.float32)
Y = np.zeros((2, 6, 6, 4), np.float32)
POOLED = np.zeros((2, 3, 3, 3), np.float32)
ARGMAX = np.zeros((2, 3, 3, 3), np.int32)
LOGITS = np.zeros((2, 3), np.float32)
LABELS = np.array([0, 2])
DENSE = nn.Dense(4, 4)
PICTURES = np.zeros((4, 32, 32, 3), np.uint8)
PICTURE_LABELS = LABELS.repeat(2)


def as_wide(array):
    """With 1,000 input channels in place of 3."""
    shape = list(array.shape)
    shape[array.ndim - 2 if array is W1 else -1] = 1000
    return np.zeros(shape, array.dtype)


def batches(images=PICTURES, labels=PICTURE_LABELS, **options):
    return nn.datasets.TrainingBatches(images, labels, **{"batch_size": 2} | options)


def as_type(dtype, array=X):
    return array.astype(dtype)


def pool_back(dy=POOLED, argmax=ARGMAX, x_shape=X.shape, **options):
    return F.max_pool2d_backward(dy, argmax, x_shape, **{"size": 2} | options)


CASES = [
    # rank
    (lambda: F.conv2d(X[0], W), nn.ShapeError, r"x must have 4 axes.*\(6, 6, 3\)"),
    (lambda: F.conv2d(X, W[0]), nn.ShapeError, r"w must have 4 axes.*\(3, 3, 4\)"),
    (lambda: F.conv2d(X, W, B[None]), nn.ShapeError, "b must have 1 axes"),
    (lambda: F.conv1d(X[0], W1, axis="height"), nn.ShapeError, "x must have 4 axes"),
    (lambda: F.conv1d(X, W, axis="height"), nn.ShapeError, "w must have 3 axes"),
    (lambda: F.max_pool2d(X[0], 2), nn.ShapeError, "x must have 4 axes"),
    (lambda: F.avg_pool2d(X[0], 2), nn.ShapeError, "x must have 4 axes"),
    (lambda: F.softmax(LOGITS[0]), nn.ShapeError, "logits must have 2 axes"),
    (lambda: F.log_softmax(X), nn.ShapeError, "logits must have 2 axes"),
    (lambda: F.softmax_cross_entropy(X, LABELS), nn.ShapeError, "logits must have 2 axes"),
    # channels and sizes
    (lambda: F.conv2d(X, W[:, :, :2]), nn.ShapeError, r"w must have shape \(3, 3, 3, 4\).*3 channels"),
    (lambda: F.conv1d(X, W1[:, :2], axis="width"), nn.ShapeError, "w must have shape"),
    (lambda: F.conv2d(X, W, B[:3]), nn.ShapeError, r"b must have shape \(4,\).*got \(3,\)"),
    (lambda: F.conv1d(X, W1, B[:3], axis="width"), nn.ShapeError, "b must have shape"),
    (lambda: F.conv2d(X[:, :0], W), nn.ShapeError, "x has an empty axis"),
    (lambda: F.conv2d(X, W[:0]), nn.ShapeError, "w has an empty axis"),
    (lambda: F.conv2d(X[..., :0], W[:, :, :0]), nn.ShapeError, "x has an empty axis"),
    (lambda: F.max_pool2d(X[:, :, :0], 2), nn.ShapeError, "x has an empty axis"),
    (lambda: F.softmax(LOGITS[:, :0]), nn.ShapeError, "at least one class"),
    (lambda: F.conv2d(X[:, :2], W, padding="valid"), nn.ShapeError, "spans 3 pixels along the height"),
    (lambda: F.max_pool2d(X, 7), nn.ShapeError, "spans 7 pixels"),
    # types
    (lambda: F.conv2d(as_type(int), W), nn.DTypeError, "x must be float32 or float64, got int64"),
    (lambda: F.conv2d(as_type(np.float16), W), nn.DTypeError, "got float16"),
    (lambda: F.conv2d(as_type(object), W), nn.DTypeError, "got object"),
    (lambda: F.conv2d(as_type(complex), W), nn.DTypeError, "got complex128"),
    (lambda: F.conv2d(as_type(">f4"), W), nn.DTypeError, "x must be float32 or float64"),
    (lambda: F.conv2d(X.tolist(), W), TypeError, "x must be a numpy.ndarray.*got list"),
    (lambda: F.conv2d(None, W), TypeError, "got NoneType"),
    (lambda: F.conv2d(X, as_type(np.float64, W)), nn.DTypeError, "w must have the dtype of x"),
    (lambda: F.conv2d(X, W, as_type(np.float64, B)), nn.DTypeError, "b must have the dtype of w"),
    (lambda: F.conv1d(as_type(int), W1, axis="width"), nn.DTypeError, "x must be float32"),
    (lambda: F.max_pool2d(as_type(np.uint8), 2), nn.DTypeError, "got uint8"),
    (lambda: F.avg_pool2d(as_type(bool), 2), nn.DTypeError, "got bool"),
    (lambda: F.relu(as_type(int)), nn.DTypeError, "x must be float32"),
    (lambda: F.relu([1.0]), TypeError, "x must be a numpy.ndarray, got list"),
    (lambda: F.softmax(as_type(int, LOGITS)), nn.DTypeError, "logits must be float32"),
    # strides, paddings, dilations, sizes
    (lambda: F.conv2d(X, W, stride=0), ValueError, "stride must be an integer of at least 1 .*got 0"),
    (lambda: F.conv2d(X, W, stride=-1), ValueError, "stride must be"),
    (lambda: F.conv2d(X, W, stride=1.5), TypeError, "stride must be"),
    (lambda: F.conv2d(X, W, stride=(1, 0)), ValueError, r"stride\[1\] must be"),
    (lambda: F.conv2d(X, W, stride=(1, 1, 1)), ValueError, "stride must be an integer or a pair"),
    (lambda: F.conv2d(X, W, stride=True), TypeError, "stride must be"),
    (lambda: F.conv2d(X, W, dilation=0), ValueError, "dilation must be"),
    (lambda: F.conv2d(X, W, padding="full"), ValueError, "padding must be 'same'"),
    (lambda: F.conv2d(X, W, padding=-1), ValueError, "padding must be"),
    (lambda: F.conv2d(X, W, padding=(1, 1)), ValueError, "padding must be"),
    (lambda: F.conv2d(X, W, padding=((1, 1), (1, -1))), ValueError, r"padding\[1\]\[1\] must be"),
    (lambda: F.conv2d(X, W, padding=None), TypeError, "padding must be"),
    (lambda: F.conv1d(X, W1, axis="depth"), ValueError, "axis must be 'height' or 'width'"),
    (lambda: F.conv1d(X, W1, axis=0), ValueError, "axis must be"),
    (lambda: F.conv1d(X, W1, axis="width", stride=(1, 1)), TypeError, "stride must be"),
    (lambda: F.conv1d(X, W1, axis="width", padding=(1, 1, 1)), ValueError, "padding must be"),
    (lambda: F.conv1d(X, W1, axis="width", padding="half"), ValueError, "padding must be"),
    (lambda: F.conv1d(X, W1, axis="width", dilation=0), ValueError, "dilation must be"),
    (lambda: F.max_pool2d(X, 0), ValueError, "size must be"),
    (lambda: F.max_pool2d(X, (2, -1)), ValueError, r"size\[1\] must be"),
    (lambda: F.max_pool2d(X, 2, stride=0), ValueError, "stride must be"),
    (lambda: F.max_pool2d(X, 2, padding=2), ValueError, "smaller than the pooling window"),
    (lambda: F.avg_pool2d(X, 2, padding=((0, 0), (0, 2))), ValueError, "smaller than the pooling"),
    # gradients
    (lambda: F.conv2d_backward(Y[:1], X, W), nn.ShapeError, "dy must have shape.*forward result"),
    (lambda: F.conv2d_backward(Y[..., :3], X, W), nn.ShapeError, "dy must have shape"),
    (lambda: F.conv2d_backward(as_type(np.float64, Y), X, W), nn.DTypeError, "dy must have the dtype"),
    (lambda: F.conv2d_backward(Y, X, W, relu_output=Y[:, :5]), nn.ShapeError, "relu_output must"),
    (lambda: F.conv2d_backward(Y, X, W, out=(X,)), TypeError, "out must be a tuple of three"),
    (lambda: F.conv1d_backward(Y[:1], X, W1, axis="width"), nn.ShapeError, "dy must have shape"),
    (lambda: F.relu_backward(Y, X), nn.ShapeError, "y must have shape"),
    (lambda: pool_back(dy=POOLED[:1]), nn.ShapeError, "dy must have shape"),
    (lambda: pool_back(argmax=ARGMAX.astype(np.int64)), nn.DTypeError, "argmax must be the int32"),
    (lambda: pool_back(argmax=ARGMAX[:1]), nn.ShapeError, "argmax must have shape"),
    (lambda: pool_back(argmax=ARGMAX + 4), ValueError, "argmax must lie between 0 and 3"),
    (lambda: pool_back(argmax=ARGMAX - 1), ValueError, "argmax must lie between 0 and 3"),
    (lambda: pool_back(x_shape=(6, 6, 3)), nn.ShapeError, "x_shape must be"),
    (lambda: pool_back(x_shape=(2, 6, 0, 3)), ValueError, r"x_shape\[2\] must be"),
    (lambda: F.avg_pool2d_backward(POOLED, (2, 9, 9, 3), size=2), nn.ShapeError, "dy must have"),
    # labels
    (lambda: F.softmax_cross_entropy(LOGITS, LABELS[:1]), nn.ShapeError, "labels must have shape"),
    (lambda: F.softmax_cross_entropy(LOGITS, LABELS + 1), ValueError, r"labels\[1\] = 3"),
    (lambda: F.softmax_cross_entropy(LOGITS, LABELS - 1), ValueError, r"labels\[0\] = -1"),
    (lambda: F.softmax_cross_entropy(LOGITS, LABELS * 1.0), nn.DTypeError, "labels must be integers"),
    (lambda: F.softmax_cross_entropy(LOGITS, [0, 2]), TypeError, "labels must be a numpy.ndarray"),
    # out=
    (lambda: F.conv2d(X, W, out=X), nn.ShapeError, "out must have shape"),
    (lambda: F.conv2d(X, W, out=Y.astype(float)), nn.DTypeError, "out must have dtype"),
    (lambda: F.conv2d(X, W, out=[0]), TypeError, "out must be a numpy.ndarray or None"),
    (lambda: F.max_pool2d(X, 2, out=POOLED), TypeError, "out must be a tuple of two"),
    (lambda: F.relu(X, out=X[:1]), nn.ShapeError, "out must have shape"),
    # layers
    (lambda: nn.Conv2D(0, 4, 3), ValueError, "in_channels must be"),
    (lambda: nn.Conv2D(3, -4, 3), ValueError, "out_channels must be"),
    (lambda: nn.Conv2D(3, 4, 0), ValueError, "size must be"),
    (lambda: nn.Conv2D(3, 4, 3, stride=0), ValueError, "stride must be"),
    (lambda: nn.Conv2D(3, 4, 3, padding="full"), ValueError, "padding must be"),
    (lambda: nn.Conv2D(3, 4, 3, activation="tanh"), ValueError, "activation must be"),
    (lambda: nn.Conv2D(3, 4, 3, dtype=np.float16), nn.DTypeError, "dtype must be"),
    (lambda: nn.Conv2D(3, 4, 3, dtype="real"), nn.DTypeError, "dtype must be"),
    (lambda: nn.Conv1D(3, 4, 3, axis="depth"), ValueError, "axis must be"),
    (lambda: nn.Conv1D(3, 4, (3, 1), axis="height"), TypeError, "kernel_size must be"),
    (lambda: nn.Conv1D(3, 4, 3, axis="width", algorithm="fft"), ValueError, "algorithm must be"),
    (lambda: nn.SpatiallySeparableConv2D(3, 4, 3, middle_activation="elu"), ValueError, "middle_act"),
    (lambda: nn.MaxPool2D(0), ValueError, "size must be"),
    (lambda: nn.AvgPool2D(2, padding=2), ValueError, "smaller than the pooling window"),
    (lambda: nn.Dense(0, 4), ValueError, "in_features must be"),
    (lambda: nn.Dense(4, 4).forward(np.zeros((1, 5), np.float32)), nn.ShapeError, r"\(4,\)"),
    (lambda: nn.Dense(4, 4).forward(np.zeros((1, 4))), nn.DTypeError, "x must have the dtype"),
    (lambda: nn.Dropout(1.0), ValueError, "rate must be"),
    (lambda: nn.Dropout(float("nan")), ValueError, "rate must be"),
    (lambda: nn.Sequential(), ValueError, "at least one layer"),
    (lambda: nn.Sequential(nn.ReLU), TypeError, r"layers\[0\] must be a Layer"),
    (lambda: nn.Sequential(*[nn.ReLU()] * 2), ValueError, "given twice"),
    (lambda: nn.Concat(), ValueError, "at least one layer"),
    (lambda: nn.MaxPool2D(2).forward([[1.0]]), TypeError, "x must be a numpy.ndarray"),
    (lambda: nn.Conv2D(3, 4, 3).forward([[1.0]]), TypeError, "x must be a numpy.ndarray"),
    (lambda: nn.GlobalAvgPool2D().forward("x"), TypeError, "x must be a numpy.ndarray"),
    (lambda: nn.Concat(nn.ReLU()).forward(None), TypeError, "x must be a numpy.ndarray"),
    (lambda: nn.ReLU().forward([1.0]), TypeError, "x must be a numpy.ndarray"),
    # threads
    (lambda: nn.set_num_threads(0), ValueError, "n must be"),
    (lambda: nn.set_num_threads(2.0), TypeError, "n must be"),
    (lambda: nn.set_num_threads(100_000), ValueError, "at most 1024, got 100000"),
    (lambda: nn.set_num_threads(2**40), ValueError, "n must be"),
    (lambda: F.avg_pool2d(X, 2, count_include_pad="no"), TypeError, "count_include_pad must be"),
    (lambda: nn.AvgPool2D(2, count_include_pad=2), TypeError, "count_include_pad must be"),
    (lambda: F.conv1d(X, W1, axis="width", padding=((1, 1), (0, 0))), ValueError, r"got \(\(1, 1\), \(0, 0\)\)"),
    # sizes whose sums or products would overflow
    (lambda: F.conv2d(X, W, stride=2**31), ValueError, "stride must be .* at most 2147483647, got 2147483648"),
    (lambda: F.conv2d(X, W, stride=(1, 2**63)), ValueError, r"stride\[1\] must be .* at most 2147483647"),
    (lambda: F.conv2d(X, W, dilation=2**64), ValueError, "dilation must be .* at most 2147483647"),
    (lambda: F.conv2d(X, W, padding=2**31), ValueError, "padding must be .* at most 2147483647"),
    (lambda: F.conv2d(X, W, padding=((0, 0), (2**40, 0))), ValueError, r"padding\[1\]\[0\] must be .* at most"),
    (lambda: F.conv2d(X, W, padding=2**30, stride=2**30), nn.ShapeError, "padding must leave .* at most 1,099"),
    (lambda: F.conv2d(X, W, dilation=2**30), nn.ShapeError, "padding must leave .* a smaller dilation"),
    (lambda: F.conv2d_backward(Y, X, W, padding=2**30), nn.ShapeError, "padding must leave"),
    (lambda: F.conv2d_max_pool2d(X, W, convolution={"padding": 2**30}, pooling={"size": 2}), nn.ShapeError, "padding"),
    (lambda: F.conv1d(X, W1, axis="width", stride=2**31), ValueError, "stride must be .* at most 2147483647"),
    (lambda: F.conv1d(X, W1, axis="width", dilation=2**63), ValueError, "dilation must be .* at most 2147483647"),
    (lambda: F.conv1d(X, W1, axis="height", padding=(0, 2**62)), ValueError, "padding must be .* at most 2147483647"),
    (lambda: F.conv1d(as_wide(X), as_wide(W1), axis="height", padding=2**31 - 1), nn.ShapeError, "padding must leave"),
    (lambda: F.max_pool2d(X, 2**16, padding="same"), ValueError, "size must be a window of at most 2147483647 taps"),
    (lambda: F.max_pool2d(X, (1, 2**31), padding="same"), ValueError, r"size\[1\] must be .* at most 2147483647"),
    (lambda: F.avg_pool2d(X, 2, stride=2**64), ValueError, "stride must be .* at most 2147483647"),
    (
        lambda: pool_back(
            POOLED[:1, :1, :1, :1], ARGMAX[:1, :1, :1, :1], (1, 2**31 - 1, 2**31 - 1, 1), stride=2**31 - 1
        ),
        nn.ShapeError,
        r"the result \(out\) would have shape .* more bytes than can be addressed",
    ),
    (lambda: nn.Conv2D(2**40, 2**40, 3), nn.ShapeError, "w would have shape .* more bytes than can be addressed"),
    (lambda: nn.Conv1D(2**40, 2**40, 3, axis="width"), nn.ShapeError, "w would have shape"),
    (lambda: nn.Dense(2**62, 2**62), nn.ShapeError, "w would have shape"),
    (lambda: nn.MaxPool2D(2**31), ValueError, "size must be .* at most 2147483647"),
    # training
    (lambda: nn.train.fit(None, iter([]), None, steps=-1), ValueError, "steps must be"),
    (lambda: nn.train.fit(None, iter([]), None, steps="all"), TypeError, "steps must be"),
    (lambda: nn.train.fit(None, iter([]), None, steps=1, start=-1), ValueError, "start must be"),
    (lambda: nn.train.fit(None, iter([]), None, steps=1, start=0.5), TypeError, "start must be"),
    (lambda: nn.train.Checkpoints("c", DENSE, nn.Adam(DENSE), every=0), ValueError, "every must be"),
    (lambda: nn.train.Checkpoints("c", DENSE, nn.Adam(DENSE), every=1, keep=0), ValueError, "keep must be"),
    (lambda: nn.train.CurvePlot("m.csv", "c.png", every=0), ValueError, "every must be"),
    (lambda: nn.Adam(DENSE, lr=-1), ValueError, "lr must be"),
    (lambda: nn.Adam(DENSE, lr=float("inf")), ValueError, "lr must be"),
    (lambda: nn.Adam(DENSE, beta1=1), ValueError, "beta1 must be"),
    (lambda: nn.Adam(DENSE, eps=-1), ValueError, "eps must be"),
    # data
    (lambda: batches(images=X), nn.DTypeError, "uint8"),
    (lambda: batches(images=PICTURES[0]), nn.ShapeError, "images must"),
    (lambda: batches(labels=np.zeros(3, int)), nn.ShapeError, "labels must"),
    (lambda: batches(batch_size=0), ValueError, "batch_size must be"),
    (lambda: batches(batch_size=5), ValueError, "batch_size must be at most 4"),
    (lambda: batches(batch_size=2**70), ValueError, "batch_size must be at most 4"),
    (lambda: batches(pipeline="mirrored"), ValueError, "pipeline must be one of"),
    (lambda: batches(seed=-1), ValueError, "seed must be"),
    (lambda: batches(start=-1), ValueError, "start must be"),
    (lambda: nn.datasets.inputs(X), nn.DTypeError, "uint8"),
    (lambda: nn.datasets.inputs(PICTURES[:, :20]), nn.ShapeError, "32"),
    (lambda: nn.datasets.load("imagenet"), ValueError, "imagenet"),
    # evaluation
    (lambda: nn.evaluation.predict(DENSE, []), ValueError, "batches must hold at least one"),
    (lambda: nn.evaluation.confusion_matrix(LABELS, LABELS, 0), ValueError, "classes must be"),
    (lambda: nn.evaluation.confusion_matrix(LABELS, LABELS, 2), ValueError, "labels must be from 0 to 1"),
    (lambda: nn.evaluation.confusion_matrix(LABELS, LABELS[:1], 3), nn.ShapeError, "labels and predicted must"),
    (lambda: nn.evaluation.confusion_matrix(LABELS, LABELS, 2**40), nn.ShapeError, "the matrix would have shape"),
    (lambda: nn.evaluation.worst_mistakes(LOGITS, LABELS, -1), ValueError, "count must be"),
]


@pytest.mark.parametrize(("call", "error", "message"), CASES)
def test_wrong_input_is_named(call, error, message):
    with pytest.raises(error, match=message) as caught:
        call()
    assert type(caught.value) is error
