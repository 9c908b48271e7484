"""What guidance does to actions, what holds it back and when it gives way: on worlds whose answers are known."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import qgf
import worlds
from qgf.errors import UserError
from qgf.method.choosing import FALLBACKS, find_fallback
from qgf.method.guidance import ESTIMATORS
from qgf.method.guides import find
from qgf.method.harm import jerk, nats
from qgf.method.policy import with_fields
from qgf.types import Calibration

STEPS, WEIGHT, SIGMA = 4, 0.3, 0.4


def in_world(d, **more):
    """The exact flow of a mixture and the critic of `worlds`, whatever the observation."""
    m = worlds.mixture(d)
    velocity, critic = lambda obs, a, t: m.velocity(a, t), lambda obs, a: worlds.critic(a)
    return m, qgf.guided_flow(
        velocity, critic, d, "ood", WEIGHT, steps=STEPS, low=-99, high=99, calibration=Calibration(SIGMA, 1.0), **more
    )


def by_hand(m, a, step_cap=np.inf, dim_cap=np.inf, weight=WEIGHT):
    """Points, pushes and velocities of the guided Euler path from a, without the package."""
    points, pushes, drifts = [np.asarray(a, float)], [], []
    for k in range(STEPS):
        v = worlds.velocity(m, points[-1], k / STEPS)
        push = np.clip(weight * worlds.critic_gradient(points[-1]), -dim_cap, dim_cap)
        push *= min(1.0, step_cap * np.linalg.norm(v) / np.linalg.norm(push)) if push.any() else 1.0
        points, pushes, drifts = [*points, points[-1] + (v + push) / STEPS], [*pushes, push], [*drifts, v]
    return np.array(points), np.array(pushes), np.array(drifts)


def test_displacement_nats_and_caps_are_those_computed_by_hand(float64):
    d = 3
    m, policy = in_world(d)
    a0 = np.random.default_rng(0).normal(size=(4, 1, d))
    obs, t = np.zeros((4, 2)), np.arange(STEPS) / STEPS
    for cap_step, cap_dim in ((None, None), (0.1, 0.3)):
        guided = policy.guided("ood", weight=WEIGHT, cap_step=cap_step, cap_dim=cap_dim)
        actions, info = guided(obs, 0, info=True, a0=a0)
        limits = dict(step_cap=cap_step or np.inf, dim_cap=SIGMA * (cap_dim or np.inf))
        for k in range(4):
            points, pushes, drifts = by_hand(m, a0[k, 0], **limits)
            plain = by_hand(m, a0[k, 0], weight=0.0)[0][-1]
            assert_allclose(actions[k, 0], points[-1], atol=1e-6)
            assert float(info.displacement[k]) == pytest.approx(
                np.linalg.norm(points[-1] - plain) / (SIGMA * d**0.5), abs=1e-6
            )
            told = np.sum(t / (1 - t) * np.sum(pushes**2, axis=1)) / STEPS
            assert float(info.nats[k]) == pytest.approx(told, abs=1e-6)
            pushed, drifted = (np.linalg.norm(x, axis=1) for x in (pushes, drifts))
            assert (pushed <= limits["step_cap"] * drifted + 1e-9).all()
            assert (np.abs(pushes).sum(axis=0) / STEPS <= limits["dim_cap"] + 1e-9).all()
    path = guided.trace(obs[0], jnp.asarray(a0[3, 0]))
    assert_allclose(path.w[:, None] * path.g, pushes, atol=1e-6)
    assert pushed.max() < np.linalg.norm(by_hand(m, a0[3, 0])[1], axis=1).max()  # the last caps did hold something


def test_the_nats_of_an_exact_tilt_are_those_of_its_density(float64):
    """N(0, s^2 I) tilted by exp(b . a) is N(s^2 b, s^2 I), s^2 |b|^2 / 2 nats away, and its flow is known."""
    s, b = 0.5, jnp.array([1.0, -2.0])

    def exact(v, q, a, t):
        return s**2 * (1 - t) / ((1 - t) ** 2 + (t * s) ** 2) * b

    velocity = lambda obs, a, t: qgf.toy.Mixture(jnp.zeros((1, 2)), jnp.ones(1), s).velocity(a, t)
    policy = qgf.guided_flow(velocity, lambda obs, a: b @ a, 2, exact, 1.0, steps=2000, low=-9, high=9)
    path = policy.trace(jnp.zeros(1), jnp.zeros(2))
    assert float(nats(path)) == pytest.approx(float(s**2 * (b @ b) / 2), abs=1e-6)
    assert_allclose(path.a[-1], s**2 * b, atol=1e-3)


def test_jerk_by_hand():
    chunk = jnp.array([[0.0, 1.0], [1.0, 1.0], [4.0, 1.0], [9.0, 1.0]])
    assert float(jerk(chunk)) == pytest.approx((2 * 2.0**2 / 4) ** 0.5)
    assert np.isnan(jerk(chunk[:2]))


def test_the_negated_control_pushes_as_hard_the_other_way():
    v, q, a, t = lambda a, t: -a, lambda a: jnp.sum(a**3), jnp.array([0.3, -0.2]), jnp.array(0.4)
    assert_array_equal(find("negated:ood")(v, q, a, t), -ESTIMATORS["ood"](v, q, a, t))
    assert find("negated")(v, q, a, t).sum() == -ESTIMATORS["qgf"](v, q, a, t).sum()


# Do no harm. Actions N(0, 0.3^2 I); the task is solved where the first number is above 0.2, and true Q is that number.


class Ensemble(eqx.Module):
    """Q_i(s, a) = slope_i a_0 + amount_i times the mean of waves in (a, s); by itself it is the first, which guides.
    Where s is above `lost` the first is no number.
    """

    slopes: jax.Array
    amounts: jax.Array
    lost: jax.Array
    waves: jax.Array

    def __init__(self, slopes, amounts=(0.0, 0.0, 0.0), lost=np.inf):
        self.slopes, self.amounts, self.lost = (jnp.asarray(x, jnp.float32) for x in (slopes, amounts, lost))
        self.waves = jnp.asarray(np.random.default_rng(0).normal(0, 8, (3, 32, 3)), jnp.float32)

    def members(self, obs, a):
        waves = jnp.mean(jnp.sin(self.waves @ jnp.append(a, obs[0]) + jnp.arange(32.0)), axis=-1)
        q = self.slopes * a[0] + self.amounts * waves
        return q.at[0].multiply(jnp.where(obs[0] > self.lost, jnp.nan, 1.0))

    def __call__(self, obs, a):
        return self.members(obs, a)[0]


class Flow(eqx.Module):
    def __call__(self, obs, a, t):
        return qgf.toy.Mixture(jnp.zeros((1, 2)), jnp.ones(1), 0.3).velocity(a, t)


RIGHT = Ensemble((1.0, 1.0, 0.6))
WRONG = {
    "sign flipped": Ensemble((-1.0, 1.0, 1.0)),
    "memorised": Ensemble((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),  # steep everywhere, every member in its own landscape
    "one of them memorised": Ensemble((0.0, 1.0, 1.0), (1.0, 0.0, 0.0)),
    "constant": Ensemble((0.0, 0.0, 0.0)),
}
MANY = np.random.default_rng(1).normal(size=(2048, 1)).astype(np.float32)
CALIBRATION = Calibration(0.3, 1.0, {"0": (1.0, 1.0)})


def acting(critic, guide="qgf", strength=2.0, a0=None, **how):
    policy = qgf.guided_flow(Flow(), critic, 2, "none", 0.0, low=-2, high=2, steps=5, calibration=CALIBRATION)
    a0 = None if a0 is None else np.asarray(a0)[:, None]
    return policy.guided(guide, strength, members=0, **how)(MANY, 0, info=True, a0=a0)


def cloned(info):
    """The unguided actions of the same noise."""
    return acting(RIGHT, guide="none", a0=info.a0)[0]


def solved(actions):
    return float(np.mean(np.asarray(actions)[:, 0, 0] > 0.2))


@pytest.mark.parametrize("name", WRONG)
def test_a_critic_that_is_wrong_does_no_harm(name):
    guided, info = acting(WRONG[name], fallback="judged")
    bare, its = acting(WRONG[name])
    plain = cloned(info)
    assert solved(guided) > solved(plain) - 0.03
    back = np.asarray(info.fell_back)
    assert_allclose(guided[~back], bare[~back], atol=1e-5)
    assert_allclose(guided[back], plain[back], atol=1e-5)
    assert not its.fell_back.any() and not info.displacement[back].any() and not info.nats[back].any()
    if name in ("sign flipped", "constant"):
        assert back.all()
    if name == "sign flipped":
        assert solved(bare) < solved(plain) - 0.1  # which is what was at stake


def test_a_critic_that_is_right_guides_as_far_as_may_be():
    guided, info = acting(RIGHT, fallback="judged")
    assert float(np.mean(info.fell_back)) < 0.05 and solved(guided) > solved(cloned(info)) + 0.2
    far, its = acting(RIGHT, fallback="judged", strength=30.0)  # by more than 3 sigma_a
    assert its.fell_back.all() and (np.abs(far) < 1.5).all()
    assert acting(RIGHT, fallback="capped", strength=30.0)[1].fell_back.all()


def test_best_of_several_falls_back_to_the_action_of_the_noise_it_chose():
    guided, info = acting(WRONG["sign flipped"], fallback="judged", best_of=4)
    assert info.fell_back.all()
    assert_allclose(guided, cloned(info), atol=1e-5)


def test_what_is_not_finite_falls_back_too():
    guided, info = acting(Ensemble((1.0, 1.0, 1.0), lost=0.0), fallback="judged", strength=0.5)
    lost = MANY[:, 0] > 0
    assert np.isfinite(guided).all()
    assert_array_equal(info.fell_back, lost)


def test_a_fallback_of_ones_own(forget):
    FALLBACKS["careful"] = careful = lambda doubt: doubt.ratio < 0.3
    assert find_fallback("careful") is careful
    _, info = acting(WRONG["sign flipped"], fallback=careful, strength=0.4)
    back = np.asarray(info.fell_back)
    assert (info.ratio[~back] < 0.3).all() and 0 < np.mean(back) < 1


def test_what_cannot_be_asked_or_capped_is_told():
    _, policy = in_world(1)
    for how, said in (
        (dict(fallback="juged"), "did you mean 'judged'"),
        (dict(fallback="judged"), "members=0"),
        (dict(cap_step=0.0), "cap_step must be a finite number above 0, got 0.0"),
        (dict(guide="gradstep", cap_dim=1.0), "caps hold what a guide adds while denoising"),
    ):
        with pytest.raises(UserError, match=said):
            policy.guided(weight=1.0, **how)
    with pytest.raises(UserError, match=r"qgf\.calibrate"):
        with_fields(policy, calibration=None).guided(weight=1.0, cap_dim=1.0)


def test_a_policy_is_saved_with_what_holds_it_back(tmp_path):
    like = qgf.guided_flow(lambda obs, a, t: -a, lambda obs, a: a[0], 2, weight=0.1, calibration=Calibration(0.5, 1.0))
    like.guided(weight=0.1, cap_step=0.5, cap_dim=2.0, fallback="capped").save(tmp_path)
    back = qgf.Policy.load(tmp_path, like=like)
    assert (float(back.shaping.step), float(back.shaping.dim), back.fallback) == (0.5, 1.0, "capped")
