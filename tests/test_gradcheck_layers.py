"""What the gradient check finds beside wrong numbers: gradients that grow or stay unset, inputs overwritten."""

import numpy as np
import pytest
from fake_layers import Chain, Dense, ReusesItsBuffer

import npcnn as nn
from npcnn.gradient_check import gradcheck


@pytest.fixture
def x(rng):
    return rng.standard_normal((6, 4))


class Scale:
    """One number for each column; `backward` is handed in."""

    def __init__(self, backward, grads=None):
        self.params = {"s": np.array([1.0, 2.0, 3.0, 4.0])}
        self.grads = {"s": np.full(4, 9.0)} if grads is None else grads
        self._backward = backward

    def forward(self, x, training=False):
        self.x = x
        return x * self.params["s"]

    def backward(self, dy):
        self._backward(self, (dy * self.x).sum(axis=0))
        return dy * self.params["s"]


def write(layer, ds):
    layer.grads["s"][...] = ds


def assign(layer, ds):
    layer.grads["s"] = ds


def add(layer, ds):
    layer.grads["s"] += ds


def assign_a_sum(layer, ds):
    layer.grads["s"] = layer.grads.get("s", 0) + ds


def add_and_hide(layer, ds):
    layer.sum = getattr(layer, "sum", 0) + ds
    layer.grads["s"][...] = layer.sum


def decay(layer, ds):
    layer.grads["s"] *= 0.9
    layer.grads["s"] += ds


def write_half(layer, ds):
    layer.grads["s"][:2] = ds[:2]


def write_nothing(layer, ds):
    pass


def read_only(layer, ds):
    layer.grads["s"] = np.broadcast_to(ds, (1, 4))[0]


# ------------------------------------------------------------------- gradients that are written


@pytest.mark.parametrize("grads", [None, {}, {"s": np.broadcast_to(9.0, 4)}], ids=["array", "missing", "read-only"])
@pytest.mark.parametrize("backward", [assign, read_only])
def test_a_gradient_may_be_assigned(backward, grads, x):
    layer = Scale(backward, grads)
    before = dict(layer.grads)
    report = gradcheck(layer, x)
    assert report.ok, report
    assert [check.remark for check in report.arrays] == ["", ""]
    assert layer.grads.keys() == before.keys()
    assert all(layer.grads[name] is array for name, array in before.items())
    assert all((array == 9).all() for array in before.values())


@pytest.mark.parametrize("backward", [add, assign_a_sum, decay])
@pytest.mark.parametrize("content", [0.0, 9.0])
def test_a_backward_that_adds_fails(backward, content, x):
    layer = Scale(backward, {"s": np.full(4, content)})
    report = gradcheck(layer, x)
    assert [check.verdict for check in report.arrays] == ["ok", "FAILED"]
    assert report.arrays[1].failed == 0  # the numbers would be right
    assert "backward adds to grads['s'] instead of writing it" in str(report)
    assert "write it with [...] =" in report.arrays[1].remark
    np.testing.assert_array_equal(layer.grads["s"], content)
    with pytest.raises(nn.GradientError, match="adds to grads"):
        report.raise_if_failed()


def test_a_backward_that_adds_where_there_is_nothing_yet_fails(x):
    layer = Scale(assign_a_sum, {})
    assert "adds to grads['s']" in str(gradcheck(layer, x))
    assert layer.grads == {}


def test_a_sum_that_is_kept_elsewhere_fails(x):
    report = gradcheck(Scale(add_and_hide), x)
    assert not report.ok
    assert "s: backward gave another gradient the second time" in str(report)


def test_a_returned_gradient_that_grows_fails(x):
    total = np.zeros_like(x)

    def backward(dy, x):
        total[...] += 3 * dy
        return total

    report = gradcheck(lambda x: 3 * x, x, backward=backward)
    assert not report.ok
    assert "x: backward gave another gradient the second time" in str(report)


@pytest.mark.parametrize(("backward", "left"), [(write_nothing, 4), (write_half, 2)])
def test_a_gradient_that_is_not_set_fails(backward, left, x):
    report = gradcheck(Scale(backward), x)
    assert not report.ok
    assert report.arrays[1].failed == left
    assert f"s: backward leaves {left} of the 4 elements of grads['s'] as they were" in str(report)


def test_a_gradient_that_is_not_set_fails_even_if_it_is_right(x):
    # Somebody else has left the right numbers there.
    layer = Scale(write)
    layer.forward(x, training=True)
    dy = np.random.default_rng(0).standard_normal(x.shape)  # what seed=0 draws
    layer.backward(dy)
    layer._backward = write_nothing
    assert not gradcheck(layer, x).ok


def test_a_parameter_without_effect_has_a_gradient_of_zero(x):
    class Unused(Scale):
        def forward(self, x, training=False):
            self.x = x
            return x + 0

        def backward(self, dy):
            self._backward(self, 0)
            return dy

    assert gradcheck(Unused(write), x).ok
    assert "leaves 4 of the 4" in str(gradcheck(Unused(write_nothing), x))


def test_it_is_found_inside_a_network(x):
    report = gradcheck(Chain(first=Scale(write), second=Scale(add)), x)
    assert [check.ok for check in report.arrays] == [True, True, False]
    assert "grads['second.s']" in report.arrays[2].remark


def test_a_gradient_in_the_memory_of_its_parameter_leaves_that_alone(x):
    layer = Scale(assign)
    layer.grads["s"] = layer.params["s"]
    assert gradcheck(layer, x).ok
    assert layer.params["s"].tolist() == [1, 2, 3, 4]


# --------------------------------------------------------------------- inputs that are overwritten


class ReLUInPlace:
    def __init__(self, what):
        self.params, self.grads, self.what = {}, {}, what

    def forward(self, x, training=False):
        self.mask = x > 0
        return np.multiply(x, self.mask, out=x if self.what == "forward" else None)

    def backward(self, dy):
        return np.multiply(dy, self.mask, out=dy if self.what == "backward" else None)


def test_a_forward_that_overwrites_its_input_is_refused(x):
    before = x.copy()
    with pytest.raises(ValueError, match=r"^forward changed or replaced x; .*write the result into a new array"):
        gradcheck(ReLUInPlace("forward"), x)
    np.testing.assert_array_equal(x, before)
    assert gradcheck(ReLUInPlace("neither"), x).ok


def test_a_backward_that_overwrites_dy_is_refused(x):
    with pytest.raises(ValueError, match=r"^backward changed or replaced dy"):
        gradcheck(ReLUInPlace("backward"), x)


def test_a_backward_that_overwrites_what_forward_kept_of_the_input_is_refused(x):
    class Square(ReusesItsBuffer):
        def backward(self, dy):
            self.x *= 2 * dy
            return self.x

    with pytest.raises(ValueError, match=r"^backward changed or replaced x"):
        gradcheck(Square(x.shape), x)


@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("where", ["forward", "backward"])
def test_parameters_that_are_changed_are_refused_and_put_back(where, replace, rng, x):
    layer = Dense(rng)
    w, before = layer.params["w"], layer.params["w"].copy()
    honest = getattr(layer, where)

    def normalised(*arguments, **options):
        if replace:
            layer.params["w"] = layer.params["w"] / 2
        else:
            layer.params["w"] /= 2
        return honest(*arguments, **options)

    setattr(layer, where, normalised)
    with pytest.raises(ValueError, match=f"^{where} changed or replaced w"):
        gradcheck(layer, x)
    assert layer.params["w"] is w
    np.testing.assert_array_equal(w, before)


def test_parameters_that_are_copies_are_refused(rng, x):
    class Copies(Dense):  # nobody can train it either
        params = property(lambda self: {"w": self.w.copy()}, lambda self, params: setattr(self, "w", params["w"]))

        def forward(self, x, training=False):
            self._x = x
            return x @ self.w

        def backward(self, dy):
            self.grads["w"][...] = self._x.T @ dy
            return dy @ self.w.T

    with pytest.raises(ValueError, match="changed or replaced w"):
        gradcheck(Copies(rng), x)


def test_parameters_that_forward_makes_are_refused(x):
    class Lazy(Scale):
        def forward(self, x, training=False):
            self.params.setdefault("b", np.zeros(4))
            return super().forward(x) + self.params["b"]

    with pytest.raises(ValueError, match=r"params held \['s'\] before forward and holds \['s', 'b'\] after it"):
        gradcheck(Lazy(write), x)


def test_functions_that_overwrite_their_arrays_are_refused(x):
    def in_place(dy, x):
        dy *= 2
        return dy

    with pytest.raises(ValueError, match=r"^the function changed or replaced x"):
        gradcheck(lambda x: np.multiply(x, 2, out=x), x, backward=lambda dy, x: 2 * dy)
    with pytest.raises(ValueError, match=r"^backward changed or replaced dy"):
        gradcheck(lambda x: 2 * x, x, backward=in_place)
    with pytest.raises(ValueError, match=r"^backward changed or replaced x"):
        gradcheck(lambda x: x**2, x, backward=lambda dy, x: np.multiply(2 * dy, x, out=x))
