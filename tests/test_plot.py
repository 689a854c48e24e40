"""The drawings: what is in them, and what is refused."""

import numpy as np
import pytest

import npcnn as nn

pytest.importorskip("matplotlib")

from matplotlib.figure import Figure

NAMES = ("ant", "bee")


@pytest.fixture
def ax():
    return Figure().subplots()


def texts(ax):
    return [text.get_text() for text in ax.texts]


def test_the_axes_given_are_drawn_into(ax):
    assert nn.plot.confusion_matrix(np.eye(2), NAMES, ax=ax) is ax
    assert nn.plot.filters(np.zeros((3, 3, 3, 4)), ax=ax) is ax
    assert nn.plot.pictures(np.zeros((1, 4, 4, 3)), ["one"], ax=ax) is ax
    assert nn.plot.prediction(np.zeros((4, 4, 3)), [0.5, 0.5], NAMES, ax=ax) is ax


def test_confusion_matrix_shows_shares_of_the_true_class():
    ax = nn.plot.confusion_matrix(np.array([[3, 1], [0, 0]]), NAMES)
    assert texts(ax) == ["75%", "25%", "0%", "0%"]
    np.testing.assert_array_equal(ax.images[0].get_array(), [[0.75, 0.25], [0, 0]])
    assert [label.get_text() for label in ax.get_yticklabels()] == list(NAMES)


@pytest.mark.parametrize("channels", [1, 3])
def test_filters_are_stretched_one_by_one(channels, rng):
    w = rng.standard_normal((2, 3, channels, 5)) * np.arange(1, 6)
    sheet = nn.plot.filters(w, columns=4).images[0].get_array()
    assert sheet.shape == (2 * 3 - 1, 4 * 4 - 1, 3)
    first = sheet[:2, :3]
    kernel = w[..., 0]
    np.testing.assert_allclose(
        first, np.broadcast_to((kernel - kernel.min()) / (kernel.max() - kernel.min()), (2, 3, 3)), atol=1e-12
    )
    assert (sheet[2] == 1).all()  # the line between them
    assert (sheet[3:, 4:] == 1).all()  # where no kernel is


def test_pictures_have_their_titles():
    ax = nn.plot.pictures(np.zeros((3, 4, 4, 3), np.uint8), ["a", "b", "c\nd"], columns=2)
    assert texts(ax) == ["a", "b", "c\nd"]
    assert len(ax.images) == 3


def test_a_prediction_shows_the_likeliest_first():
    ax = nn.plot.prediction(np.zeros((4, 4, 3)), [0.2, 0.5, 0.3], ("ant", "bee", "cat"), top=2)
    assert texts(ax) == ["bee  50.0%", "cat  30.0%"]
    lengths = [bar.get_width() for bar in ax.patches]
    np.testing.assert_allclose(np.array(lengths[1::2]) / lengths[0], [0.5, 0.3])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.plot.confusion_matrix(np.eye(3), NAMES), r"matrix must have shape \(2, 2\), got \(3, 3\)"),
        (lambda: nn.plot.filters(np.zeros((3, 3, 64, 4))), r"w must have shape \(KH, KW, 1 or 3, C_out\)"),
        (lambda: nn.plot.filters(np.zeros((3, 3))), "w must have shape"),
        (lambda: nn.plot.pictures(np.zeros((0, 4, 4, 3)), []), "images must have shape"),
        (lambda: nn.plot.pictures(np.zeros((2, 4, 4, 3)), ["one"]), "as many titles"),
        (lambda: nn.plot.prediction(np.zeros((4, 4, 3)), [1.0], NAMES), r"probabilities must have shape \(2,\)"),
        (lambda: nn.plot.prediction(np.zeros((4, 4)), [0.5, 0.5], NAMES), r"picture must have shape \(H, W, 3\)"),
    ],
)
def test_wrong_input_is_named(call, message):
    with pytest.raises(nn.ShapeError, match=message):
        call()
