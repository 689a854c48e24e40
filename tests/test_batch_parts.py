"""A batch in parts: the same sums as in one piece, and the same bits whoever has the parts."""

import re
from pathlib import Path

import numpy as np
import pytest
from cut_networks import BATCH, SIZE, batches, network, noise, train
from thread_ranks import in_threads

import npcnn as nn
from npcnn.datasets import TrainingBatches
from npcnn.errors import ShapeError
from npcnn.functional.batch_parts import Alone, Cut, current, in_tree, used
from npcnn.functional.normalization import merged_statistics

DOCUMENT = (Path(__file__).parent.parent / "docs" / "many-machines.md").read_text()


def gradients(net, x, labels, cut):
    with used(cut):
        _, dlogits = nn.functional.softmax_cross_entropy(net.forward(x, training=True), labels)
        dx = net.backward(dlogits)
        cut.complete()
    return {name: gradient.copy() for name, gradient in net.grads.items()} | {"x": dx.copy()}


@pytest.mark.parametrize("parts", [2, 4, 16])
def test_the_sums_of_parts_are_those_of_the_batch(parts, rng):
    net = network(dropout=0.0, dtype=np.float64)
    x, labels = rng.standard_normal((BATCH, SIZE, SIZE, 3)), rng.integers(0, 10, BATCH)
    whole = gradients(net, x, labels, Cut(1))
    state = {name: array.copy() for name, array in net.state.items()}
    net = network(dropout=0.0, dtype=np.float64)
    for name, gradient in gradients(net, x, labels, Cut(parts)).items():
        np.testing.assert_allclose(gradient, whole[name], rtol=1e-8, atol=1e-12, err_msg=name)
    for name, array in net.state.items():
        np.testing.assert_allclose(array, state[name], rtol=1e-12, err_msg=name)


def test_statistics_of_halves_merge_into_those_of_the_whole(rng):
    x = rng.standard_normal((40, 3)) * [1, 5, 0.1] + [0, 1e6, -3]
    halves = [np.stack(nn.functional.batch_statistics(half)) for half in (x[:20], x[20:])]
    merged = merged_statistics(*halves)
    np.testing.assert_allclose(merged, [x.mean(0), x.var(0)], rtol=1e-9)
    assert (merged == merged_statistics(*halves[::-1])).all()


@pytest.mark.parametrize("count", [1, 2, 4, 8])
def test_any_number_of_ranks_ends_with_the_bits_of_one_process(count):
    alone = train(Cut(8))
    assert alone[1] != train(Cut(1))[1]  # the order of the additions is part of the settings
    assert in_threads(count, 8, train) == [alone] * count


@pytest.mark.parametrize("name", ["separable", "multichannel", "simple_cnn", "resnet20", "airbench"])
@pytest.mark.parametrize("count", [1, 4, 16])
def test_what_a_network_says_of_a_picture_does_not_depend_on_how_many_come_with_it(name, count, rng):
    net = nn.models.MODELS[name](rng=np.random.default_rng(0))
    x = rng.standard_normal((32, 24, 24, 3)).astype(np.float32)
    assert (net.forward(x[:count]) == net.forward(x)[:count]).all()


@pytest.mark.parametrize("layer", [nn.GELU(), nn.SiLU(), nn.Tanh(), nn.Sigmoid(), nn.Softmax(), nn.LayerNorm(5)])
def test_neither_does_what_a_layer_says_forward_and_backward(layer, rng):
    x, dy = rng.standard_normal((2, 16, 3, 3, 5)).astype(np.float32)
    for count in (1, 2, 8):
        y, y_of_some = layer.forward(x, training=True), None
        dx = layer.backward(dy)
        y_of_some = layer.forward(x[:count], training=True)
        assert (y_of_some == y[:count]).all()
        assert (layer.backward(dy[:count]) == dx[:count]).all()


def test_ranks_draw_their_share_of_the_batch_and_no_more():
    seen = []

    def watch(images, rng):
        seen.append(len(images))
        return images

    data = noise()
    with batches(data, Cut(4)) as whole:
        x, labels = whole.batch(3)
    shares = in_threads(2, 4, lambda cut: batches(data, cut).batch(3))
    assert (np.concatenate([share[0] for share in shares]) == x).all()
    assert (np.concatenate([share[1] for share in shares]) == labels).all()
    _, second = in_threads(2, 4, lambda cut: cut)
    with TrainingBatches(data, batch_size=BATCH, augment=[watch], cut=second) as drawn:
        seen.clear()
        drawn.batch(0)
        assert set(seen) == {BATCH // 4}


def test_without_parts_batches_are_what_they_always_were():
    with batches(noise(), Cut(1)) as cut, TrainingBatches(noise(), batch_size=BATCH) as plain:
        assert (cut.batch(0)[1] == plain.batch(0)[1]).all()


def test_a_callback_of_any_rank_ends_all():
    def training(cut):
        def stop(result):
            if cut.ranks.number == 1 and result.step == 2:
                raise nn.train.StopTraining

        net = network()
        with batches(noise(), cut) as drawn:
            return nn.train.fit(net, drawn, nn.Adam(net), steps=5, callbacks=[stop], cut=cut)

    assert in_threads(2, 2, training) == [2, 2]


def test_where_a_nan_began_is_found_in_the_pictures_of_all_ranks():
    def training(cut):
        net = network()
        x = np.zeros((BATCH // 2, SIZE, SIZE, 3), np.float32)
        if cut.ranks.number == 1:
            x[3, 0, 0, 0] = np.nan
        nn.train.fit(net, iter([(x, np.zeros(len(x), np.int64))]), nn.Adam(net), steps=1, cut=cut)

    errors = in_threads(2, 2, training)
    assert [type(error) for error in errors] == [nn.train.NonFiniteError] * 2
    assert all("the first NaN or infinity is in the pictures of the batch" in str(error) for error in errors)
    assert len(errors[0].x) == BATCH


def test_ranks_that_begin_with_other_weights_are_refused():
    def training(cut):
        net = nn.Sequential(nn.Flatten(), nn.Dense(4, 2, rng=np.random.default_rng(cut.ranks.number)))
        nn.train.fit(net, iter([]), nn.Adam(net), steps=1, cut=cut)

    for error in in_threads(2, 2, training):
        assert "the weights of rank 1 are not those of rank 0" in str(error)


class _Count:
    def __init__(self, count):
        self.number, self.count = 0, count


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Cut(6), "parts must be a power of two, got 6; use 4"),
        (lambda: Cut(0), "parts must be an integer of at least 1"),
        (lambda: Cut(8).places(20), "batch_size must be a multiple of the 8 parts that a batch is cut into, got 20"),
        (lambda: batches(noise(), Cut(64)), "batch_size must be a multiple of the 64 parts"),
        (lambda: Cut(2, _Count(4)), "the 4 ranks must divide the parts of a batch, got parts=2"),
        (lambda: Cut(8, _Count(3)), "the number of ranks must be a power of two, got 3; start 2"),
    ],
)
def test_parts_that_cannot_be_are_refused(make, message):
    with pytest.raises(ValueError) as caught:
        make()
    assert message in str(caught.value)


def test_pictures_that_cannot_be_cut_are_refused(rng):
    layer = nn.Dense(3, 2)
    with used(Cut(4)):
        layer.forward(np.zeros((6, 3), np.float32), training=True)
        with pytest.raises(ShapeError, match="x must hold a multiple of 4 pictures"):
            layer.backward(np.zeros((6, 2), np.float32))
    assert current().is_whole


class _Scale(nn.Layer):
    def __init__(self):
        super().__init__()
        self.add_parameter("s", (4,), nn.initializers.constant(1.0))

    def forward(self, x, training=False):
        self.x = x
        return x * self.params["s"]

    def backward(self, dy):
        current().add_up(lambda part: ((dy[part] * self.x[part]).sum(0),), len(dy), into=(self._grads["s"],))
        return dy * self.params["s"]


class _ScaleByParts(_Scale):
    sums_by_parts = True


def _fit(layer, loss, x, labels):
    net = nn.Sequential(nn.Flatten(), layer)
    nn.train.fit(net, iter([(x, labels)]), nn.SGD(net, 1.0), steps=1, loss=loss, cut=Cut(4))
    return net


def test_an_own_layer_that_does_not_say_so_is_refused(rng):
    x, labels = rng.standard_normal((8, 2, 2, 1)).astype(np.float32), np.arange(8) % 4
    loss = nn.functional.softmax_cross_entropy
    with pytest.raises(TypeError, match=r"layers that sum by parts, and .*, _Scale, does not say that it does"):
        _fit(_Scale(), loss, x, labels)
    net = _fit(_ScaleByParts(), loss, x, labels)
    _, dlogits = loss(x.reshape(8, 4), labels)
    np.testing.assert_allclose(net.layers[1].grads["s"], (dlogits * x.reshape(8, 4)).sum(0), rtol=1e-5)

    class Again(_ScaleByParts):
        def backward(self, dy):
            return dy

    assert not Again().sums_by_parts


def test_a_loss_that_adds_up_is_refused(rng):
    def added_up(outputs, labels):
        value, gradient = nn.functional.softmax_cross_entropy(outputs, labels)
        return value * len(outputs), gradient * len(outputs)

    x = rng.standard_normal((8, 2, 2, 1)).astype(np.float32)
    with pytest.raises(ValueError, match="with parts=4 the loss must be a mean over the pictures"):
        _fit(nn.Dense(4, 4), added_up, x, np.arange(8) % 4)


@pytest.mark.parametrize("count", [1, 2, 8, 32])
def test_the_tree_combines_neighbours(count):
    def combine(left, right):
        assert left[1] == right[0]
        assert left[1] - left[0] == right[1] - right[0]
        return left[0], right[1]

    assert in_tree([(place, place + 1) for place in range(count)], combine) == (0, count)


class _Counting(Alone):
    def __init__(self):
        self.waited_for, self.begun = [], []

    def combined(self, array, combine):
        self.waited_for.append(array.nbytes)
        return array

    def begin(self, arrays):
        self.begun.append(sum(array.nbytes for array in arrays))


def _table_of(text):
    """Return the last two cells of the rows of the document's table of the formula, by what they count."""
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| ")]
    return {row[1].split(":")[0].strip(): [cell.strip() for cell in row[2:]] for row in rows if len(row) == 4}


def test_the_document_counts_what_is_exchanged(rng):
    table = _table_of(DOCUMENT)
    counted = []
    for name, size in (("separable", 24), ("airbench", 32)):
        net, ranks = nn.models.MODELS[name](rng=np.random.default_rng(0)), _Counting()
        x = rng.standard_normal((8, size, size, 3)).astype(np.float32)
        nn.train.fit(net, iter([(x, np.arange(8))]), nn.SGD(net, 0.01), steps=1, cut=Cut(8, ranks))
        counted.append((ranks.begun, ranks.waited_for))
    for place, (begun, waited_for) in enumerate(counted):
        for said, number in (
            ("bytes of all gradients", sum(begun)),
            ("sums that are begun while backward goes on, one for each layer with weights", len(begun)),
            ("sums that have to be waited for", len(waited_for)),
            ("bytes of these", sum(waited_for)),
        ):
            assert table[said][place] == f"{number:,}", said


def test_the_programs_of_the_document_run():
    programs = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    names = {}
    for program in programs:
        exec(compile(program, "many-machines.md", "exec"), names)
    net = nn.Sequential(nn.Conv2D(3, 4, 3), names["Scale"](4), nn.GlobalAvgPool2D())
    x = np.random.default_rng(0).standard_normal((8, 5, 5, 3)).astype(np.float32)
    assert nn.train.fit(net, iter([(x, np.arange(8) % 4)]), nn.SGD(net, 0.1), steps=1, cut=Cut(8)) == 1
