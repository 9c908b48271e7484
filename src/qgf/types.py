"""The callables and records that the rest of the package is written in.

Letters follow the paper: `a` is an action chunk flattened to d = H * A numbers, `t` in [0, 1] the flow time
(0 is noise, 1 is clean), `v` the velocity, `q` the critic's value, `g` a guidance direction.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np

from qgf.errors import Caution, UserError
from qgf.words import STATE

if TYPE_CHECKING:
    from jax import Array
else:
    Array = Any  # a name in annotations, no more: `qgf.torch` has the same records, and no JAX

Velocity: TypeAlias = Callable[[Array, Array], Array]
"""v(a[d], t[]) -> [d]: the reference flow's velocity at one state (the state is already bound)."""

Value: TypeAlias = Callable[[Array], Array]
"""q(a[d]) -> []: the critic's value of one clean action chunk at one state."""

Estimator: TypeAlias = Callable[[Velocity, Value, Array, Array], Array]
"""(v, q, a[d], t[]) -> g[d]: a direction of increasing q, to be added to v(a, t)."""

StateVelocity: TypeAlias = Callable[..., Array]
"""velocity(obs[S], a[d], t[]) -> [d], for one observation; `obs` may be any pytree."""

StateValue: TypeAlias = Callable[..., Array]
"""critic(obs[S], a[d]) -> [], for one observation; `obs` may be any pytree."""

Act: TypeAlias = Callable[[Any, Array], tuple[Array, "Info"]]
"""act(obs[B, S], key) -> (actions[B, H, A], Info): what wrappers such as best-of-N take and return."""


AMORTISED = "amortised"
"""The guide that asks a learned one."""
MOST = 0.5
"""Of its teacher's directions, the share that a learned guide may leave unexplained."""


# What some critics and flows can do besides. A protocol is called like the one thing that it has; ask with `ability`.


@runtime_checkable
class Members(Protocol):
    """A critic ensemble, critic.members(obs[S], a[d]) -> [m]."""

    @property
    def members(self) -> Callable[..., Array]: ...


@runtime_checkable
class Noisy(Protocol):
    """A noise-conditioned critic, critic.noisy(obs[S], a_t[d], t[]) -> []."""

    @property
    def noisy(self) -> Callable[..., Array]: ...


@runtime_checkable
class Amortised(Protocol):
    """A critic with a learned guide (qgf distil), critic.amortised(obs[S], a_t[d], t[]) -> g[d]."""

    @property
    def amortised(self) -> Callable[..., Array]: ...


@runtime_checkable
class Better(Protocol):
    """An advantage-labelled flow, velocity.better(obs[S], a[d], t[]) -> [d]: that of the actions better than usual."""

    @property
    def better(self) -> Callable[..., Array]: ...


@runtime_checkable
class Labelled(Protocol):
    """An advantage-labelled flow beside its own, velocity.labelled(obs[S], a[d], t[]) -> [d], which is `Better`."""

    @property
    def labelled(self) -> Callable[..., Array]: ...


@runtime_checkable
class Wrapping(Protocol):
    """A function around another, which can do what the inner one can, after `around`."""

    @property
    def inner(self) -> Any: ...

    def around(self, f: Callable[..., Array]) -> Callable[..., Array]: ...


@runtime_checkable
class Seeing(Protocol):
    """A velocity or critic that makes something of an observation before it is asked anything, f(obs, ...) =
    f.told(k)(obs with (.., f.look(obs), ..) as "looks", ...), the k-th of those: see `observations.looked`.
    """

    def look(self, obs: Any) -> Array: ...

    def told(self, k: int) -> Callable[..., Array]: ...


def ability(f: Any, protocol: type) -> Callable[..., Array] | None:
    """What makes f a `Members`, `Noisy`, ...: f.members, f.noisy, ..., of f itself or of what it wraps; None if it is
    not one. An attribute will do: `critic.members = each` on a plain function.
    """
    name = protocol.__name__.lower()
    if hasattr(f, name):  # isinstance does not see a torch module's parts, from Python 3.12 on
        return getattr(f, name)
    if isinstance(f, Wrapping) and (found := ability(f.inner, protocol)) is not None:
        return f.around(found)
    return None


class Trace(NamedTuple):
    """The denoising path of one sample; T is the number of Euler steps."""

    t: Array  # [T]    time at which each step starts
    a: Array  # [T+1, d] a_0 (noise) ... a_T (before the final clip)
    v: Array  # [T, d] reference velocity at a_t
    a1_hat: Array  # [T, d] one-step estimate of the clean action, clipped to the action range
    g: Array  # [T, d] guidance direction (zero where it was not finite), in its metric and after its caps
    skipped: Array  # [T] True where g was not finite and the step went unguided
    w: Array  # [T] guidance weight in force: the weight times its schedule


class Info(NamedTuple):
    """What happened while a batch of actions was sampled."""

    value: Array  # [B] critic's value of the action returned
    ratio: Array  # [B] mean over the steps of |w g| / |v|
    skipped: Array  # [B] steps left unguided because the gradient was not finite
    finite: Array  # [B] whether the action asked for is finite; where not, a fallback (if the policy has one) acts
    discarded: Array  # [B] samples that could not be chosen: action or value were not finite
    a0: Any = None  # [B, d] where denoising started
    nats: Any = None  # [B] divergence of the guided path from the unguided one (`method.harm.nats`)
    jerk: Any = None  # [B] of the action (`method.harm.jerk`)
    fell_back: Any = None  # [B] whether the policy's fallback took the action's place
    displacement: Any = None  # [B] from the unguided action of the same a0, in sigma_a; told with info=True
    agreement: Any = None  # [B] mean cosine of the members' gradients there; told with info=True, of ensembles


class Calibration(NamedTuple):
    """The scales that turn a `strength` into a raw guidance weight, w = strength * sigma * sqrt(d) / grad_norm."""

    sigma: float  # mean per-dimension standard deviation of the reference policy's actions at a state
    grad_norm: float  # mean norm of the critic's gradient at those actions
    others: Any = None  # of other ways to ask the critic (`method.members`), name -> [mean norm, robust mean norm]
    sigmas: Any = None  # [d] the standard deviation of each number of a chunk, whose mean is sigma

    def __eq__(self, other: object) -> bool:
        """By their numbers; arrays alone could not say."""
        return (
            isinstance(other, Calibration)
            and self[:3] == other[:3]
            and np.array_equal(np.asarray(self.sigmas), np.asarray(other.sigmas))
        )

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(tuple(self))


class Taught(NamedTuple):
    """What a learned guide was learned from, and how well: `taught` of the critic that has one."""

    teacher: str
    members: str | int | None  # how the teacher asked the ensemble; None: the critic's own way
    width: int
    error: float  # sum |g' - g|^2 / sum |g|^2 on held-out states

    def in_force(self, guide: Any, members: str | int | None) -> tuple[Any, str | int | None]:
        """What acts where `guide` is asked for, and how the ensemble is asked. A learned guide is asked as its teacher
        was, whose unit of strength is its own; where it leaves more than MOST of its teacher's directions unexplained,
        the teacher acts itself, and a caution says so. Raises UserError for `members` that are not the teacher's.
        """
        control, colon, name = guide.rpartition(":") if isinstance(guide, str) else ("", "", "")
        if name != AMORTISED:
            return guide, members
        if members not in (None, self.members):
            way = "the critic's own" if self.members is None else self.members
            raise UserError(f"members={members!r}: the learned guide's teacher asked another way, {way}")
        if self.error <= MOST:
            return guide, self.members
        why = f"leaves {self.error:.0%} of {self.teacher} unexplained, more than {MOST:.0%}"
        warnings.warn(Caution(f"the learned guide {why}: {self.teacher} acts in its place"), stacklevel=3)
        return control + colon + self.teacher, self.members


class Batch(NamedTuple):
    """Training samples; one row is a chunk of H actions that lies inside one episode. gamma is the discount."""

    obs: Any  # [B, S] normalised observation at the chunk's start; with pictures a dictionary, see `Spec.one`
    actions: Array  # [B, d] the chunk, flattened
    returns: Array  # [B] R = sum_i gamma^i r_i, up to and including the first terminal step
    bootstrap: Array  # [B] gamma^H times the product of the masks: 0 if the task ended inside the chunk
    next_obs: Any  # the same H steps later
    long: Batch | None = None  # the same rows with more actions, for a critic of longer chunks (see methods.goals)


class Spec(NamedTuple):
    """Sizes that the networks need to know."""

    obs_dim: int  # of all numbers that they see
    action_dim: int
    horizon: int
    goal_dim: int = 0  # how much of it, at its end, is the goal
    images: tuple[tuple[str, tuple[int, int, int]], ...] = ()  # by camera, in the order of their names: [H, W, C]

    @property
    def d(self) -> int:
        return self.action_dim * self.horizon

    @property
    def one(self) -> Any:
        """One observation, as shapes: [S], or with pictures {camera: uint8 [H, W, C], ..., "state": [S]}; without
        "state" where they are all there is.
        """
        import jax

        state = jax.ShapeDtypeStruct((self.obs_dim,), np.float32)
        if not self.images:
            return state
        pictures = {name: jax.ShapeDtypeStruct(shape, np.uint8) for name, shape in self.images}
        return pictures | ({STATE: state} if self.obs_dim else {})
