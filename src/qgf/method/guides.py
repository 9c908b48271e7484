"""Every guide by name: the estimators of `guidance`, those that need more than two functions, and the controls.

A guide is an estimator (v, q, a[d], t[]) -> g[d]. Some ask more of their arguments: `need(q, Noisy)(a, t)`,
`need(q, Amortised)(a, t)`, `need(q, Members)(a)`, `need(v, Better)(a, t)`. Three may carry a trait that the sampler
reads: `climbs` (gradient steps after denoising), `reference` (the velocity that takes the place of the policy's) and
`scale_free` (strength is the raw weight).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache, wraps
from itertools import chain
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, grad

from qgf.errors import UserError, unknown
from qgf.method.guidance import ESTIMATORS, blind, placebo, qgf
from qgf.registry import Registry
from qgf.types import Amortised, Better, Estimator, Labelled, Members, Noisy, ability

PROVIDERS: list[Mapping[str, Any]] = []
"""What makes policies that are `Noisy`, `Labelled`, ..., each with what it `provides`: the training methods."""


def need(f, protocol: type):
    """f.noisy, f.members, ...: what makes the velocity or critic f a `Noisy`, `Members`, ... of `qgf.types`.

    Raises UserError where it is none.
    """
    found = ability(f, protocol)
    if found is None:
        raise lacking(protocol)
    return found


def lacking(protocol: type, more: str = "") -> UserError:
    """What this guide needs and, if there is one, the method that trains it."""
    what = (protocol.__doc__ or protocol.__name__).splitlines()[0].rstrip(".")
    makers = [
        name for known in PROVIDERS for name, maker in known.items() if protocol in getattr(maker, "provides", ())
    ]
    how = f": train with --method {' or '.join(makers)}" if makers else ""
    return UserError(f"this guide needs {what[0].lower()}{what[1:]}{more}{how}")


def traits(**values) -> Callable[[Estimator], Estimator]:
    """What the sampler should know about an estimator, as attributes of the function."""

    def mark(estimator):
        vars(estimator).update(values)
        return estimator

    return mark


@traits(climbs=3)
def gradstep(v, q, a, t):
    """No guidance while denoising; then K = 3 times a <- clip(a + (w / K) grad Q(a)) (GradStep, QGF paper)."""
    return jnp.zeros_like(a)


def robustq(v, q, a, t):
    """Ask a critic that was trained on noisy actions, g = grad Q_r(a_t, t), Q_r(a_t, t) = E[Q(a_1) | a_t] (RobustQ)."""
    return grad(need(q, Noisy))(a, t)


def amortised(v, q, a, t):
    """Ask a small network that learned what another guide says, at a fraction of its cost (`qgf distil`; AGF)."""
    return need(q, Amortised)(a, t)


@traits(reference=Labelled, scale_free=True)
def cfgrl(v, q, a, t):
    """Classifier-free guidance, g = v(a, t | advantage > 0) - v(a, t), both of one labelled flow, which also takes the
    place of the reference: the sampler follows v + w (v_good - v) (CFGRL, Frans et al. 2025)."""
    return need(v, Better)(a, t) - v(a, t)


def steady(estimator: Estimator) -> Estimator:
    """A control, a placebo that keeps its direction for a whole decision: g -> |g| u, u from the bits of v(0, 0).

    A placebo's steps partly cancel one another, where a guide's add up; these add up to as much. The velocity at (0, 0)
    is asked at every step, and is the state's alone: all samples of a state go the same way.
    """

    @wraps(estimator)
    def guide(v, q, a, t):
        return jnp.linalg.norm(estimator(v, q, a, t)) * blind(v(jnp.zeros_like(a), 0 * t))

    return guide


def zero(estimator: Estimator) -> Estimator:
    """A control that computes the same and does not guide, g -> 0 g."""

    @wraps(estimator)
    def guide(v, q, a, t):
        return 0.0 * estimator(v, q, a, t)

    return guide


def negated(estimator: Estimator) -> Estimator:
    """A control that pushes as hard the other way, g -> -g: where it does as well, the critic's sign is no advice."""

    @wraps(estimator)
    def guide(v, q, a, t):
        return -estimator(v, q, a, t)

    return guide


def gate(estimator: Estimator) -> Estimator:
    """Guidance that fades where the critics disagree about the direction, g -> max(0, c) g.

    With g_i the direction that member i of the ensemble gives alone, c = sum_{i != j} g_i . g_j / ((m - 1) sum |g_i|^2)
    is their mean agreement: 1 where all are equal, 0 on average where they are independent.
    """

    @wraps(estimator)
    def guide(v, q, a, t):
        members = need(q, Members)
        m = jax.eval_shape(members, a).shape[-1]
        if m < 2:
            raise lacking(Members, f" with m > 1, and this one has {m}")
        member = lambda i: lambda x: members(x)[..., i]
        each = jnp.stack([estimator(v, member(i), a, t) for i in range(m)])
        return jnp.maximum(agreement(each), 0.0) * estimator(v, q, a, t)

    return guide


def agreement(directions: Array) -> Array:
    """sum_{i != j} g_i . g_j / ((m - 1) sum |g_i|^2) of directions[m, d], in [-1 / (m - 1), 1]; 0 if all are zero."""
    squares = jnp.sum(directions**2)
    crossed = jnp.sum(jnp.sum(directions, axis=0) ** 2) - squares
    return crossed / jnp.maximum((len(directions) - 1) * squares, 1e-30)


def agreements(members: Callable[[Any, Array], Array], observations: Any, a: Array) -> Array:
    """The `agreement` of the gradients in a of Q_i(o, a), `members` [m], at each of n observations and a[n, d]: [n]."""
    return jax.vmap(lambda o, a: agreement(jax.jacrev(members, argnums=1)(o, a)))(observations, a)


class Guides(Registry[Estimator]):
    """Every guide that has a name: the estimators, those added here, and each wrapper, alone around QGF."""

    def __getitem__(self, name: str) -> Estimator:
        if name in ESTIMATORS:
            return ESTIMATORS[name]
        return _wrapped(name, WRAPPERS[name], qgf) if name in WRAPPERS else super().__getitem__(name)

    def __contains__(self, name: object) -> bool:
        return name in ESTIMATORS or name in WRAPPERS or super().__contains__(name)

    def __iter__(self) -> Iterator[str]:
        return chain(ESTIMATORS, super().__iter__(), WRAPPERS)

    def __len__(self) -> int:
        return len(ESTIMATORS) + super().__len__() + len(WRAPPERS)

    def summaries(self) -> dict[str, str]:
        """Of a wrapper what it does, whatever it goes around."""
        return super().summaries() | WRAPPERS.summaries()


WRAPPERS = Registry[Callable[[Estimator], Estimator]](
    "control", dict(placebo=placebo, steady=steady, zero=zero, negated=negated, gate=gate)
)
"""What goes around a guide: "placebo:ood"."""
GUIDES = Guides("guide", dict(gradstep=gradstep, robustq=robustq, amortised=amortised, cfgrl=cfgrl))
"""Every guide by name; what asks for no more than two functions may as well be added to `ESTIMATORS`."""


def _not_in(*others: Registry) -> Callable[[str, Any], None]:
    def check(name: str, entry: Any) -> None:
        for other in others:
            if name in other.own:
                raise UserError(f"{other.kind} {name!r} is there already; give yours another name")

    return check


ESTIMATORS.check, WRAPPERS.check, GUIDES.check = (
    _not_in(GUIDES, WRAPPERS), _not_in(ESTIMATORS, GUIDES), _not_in(ESTIMATORS, WRAPPERS)
)  # fmt: skip


def find(guide: str | Estimator) -> Estimator:
    """The guide of a name, or the function itself. Raises UserError for an unknown name."""
    if callable(guide):
        return guide
    if guide in GUIDES:
        return GUIDES[guide]
    wrapper, _, inner = guide.partition(":")
    if wrapper not in WRAPPERS or inner not in GUIDES:
        around = [f"{wrapper}:{name}" for name in ESTIMATORS] if wrapper in WRAPPERS else [f"{w}:ood" for w in WRAPPERS]
        raise unknown("guide", guide, [*GUIDES, *around])
    return _wrapped(wrapper, WRAPPERS[wrapper], GUIDES[inner])


@cache
def _wrapped(name: str, wrapper: Callable[[Estimator], Estimator], inner: Estimator) -> Estimator:
    """One object for each pair: a guide is a part of the compiled program."""
    if getattr(inner, "climbs", 0):
        raise UserError(f"{name} goes around guides that act while denoising, {inner.__name__} does not")
    return wrapper(inner)
