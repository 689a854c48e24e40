"""Branches that are added up: residual connections."""

from __future__ import annotations

from npcnn import functional
from npcnn.errors import ShapeError
from npcnn.functional.exchange import as_array
from npcnn.layers.base import Array, Layer, Shape
from npcnn.layers.checks import activation_name, batch_shape
from npcnn.layers.containers import check_layers, numbered


class Add(Layer):
    """Branches side by side on one input, their outputs added up.

    The gradient of a sum goes to each branch as it is; the gradients they give for the input add up.

    Parameters
    ----------
    *branches : Layer
        At least one; all give one shape.
    activation : "relu" or None
        What follows the sum.

    Raises
    ------
    ShapeError
        If the branches take or give different numbers of channels.
    TypeError, ValueError
        As `Sequential`.

    Examples
    --------
    >>> nn.Add(nn.Conv2D(3, 8, 1), nn.Conv2D(3, 8, 5)).output_shape((6, 6, 3))
    (6, 6, 8)
    """

    kind = "add"
    children_share_input = True

    def __init__(self, *branches: Layer, activation: str | None = None) -> None:
        super().__init__()
        check_layers(self, branches, "branches")
        self.activation = activation_name(activation)
        self.children = numbered(branches)
        self._settle_channels()

    @property
    def branches(self) -> tuple[Layer, ...]:
        """The branches in their order: the values of `children`."""
        return tuple(self.children.values())

    def _settle_channels(self) -> None:
        children = self.children.values()
        self.in_channels = next((child.in_channels for child in children if child.in_channels), None)
        self.out_channels = self.channels_after(self.in_channels)

    def channels_after(self, channels: int | None) -> int | None:
        """Return the channels of any branch; all give the same number."""
        after = {}
        for name, branch in self.children.items():
            try:
                count = branch.channels_after(channels)
            except ShapeError as error:
                raise ShapeError(f"{name}: {error}; all that is added up gets the same input") from error
            if count is not None:
                after[name] = count
        if len(set(after.values())) > 1:
            told = ", ".join(f"{name} {count}" for name, count in after.items())
            raise ShapeError(f"what is added up must have the same number of channels, got {told}")
        return next(iter(after.values()), None)

    def forward(self, x: Array, training: bool = False) -> Array:
        """Return the sum of the outputs of all branches, through the activation."""
        x = as_array(x, "x")
        N, input_shape = batch_shape(x)
        y = self._buffer("y", (N, *self.output_shape(input_shape)), x.dtype)
        outputs = [branch.forward(x, training) for branch in self.children.values()]
        functional.add(*outputs, relu=self.activation == "relu", out=y)
        if training:
            self._kept = y
        return y

    def backward(self, dy: Array, *, need_dx: bool = True) -> Array | None:
        """Hand each branch what the activation lets through of `dy`; return the sum of their input gradients."""
        y, dy = self._take_kept(), as_array(dy, "dy")
        if self.activation == "relu":
            dy = functional.relu_backward(dy, y, out=self._dx_array(y.shape, y.dtype))
        gradients = [branch.backward(dy, need_dx=need_dx) for branch in self.children.values()]
        if not need_dx:
            return None
        needed = [dx for dx in gradients if dx is not None]
        dx = self._dx_array(needed[0].shape, needed[0].dtype)
        functional.add(*needed, out=dx)
        return dx

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of any branch; ShapeError unless all give the same."""
        shapes = {name: branch.output_shape(input_shape) for name, branch in self.children.items()}
        if len(set(shapes.values())) > 1:
            raise ShapeError(
                f"what is added up must have one shape, got {shapes} for an input of {tuple(input_shape)}; a 1 x 1 "
                "convolution with the same stride as shortcut makes it fit"
            )
        return next(iter(shapes.values()))


class Residual(Add):
    """A branch whose output is added to its input: x + branch(x).

    What the branch has to learn is by how much its input should change; and the gradient reaches what lies before it
    in full, however deep the network.

    Parameters
    ----------
    branch : Layer
        Usually a `Sequential`.
    shortcut : Layer, optional
        The input's own way, where the branch changes its shape: usually a 1 x 1 convolution with the branch's stride.
        By default the input as it is.
    activation : "relu" or None
        What follows the sum.

    Raises
    ------
    ShapeError
        If branch and shortcut do not fit together.
    TypeError, ValueError
        As `Sequential`.

    References
    ----------
    He et al., "Deep Residual Learning for Image Recognition", 2015.

    Examples
    --------
    >>> branch = nn.Sequential(nn.Conv2D(8, 8, 3, activation="relu"), nn.Conv2D(8, 8, 3))
    >>> nn.Residual(branch).output_shape((6, 6, 8))
    (6, 6, 8)
    >>> nn.Residual(nn.Conv2D(8, 16, 3, stride=2), nn.Conv2D(8, 16, 1, stride=2)).output_shape((6, 6, 8))
    (3, 3, 16)
    """

    kind = "residual"

    def __init__(self, branch: Layer, shortcut: Layer | None = None, *, activation: str | None = None) -> None:
        Layer.__init__(self)
        self.activation = activation_name(activation)
        check_layers(self, (branch,) if shortcut is None else (branch, shortcut), "branch and shortcut")
        self.children = {"branch": branch, "shortcut": Identity() if shortcut is None else shortcut}
        self._settle_channels()

    @property
    def branch(self) -> Layer:
        """What is added to the input."""
        return self.children["branch"]

    @property
    def shortcut(self) -> Layer | None:
        """The input's own way; None for the input as it is."""
        shortcut = self.children["shortcut"]
        return None if isinstance(shortcut, Identity) else shortcut


class Identity(Layer):
    """Gives back what it gets: the branch of a `Concat` that hands the input on.

    Examples
    --------
    >>> nn.Concat(nn.Identity(), nn.Conv2D(3, 8, 3)).output_shape((6, 6, 3))
    (6, 6, 11)
    """

    kind = "identity"

    def channels_after(self, channels: int | None) -> int | None:
        """Return `channels`."""
        return channels

    def forward(self, x: Array, training: bool = False) -> Array:
        """Return `x` itself."""
        x = as_array(x, "x")
        batch_shape(x)
        return x

    def backward(self, dy: Array, *, need_dx: bool = True) -> Array | None:
        """Return `dy` itself."""
        dx: Array = as_array(dy, "dy")
        return dx

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return `input_shape`."""
        return tuple(input_shape)
