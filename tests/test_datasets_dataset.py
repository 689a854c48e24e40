"""Data sets of one's own arrays: any height, width and channels; what is refused; the statistics; the steps."""

import numpy as np
import pytest

import npcnn as nn
from npcnn.datasets import Dataset, checks, from_arrays, steps


@pytest.fixture
def arrays(rng):
    """Training and test pictures and labels, as `from_arrays` takes them."""
    images = rng.integers(0, 256, (9, 5, 7, 2), dtype=np.uint8)
    labels = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2])
    return images[:6], labels[:6], images[6:], labels[6:]


@pytest.mark.parametrize("shape", [(28, 28, 1), (1, 1, 1), (5, 7, 2), (64, 48, 3), (3, 100, 11)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_any_size_any_channels_and_both_dtypes(rng, shape, dtype):
    images = rng.integers(0, 256, (4, *shape)).astype(dtype)
    data = from_arrays(images, [0, 1, 1, 0], images[:2], (1, 0), classes=("no", "yes"))
    assert data.train_images is images  # not copied
    np.testing.assert_array_equal(data.test_images, images[:2])
    assert (data.train_labels.tolist(), data.test_labels.tolist()) == ([0, 1, 1, 0], [1, 0])
    assert data.train_labels.dtype == data.test_labels.dtype == np.int64
    assert (data.classes, data.class_names) == (("no", "yes"), ("no", "yes"))
    assert (data.name, data.folder, data.steps) == ("arrays", None, ())
    assert data.picture_shape == data.input_shape == shape


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint64, np.int32])
def test_labels_of_any_integer_type(arrays, dtype):
    x, y, x2, y2 = arrays
    data = from_arrays(x, y.astype(dtype), x2, y2.astype(dtype))
    assert data.train_labels.dtype == np.int64
    assert data.train_labels.tolist() == y.tolist()


def test_without_names_the_classes_are_their_numbers(arrays):
    x, y, x2, y2 = arrays
    assert from_arrays(x, y, x2, y2).classes == ("0", "1", "2")
    assert from_arrays(x, y, x2, y2 + 1).classes == ("0", "1", "2", "3")
    assert from_arrays(x, y * 0, x2[:0], []).classes == ("0",)


def test_no_test_pictures_are_fine(arrays):
    x, y, x2, _ = arrays
    data = from_arrays(x, y, x2[:0], [])
    assert (len(data.test_images), data.test_labels.dtype) == (0, np.int64)
    assert list(nn.datasets.evaluation_batches(data)) == []


NAN = np.zeros((3, 5, 7, 2), np.float32)
NAN[1, 4, 6, 1] = np.nan
INFINITE = np.where(np.isnan(NAN), np.inf, NAN)


@pytest.mark.parametrize(
    ("changed", "error", "told"),
    [
        ({"train_images": [[[[0]]]]}, TypeError, "train_images must be a numpy.ndarray"),
        ({"train_images": np.zeros((6, 5, 7))}, nn.DTypeError, "train_images must be uint8 or float32, got float64"),
        ({"test_images": np.zeros((3, 5, 7, 2), np.int64)}, nn.DTypeError, "test_images must be uint8 or float32"),
        (
            {"test_images": np.zeros((3, 5, 7, 2), np.float32)},
            nn.DTypeError,
            "test_images must have the dtype of train_images, uint8, got float",
        ),
        ({"train_images": np.zeros((6, 5, 7), np.uint8)}, nn.ShapeError, r"train_images .*\(6, 5, 7\).*x\[..., None\]"),
        ({"train_images": np.zeros((6, 5, 0, 2), np.uint8)}, nn.ShapeError, "at least one row, column and channel"),
        (
            {"train_images": np.zeros((6, 5, 7, 1), np.uint8)},
            nn.ShapeError,
            r"test_images must be pictures of \(5, 7, 1",
        ),
        ({"train_images": np.zeros((5, 5, 7, 2), np.uint8)}, nn.ShapeError, r"train_labels .*\(5,\).*got \(6,\)"),
        ({"train_labels": [0, 1]}, nn.ShapeError, r"train_labels must have shape \(6,\)"),
        ({"train_labels": np.eye(6, dtype=int)}, nn.ShapeError, r"train_labels.*one-hot rows with .argmax\(axis=1\)"),
        ({"test_labels": [0.0, 1.0, 2.0]}, nn.DTypeError, "test_labels must be integers.*float64"),
        ({"test_labels": [True, False, True]}, nn.DTypeError, "test_labels must be integers.*bool"),
        ({"test_labels": ["a", "b", "c"]}, nn.DTypeError, "test_labels must be integers"),
        ({"test_labels": [0, 3, 1]}, ValueError, r"test_labels must be 0 to 2.*got test_labels\[1\] = 3"),
        ({"train_labels": [0, 1, 2, 0, 1, -1]}, ValueError, r"train_labels\[5\] = -1"),
        ({"classes": ("a", "b")}, ValueError, r"train_labels must be 0 to 1.*train_labels\[2\] = 2"),
        ({"classes": "abc"}, TypeError, "classes must be a list of names, got 'abc'"),
        ({"classes": ("a", "b", 3)}, TypeError, r"classes\[2\] must be a name, a str, got 3"),
        ({"classes": ("a", "b", "a")}, ValueError, "different names, got 'a' twice"),
        ({"classes": ()}, ValueError, "at least one name"),
        ({"classes": None, "train_labels": [0, 1, 2, 0, 1, 2**40]}, ValueError, "unless classes are given"),
        ({"train_images": np.zeros((0, 5, 7, 2), np.uint8), "train_labels": []}, nn.ShapeError, "at least one picture"),
        ({"steps": [steps.mirror()]}, ValueError, r"steps\[0\], mirror\(\), draws at random"),
        ({"steps": steps.crop(2)}, TypeError, "steps must be a list of steps"),
    ],
)
def test_wrong_arrays_are_named(arrays, changed, error, told):
    names = ("train_images", "train_labels", "test_images", "test_labels")
    given = dict(zip(names, arrays, strict=True)) | {"classes": ("a", "b", "c")} | changed
    with pytest.raises(error, match=told):
        from_arrays(**given)


@pytest.mark.parametrize("bad", [NAN, INFINITE])
def test_pixels_that_are_not_finite_are_refused_with_their_picture(monkeypatch, bad):
    monkeypatch.setattr(checks, "AT_A_TIME", 1)
    with pytest.raises(ValueError, match=r"test_images must be finite, but test_images\[1\] has NaN or infinite"):
        from_arrays(np.ones_like(NAN), [0, 1, 0], bad, [0, 1, 0])


def test_a_data_set_is_checked_whoever_makes_it(arrays):
    x, y, x2, _ = arrays
    with pytest.raises(ValueError, match=r"test_labels\[0\] = 7"):
        Dataset("mine", None, x, y, x2, np.full(3, 7), ("a", "b", "c"))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_statistics_of_the_training_pictures(arrays, monkeypatch, dtype):
    monkeypatch.setattr(checks, "AT_A_TIME", 4 * 70 + 1)
    x, y, x2, y2 = arrays
    data = from_arrays(x.astype(dtype), y, x2.astype(dtype), y2)
    mean, deviation = data.statistics()
    np.testing.assert_allclose(mean, x.mean(axis=(0, 1, 2), dtype=np.float64), rtol=1e-13)
    np.testing.assert_allclose(deviation, x.std(axis=(0, 1, 2), dtype=np.float64), rtol=1e-13)
    scaled = data.with_steps([steps.standardise(mean, deviation)])
    assert data.steps == ()
    z = scaled.inputs(scaled.train_images)
    np.testing.assert_allclose(z.mean(axis=(0, 1, 2)), 0, atol=1e-6)
    np.testing.assert_allclose(z.std(axis=(0, 1, 2)), 1, atol=1e-6)


def test_statistics_far_from_zero_keep_their_digits():
    x = np.full((2, 2, 2, 1), 10_000, np.float32)
    x[0] += 1
    assert from_arrays(x, [0, 1], x, [0, 1]).statistics() == ((10_000.5,), (0.5,))


def test_input_shape_is_that_after_the_steps(arrays):
    x, y, x2, y2 = arrays
    data = from_arrays(x, y, x2, y2, steps=[steps.crop((3, 4)), lambda images, rng: images.mean(axis=3, keepdims=True)])
    assert (data.picture_shape, data.input_shape) == ((5, 7, 2), (3, 4, 1))
    assert data.inputs(x2).shape == (3, 3, 4, 1)


def test_where_there_is_no_folder_none_is_told(arrays):
    assert nn.datasets.sources.arguments(from_arrays(*arrays)) == {"data": "arrays", "data_dir": None}
