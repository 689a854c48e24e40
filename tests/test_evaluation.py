"""What a classifier gets right and wrong, against counts by hand."""

import numpy as np
import pytest

import npcnn as nn

LABELS = np.array([0, 0, 1, 1, 1, 2])
# Predicted: 0, 1, 1, 1, 2, 2
PROBABILITIES = np.array(
    [[0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [0.0, 1.0, 0.0], [0.2, 0.5, 0.3], [0.05, 0.05, 0.9], [0.3, 0.3, 0.4]]
)
MATRIX = [[1, 1, 0], [0, 2, 1], [0, 0, 1]]


class Given(nn.Layer):
    """Returns its input: logits as they were given."""

    def forward(self, x, training=False):
        return x


def test_predictions_of_several_batches_are_put_together():
    logits = np.log(PROBABILITIES + 1e-9)
    batches = [(logits[:4], LABELS[:4]), (logits[4:], LABELS[4:].astype(np.int32))]
    probabilities, labels = nn.evaluation.predict(Given(), batches)
    np.testing.assert_allclose(probabilities, PROBABILITIES, atol=1e-6)
    np.testing.assert_array_equal(labels, LABELS)
    assert labels.dtype == np.int64


@pytest.mark.parametrize("count", [2, 3])
def test_one_batch_without_its_list_is_refused(count):
    with pytest.raises(TypeError, match=r"pair \(x, labels\), got ndarray; pass one batch as \[\(x, labels\)\]"):
        nn.evaluation.predict(Given(), (PROBABILITIES[:count], LABELS[:count]))


def test_confusion_matrix_by_hand():
    matrix = nn.evaluation.confusion_matrix(LABELS, PROBABILITIES.argmax(axis=1), 3)
    np.testing.assert_array_equal(matrix, MATRIX)
    np.testing.assert_array_equal(nn.evaluation.confusion_matrix(LABELS[:0], LABELS[:0], 2), np.zeros((2, 2)))


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"])
def test_labels_of_any_integer_type_are_counted_in_the_right_cell(dtype):
    for predicted_dtype in (dtype, "i8"):
        matrix = nn.evaluation.confusion_matrix(np.array([20, 3], dtype), np.array([99, 28], predicted_dtype), 100)
        assert np.argwhere(matrix).tolist() == [[3, 28], [20, 99]]
        assert matrix.sum() == 2


@pytest.mark.parametrize("labels", [np.array([0.0, 1.0]), np.array(["0", "1"])])
def test_labels_that_are_not_integers_are_refused(labels):
    with pytest.raises(nn.DTypeError, match=r"labels must be integers"):
        nn.evaluation.confusion_matrix(labels, np.array([0, 1]), 2)


WRONG_LABELS = {
    "floats, which would be cut": (LABELS + 0.9, nn.DTypeError, "labels must be integers.*float64"),
    "one-hot rows": (np.eye(3, dtype=int)[LABELS], nn.ShapeError, r"labels must have shape \(6,\).*argmax"),
    "too few": (LABELS[:1], nn.ShapeError, r"labels must have shape \(6,\)"),
    "as a column, which would be broadcast": (LABELS[:, None], nn.ShapeError, r"labels must have shape \(6,\)"),
    "no class": (LABELS + 1, ValueError, r"labels must be 0 to 2.*labels\[5\] = 3"),
    "more than int64 holds": (LABELS.astype(np.uint64) + 2**63, ValueError, "labels must be 0 to 2"),
    "a list": (LABELS.tolist(), TypeError, "labels must be a numpy.ndarray"),
}


@pytest.mark.parametrize(("labels", "error", "told"), WRONG_LABELS.values(), ids=WRONG_LABELS)
@pytest.mark.parametrize(
    "call",
    [
        lambda labels: nn.evaluation.predict(Given(), [(PROBABILITIES, labels)]),
        lambda labels: nn.evaluation.worst_mistakes(PROBABILITIES, labels, 2),
        lambda labels: nn.evaluation.mistake_titles(PROBABILITIES, labels, ("a", "b", "c")),
        lambda labels: nn.train.evaluate(Given(), [(PROBABILITIES, labels)]),
        lambda labels: nn.functional.softmax_cross_entropy(PROBABILITIES, labels),
    ],
    ids=["predict", "worst_mistakes", "mistake_titles", "evaluate", "softmax_cross_entropy"],
)
def test_labels_that_are_no_classes_of_the_rows_are_refused(call, labels, error, told):
    with pytest.raises(error, match=told) as caught:
        call(labels)
    assert type(caught.value) is error


@pytest.mark.parametrize("scores", [PROBABILITIES[0], PROBABILITIES[:, None]], ids=["one row", "with an axis more"])
@pytest.mark.parametrize(
    "call",
    [
        lambda scores: nn.evaluation.predict(Given(), [(scores, LABELS)]),
        lambda scores: nn.evaluation.worst_mistakes(scores, LABELS, 2),
        lambda scores: nn.train.evaluate(Given(), [(scores, LABELS)]),
        lambda scores: nn.functional.softmax_cross_entropy(scores, LABELS),
    ],
    ids=["predict", "worst_mistakes", "evaluate", "softmax_cross_entropy"],
)
def test_scores_that_are_no_rows_of_classes_are_refused(call, scores):
    with pytest.raises(nn.ShapeError, match=r"(logits|probabilities) must have 2 axes \(N, classes\), got shape"):
        call(scores)


def test_class_scores_by_hand():
    scores = nn.evaluation.class_scores(np.array(MATRIX))
    assert [score.pictures for score in scores] == [2, 3, 1]
    np.testing.assert_allclose([score.recall for score in scores], [1 / 2, 2 / 3, 1])
    np.testing.assert_allclose([score.precision for score in scores], [1, 2 / 3, 1 / 2])


@pytest.mark.parametrize(("count", "worst"), [(5, [4, 1]), (1, [4]), (0, [])])
def test_the_worst_mistakes_come_first(count, worst):
    np.testing.assert_array_equal(nn.evaluation.worst_mistakes(PROBABILITIES, LABELS, count), worst)


def test_the_titles_of_mistakes():
    titles = nn.evaluation.mistake_titles(PROBABILITIES[[4, 1]], LABELS[[4, 1]], ("ant", "bee", "cat"))
    assert titles == ["bee, taken for\ncat 90%", "ant, taken for\nbee 60%"]
