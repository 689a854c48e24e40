"""The functions by hand-made figures, at their edges, and where the article's formula fails."""

import numpy as np
import pytest

from npcnn import functional as F


def test_article_picture_by_hand():
    # The article's 5 x 2 picture and a 3 x 3 kernel that is the outer product of (1, 2, 3) and (1, 0, -1).
    x = np.array([[1, 2], [3, 4], [5, 6], [7, 8], [9, 10]], float).reshape(1, 5, 2, 1)
    column, row = np.array([1.0, 2.0, 3.0]), np.array([1.0, 0.0, -1.0])
    w = np.outer(column, row).reshape(3, 3, 1, 1)
    # Top left: rows 0 and 1 against kernel rows 1 and 2, columns 0 and 1 against kernel columns 1 and 2:
    # 2 * (0*1 - 1*2) + 3 * (0*3 - 1*4) = -16;  right: 2 * (1*1) + 3 * (1*3) = 11.
    y = F.conv2d(x, w)[0, :, :, 0]
    np.testing.assert_array_equal(y[0], [-16, 11])
    # Row 2: 1 * (-4) + 2 * (-6) + 3 * (-8) = -40 and 3 + 2*5 + 3*7 = 34.
    np.testing.assert_array_equal(y[2], [-40, 34])
    cut = F.conv1d(F.conv1d(x, column.reshape(3, 1, 1), axis="height"), row.reshape(3, 1, 1), axis="width")
    np.testing.assert_array_equal(cut[0, :, :, 0], y)


def test_same_padding_puts_the_odd_pixel_at_the_bottom_and_right():
    # 4 pixels, stride 2, 3 taps: one pixel of padding in all, at the end.
    x = np.array([1.0, 2, 3, 4]).reshape(1, 4, 1, 1)
    w = np.array([1.0, 10, 100]).reshape(3, 1, 1)
    y = F.conv1d(x, w, axis="height", stride=2)
    np.testing.assert_array_equal(y.ravel(), [321, 43])


def test_kernel_larger_than_the_picture():
    x, w = np.array([[[[2.0]]]]), np.arange(25.0).reshape(5, 5, 1, 1)
    assert F.conv2d(x, w).item() == 2 * 12  # the middle of the kernel


def test_ties_go_to_the_first_in_row_major_order():
    x = np.array([[7.0, 7, 1], [7, 7, 7], [0, 7, 7]]).reshape(1, 3, 3, 1)
    _, argmax = F.max_pool2d(x, 2, stride=1)
    np.testing.assert_array_equal(argmax[0, :, :, 0], [[0, 0], [0, 0]])
    x[0, 0, 0] = 0
    _, argmax = F.max_pool2d(x, 2, stride=1)
    np.testing.assert_array_equal(argmax[0, :, :, 0], [[1, 0], [0, 0]])


def test_max_pool_window_cut_by_the_border():
    x = -np.arange(1.0, 10).reshape(1, 3, 3, 1)  # all negative: padding must not win
    y, argmax = F.max_pool2d(x, 2, padding="same")
    np.testing.assert_array_equal(y[0, :, :, 0], [[-1, -3], [-7, -9]])
    np.testing.assert_array_equal(argmax[0, :, :, 0], [[0, 0], [0, 0]])


def test_avg_pool_counts_what_is_inside():
    x = np.arange(1.0, 10).reshape(1, 3, 3, 1)
    y = F.avg_pool2d(x, 2, padding="same")
    np.testing.assert_array_equal(y[0, :, :, 0], [[3, 4.5], [7.5, 9]])
    y = F.avg_pool2d(x, 2, padding="same", count_include_pad=True)
    np.testing.assert_array_equal(y[0, :, :, 0], [[3, 2.25], [3.75, 2.25]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nan_is_never_lost(dtype):
    x = np.ones((1, 4, 4, 3), dtype)
    x[0, 1, 1, 0] = np.nan
    assert np.isnan(F.relu(x)[0, 1, 1, 0])
    y, argmax = F.max_pool2d(x, 2)
    assert np.isnan(y[0, 0, 0, 0])
    assert argmax[0, 0, 0, 0] == 3
    assert np.isnan(F.conv2d(x, np.ones((1, 1, 3, 2), dtype), relu=True)[0, 1, 1]).all()
    assert np.isnan(y).sum() == 1


def test_relu_in_place_and_its_gradient():
    x = np.array([-2.0, -0.0, 0.0, 3.0])
    assert F.relu(x, out=x) is x
    np.testing.assert_array_equal(x, [0, 0, 0, 3])
    np.testing.assert_array_equal(F.relu_backward(np.full(4, 5.0), x), [0, 0, 0, 5])


def test_cross_entropy_where_the_logarithm_of_softmax_fails():
    logits, labels = np.array([[200.0, 0.0]], np.float32), np.array([0])
    # The article's formula: -sum(onehot * log(softmax)).
    exponentials = np.exp(logits - 200)
    with np.errstate(divide="ignore", invalid="ignore"):
        article = -(np.array([[1.0, 0.0]]) * np.log(exponentials / exponentials.sum())).sum()
    assert np.isnan(article)
    loss, dlogits = F.softmax_cross_entropy(logits, labels)
    assert loss == 0.0
    np.testing.assert_array_equal(dlogits, [[0, 0]])
    # And the other way round, where it is inf: 200 is right.
    assert F.softmax_cross_entropy(logits, np.array([1]))[0] == pytest.approx(200)


def test_softmax_is_stable_and_sums_to_one(rng):
    logits = np.array([[1e4, -1e4, 0.0], [1.0, 2.0, 3.0]])
    p = F.softmax(logits)
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-15)
    np.testing.assert_array_equal(p[0], [1, 0, 0])
    np.testing.assert_allclose(F.log_softmax(logits)[1], np.log(p[1]), atol=1e-15)


def test_empty_batches():
    x, w, b = np.zeros((0, 5, 5, 3), np.float32), np.ones((3, 3, 3, 4), np.float32), None
    y = F.conv2d(x, w, b)
    assert y.shape == (0, 5, 5, 4)
    dx, dw, db = F.conv2d_backward(y, x, w)
    assert dx.shape == x.shape
    assert not dw.any()
    assert not db.any()
    loss, dlogits = F.softmax_cross_entropy(np.zeros((0, 3)), np.zeros(0, int))
    assert loss == 0.0
    assert dlogits.shape == (0, 3)


def test_out_is_used_and_checked(rng):
    x, w = rng.standard_normal((2, 4, 4, 3)), rng.standard_normal((3, 3, 3, 5))
    out = np.empty((2, 4, 4, 5))
    assert F.conv2d(x, w, out=out) is out
    np.testing.assert_array_equal(out, F.conv2d(x, w))
    x = rng.standard_normal((2, 4, 4, 3))
    with pytest.raises(ValueError, match="share memory"):
        F.conv2d(x, rng.standard_normal((3, 3, 3, 3)), out=x)
    with pytest.raises(ValueError, match="contiguous"):
        F.conv2d(x, w, out=np.empty((2, 4, 5, 4)).swapaxes(2, 3))


def test_inputs_are_never_changed(rng):
    x, w, b = (rng.standard_normal(s) for s in ((2, 6, 6, 3), (3, 3, 3, 4), (4,)))
    copies = [array.copy() for array in (x, w, b)]
    y = F.conv2d(x, w, b, relu=True)
    dy = rng.standard_normal(y.shape)
    dy_copy, y_copy = dy.copy(), y.copy()
    F.conv2d_backward(dy, x, w, relu_output=y)
    for array, copy in zip((x, w, b, dy, y), (*copies, dy_copy, y_copy), strict=True):
        np.testing.assert_array_equal(array, copy)


def test_results_may_not_overlap_what_is_still_read(rng):
    memory = rng.standard_normal(40)
    x, shifted = memory[:20], memory[1:21]
    for call in (lambda: F.relu(x, out=shifted), lambda: F.relu_backward(x, x, out=shifted)):
        before = memory.copy()
        with pytest.raises(ValueError, match="out must not share memory"):
            call()
        np.testing.assert_array_equal(memory, before)
    pictures, w, b = rng.standard_normal((1, 4, 4, 2)), rng.standard_normal((3, 3, 2, 2)), rng.standard_normal(34)
    with pytest.raises(ValueError, match="out must not share memory"):
        F.conv2d(pictures, w, b[:2], out=b[1:33].reshape(1, 4, 4, 2))
    room = np.empty(60)
    gradients = (None, room[:36].reshape(3, 3, 2, 2), room[35:37])
    with pytest.raises(ValueError, match=r"db.* must not share memory"):
        F.conv2d_backward(pictures, pictures, w, need_dx=False, out=gradients)
    p, m = np.ones(4), np.zeros(4)
    with pytest.raises(ValueError, match="v must not share memory"):
        F.adam_step(p, np.ones(4), m, m, step_size=1.0, beta1=0.9, beta2=0.9, eps=0.1)
