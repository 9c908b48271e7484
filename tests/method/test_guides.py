"""Guides that need more than an estimator, the controls and the schedules, against closed forms."""

import copy
import pickle
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.integrate import quad

import worlds
from qgf.critics.losses import lowest
from qgf.errors import UserError
from qgf.method.flow import Flow
from qgf.method.guidance import ESTIMATORS
from qgf.method.guided import guided_flow, refine
from qgf.method.guides import GUIDES, WRAPPERS, agreement, find, need, zero
from qgf.method.policy import act_jit
from qgf.method.sampling import At, sample
from qgf.method.schedules import SCHEDULES, schedule
from qgf.method.strength import raw_weight
from qgf.method.toy import Mixture
from qgf.networks.critic import CriticEnsemble
from qgf.training.trained import Normalised
from qgf.types import Better, Calibration, Labelled, Members, Noisy, ability

dimensions = pytest.mark.parametrize("d", worlds.DIMENSIONS)
WIDE = dict(low=-jnp.inf, high=jnp.inf)


class With:
    """A function with more of them hanging on it."""

    def __init__(self, f, **more):
        self.f = f
        vars(self).update(more)

    def __call__(self, *args):
        return self.f(*args)


def noise(d, *n, seed=0):
    return jnp.array(np.random.default_rng(seed).normal(size=(*n, d)))


def traced(v, q, a0, guide, weight, *, schedule="constant", steps=10):
    """The compiled path of one sample in the whole space."""
    act = lambda a0: sample(v, q, a0, guide, weight, steps, **WIDE, schedule=schedule, trace=True)
    return jax.tree.map(np.asarray, jax.jit(act)(a0))


# GradStep


def bowl(centre):
    """Q(a) = -|a - centre|^2 / 2."""
    return lambda a: -0.5 * jnp.sum((a - jnp.array(centre, a.dtype)) ** 2)


def ends(v, q, a0, guide, weight, **bounds):
    return np.asarray(jax.jit(jax.vmap(lambda a: sample(v, q, a, guide, weight, **(WIDE | bounds))))(a0))


@dimensions
def test_gradstep_contracts_the_unguided_end_towards_the_optimum(d, float64):
    m, q, centre = worlds.mixture(d), bowl(0.7), 0.7
    a0 = noise(d, 5)
    start = ends(m.velocity, q, a0, "none", 0)
    for w in (0.3, 2.0):
        found = ends(m.velocity, q, a0, "gradstep", w)
        assert_allclose(found - centre, (1 - w / 3) ** 3 * (start - centre), rtol=1e-12)


def test_gradstep_clips_after_every_step(float64):
    m, centre, w = worlds.mixture(3), np.array([2.0, -0.3, 0.9]), 4.5  # overshoots: 1 - w / 3 = -1/2
    a0, (low, high) = noise(3, 6), (-0.8, np.array([0.5, 0.4, 1.5]))
    a = np.clip(ends(m.velocity, bowl(centre), a0, "none", 0), low, high)
    stops = 0
    for _ in range(3):
        free = a - w / 3 * (a - centre)
        a = np.clip(free, low, high)
        stops += (free != a).any()
    assert stops == 3
    assert_allclose(ends(m.velocity, bowl(centre), a0, "gradstep", w, low=low, high=high), a, rtol=1e-12)


def test_gradstep_leaves_the_path_alone(float64):
    m, a0 = worlds.mixture(3), noise(3)
    path, plain = (traced(m.velocity, worlds.critic, a0, *how) for how in (("gradstep", 2.0), ("none", 0.0)))
    assert_array_equal(path.a, plain.a)
    assert not path.g.any() and not path.skipped.any()


def test_a_gradient_that_is_not_finite_is_no_step(float64):
    m, a0 = worlds.mixture(1), noise(1, 30)
    broken = lambda a: jnp.where(a[0] > 0, jnp.nan, 1.0) * bowl(0.5)(a)
    start = ends(m.velocity, broken, a0, "none", 0)
    bad = start[:, 0] > 0
    assert 3 < bad.sum() < 27
    found = ends(m.velocity, broken, a0, "gradstep", 0.3)
    assert_array_equal(found[bad], start[bad])
    inside = ~bad & (start[:, 0] < -1)  # stays on its side of zero
    assert inside.any()
    assert_allclose(found[inside] - 0.5, 0.9**3 * (start[inside] - 0.5), rtol=1e-12)


OBS = jax.random.normal(jax.random.key(5), (5, 2))
KEYS = jax.random.split(jax.random.key(6), 5)


def state_flow(obs, a, t):
    """The exact flow to N(0.2 obs[0], 0.3^2 I)."""
    m = Mixture(0.2 * obs[0] * jnp.ones((1, a.size), a.dtype), jnp.ones(1, a.dtype), 0.3)
    return m.velocity(a, t)


def state_critic(obs, a):
    return -jnp.sum((a - 0.3 * obs[1]) ** 2)


def policy(velocity=state_flow, critic=state_critic, **changes):
    return guided_flow(velocity, critic, **(dict(action_dim=2, horizon=3, weight=0.4) | changes))


def test_gradstep_is_refine_around_the_unguided_policy():
    refined, info = jax.jit(refine(policy(guide="none", weight=0), 3, 0.4 / 3))(OBS, KEYS)
    actions, found = act_jit(policy(guide="gradstep"), OBS, KEYS)
    assert_allclose(actions, refined, rtol=1e-5, atol=1e-6)
    assert_allclose(found.value, info.value, rtol=1e-5)
    assert np.abs(actions - policy(guide="none")(OBS, KEYS)).max() > 0.1


def test_strength_moves_gradstep_by_that_many_deviations():
    """For a linear Q the three steps add up to w g, and w |g| = strength sigma sqrt(d)."""
    slope = jnp.array([1.0, -2.0, 0.5, 0.0, 1.0, 3.0])
    scale = Calibration(sigma=0.5, grad_norm=float(jnp.linalg.norm(slope)))
    pi = policy(critic=lambda obs, a: slope @ a, calibration=scale, low=-9.0, high=9.0)
    moved = np.asarray(pi.guided("gradstep", strength=1.6)(OBS, KEYS) - pi.guided("none")(OBS, KEYS)).reshape(5, 6)
    assert_allclose(moved, np.tile(1.6 * 0.5 * np.sqrt(6) * slope / scale.grad_norm, (5, 1)), rtol=1e-5, atol=1e-6)


# RobustQ


def linear(k):
    return lambda a: jnp.array(k, a.dtype) @ a


def posterior_quadratic(m, centre, curvature):
    """E[Q(a_1) | a_t] of Q = -(a - centre)^T H (a - centre) / 2: a Gaussian's for every component."""

    def noisy(a, t):
        variance = (1 - t) ** 2 + (t * m.std) ** 2
        means = m.means + (t * m.std**2 / variance) * (a - t * m.means)
        spread = m.std**2 * (1 - t) ** 2 / variance * jnp.trace(curvature)
        square = jnp.einsum("ki,ij,kj->k", means - centre, curvature, means - centre)
        return m.responsibilities(a, t) @ (-0.5 * (square + spread))

    return noisy


def test_robustq_needs_a_noisy_critic():
    with pytest.raises(UserError, match="needs a noise-conditioned critic"):
        sample(lambda a, t: -a, jnp.sum, jnp.zeros(2), "robustq")


@dimensions
def test_robustq_of_a_linear_critic_is_the_transposed_jacobian_times_its_slope(d, float64):
    m, k = worlds.mixture(d), np.arange(1.0, d + 1)
    q = With(linear(k), noisy=lambda a, t: linear(k)(m.clean(a, t)))  # E[k . a_1 | a_t]
    robust, kept = (jax.jit(partial(GUIDES[name], m.velocity, q)) for name in ("robustq", "jacobian"))
    for a, t in worlds.points(d, n=2):
        exact = worlds.central(lambda x, t=t: worlds.clean(m, x, t), a).T @ k
        a, t = jnp.array(a), jnp.array(t)
        assert_allclose(robust(a, t), exact, rtol=1e-6, atol=1e-7)
        assert_allclose(robust(a, t), kept(a, t), rtol=1e-9, atol=1e-10)


def test_robustq_of_a_quadratic_critic_in_a_gaussian_world(float64):
    mean, centre = np.array([0.3, -0.5, 0.1]), np.array([1.0, 0.2, -0.4])
    m = Mixture(jnp.array(mean[None]), jnp.ones(1), worlds.STD)
    curvature = worlds.CURVATURE[3]
    q = With(None, noisy=posterior_quadratic(m, centre, jnp.array(curvature)))
    robust = jax.jit(partial(GUIDES["robustq"], m.velocity, q))
    for a, t in worlds.points(3):
        gain = t * m.std**2 / worlds.sigma2(m, t)
        exact = -gain * curvature @ (mean + gain * (a - t * mean) - centre)
        assert_allclose(robust(jnp.array(a), jnp.array(t)), exact, rtol=1e-10, atol=1e-12)


def test_robustq_of_a_quadratic_critic_in_a_mixture(float64):
    """Against the posterior's mean by quadrature; unlike QGF-Jacobian it feels how the posterior's width changes."""
    m, centre = worlds.mixture(1), 0.4
    q = With(bowl(centre), noisy=posterior_quadratic(m, centre, jnp.eye(1)))
    robust, kept = (jax.jit(partial(GUIDES[name], m.velocity, q)) for name in ("robustq", "jacobian"))
    x = np.linspace(-6, 6, 20_001)
    prior = np.exp(worlds.log_terms(m, x[:, None, None], 1.0)).sum(axis=-1)

    def mean(a, t):
        weight = prior * np.exp(-0.5 * ((a[0] - t * x) / (1 - t)) ** 2)
        return np.array([weight @ (-0.5 * (x - centre) ** 2) / weight.sum()])

    gaps = []
    for a, t in worlds.points(1, times=(0.2, 0.5, 0.8)):
        exact = worlds.central(lambda y, t=t: mean(y, t), a)[0]
        assert_allclose(robust(jnp.array(a), jnp.array(t)), exact, rtol=1e-5, atol=1e-6)
        gaps.append(np.abs(kept(jnp.array(a), jnp.array(t)) - exact).max())
    assert max(gaps) > 0.1


# CFGRL


def labelled(m, better):
    """A policy's velocity that must not be asked, and the labelled flow that is."""

    def never(a, t):
        raise AssertionError("the cloned flow was asked")

    return With(never, labelled=With(m.velocity, better=better.velocity))


def half(m, keep):
    """The mixture of the components `keep`."""
    return Mixture(m.means[keep], m.weights[keep], m.std)


@dimensions
@pytest.mark.parametrize("weight", [0.0, 1.0, 2.5])
def test_cfgrl_follows_the_labelled_flow_towards_the_better_half(d, weight, float64):
    m = worlds.mixture(d)
    better = half(m, np.array([1, 2]))
    a0 = noise(d)
    path = traced(labelled(m, better), worlds.critic, a0, "cfgrl", weight)
    a = np.asarray(a0)
    for k in range(10):
        u, c = (worlds.velocity(x, a, k / 10) for x in (m, better))
        assert_allclose(path.v[k], u, rtol=1e-9, atol=1e-10)
        assert_allclose(path.g[k], c - u, rtol=1e-9, atol=1e-10)
        a = a + (u + weight * (c - u)) / 10
    assert_allclose(path.a[-1], a, rtol=1e-9, atol=1e-10)
    if weight < 2:
        alone = traced(better.velocity if weight else m.velocity, worlds.critic, a0, "none", 0.0)
        assert_allclose(path.a, alone.a, rtol=1e-12, atol=1e-12)


def test_cfgrl_lands_at_the_good_peak_and_its_unlabelled_flow_at_both():
    m = Mixture(jnp.array([[-0.8, 0.5], [0.7, -0.4]]), jnp.ones(2), 0.05)
    v, a0 = labelled(m, half(m, np.array([1]))), noise(2, 200)
    near = lambda w: np.linalg.norm(ends(v, jnp.sum, a0, "cfgrl", w) - m.means[1], axis=1) < 0.25
    assert near(1.0).all()
    assert 60 < near(0.0).sum() < 140


def test_strength_is_cfgrls_weight():
    for guide in ("cfgrl", "placebo:cfgrl", GUIDES["cfgrl"]):
        assert raw_weight(2.5, None, None, 6, guide) == raw_weight(2.5, None, Calibration(0.5, 4.0), 6, guide) == 2.5
    assert raw_weight(None, 0.3, None, 6, "cfgrl") == 0.3


def test_cfgrl_needs_a_labelled_flow():
    for v in (lambda a, t: -a, With(None, labelled=lambda a, t: -a)):
        with pytest.raises(UserError, match="needs an advantage-labelled flow"):
            sample(v, jnp.sum, jnp.zeros(2), "cfgrl")


# Agreement


def by_loops(g):
    """The mean agreement of the rows of g, from its definition."""
    m = len(g)
    crossed = sum(float(g[i] @ g[j]) for i in range(m) for j in range(m) if i != j)
    return crossed / ((m - 1) * sum(float(x @ x) for x in g))


def test_agreement_by_hand(float64):
    x, y = np.array([3.0, 4.0]), np.array([-4.0, 3.0])
    for rows, expected in (
        ([x, x], 1),
        ([x, x, x, x], 1),
        ([x, -x], -1),
        ([x, y], 0),
        ([x, 2 * x], 0.8),  # 4 |x|^2 / (|x|^2 + 4 |x|^2): a longer one of the same direction is not the same
        ([x, 0 * x], 0),
        ([x, -0.5 * x, -0.5 * x], -0.5),  # the lower end, -1 / (m - 1)
        ([0 * x, 0 * x], 0),
    ):
        assert_allclose(agreement(np.stack(rows)), expected, atol=1e-15)


@pytest.mark.parametrize("m", [2, 3, 5])
def test_agreement_is_its_definition_whatever_the_scale(m, float64):
    g = np.random.default_rng(m).normal(0.3, 1, (m, 4))
    for scale in (1.0, -7.0, 1e-6, 1e6):
        assert_allclose(agreement(jnp.array(scale * g)), by_loops(g), rtol=1e-12)
    stretched = g * np.linspace(0.5, 2, m)[:, None]
    assert_allclose(agreement(jnp.array(stretched)), by_loops(stretched), rtol=1e-12)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0]
    assert_allclose(agreement(jnp.array(g @ turn)), by_loops(g), rtol=1e-12)


@pytest.mark.parametrize("m", [2, 3])
def test_independent_directions_agree_about_zero_on_average(m):
    c = np.asarray(jax.jit(jax.vmap(agreement))(np.random.default_rng(m).normal(size=(20_000, m, 5))))
    assert abs(c.mean()) < 5 * c.std() / np.sqrt(len(c))
    assert c.min() >= -1 / (m - 1) - 1e-6 and c.max() <= 1 and c.std() > 0.1


def ensemble(centres):
    """Quadratic critics with a linear bump each, their minimum, and the gradients in NumPy."""
    centres = np.asarray(centres)
    members = lambda a: jnp.stack([-jnp.sum((a - c) ** 2) for c in jnp.array(centres, a.dtype)])
    return With(lambda a: jnp.min(members(a)), members=members)


CENTRES = {1: [[1.5], [0.2], [2.0]], 3: [[1.0, 0.2, -0.4], [0.3, -0.8, 0.5], [0.9, 0.1, 0.4]]}


@dimensions
@pytest.mark.parametrize("m", [2, 3])
def test_gate_is_the_positive_agreement_times_the_direction(m, d, float64):
    world, centres = worlds.mixture(d), np.array(CENTRES[d][:m])
    gated = jax.jit(partial(find("gate"), world.velocity, ensemble(centres)))
    value = lambda x: np.array([-np.sum((x - c) ** 2) for c in centres])
    seen = []
    for a, t in worlds.points(d, n=5):
        at = worlds.clean(world, a, t)
        each = worlds.central(value, at)
        c = by_loops(each)
        expected = max(c, 0) * each[value(at).argmin()]
        assert_allclose(gated(jnp.array(a), jnp.array(t)), expected, rtol=1e-7, atol=1e-8)
        seen.append(c)
    assert min(seen) < 0 < max(seen) < 1


def asked(guide, v, q, a, t):
    return jax.jit(partial(find(guide), v, q))(jnp.array(a), jnp.array(t))


def test_gate_of_equal_critics_changes_nothing_and_of_opposite_ones_leaves_nothing(float64):
    m, (a, t) = worlds.mixture(3), worlds.points(3)[7]
    equal = ensemble(np.ones((3, 3)))
    assert_allclose(asked("gate:ood", m.velocity, equal, a, t), -2 * (a - 1), rtol=1e-12)
    opposite = With(jnp.sum, members=lambda a: jnp.stack([jnp.sum(a), -jnp.sum(a)]))
    assert_array_equal(asked("gate", m.velocity, opposite, a, t), np.zeros(3))


def test_gate_asks_every_member_where_its_estimator_does(float64):
    """gate:jacobian through J of each member, gate:ood at the noisy action."""
    m, q, (a, t) = worlds.mixture(3), ensemble(CENTRES[3]), worlds.points(3)[7]
    J, centres = worlds.central(lambda x: worlds.clean(m, x, t), a), np.array(CENTRES[3])
    slopes = lambda x: -2 * (x - centres)
    lowest = lambda x: np.argmax(np.sum((x - centres) ** 2, axis=1))
    at = worlds.clean(m, a, t)
    for name, each, i in (("ood", slopes(a), lowest(a)), ("jacobian", slopes(at) @ J, lowest(at))):
        found = asked(f"gate:{name}", m.velocity, q, a, t)
        assert_allclose(found, max(by_loops(each), 0) * each[i], rtol=1e-6, atol=1e-8)


def test_gate_needs_several_critics():
    for q, said in ((jnp.sum, ""), (ensemble([[0.0, 1.0]]), " with m > 1, and this one has 1")):
        with pytest.raises(UserError) as caught:
            sample(lambda a, t: -a, q, jnp.zeros(2), "gate")
        assert str(caught.value) == "this guide needs a critic ensemble, critic.members(obs[S], a[d]) -> [m]" + said


# Names and wrappers


def test_every_guide_is_listed_once_the_estimators_first():
    assert list(GUIDES) == [*ESTIMATORS, "gradstep", "robustq", "amortised", "cfgrl", *WRAPPERS]
    assert [find(name) for name in GUIDES] == list(GUIDES.values())
    assert find(ESTIMATORS["ood"]) is ESTIMATORS["ood"]


def test_a_new_estimator_is_a_guide_and_can_be_wrapped(monkeypatch, float64):
    monkeypatch.setitem(ESTIMATORS, "mine", lambda v, q, a, t: 0 * a + 3.0)
    assert find("mine") is GUIDES["mine"] is ESTIMATORS["mine"]
    g = asked("placebo:mine", None, None, np.ones(3), 0.5)
    assert_allclose(np.linalg.norm(g), 3 * np.sqrt(3), rtol=1e-12)


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_a_wrapped_guide_by_name_is_the_wrapper_around_the_guide(wrapper, float64):
    m, q = worlds.mixture(3), ensemble(CENTRES[3])
    for inner in ("ood", "jacobian"):
        named, made = find(f"{wrapper}:{inner}"), WRAPPERS[wrapper](ESTIMATORS[inner])
        assert find(f"{wrapper}:{inner}") is named  # or every policy would be compiled anew
        assert named.__name__ == inner
        a, t = worlds.points(3)[7]
        assert_array_equal(*(asked(g, m.velocity, q, a, t) for g in (named, made)))
    assert find(wrapper).__name__ == "qgf"


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_wrappers_keep_what_the_sampler_reads(wrapper):
    wrapped = find(f"{wrapper}:cfgrl")
    assert (wrapped.reference, wrapped.scale_free) == (Labelled, True)
    assert not any(hasattr(find(f"{wrapper}:qgf"), name) for name in ("reference", "scale_free", "climbs"))
    with pytest.raises(UserError, match=f"^{wrapper} goes around guides that act while denoising, gradstep does not$"):
        find(f"{wrapper}:gradstep")


@pytest.mark.parametrize(
    "name, nearest",
    {
        "grdstep": "gradstep",
        "robust-q": "robustq",
        "cfg": "cfgrl",
        "gated": "gate",
        "placebo:odd": "placebo:ood",
        "gate:jacobean": "gate:jacobian",
        "placbo:ood": "placebo:ood",
        "zero:": "zero",
    }.items(),
)
def test_unknown_guides_get_the_nearest_known_one(name, nearest):
    with pytest.raises(UserError, match=f"unknown guide '{name}': did you mean '{nearest}'"):
        find(name)


def test_a_control_around_cfgrl_follows_the_labelled_flow(float64):
    m = worlds.mixture(3)
    v, a0 = labelled(m, half(m, np.array([1, 2]))), noise(3)
    plain = traced(m.velocity, worlds.critic, a0, "none", 0.0)
    assert_array_equal(traced(v, worlds.critic, a0, "zero:cfgrl", 3.0).a, plain.a)
    path = traced(v, worlds.critic, a0, "placebo:cfgrl", 0.5)
    for a, t, g in zip(path.a, path.t, path.g, strict=False):
        expected = np.linalg.norm(worlds.velocity(v.labelled.better.__self__, a, t) - worlds.velocity(m, a, t))
        assert_allclose(np.linalg.norm(g), expected, rtol=1e-9)


@pytest.mark.parametrize("name", ["qgf", "jacobian", "ood"])
def test_placebo_has_the_norm_of_its_estimator_at_every_step(name, float64):
    m = worlds.mixture(3)
    true = jax.jit(partial(ESTIMATORS[name], m.velocity, worlds.critic))
    path = traced(m.velocity, worlds.critic, noise(3), f"placebo:{name}", 0.4)
    cosines = []
    for a, t, g in zip(path.a, path.t, path.g, strict=False):
        expected = np.asarray(true(a, t))
        assert_allclose(np.linalg.norm(g), np.linalg.norm(expected), rtol=1e-9, atol=1e-12)
        cosines.append(g @ expected / max(expected @ expected, 1e-12))
    assert np.std(cosines) > 0.2  # elsewhere at every step


def test_a_steady_placebo_adds_up_to_what_its_estimator_does(float64):
    m = worlds.mixture(3)
    u = []
    for seed in (3, 4):
        path = traced(m.velocity, worlds.critic, noise(3, seed=seed), "steady:ood", 0.4)
        true = jax.jit(partial(ESTIMATORS["ood"], m.velocity, worlds.critic))
        lengths = [np.linalg.norm(true(a, t)) for a, t in zip(path.a, path.t, strict=False)][: len(path.g)]
        assert_allclose(np.linalg.norm(path.g, axis=-1), lengths, rtol=1e-9, atol=1e-12)
        assert_allclose(np.linalg.norm(path.g.sum(0)), sum(lengths), rtol=1e-9)
        u.append(path.g / np.linalg.norm(path.g, axis=-1, keepdims=True))
    assert_allclose(u[0], u[1], atol=1e-9)  # of the state, whatever the noise
    aside = traced(lambda a, t: m.velocity(a, t) + 1e-3, worlds.critic, noise(3), "steady:ood", 0.4).g[0]
    assert not np.allclose(aside / np.linalg.norm(aside), u[0][0], atol=1e-2)  # another state, another direction


NET = CriticEnsemble(3, 6, 16, 2, 2, jax.random.key(1))


def net_critic(obs, a):
    return lowest(NET, obs, a)


def test_zero_acts_unguided_to_the_bit_at_the_cost_of_its_estimator():
    v, q = lambda a, t: jnp.tanh(a + t) - a, lambda a: net_critic(jnp.ones(3), a)
    a0 = noise(6, 5).astype(jnp.float32)
    act = lambda guide: jax.vmap(lambda a: sample(v, q, a, guide, 0.7))
    programs = {guide: jax.jit(act(guide)).lower(a0) for guide in ("none", "zero", "qgf")}
    dots = {guide: program.as_text().count("dot_general") for guide, program in programs.items()}
    assert dots["none"] == 0 < dots["zero"] == dots["qgf"]
    compiled = {guide: program.compile() for guide, program in programs.items()}
    assert_array_equal(compiled["zero"](a0), compiled["none"](a0))
    assert np.abs(compiled["qgf"](a0) - compiled["none"](a0)).max() > 0.05
    none, zeroed, guided = (compiled[guide].cost_analysis()["flops"] for guide in programs)
    assert none < 0.1 * guided and zeroed == pytest.approx(guided, rel=0.01)  # XLA drops nothing


def test_zero_counts_the_steps_that_its_estimator_would_have_skipped(float64):
    g = zero(lambda v, q, a, t: jnp.where(t > 0.55, jnp.nan, 1.0) * a)
    path = traced(lambda a, t: -a, jnp.sum, noise(2), g, 5.0)
    assert_array_equal(path.skipped, [False] * 6 + [True] * 4)
    assert_allclose(path.a[-1], 0.9**10 * path.a[0], rtol=1e-12)


# Schedules


def test_schedules_by_their_formulas(float64):
    t = jnp.array([0.0, 0.01, 0.1, 0.25, 0.5, 0.9, 1.0])
    assert_array_equal(SCHEDULES["constant"](t), np.ones(7))
    assert_allclose(SCHEDULES["score"](t), [10, 10, 9, 3, 1, 1 / 9, 0], rtol=1e-12, atol=1e-15)
    assert_allclose(SCHEDULES["linear"](t), 2 * t)
    assert_allclose(SCHEDULES["score"](jnp.array([1 / 11, 0.0909])), [10, 10])
    for name in ("constant", "linear"):
        assert quad(lambda x, name=name: float(SCHEDULES[name](jnp.array(x))), 0, 1)[0] == pytest.approx(1)
    mine = lambda t: t**2
    assert schedule("linear") is SCHEDULES["linear"] and schedule(mine) is mine


@dimensions
def test_score_turns_a_change_of_the_score_into_that_of_the_velocity(d, float64):
    """v = (a + (1 - t) grad log p_t) / t, the score by central differences of the log density."""
    m = worlds.mixture(d)
    extra = np.linspace(-1, 2, d)
    for a, t in worlds.points(d, times=(0.1, 0.5, 0.9)):
        score = worlds.central(lambda x, t=t: np.array([np.logaddexp.reduce(worlds.log_terms(m, x, t))]), a)[0]
        of = lambda score, a=a, t=t: (a + (1 - t) * score) / t
        assert_allclose(of(score), m.velocity(jnp.array(a), jnp.array(t)), rtol=1e-5, atol=1e-6)
        assert_allclose(of(score + extra) - of(score), SCHEDULES["score"](jnp.array(t)) * extra, rtol=1e-9)


@dimensions
def test_score_scheduled_guidance_is_the_exact_flow_to_the_tilted_data(d, float64):
    """pi exp(k . a / beta) is a mixture again; grad log E[exp(k . a_1 / beta) | a_t] guides exactly to it."""
    m, k, beta = worlds.mixture(d), np.linspace(-0.6, 0.9, d), 0.4
    tilted = Mixture(m.means + m.std**2 * k / beta, m.weights * jnp.exp(m.means @ k / beta), m.std)
    q = With(linear(k), noisy=lambda a, t: beta * (tilted.log_prob(a, t) - m.log_prob(a, t)))
    path = traced(m.velocity, q, noise(d), "robustq", 1 / beta, schedule="score")
    for n in range(1, 10):  # at t = 0 the factor is infinite, and capped
        assert_allclose(path.v[n] + path.w[n] * path.g[n], worlds.velocity(tilted, path.a[n], n / 10), rtol=1e-8)
    assert_allclose(path.w[0], 10 / beta)


def test_score_scheduled_jacobian_guidance_is_exact_in_a_gaussian_world(float64):
    mean, k, beta = np.array([0.3, -0.5]), np.array([0.8, -0.2]), 0.3
    m, tilted = (Mixture(jnp.array(x[None]), jnp.ones(1), 0.4) for x in (mean, mean + 0.4**2 * k / beta))
    path = traced(m.velocity, linear(k), noise(2), "jacobian", 1 / beta, schedule="score", steps=8)
    for n in range(1, 8):
        assert_allclose(path.v[n] + path.w[n] * path.g[n], worlds.velocity(tilted, path.a[n], n / 8), rtol=1e-9)


@pytest.mark.parametrize("how", [*SCHEDULES, lambda t: 1 + t**2])
def test_the_sampler_weighs_every_step_by_its_schedule(how, float64):
    m, w = worlds.mixture(3), 0.3
    path = traced(m.velocity, worlds.critic, noise(3), "qgf", w, schedule=how, steps=4)
    t = np.arange(4) / 4
    factor = dict(constant=1 + 0 * t, score=[10, 3, 1, 1 / 3], linear=2 * t).get(how, 1 + t**2)
    assert_allclose(path.w, w * np.asarray(factor), rtol=1e-12)
    for k in range(4):
        step = (path.v[k] + w * factor[k] * path.g[k]) / 4
        assert_allclose(path.a[k + 1], path.a[k] + step, rtol=0, atol=1e-12)


def test_a_policy_weighs_its_steps_by_its_schedule():
    pi = policy(schedule="linear", steps=4)
    actions, info = act_jit(pi, OBS, KEYS)
    for i in range(2):
        path = pi.trace(OBS[i], jax.random.normal(KEYS[i], (6,)))
        assert_allclose(path.w, 0.4 * 2 * np.arange(4) / 4, rtol=1e-6)
        assert_allclose(actions[i].ravel(), np.clip(path.a[-1], -1, 1), rtol=1e-4, atol=1e-5)
        ratio = np.linalg.norm(path.w[:, None] * path.g, axis=-1) / np.linalg.norm(path.v, axis=-1)
        assert_allclose(info.ratio[i], ratio.mean(), rtol=1e-3)
    assert (pi.guided(weight=0.1).schedule, pi.guided(weight=0.1, schedule="score").schedule) == ("constant", "score")


def test_unknown_schedules_get_the_nearest_known_one():
    for make in (schedule, lambda name: policy(schedule=name), lambda name: policy().guided(weight=1, schedule=name)):
        with pytest.raises(UserError, match="unknown schedule 'linaer': did you mean 'linear'"):
            make("linaer")


# What hangs on the networks, at one state and for raw observations


class Critic(eqx.Module):
    members: CriticEnsemble
    scale: jax.Array

    def __call__(self, obs, a):
        return lowest(self.members, obs, a)

    def noisy(self, obs, a, t):
        return self.scale * (obs @ obs + a @ a + t)


MEAN, STD = jnp.array([1.0, -2.0, 0.5]), jnp.array([2.0, 0.5, 3.0])
RAW, A = jnp.array([0.3, 0.7, -1.0]), jnp.linspace(-1, 1, 6)
CRITIC = Normalised(Critic(NET, jnp.array(2.0)), MEAN, STD)


def test_what_a_network_can_do_besides_is_asked_at_the_state_with_normalised_observations():
    obs, q, t = (RAW - MEAN) / STD, At(CRITIC, RAW), jnp.array(0.3)
    assert_allclose(q(A), lowest(NET, obs, A), rtol=1e-6)
    assert_allclose(need(q, Members)(A), NET(obs, A), rtol=1e-6)
    assert_allclose(need(q, Noisy)(A, t), 2 * (obs @ obs + A @ A + t), rtol=1e-6)
    flow = At(Normalised(With(None, labelled=With(None, better=lambda o, a, t: o.sum() + a * t)), MEAN, STD), RAW)
    labelled = need(flow, Labelled)
    for of in (labelled, Flow(labelled)):
        assert_allclose(need(of, Better)(A, t), obs.sum() + A * t, rtol=1e-6)


def test_what_is_not_there_is_none_and_a_users_error_for_a_guide():
    jitted = At(jax.jit(state_critic), RAW), Flow(jax.jit(bound_flow))  # which have a __wrapped__ of their own
    for f in (At(CRITIC, RAW), CRITIC, At(state_critic, RAW), Flow(state_flow), Flow(At(state_flow, RAW)), *jitted):
        for protocol in (Better, Labelled):
            assert ability(f, protocol) is None
            with pytest.raises(UserError, match="advantage-labelled flow"):
                need(f, protocol)


def test_a_plain_function_can_do_what_is_written_on_it():
    q = lambda obs, a: jnp.min(q.members(obs, a))
    q.members = lambda obs, a: jnp.stack([a[0] + obs[0], a[1] - obs[0]])
    assert_allclose(need(At(q, RAW), Members)(A), q.members(RAW, A))
    pi = guided_flow(state_flow, q, 6, guide="gate", weight=1.0)
    g = [np.eye(6)[0], np.eye(6)[1]]
    path = pi.trace(RAW, jnp.zeros(6))
    assert_allclose(path.g, np.zeros((10, 6)) + agreement(jnp.array(g)) * g[0], atol=1e-6)


def bound_flow(a, t):
    return -a


COPIES = dict(copy=copy.copy, deepcopy=copy.deepcopy, pickle=lambda f: pickle.loads(pickle.dumps(f)))


@pytest.mark.parametrize("way", COPIES)
def test_copies_do_not_ask_forever(way):
    made = [At(CRITIC, RAW), At(state_critic, RAW), CRITIC, Flow(bound_flow), Flow(At(state_flow, RAW))]
    made += [] if way == "pickle" else [At(jax.jit(state_critic), RAW)]  # which JAX cannot pickle
    for f in made:
        again = COPIES[way](f)
        assert type(again) is type(f) and again.__dict__.keys() == f.__dict__.keys()
    assert not any(hasattr(object.__new__(type(f)), "anything") for f in made)


def test_wrapped_networks_go_through_jit_and_tree_operations():
    for f in (At(CRITIC, RAW), At(state_critic, RAW), At(jax.jit(state_critic), RAW)):
        assert_allclose(jax.jit(f)(A), f(A), rtol=1e-6)
        assert jax.eval_shape(f, A).shape == ()
    noisy = lambda q, a: need(q, Noisy)(RAW, a, 0.5)
    assert_allclose(eqx.filter_jit(noisy)(CRITIC, A), noisy(CRITIC, A), rtol=1e-6)
    doubled = eqx.tree_at(lambda q: q.f.scale, CRITIC, CRITIC.f.scale * 2)
    assert_allclose(noisy(doubled, A), 2 * noisy(CRITIC, A), rtol=1e-6)
    halved = jax.tree.map(lambda x: x / 2, CRITIC)
    assert_allclose(halved.mean, MEAN / 2)
    leaves, structure = jax.tree.flatten(CRITIC)
    assert isinstance(need(jax.tree.unflatten(structure, leaves), Noisy), Normalised)


def bind(f, obs):
    """`f` and what hangs on it with the observation filled in, by hand."""
    more = {k: bind(g, obs) if isinstance(g, With) else partial(g, obs) for k, g in vars(f).items() if k != "f"}
    return With(partial(f.f, obs), **more)


@pytest.mark.parametrize("guide", ["gate", "robustq", "cfgrl"])
def test_every_extra_of_a_policy_is_asked_with_its_own_observation(guide):
    """Of functions with attributes, of the kind that someone else brings."""
    members = lambda obs, a: jnp.stack([state_critic(obs, a), 0.5 * state_critic(obs, a)])
    q = With(state_critic, members=members, noisy=lambda obs, a, t: state_critic(obs, a) * t)
    v = With(state_flow, labelled=With(state_flow, better=lambda obs, a, t: state_flow(obs, a, t) + obs[1]))
    together = policy(v, q, guide=guide, horizon=1, steps=3, **WIDE)(OBS, KEYS)
    alone = lambda obs, a0: sample(bind(v, obs), bind(q, obs), a0, guide, 0.4, 3, **WIDE)
    for i in (0, 3):
        assert_allclose(together[i, 0], alone(OBS[i], jax.random.normal(KEYS[i], (2,))), rtol=1e-4, atol=1e-5)
