"""Optimizers: how parameters change by their gradients.

What all of them have in common, `Optimizer` does: it asks the schedule for the learning rate, clips the gradients,
and knows which parameters have settings of their own.  Each of the others is one formula.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from npcnn import functional, weights
from npcnn.clipping import clip_norm as clip_by_norm
from npcnn.clipping import clip_value as clip_by_value
from npcnn.errors import WeightsError
from npcnn.functional.checks import exact_shape, number, same_dtype
from npcnn.parameter_groups import settings_by_parameter
from npcnn.schedules import Constant, Schedule, positive

Groups: TypeAlias = Mapping[str, Mapping[str, float | Schedule]]


class Parameterized(Protocol):
    """What an optimizer needs of a network."""

    @property
    def params(self) -> Mapping[str, NDArray[Any]]:
        """Arrays to change, by name."""

    @property
    def grads(self) -> Mapping[str, NDArray[Any]]:
        """Their gradients, under the same names."""


class Optimizer:
    """Base of all optimizers: the network, the learning rate, the number of steps done.

    Parameters
    ----------
    net : Layer
        Whose parameters to change.
    lr : float or schedule
        Learning rate, or a function of the step that gives it (`npcnn.schedules`).
    groups : dict of dict, optional
        Settings of their own for the parameters whose names match a pattern, as in
        ``{"*.scale": {"weight_decay": 0}, "0_*": {"lr_factor": 0.1}}``; the last pattern that matches decides.
        ``lr_factor`` multiplies whatever learning rate the schedule gives; with 0, a parameter stays as it is.  It may
        be a schedule itself: with ``Step(1.0, [300], factor=0)`` a parameter is trained for 300 steps.
        ``weight_decay`` replaces the optimizer's own, where it has one.
    clip_norm : float, optional
        Largest norm of all gradients together; longer ones are scaled down, see `npcnn.clipping.clip_norm`.
    clip_value : float, optional
        Largest absolute value of a number of the gradients, see `npcnn.clipping.clip_value`; not with `clip_norm`.

    Attributes
    ----------
    net : Layer
        The network.  It is asked for its parameters and gradients at every step.
    steps : int
        Steps done.

    Raises
    ------
    TypeError
        If `net` has no parameters and gradients, or an argument is not of the form above.
    ValueError
        If a pattern of `groups` matches no parameter or sets what there is not, or a number is out of range.

    Examples
    --------
    >>> net = nn.Sequential(nn.Dense(4, 8), nn.BatchNorm(8), nn.ReLU(), nn.Dense(8, 2))
    >>> optimizer = nn.AdamW(
    ...     net, nn.schedules.Cosine(1e-3, steps=1000), weight_decay=0.05, clip_norm=1.0,
    ...     groups={"*.b": {"weight_decay": 0}, "1_batch_norm.*": {"weight_decay": 0}, "0_*": {"lr_factor": 0.1}})
    """

    # What `groups` may set.
    group_settings: ClassVar[tuple[str, ...]] = ("lr_factor",)

    def __init__(
        self,
        net: Parameterized,
        lr: float | Schedule,
        *,
        groups: Groups | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        missing = [name for name in ("params", "grads") if not hasattr(net, name)]
        if missing:
            raise TypeError(
                f"net must be a network, with params and grads, got {type(net).__name__}; "
                f"pass the network itself: {type(self).__name__}(net)"
            )
        self.net = net
        self._made_for = _shapes_and_dtypes(net.params)
        self.schedule: Schedule = lr if callable(lr) else Constant(lr)
        self.steps = 0
        self._of_parameter = settings_by_parameter({} if groups is None else groups, net.params, self.group_settings)
        self.groups = {pattern: dict(options) for pattern, options in (groups or {}).items()}
        self.clip_norm = None if clip_norm is None else positive(clip_norm, "clip_norm")
        self.clip_value = None if clip_value is None else positive(clip_value, "clip_value")
        if clip_norm is not None and clip_value is not None:
            raise ValueError("clip_norm and clip_value cannot both be given; choose one")

    def __repr__(self) -> str:
        options = self._constants() | {
            "groups": self.groups,
            "clip_norm": self.clip_norm,
            "clip_value": self.clip_value,
        }
        given = [f"{name}={value}" for name, value in options.items() if value is not None and value != {}]
        return f"{type(self).__name__}({', '.join([f'lr={self.schedule!r}', *given, f'steps={self.steps}'])})"

    @property
    def lr(self) -> float:
        """The learning rate of the next step."""
        return self.schedule(self.steps)

    def step(self) -> None:
        """Change every parameter by its gradient; with `clip_norm` or `clip_value`, clip the gradients first.

        Raises
        ------
        ShapeError, DTypeError
            If a gradient is not like its parameter; nothing is changed then.
        WeightsError
            If the network has other parameters than when the optimizer was made; nothing is changed then.
        ValueError
            If a schedule gives no rate or factor of at least 0, or a gradient that is to be clipped by its norm is not
            finite; nothing is changed then.
        """
        params, grads = self.net.params, self.net.grads
        if _shapes_and_dtypes(params) != self._made_for:
            raise WeightsError("net has other parameters than when this optimizer was made; make a new optimizer")
        if _shapes_and_dtypes(grads) != self._made_for:
            for name, param in params.items():
                same_dtype(grads[name], f"the gradient of {name}", param, name)
                exact_shape(grads[name], f"the gradient of {name}", param.shape, f"that of {name}")
        rates = {name: rate * self._lr_factor(name) for name, rate in self._rates().items()}
        if self.clip_norm is not None:
            clip_by_norm(grads, self.clip_norm)
        if self.clip_value is not None:
            clip_by_value(grads, self.clip_value)
        self.steps += 1
        for name, param in params.items():
            self._update(name, param, grads[name], rates[name])

    def state(self) -> dict[str, NDArray[Any]]:
        """Return copies of what the next step depends on besides parameters and gradients.

        `npcnn.weights.save` writes it to a file.

        Examples
        --------
        >>> net = nn.Dense(1, 1)
        >>> list(nn.Adam(net).state())
        ['steps', 'm.w', 'm.b', 'v.w', 'v.b']
        """
        steps = np.array([self.steps], np.int64)
        return {"steps": steps} | {name: array.copy() for name, array in self._averages().items()}

    def load_state(self, state: dict[str, NDArray[Any]]) -> None:
        """Continue from what `state` returned: the next step is the one that would have followed.

        The learning rate, the constants, groups and clipping are not part of the state; give them to the constructor
        again.

        Raises
        ------
        WeightsError
            If names, shapes or dtypes are not those of this optimizer, or steps is negative; nothing is changed then.
        """
        given = np.asarray(state.get("steps", 0))
        if given.dtype.kind == "i" and (given < 0).any():
            raise WeightsError(f"the state does not fit this optimizer: steps is {given}, expected at least 0")
        steps = np.zeros(1, np.int64)
        weights.assign({"steps": steps} | self._averages(), state, "the state does not fit this optimizer")
        self.steps = int(steps[0])

    def _averages(self) -> dict[str, NDArray[Any]]:
        return {}

    def _constants(self) -> dict[str, Any]:
        """Return the arguments of the constructor besides those that all optimizers have, for `repr`."""
        return {}

    def _rates(self) -> dict[str, float]:
        """Return the learning rate of the next step for every parameter, without its `lr_factor`."""
        return dict.fromkeys(self._of_parameter, self._scheduled(self.schedule, "lr"))

    def _setting(self, parameter: str, name: str, default: float) -> float:
        """Return a setting of one parameter: that of its group, else `default`."""
        value: float = self._of_parameter[parameter].get(name, default)
        return value

    def _lr_factor(self, parameter: str) -> float:
        """Return what the learning rate of one parameter is multiplied by at the next step."""
        factor: float | Schedule = self._of_parameter[parameter].get("lr_factor", 1.0)
        return self._scheduled(factor, f"the lr_factor of {parameter}") if callable(factor) else factor

    def _scheduled(self, schedule: Schedule, name: str) -> float:
        """Return what a schedule gives for the next step, if it is a finite number of at least 0."""
        value = schedule(self.steps)
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(
                f"{name} must be finite and at least 0, got {value} from {schedule!r} at step {self.steps}"
            )
        return value

    def _update(self, name: str, param: NDArray[Any], grad: NDArray[Any], lr: float) -> None:
        raise NotImplementedError(f"{type(self).__name__} does not define _update")

    def _zeros(self) -> dict[str, NDArray[Any]]:
        return {name: np.zeros_like(param) for name, param in self.net.params.items()}


def _shapes_and_dtypes(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    return {name: (array.shape, array.dtype) for name, array in arrays.items()}


class Adam(Optimizer):
    """Adam, in the form of section 2 of the paper, which is TensorFlow's.

    m += (1 - beta1) (g - m);  v += (1 - beta2) (g^2 - v);
    param -= lr sqrt(1 - beta2^t) / (1 - beta1^t) * m / (sqrt(v) + eps).

    Parameters
    ----------
    net : Layer
        Whose parameters to change.
    lr : float or schedule
        Learning rate.
    beta1, beta2 : float
        How slowly the two moving averages forget, from 0 to below 1.
    eps : float
        Keeps the division finite.  It is added to the uncorrected sqrt(v): the paper's "epsilon hat".
    groups, clip_norm, clip_value
        See `npcnn.optimizers.Optimizer`.

    Raises
    ------
    TypeError, ValueError
        If a number is out of range.

    References
    ----------
    Kingma & Ba, "Adam: A Method for Stochastic Optimization", 2015, algorithm 1 and section 2.

    Examples
    --------
    >>> net = nn.Dense(1, 1, weight_init=nn.initializers.constant(1.0))
    >>> optimizer = nn.Adam(net, lr=0.1)
    >>> net.grads["w"][...] = 7.0
    >>> optimizer.step()
    >>> round(float(net.params["w"][0, 0]), 4)           # the first step is lr long, whatever the gradient
    0.9
    """

    def __init__(
        self,
        net: Parameterized,
        lr: float | Schedule = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        *,
        groups: Groups | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        super().__init__(net, lr, groups=groups, clip_norm=clip_norm, clip_value=clip_value)
        self.beta1 = number(beta1, "beta1", minimum=0, below=1)
        self.beta2 = number(beta2, "beta2", minimum=0, below=1)
        self.eps = number(eps, "eps", minimum=0)
        self.m, self.v = self._zeros(), self._zeros()

    def _averages(self) -> dict[str, NDArray[Any]]:
        first = {f"m.{name}": array for name, array in self.m.items()}
        return first | {f"v.{name}": array for name, array in self.v.items()}

    def _constants(self) -> dict[str, Any]:
        return {"beta1": self.beta1, "beta2": self.beta2, "eps": self.eps}

    def _weight_decay(self, name: str) -> float:
        return 0.0

    def _update(self, name: str, param: NDArray[Any], grad: NDArray[Any], lr: float) -> None:
        corrected = lr * math.sqrt(1 - self.beta2**self.steps) / (1 - self.beta1**self.steps)
        functional.adam_step(
            param, grad, self.m[name], self.v[name],
            step_size=corrected, beta1=self.beta1, beta2=self.beta2, eps=self.eps,
            decay=lr * self._weight_decay(name),
        )  # fmt: skip


class AdamW(Adam):
    """Adam with decoupled weight decay: besides Adam's step, every parameter loses a share of itself.

    param -= (Adam's step) + lr * weight_decay * param,

    where lr is what the schedule gives.  An L2 penalty, as SGD's `weight_decay` is, would enter Adam's averages and be
    divided by sqrt(v): parameters with large gradients would hardly decay.

    Parameters
    ----------
    net, lr, beta1, beta2, eps
        As for `Adam`.
    weight_decay : float
        Share that is lost, in a step of learning rate 1.  Biases, and the scale and shift of a normalisation, are
        usually left out: ``groups={"*.b": {"weight_decay": 0}, ...}``.
    groups, clip_norm, clip_value
        See `npcnn.optimizers.Optimizer`.

    Raises
    ------
    TypeError, ValueError
        If a number is out of range.

    References
    ----------
    Loshchilov & Hutter, "Decoupled Weight Decay Regularization", 2019, algorithm 2.

    Examples
    --------
    >>> net = nn.Dense(1, 1, weight_init=nn.initializers.constant(1.0))
    >>> optimizer = nn.AdamW(net, lr=0.1, weight_decay=0.5)
    >>> net.grads["w"][...] = 7.0
    >>> optimizer.step()
    >>> round(float(net.params["w"][0, 0]), 4)           # 1 - 0.1, Adam's step, - 0.1 * 0.5
    0.85
    """

    group_settings = ("lr_factor", "weight_decay")

    def __init__(
        self,
        net: Parameterized,
        lr: float | Schedule = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        *,
        groups: Groups | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        super().__init__(net, lr, beta1, beta2, eps, groups=groups, clip_norm=clip_norm, clip_value=clip_value)
        self.weight_decay = number(weight_decay, "weight_decay", minimum=0)

    def _constants(self) -> dict[str, Any]:
        return super()._constants() | {"weight_decay": self.weight_decay}

    def _weight_decay(self, name: str) -> float:
        return self._setting(name, "weight_decay", self.weight_decay)


class SGD(Optimizer):
    """Stochastic gradient descent with momentum, Nesterov momentum and weight decay.

    g = grad + weight_decay * param;  u = momentum * u + g;
    param -= lr * u, or with Nesterov lr * (g + momentum * u).

    Parameters
    ----------
    net : Layer
        Whose parameters to change.
    lr : float or schedule
        Learning rate.
    momentum : float
        From 0 to below 1.
    nesterov : bool
        Look ahead along the momentum, which must be above 0.
    weight_decay : float
        Factor of the L2 penalty's gradient.
    groups, clip_norm, clip_value
        See `npcnn.optimizers.Optimizer`.

    Raises
    ------
    TypeError, ValueError
        If a number is out of range.

    References
    ----------
    Sutskever et al., "On the importance of initialization and momentum in deep learning", 2013, section 2.

    Examples
    --------
    >>> net = nn.Dense(1, 1, weight_init=nn.initializers.constant(1.0))
    >>> optimizer = nn.SGD(net, lr=0.1)
    >>> net.grads["w"][...] = 2.0
    >>> optimizer.step()
    >>> round(float(net.params["w"][0, 0]), 4)
    0.8
    """

    group_settings = ("lr_factor", "weight_decay")

    def __init__(
        self,
        net: Parameterized,
        lr: float | Schedule,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        *,
        groups: Groups | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        super().__init__(net, lr, groups=groups, clip_norm=clip_norm, clip_value=clip_value)
        self.momentum = number(momentum, "momentum", minimum=0, below=1)
        self.weight_decay = number(weight_decay, "weight_decay", minimum=0)
        if nesterov and momentum == 0:
            raise ValueError("nesterov needs a momentum above 0, got 0")
        self.nesterov = nesterov
        self.velocity = self._zeros() if momentum else {}

    def _averages(self) -> dict[str, NDArray[Any]]:
        return {f"velocity.{name}": array for name, array in self.velocity.items()}

    def _constants(self) -> dict[str, Any]:
        return {"momentum": self.momentum, "nesterov": self.nesterov, "weight_decay": self.weight_decay}

    def _update(self, name: str, param: NDArray[Any], grad: NDArray[Any], lr: float) -> None:
        weight_decay = self._setting(name, "weight_decay", self.weight_decay)
        direction = grad + weight_decay * param if weight_decay else grad
        if self.momentum:
            direction = with_momentum(direction, self.velocity[name], self.momentum, self.nesterov)
        param -= lr * direction


def with_momentum(gradient: NDArray[Any], velocity: NDArray[Any], momentum: float, nesterov: bool) -> NDArray[Any]:
    """Change `velocity`, in place, to momentum * velocity + gradient; return where to go.

    That is along the velocity, or with Nesterov's momentum along gradient + momentum * velocity.
    """
    velocity *= momentum
    velocity += gradient
    return gradient + momentum * velocity if nesterov else velocity
