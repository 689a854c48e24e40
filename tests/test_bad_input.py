"""Wrong input, one row a case: each raises the documented exception and names the argument."""

import numpy as np
import pytest

import npcnn as nn
from npcnn import functional as F

X = np.zeros((2, 6, 6, 3), np.float32)
W = np.zeros((3, 3, 3, 3), np.float32)
LOGITS = np.zeros((2, 3), np.float32)
LABELS = np.array([0, 2])
DENSE = nn.Dense(4, 4)
PICTURES = np.zeros((4, 32, 32, 3), np.uint8)
PICTURE_LABELS = LABELS.repeat(2)


def batches(images=PICTURES, labels=PICTURE_LABELS, **options):
    return nn.datasets.TrainingBatches(images, labels, **{"batch_size": 2} | options)


CASES = [
    # layers
    (lambda: nn.Sequential(), ValueError, "at least one layer"),
    (lambda: nn.Sequential(*[nn.ReLU()] * 2), ValueError, "given twice"),
    (lambda: nn.Concat(nn.ReLU()).forward(None), TypeError, "x must be a numpy.ndarray"),
    # what is neither True nor False, and would count as True
    (lambda: nn.Conv2D(3, 4, 3, bias="no"), TypeError, "bias must be True or False, got 'no'"),
    (lambda: nn.Dense(3, 4, bias=None), TypeError, "bias must be True or False"),
    (lambda: nn.Conv2DTranspose(3, 4, 3, bias=1), TypeError, "bias must be True or False"),
    (lambda: F.conv2d(X, W, relu="no"), TypeError, "relu must be True or False, got 'no'"),
    (lambda: F.conv1d(X, W[:, 0], axis="height", relu=0.5), TypeError, "relu must be True or False"),
    (lambda: F.conv2d_max_pool2d(X, W, relu=2, pooling={"size": 2}), TypeError, "relu must be True or False"),
    (lambda: F.conv2d_backward(X, X, W, need_dx="no"), TypeError, "need_dx must be True or False"),
    (lambda: F.linear_backward(LOGITS, LOGITS, W[0, 0], need_dx=None), TypeError, "need_dx must be True or False"),
    # threads
    (lambda: nn.set_num_threads(0), ValueError, "n must be"),
    (lambda: nn.set_num_threads(2.0), TypeError, "n must be"),
    (lambda: nn.set_num_threads(100_000), ValueError, "at most 1024, got 100000"),
    (lambda: nn.set_num_threads(2**40), ValueError, "n must be"),
    # sizes whose sums or products would overflow
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
    (lambda: batches(images=X.astype(np.float64)), nn.DTypeError, "uint8 or float32, got float64"),
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
