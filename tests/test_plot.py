"""The drawings: what is in them, and what is refused."""

import numpy as np
import pytest

import npcnn as nn

pytest.importorskip("matplotlib")

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

NAMES = ("ant", "bee")


@pytest.fixture(autouse=True)
def no_figure_is_left():
    yield
    plt.close("all")


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
    assert nn.plot.feature_maps(np.zeros((4, 4, 3)), ax=ax) is ax
    assert nn.plot.im2col(np.zeros((4, 4, 1)), 3, ax=ax) is ax
    assert nn.plot.multiplications(nn.Conv2D(1, 1, 3), (5, 2, 1), ax=ax) is ax
    assert nn.plot.window(np.zeros((4, 4)), 3, (0, 0), ax=ax) is ax


def test_without_axes_it_is_a_figure_of_pyplot_for_notebooks_to_show():
    first = nn.plot.filters(np.zeros((3, 3, 3, 4)))
    assert first.figure is plt.gcf()
    assert nn.plot.filters(np.zeros((3, 3, 3, 4))).figure is not first.figure


def test_the_axes_given_open_no_figure(ax):
    nn.plot.filters(np.zeros((3, 3, 3, 4)), ax=ax)
    assert plt.get_fignums() == []


def test_feature_maps_are_on_one_scale(rng):
    y = rng.standard_normal((3, 4, 5))
    sheet = nn.plot.feature_maps(y, columns=3).images[0].get_array()
    assert sheet.shape == (2 * 4 - 1, 3 * 5 - 1, 3)
    expected = (y - y.min()) / (y.max() - y.min())
    np.testing.assert_allclose(sheet[:3, :4, 0], expected[..., 0], atol=1e-12)
    np.testing.assert_allclose(sheet[4:, 5:9, 2], expected[..., 4], atol=1e-12)


def test_im2col_is_the_matrix_with_its_padding_marked():
    x = np.array([[[1.5], [-2], [0]]])  # a zero of the picture is not padding
    ax = nn.plot.im2col(x, (1, 3))
    assert texts(ax) == ["x", "1.5", "-2", "1.5", "-2", "0", "-2", "0", "x"]
    drawn = ax.images[0].get_array()
    np.testing.assert_array_equal(drawn.mask, [[1, 0, 0], [0, 0, 0], [0, 0, 1]])
    np.testing.assert_array_equal(drawn.filled(0), [[0, 1.5, -2], [1.5, -2, 0], [-2, 0, 0]])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["0,0", "0,1", "0,2"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0,0", "0,1", "0,2"]


def test_im2col_takes_the_windows_of_a_convolution(rng):
    x = rng.standard_normal((6, 5, 2))
    window = {"stride": (2, 1), "padding": ((1, 0), (0, 2)), "dilation": (1, 2)}
    drawn = nn.plot.im2col(x, (3, 2), **window).images[0].get_array().filled(0)
    w = rng.standard_normal((3, 2, 2, 1))
    expected = nn.functional.conv2d(x[None], w, **window)
    np.testing.assert_allclose(drawn @ w.reshape(-1), expected.reshape(-1), atol=1e-12)


def test_multiplications_are_those_of_the_layers():
    net = nn.models.cifar_separable()
    ax = nn.plot.multiplications(net, (24, 24, 3))
    names = [label.get_text() for label in ax.get_yticklabels()]
    pair = "2_spatially_separable_conv2d"
    assert names == ["0_conv2d", f"{pair}.vertical", f"{pair}.horizontal", "4_conv2d"]
    definition, spent = ([bar.get_width() * 1e6 for bar in bars] for bars in ax.containers)
    np.testing.assert_allclose(sum(definition), net.multiplications((24, 24, 3)))
    np.testing.assert_allclose(sum(spent), net.multiplications((24, 24, 3), spent=True))
    branches = nn.plot.multiplications(nn.Concat(nn.Conv2D(1, 1, 1), nn.Conv2D(1, 2, 3)), (5, 2, 1))
    assert [bar.get_width() * 1e6 for bar in branches.containers[0]] == pytest.approx([10, 180])


def test_confusion_matrix_shows_shares_of_the_true_class():
    ax = nn.plot.confusion_matrix(np.array([[3, 1], [0, 0]]), NAMES)
    assert texts(ax) == ["75%", "25%", "0%", "0%"]
    np.testing.assert_array_equal(ax.images[0].get_array(), [[0.75, 0.25], [0, 0]])
    assert [label.get_text() for label in ax.get_yticklabels()] == list(NAMES)


@pytest.mark.parametrize("names", [NAMES, [f"a rather long name {k}" for k in range(10)]], ids=len)
def test_confusion_matrix_has_a_title_and_fills_its_figure(names):
    ax = nn.plot.confusion_matrix(np.eye(len(names)), names)
    ax.figure.canvas.draw()
    drawn, (width, height) = ax.get_tightbbox(), ax.figure.canvas.get_width_height()
    assert "onfusion matrix" in ax.get_title()
    assert max(drawn.x0, width - drawn.x1) < 0.03 * width
    assert max(drawn.y0, height - drawn.y1) < 0.03 * height


def test_confusion_matrix_of_many_classes_writes_only_what_can_be_read():
    assert len(texts(nn.plot.confusion_matrix(np.eye(20), [str(k) for k in range(20)]))) == 400
    ax = nn.plot.confusion_matrix(np.eye(100), [f"class {k}" for k in range(100)])
    assert texts(ax) == []
    assert "class 1" not in [label.get_text() for label in ax.get_yticklabels()]


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


@pytest.mark.parametrize("shape", [(3, 4, 5), (3, 4, 5, 1)])
@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32])
def test_grey_pictures_are_grey_and_not_stretched(shape, dtype, rng):
    # From 0.2 to 0.6 of the whole range: stretched, they would reach from black to white.
    images = (rng.uniform(0.2, 0.6, shape) * (1 if dtype == np.float32 else 255)).astype(dtype)
    share = images.reshape(3, 4, 5) / (1 if dtype == np.float32 else 255)
    drawn = list(nn.plot.pictures(images, "abc").images)
    drawn += [nn.plot.prediction(image, [0.5, 0.5], NAMES).images[0] for image in images]
    assert len(drawn) == 6
    for k, image in enumerate(drawn):
        rgba = image.to_rgba(image.get_array(), norm=False)  # what reaches the screen
        rgba = rgba / (255 if rgba.dtype == np.uint8 else 1)
        np.testing.assert_allclose(rgba[..., :3], np.repeat(share[k % 3, ..., np.newaxis], 3, axis=-1), atol=1e-6)
        assert (rgba[..., 3] == 1).all()


def test_coloured_pictures_are_drawn_as_they_are(rng):
    images = rng.integers(0, 256, (2, 4, 5, 3), np.uint8)
    drawn = nn.plot.pictures(images, "ab").images + nn.plot.prediction(images[0], [0.5, 0.5], NAMES).images
    for image, expected in zip(drawn, images[[0, 1, 0]], strict=True):
        np.testing.assert_array_equal(image.get_array(), expected)


def test_few_pictures_leave_no_columns_empty():
    assert nn.plot.filters(np.zeros((3, 3, 1, 2))).images[0].get_array().shape == (3, 7, 3)
    assert nn.plot.feature_maps(np.zeros((3, 3, 2))).images[0].get_array().shape == (3, 7, 3)
    few = nn.plot.pictures(np.zeros((2, 4, 4)), "ab")
    assert few.get_xlim()[1] < 2 * 1.25 * 4


def test_small_integers_do_not_overflow_into_wrong_colours():
    for ax in (
        nn.plot.window(np.array([[-128, 100]], np.int8), 1, (0, 0)),
        nn.plot.im2col(np.array([[[-128], [100]]], np.int8), 1),
    ):
        assert ax.images[0].get_clim() == (-128, 128)
    levels = np.array([-128, 0, 127], np.int8).reshape(1, 3, 1)
    expected = np.array([0, 128 / 255, 1])
    np.testing.assert_allclose(nn.plot.feature_maps(levels).images[0].get_array()[0, :, 0], expected)
    np.testing.assert_allclose(nn.plot.filters(levels[..., None]).images[0].get_array()[0, :, 0], expected)


def test_a_window_is_where_the_taps_lie():
    x = np.arange(1.0, 11.0).reshape(5, 2)
    ax = nn.plot.window(x, (3, 2), (1, 0), stride=(2, 1), padding=((1, 1), (0, 1)), dilation=1)
    assert texts(ax)[:6] == ["0", "0", "0", "1", "2", "0"]
    assert ax.images[0].get_array().mask.sum() == 7 * 3 - 10
    corners = [(patch.get_y() + 0.5, patch.get_x() + 0.5) for patch in ax.patches]
    assert corners == [(2 + kh, kw) for kh in range(3) for kw in range(2)]
    spread = nn.plot.window(x, (2, 1), (1, 1), dilation=(2, 1)).patches
    assert [patch.get_y() + 0.5 for patch in spread] == [1, 3]


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
        (lambda: nn.plot.feature_maps(np.zeros((1, 4, 4, 3))), r"of a batch take one, y\[0\]"),
        (lambda: nn.plot.im2col(np.zeros((4, 4)), 3), r"x must have shape \(H, W, C\)"),
        (lambda: nn.plot.im2col(np.zeros((2, 2, 1)), 3, padding="valid"), "the window spans 3"),
        (lambda: nn.plot.window(np.zeros((1, 4, 4, 1)), 3, (0, 0)), r"take one, x\[0, :, :, 0\]"),
        (lambda: nn.plot.multiplications(nn.models.cifar_plain(), (24, 24, 1)), "layer 0"),
        (lambda: nn.plot.prediction(np.zeros(4), [0.5, 0.5], NAMES), r"picture must have shape \(H, W, 3\)"),
        (lambda: nn.plot.prediction(np.zeros((4, 4, 2)), [0.5, 0.5], NAMES), "picture must have shape"),
        (lambda: nn.plot.pictures(np.zeros((1, 4, 4, 2)), ["one"]), r"for grey, got \(1, 4, 4, 2\)"),
        (lambda: nn.plot.pictures(np.zeros((1, 4, 4, 4)), ["one"]), "images must have shape"),
        (lambda: nn.plot.pictures(np.zeros((1, 0, 4, 3)), ["one"]), "images must have shape"),
        (lambda: nn.plot.filters(np.zeros((3, 3, 3, 0))), "w must have shape"),
    ],
)
def test_wrong_input_is_named(call, message):
    with pytest.raises(nn.ShapeError, match=message):
        call()


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: nn.plot.filters(np.zeros((3, 3, 1, 2)), columns=0), "columns"),
        (lambda: nn.plot.feature_maps(np.zeros((3, 3, 2)), columns=-1), "columns"),
        (lambda: nn.plot.pictures(np.zeros((1, 4, 4)), ["one"], columns=0), "columns"),
        (lambda: nn.plot.prediction(np.zeros((4, 4)), [0.5, 0.5], NAMES, top=0), "top"),
    ],
)
def test_a_number_below_one_is_refused(call, argument):
    with pytest.raises(ValueError, match=argument):
        call()


@pytest.mark.parametrize("pixel", [(2, 0), (0, 2), (-1, 0), (0,)])
def test_a_pixel_that_is_not_there_is_refused(pixel):
    with pytest.raises(ValueError, match="pixel must be"):
        nn.plot.window(np.zeros((2, 2)), 3, pixel)
