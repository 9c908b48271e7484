"""Every guide by name: the estimators of `guidance`, those that need more than two functions, and the controls.

The mirror of `qgf.method.guides`, for whole batches: q(a[B, ...]) -> [B], and its members [B, m].
"""

from __future__ import annotations

from functools import cache, wraps

import torch

from qgf.errors import UserError, unknown
from qgf.registry import Registry
from qgf.torch.guidance import ESTIMATORS, blind, grad, norm, per_row, placebo
from qgf.types import Amortised, Better, Labelled, Members, Noisy, ability


def need(f, protocol: type):
    """f.noisy, f.members, ...: what makes the velocity or critic f a `Noisy`, `Members`, ... of `qgf.types`.

    Raises UserError where it is none.
    """
    found = ability(f, protocol)
    if found is None:
        raise lacking(protocol)
    return found


def lacking(protocol: type, more: str = "") -> UserError:
    what = (protocol.__doc__ or protocol.__name__).splitlines()[0].rstrip(".")
    return UserError(f"this guide needs {what[0].lower()}{what[1:]}{more}")


def traits(**values):
    """What the sampler should know about an estimator, as attributes of the function."""

    def mark(estimator):
        vars(estimator).update(values)
        return estimator

    return mark


@traits(climbs=3)
def gradstep(v, q, a, t):
    """No guidance while denoising; then K = 3 times a <- clip(a + (w / K) grad Q(a)) (GradStep, QGF paper)."""
    return torch.zeros_like(a)


def robustq(v, q, a, t):
    """Ask a critic that was trained on noisy actions, g = grad Q_r(a_t, t), Q_r(a_t, t) = E[Q(a_1) | a_t] (RobustQ)."""
    noisy = need(q, Noisy)
    return grad(lambda x: noisy(x, t))(a)


def amortised(v, q, a, t):
    """Ask a small network that learned what another guide says, at a fraction of its cost (`qgf distil`; AGF)."""
    return need(q, Amortised)(a, t)


@traits(reference=Labelled, scale_free=True)
def cfgrl(v, q, a, t):
    """Classifier-free guidance, g = v(a, t | advantage > 0) - v(a, t), both of one labelled flow, which also takes the
    place of the reference: the sampler follows v + w (v_good - v) (CFGRL, Frans et al. 2025)."""
    return need(v, Better)(a, t) - v(a, t)


def steady(estimator):
    """A control, a placebo that keeps its direction for a whole decision: g -> |g| u, u from the bits of v(0, 0).

    A placebo's steps partly cancel one another, where a guide's add up; these add up to as much. The velocity at (0, 0)
    is asked at every step, and is the state's alone: all samples of a state go the same way.
    """

    @wraps(estimator)
    def guide(v, q, a, t):
        return norm(estimator(v, q, a, t)) * blind(v(torch.zeros_like(a), 0 * t))

    vars(guide).update(blind=True)
    return guide


def zero(estimator):
    """A control that computes the same and does not guide, g -> 0 g."""

    @wraps(estimator)
    def guide(v, q, a, t):
        return 0.0 * estimator(v, q, a, t)

    return guide


def negated(estimator):
    """A control that pushes as hard the other way, g -> -g: where it does as well, the critic's sign is no advice."""

    @wraps(estimator)
    def guide(v, q, a, t):
        return -estimator(v, q, a, t)

    return guide


def gate(estimator):
    """Guidance that fades where the critics disagree about the direction, g -> max(0, c) g.

    With g_i the direction that member i of the ensemble gives alone, c = sum_{i != j} g_i . g_j / ((m - 1) sum |g_i|^2)
    is their mean agreement: 1 where all are equal, 0 on average where they are independent.
    """

    @wraps(estimator)
    def guide(v, q, a, t):
        members = need(q, Members)
        with torch.no_grad():
            m = members(a).shape[-1]
        if m < 2:
            raise lacking(Members, f" with m > 1, and this one has {m}")
        member = lambda i: lambda x: members(x)[..., i]
        each = torch.stack([estimator(v, member(i), a, t) for i in range(m)])
        return per_row(torch.clamp(agreement(each), min=0.0), a) * estimator(v, q, a, t)

    return guide


def agreement(directions: torch.Tensor) -> torch.Tensor:
    """sum_{i != j} g_i . g_j / ((m - 1) sum |g_i|^2) of every row of directions[m, B, ...], [B], in [-1 / (m - 1), 1];
    0 if all are zero.
    """
    each = directions.flatten(2)
    squares = (each**2).sum(dim=(0, 2))
    crossed = (each.sum(dim=0) ** 2).sum(dim=1) - squares
    return crossed / torch.clamp((len(each) - 1) * squares, min=1e-30)


WRAPPERS: Registry = Registry(
    "torch control", dict(placebo=placebo, steady=steady, zero=zero, negated=negated, gate=gate)
)
"""What goes around a guide: "placebo:ood"; alone around QGF."""
GUIDES: Registry = Registry("torch guide", dict(gradstep=gradstep, robustq=robustq, amortised=amortised, cfgrl=cfgrl))
"""What asks for more than v and q."""


def find(guide):
    """The guide of a name, or the function itself. Raises UserError for an unknown name."""
    if callable(guide):
        return guide
    inner = _plain(guide)
    if inner is not None:
        return inner
    wrapper, colon, name = guide.partition(":")
    inner = _plain(name if colon else "qgf")
    if wrapper not in WRAPPERS or inner is None:
        around = [f"{wrapper if wrapper in WRAPPERS else 'placebo'}:{x}" for x in ESTIMATORS]
        raise unknown("guide", guide, [*ESTIMATORS, *GUIDES, *WRAPPERS, *around])
    return _wrapped(wrapper, WRAPPERS[wrapper], inner)


def _plain(name: str):
    return next((known[name] for known in (ESTIMATORS, GUIDES) if name in known), None)


@cache
def _wrapped(name: str, wrapper, inner):
    """One function for each pair."""
    if getattr(inner, "climbs", 0):
        raise UserError(f"{name} goes around guides that act while denoising, {inner.__name__} does not")
    return wrapper(inner)
