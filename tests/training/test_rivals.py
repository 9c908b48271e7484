"""Methods that train a policy with the critic: their losses against closed forms, and what their policies play."""

import json
from dataclasses import replace
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree
from jax.tree_util import Partial
from numpy.testing import assert_allclose, assert_array_equal

import qgf.cli.evaluate
import qgf.cli.main
from qgf.critics import CRITICS, Ensemble, HLGauss
from qgf.errors import UserError
from qgf.files import write_json
from qgf.method.guided import best_of
from qgf.method.toy import Mixture
from qgf.networks.blocks import Nets
from qgf.training.config import TrainConfig, from_json, to_json
from qgf.training.device import Chunks
from qgf.training.learner import Learner
from qgf.training.methods import METHODS
from qgf.training.methods.bc import BC, noise_and_time
from qgf.training.methods.cfgrl import CFGRL
from qgf.training.methods.ddpm import DAC, IDQL, QSM, noised
from qgf.training.methods.edp import EDP
from qgf.training.methods.fql import FQL
from qgf.training.methods.ifql import IFQL
from qgf.training.methods.qam import QAM
from qgf.training.options import make_method
from qgf.training.trained import Trained
from qgf.types import Batch, Spec

KEY = jax.random.key(3)
SPEC = Spec(obs_dim=3, action_dim=2, horizon=1)
WISH = np.array([0.4, -0.3])


def batch_of(n, spec=SPEC, seed=0):
    rng = np.random.default_rng(seed)
    obs, following = rng.normal(size=(2, n, spec.obs_dim))
    actions = rng.uniform(-0.8, 0.8, (n, spec.d))
    return Batch(*map(jnp.array, (obs, actions, rng.normal(size=n), rng.choice([0, 0.9], n), following)))


def quadratics(obs, a):
    """Two critics, -|a - wish|^2 and three times that; their mean has the gradient -4 (a - wish)."""
    square = jnp.sum((a - jnp.array(WISH, a.dtype)) ** 2, axis=-1)
    return jnp.stack([-square, -3 * square], axis=-1)


class Line(NamedTuple):
    """w_0 a + w_1, as a velocity and as a student."""

    w: jax.Array

    def action(self, obs, z):
        return self.w[0] * z + self.w[1]

    def __call__(self, obs, a, t):
        return self.w[0] * a + self.w[1]


def finite_differences(loss, part, n=3, h=1e-5):
    """Slopes along random directions: (by differences, by differentiation), [n] each."""
    flat, unravel = ravel_pytree(part)
    f = jax.jit(lambda x: loss(unravel(x)))
    directions = np.random.default_rng(0).normal(size=(n, flat.size))
    return [(f(flat + h * u) - f(flat - h * u)) / (2 * h) for u in directions], directions @ jax.jit(jax.grad(f))(flat)


@pytest.mark.parametrize("method, part", [(EDP(8, 1), "actor"), (FQL(8, 1, flow_steps=3), "student")])
def test_the_actors_gradient_matches_finite_differences(method, part, float64):
    nets, batch = method.init(SPEC, jax.random.key(0)), batch_of(32)
    for m in (method, replace(method, alpha=0.0)):  # the critic's share is not to hide behind cloning
        loss = lambda x, m=m: m.losses()[part](x, nets, batch, KEY)[0]
        by_differences, exact = finite_differences(loss, getattr(nets, part))
        assert_allclose(by_differences, exact, rtol=1e-5, atol=1e-8)
        assert np.abs(exact).min() > 1e-4


# EDP


@pytest.mark.parametrize("alpha", [0.0, 2.5])
def test_edps_loss_and_gradient_are_those_derived_by_hand(alpha, float64):
    batch, w = batch_of(500), np.array([0.2, -0.1])
    a0, t = map(np.asarray, noise_and_time(KEY, batch))
    t, a1 = t[:, None], np.asarray(batch.actions)
    a = (1 - t) * a0 + t * a1
    v = w[0] * a + w[1]
    found = a + (1 - t) * v
    inside, clipped = np.abs(found) < 1, np.clip(found, -1, 1)
    assert 0.02 < 1 - inside.mean() < 0.3
    loss = 2 * ((clipped - WISH) ** 2).sum(axis=1).mean() + alpha * ((v - (a1 - a0)) ** 2).mean()
    of_v = 4 * inside * (clipped - WISH) * (1 - t) / len(a) + alpha * 2 * (v - (a1 - a0)) / a.size
    actor = lambda w: EDP(alpha=alpha)._actor(Line(w), Nets(critic=quadratics), batch, KEY)
    (value, logs), slope = jax.value_and_grad(actor, has_aux=True)(jnp.array(w))
    assert_allclose(value, loss, rtol=1e-12)
    assert_allclose(slope, [(of_v * a).sum(), of_v.sum()], rtol=1e-10)
    assert_allclose(-logs["actor_q"] + alpha * logs["clone"], loss, rtol=1e-12)


def test_an_estimate_out_of_range_has_no_gradient_of_q(float64):
    batch, w = batch_of(50), jnp.array([0.0, 900.0])  # so fast that all but t = 1 end beyond the range
    slope = lambda critic, method: jax.grad(lambda w: method(Line(w), Nets(critic=critic), batch, KEY)[0])(w)
    assert_array_equal(slope(quadratics, EDP(alpha=0.0)._actor), 0)
    nothing = lambda obs, a: 0 * quadratics(obs, a)
    assert_array_equal(slope(quadratics, EDP()._actor), slope(nothing, EDP()._actor))
    assert_array_equal(slope(lambda obs, a: quadratics(obs, a), EDP()._actor), slope(nothing, EDP()._actor))


# FQL


def test_fqls_loss_and_gradient_are_those_derived_by_hand(float64):
    """The cloned flow has a constant velocity, so that its end is clip(z + c)."""
    batch, w, alpha, c = batch_of(500), np.array([0.6, 0.1]), 2.5, np.array([0.3, -0.2])
    z = np.asarray(jax.random.normal(KEY, batch.actions.shape))
    a, teacher = w[0] * z + w[1], np.clip(z + c, -1, 1)
    inside, clipped = np.abs(a) < 1, np.clip(a, -1, 1)
    assert 0.02 < 1 - inside.mean() < 0.3
    loss = 2 * ((clipped - WISH) ** 2).sum(axis=1).mean() + alpha * ((a - teacher) ** 2).mean()
    of_a = 4 * inside * (clipped - WISH) / len(a) + alpha * 2 * (a - teacher) / a.size
    nets = Nets(critic=quadratics, flow=lambda obs, a, t: c + 0 * a)
    student = lambda w: FQL(alpha=alpha)._student(Line(w), nets, batch, KEY)
    (value, logs), slope = jax.value_and_grad(student, has_aux=True)(jnp.array(w))
    assert_allclose(value, loss, rtol=1e-12)
    assert_allclose(slope, [(of_a * z).sum(), of_a.sum()], rtol=1e-10)
    assert_allclose(
        [logs["actor_q"], logs["distance"]], [-loss + alpha * logs["distance"], ((a - teacher) ** 2).mean()]
    )


WORLD = Mixture(jnp.array([[-0.5, 0.2], [0.6, -0.3]]), jnp.array([1.0, 2.0]), 0.2)
EXACT = Partial(lambda m, obs, a, t: jax.vmap(m.velocity)(a, t), WORLD)


def test_a_student_already_out_of_range_is_pulled_back_by_distillation_alone(float64):
    batch, w, c = batch_of(50), jnp.array([0.0, 9.0]), jnp.array([0.3, -0.2])
    nets = Nets(critic=quadratics, flow=lambda obs, a, t: c + 0 * a)
    slope = lambda alpha: jax.grad(lambda w: FQL(alpha=alpha)._student(Line(w), nets, batch, KEY)[0])(w)
    assert_array_equal(slope(0.0), 0)
    assert slope(1.0)[1] > 10


def test_fqls_teacher_takes_ten_euler_steps_of_the_cloned_flow():
    batch = batch_of(64)
    z = jax.random.normal(KEY, batch.actions.shape)

    def end(steps):
        a = z
        for k in range(steps):
            a = a + jax.vmap(WORLD.velocity)(a, jnp.full(len(a), k / steps)) / steps
        return jnp.clip(a, -1, 1)

    def distance(steps, method):
        student = type("Ended", (), dict(action=lambda self, obs, z: end(steps)))()
        return method._student(student, Nets(critic=quadratics, flow=EXACT), batch, KEY)[1]["distance"]

    assert distance(10, FQL()) < 1e-9 < 1e-5 < distance(9, FQL())
    assert distance(3, FQL(flow_steps=3)) < 1e-9


def trained(method, nets):
    return Trained(nets, jnp.array([1.0, 0.0, -1.0]), jnp.array([2.0, 1.0, 0.5]), method, SPEC)


def test_fqls_policy_plays_its_students_action_at_once_and_guides_push_it():
    method = FQL(8, 1)
    nets = method.init(SPEC, jax.random.key(0))
    nets.student = jax.tree.map(lambda x: 2 * x, nets.student)
    nets.target = quadratics
    policy, obs = trained(method, nets).policy(), batch_of(40).obs
    assert policy.steps == 1
    z = jax.vmap(lambda key: jax.random.normal(key, (2,)))(jax.random.split(KEY, len(obs)))
    scaled = (obs - jnp.array([1.0, 0.0, -1.0])) / jnp.array([2.0, 1.0, 0.5])
    mu = np.asarray(nets.student.action(scaled, z))
    assert 0.02 < (np.abs(mu) > 1).mean() < 0.9
    assert_allclose(policy(obs, KEY)[:, 0], np.clip(mu, -1, 1), atol=1e-5)
    push = -6 * (np.clip(mu, -1, 1) - WISH)  # the lower of the two critics, at the clipped action
    guided = policy.guided("qgf", weight=0.1)
    assert_allclose(guided(obs, KEY)[:, 0], np.clip(mu + 0.1 * push, -1, 1), atol=1e-5)


# Diffusion


def exactly(batch, key=KEY):
    """What is drawn for a batch: noise, x and sigma do not depend on the actor."""
    return noised(lambda obs, a, t: 0 * a, batch, key)


def finds(eps):
    """An actor that says that `eps` was put in."""
    return lambda obs, a, t: (a - eps) / t[:, None]


def test_noised_actions_have_variance_one_and_their_levels_are_the_cosine_schedules(float64):
    batch = batch_of(50_000)
    made = exactly(batch)
    clean = np.sqrt(1 - made.sigma**2)
    assert_allclose(made.x, clean * batch.actions + made.sigma * made.noise, rtol=1e-10, atol=1e-12)
    assert_allclose([made.noise.mean(), made.noise.std()], [0, 1], atol=0.02)
    u = np.sort(np.arcsin(np.asarray(made.sigma[:, 0])) * 2 / np.pi)
    assert np.abs(u - (np.arange(len(u)) + 0.5) / len(u)).max() < 2 / np.sqrt(len(u))
    assert abs(np.corrcoef(made.sigma[:, 0], made.noise[:, 0])[0, 1]) < 0.02


def test_the_exact_velocity_finds_the_noise(float64):
    """All of it if the data are one point; else its mean given the noised action, sigma x for data N(0, I)."""
    batch = batch_of(1000)
    point = lambda obs, a, t: (batch.actions - a) / (1 - t)[:, None]
    made = noised(point, batch, KEY)
    assert_allclose(made.found, made.noise, rtol=1e-6, atol=1e-8)
    normal = Mixture(jnp.zeros((1, 2)), jnp.ones(1), 1.0)
    made = noised(lambda obs, a, t: jax.vmap(normal.velocity)(a, t), batch, KEY)
    assert_allclose(made.found, made.sigma * made.x, rtol=1e-8, atol=1e-10)


GRADIENT = lambda x: -4 * (np.asarray(x) - WISH)  # of the mean critic


@pytest.mark.parametrize(
    "method, best",
    [
        (DAC(alpha=3.0), lambda made: made.noise - made.sigma * GRADIENT(made.x) / 3),
        (QSM(alpha=3.0, scale=0.2), lambda made: (3 * made.noise - 0.2 * GRADIENT(made.x)) / 4),
        (IDQL(), lambda made: made.noise),
    ],
)
def test_a_diffusion_actors_loss_is_lowest_where_its_paper_says(method, best, float64):
    """Stationary in each of its answers; the loss is quadratic and convex, so that this is the minimum."""
    batch = batch_of(100)
    made = exactly(batch)
    assert np.abs(made.x).max() > 1  # the slope beyond the range is the critic's own
    loss = lambda eps: method._actor(finds(eps), Nets(critic=quadratics), batch, KEY)[0]
    slope = jax.grad(loss)
    assert_allclose(slope(best(made)), 0, atol=1e-12)
    weight = dict(dac=3, qsm=4, idql=1)[method.name]
    step = np.random.default_rng(0).normal(size=made.noise.shape)
    assert_allclose(slope(best(made) + step), 2 * weight * step / step.size, rtol=1e-6, atol=1e-10)
    assert_allclose(loss(best(made) + step) - loss(best(made)), weight * (step**2).mean(), rtol=1e-8)


def test_cloning_by_noise_is_flat_at_the_exact_velocity(float64):
    """Its gradient along any features of (a_t, t) is a mean of errors that know nothing of a_t."""
    n, gaussian = 100_000, Mixture(jnp.array([[0.3]]), jnp.ones(1), 0.25)
    batch = Batch(jnp.zeros((n, 1)), gaussian.sample(jax.random.key(1), n), *[jnp.zeros(n)] * 2, jnp.zeros((n, 1)))
    features = lambda a, t: jnp.stack([jnp.ones_like(t), t, a[:, 0], a[:, 0] * t, jnp.sin(3 * a[:, 0])])

    def loss(tilt, shift):
        tilted = lambda obs, a, t: jax.vmap(gaussian.velocity)(a, t) + (shift + tilt @ features(a, t))[:, None]
        return IDQL()._actor(tilted, None, batch, KEY)[0]

    made = exactly(batch)
    angle = np.arcsin(made.sigma[:, 0])
    t = np.cos(angle) / (np.cos(angle) + np.sin(angle))
    a = (1 - t)[:, None] * made.noise + t[:, None] * batch.actions
    missed = t * ((batch.actions - made.noise) - jax.vmap(gaussian.velocity)(a, t))[:, 0]
    each = -2 * missed * t * features(a, t)
    slope = jax.jit(jax.grad(loss))
    flat, error = slope(jnp.zeros(5), 0.0), np.std(each, axis=1) / np.sqrt(n)
    assert_allclose(flat, each.mean(axis=1), rtol=1e-6, atol=1e-10)
    assert (np.abs(flat) < 4 * error).all()
    assert np.abs(slope(jnp.zeros(5), 0.1) / error).max() > 20


BANDIT = Spec(1, 1, 1)
PULL = 6.0


def bandit(n=20_000):
    """Data N(-0.2, 0.25^2) in one state."""
    a = -0.2 + 0.25 * np.random.default_rng(0).normal(size=(n, 1))
    rows = jnp.arange(n - 1)
    return Chunks(jnp.zeros((n, 1)), jnp.array(a, jnp.float32), rows, 0.0 * rows, 0.0 * rows)


def slope_critic(slope, obs, a):
    return slope * a


KNOWN = dict.fromkeys(("critic", "value", "target"), Partial(slope_critic, jnp.array(PULL)))


def play(method, steps=1500, n=4000):
    """Actions of the method's policy, without its best of many, after a short training beside the known critic."""
    rate = optax.cosine_decay_schedule(5e-3, steps)
    learner = Learner(method, BANDIT, rate, 256, jax.tree.map(jnp.copy, KNOWN))
    state, _ = learner.run(learner.init(jax.random.key(0)), bandit(), steps)
    a0 = jax.random.normal(jax.random.key(9), (n, 1))
    return np.asarray(eqx.filter_jit(method.denoise)(state.nets.actor, jnp.zeros((n, 1)), a0))[:, 0]


def test_a_cloned_noise_model_samples_the_data_through_the_flows_steps():
    a = play(IDQL(32, 2))
    assert_allclose([a.mean(), a.std()], [-0.2, 0.25], atol=0.04)


@pytest.mark.parametrize("method", [DAC(32, 2, alpha=20.0), QSM(32, 2, alpha=10.0, scale=0.5)])
def test_diffusion_actors_move_towards_higher_q(method):
    a = play(method)
    assert a.mean() > 0
    assert 0.1 < a.std() < 0.5


# Best of many


@pytest.mark.parametrize("method", [IFQL(8, 1), IDQL(8, 1)])
def test_the_best_of_32_is_played_unless_another_number_is_asked_for(method):
    nets = method.init(SPEC, jax.random.key(0))
    policy, obs = trained(method, nets).policy(), batch_of(6).obs
    one = policy.guided("none", weight=0.0, best_of=1)
    assert (policy.samples, policy.guided("qgf", weight=0.1).samples, one.samples) == (32, 32, 1)
    assert BC(8, 1).best_of == DAC(8, 1).best_of == QSM(8, 1).best_of == 1
    best, value = best_of(one, 32)(obs, KEY)[0], lambda a: jax.vmap(policy.critic)(obs, a[:, 0])
    assert_allclose(policy(obs, KEY), best, atol=1e-6)
    assert value(policy(obs, KEY)).mean() > value(one(obs, KEY)).mean() + 0.05


# Every method with every critic


SINGLE_TASK = [name for name, method in METHODS.items() if not method.goal_conditioned]  # gc: test_goals.py
ALLOWED = [(m, c) for m in SINGLE_TASK for c in CRITICS if CRITICS[c].has_value or not issubclass(METHODS[m], CFGRL)]
SMALL = dict(iql={}, td=dict(candidates=2), ensemble={}, mc={}) | {
    "flow-iql": dict(candidates=2),
    "hl-gauss": dict(bins=5, value_low=-1.0, value_high=1.0),
}


def small(method, critic):
    return make_method(method, critic, width=8, depth=1, critics=2, **SMALL[critic])


def in_part(method, critic, nets):
    """The gradient of the sum of all losses in every trained part, as the learner takes it."""
    learner = Learner(small(method, critic), SPEC, 1e-3, 8)
    return jax.grad(lambda trained: learner.loss(trained, nets, batch_of(8), KEY)[0])(learner.program.trained(nets))


def size(tree):
    return sum(float(jnp.abs(x).sum()) for x in jax.tree.leaves(tree))


@pytest.mark.parametrize("method, critic", ALLOWED)
def test_every_method_has_losses_with_every_critic(method, critic):
    m = small(method, critic)
    nets = jax.eval_shape(lambda key: m.init(SPEC, key), KEY)
    parts = set(vars(nets)) - {"target"}
    assert set(m.losses()) == parts
    assert ("value" in parts) == m.critic.has_value
    found = jax.eval_shape(lambda nets: in_part(method, critic, nets), nets)
    assert jax.tree.structure(found) == jax.tree.structure({part: getattr(nets, part) for part in m.losses()})
    after = jax.eval_shape(m.after, nets)
    assert jax.tree.structure(after) == jax.tree.structure(nets)


COMBINED = [("edp", "iql"), ("fql", "td"), ("qam", "ensemble"), ("dac", "hl-gauss"), ("qsm", "td")]


@pytest.mark.parametrize("method, critic", COMBINED)
def test_no_gradient_crosses_from_the_policy_to_critic_or_flow(method, critic):
    """Critic and flow have the gradients that they have under cloning, whatever policy is trained beside them."""
    base = small("bc", critic).init(SPEC, jax.random.key(0))
    nets = small(method, critic).init(SPEC, jax.random.key(1))
    shared = {part: getattr(base, part) for part in vars(base) if hasattr(nets, part)}
    if hasattr(nets, "actor"):
        shared["actor"] = base.flow
    nets = Nets(**vars(nets) | shared)
    found, alone = (jax.jit(in_part, static_argnums=(0, 1))(m, critic, n) for m, n in ((method, nets), ("bc", base)))
    assert all(size(grads) > 0 for grads in found.values())
    for part in set(found) & set(alone):
        for x, y in zip(*map(jax.tree.leaves, (found[part], alone[part])), strict=True):
            assert_allclose(x, y, rtol=1e-4, atol=1e-6)
    assert "critic" in found and (method in ("edp", "dac", "qsm") or "flow" in found)


def one_line(action):
    with pytest.raises(UserError) as caught:
        action()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("method", ["cfgrl", "lab"])
@pytest.mark.parametrize("critic", ["td", "ensemble"])
def test_an_advantage_needs_a_critic_with_a_value(method, critic):
    assert f"{method} needs V(s), which critic {critic} has not" in one_line(lambda: METHODS[method](critic=critic))


def test_an_unknown_critic_gets_the_nearest_known_one():
    assert "unknown critic 'ensamble': did you mean 'ensemble'?" in one_line(lambda: FQL(critic="ensamble"))
    for name in ("width", "depth"):
        assert one_line(lambda name=name: BC(**{name: 0})) == f"{name} must be at least 1, got 0"


def test_a_critic_and_its_options_survive_json():
    hl = HLGauss(critics=3, bins=7, value_low=-2.0, value_high=1.0)
    for method in (FQL(critic=hl, alpha=7.0, flow_steps=4), QAM(critic=Ensemble(rho=0.1), chain=5), QSM(scale=0.3)):
        config = TrainConfig(method=method)
        assert from_json(json.loads(json.dumps(to_json(config)))) == config


# The command line


def said(capsys, *arguments):
    """The message of a command that must fail."""
    with pytest.raises(SystemExit) as caught:
        qgf.cli.main.main(list(arguments))
    assert caught.value.code == 2
    return capsys.readouterr().err.strip()


def test_the_command_line_refuses_critics_that_do_not_fit(tmp_path, capsys):
    for method, critic in (("cfgrl", "td"), ("lab", "ensemble")):
        message = said(capsys, "train", str(tmp_path / "x.npz"), "--method", method, "--critic", critic)
        assert message == f"qgf: {method} needs V(s), which critic {critic} has not: use iql or flow-iql or hl-gauss"
    assert "ensemble" in said(capsys, "train", str(tmp_path / "x.npz"), "--critic", "ensamble")


@pytest.mark.parametrize("method, own", [(IFQL(), 32), (IDQL(), 32), (QSM(), 1)])
def test_evaluate_plays_the_methods_own_best_of_many_unless_told_otherwise(method, own, tmp_path, monkeypatch):
    write_json(tmp_path / "config.json", dict(dataset="walk.npz", train=to_json(TrainConfig(method=method))))
    asked = []

    def play(run, chosen, *rest):
        asked.extend(arm.best_of for arm in chosen)
        raise UserError("nothing is played")

    monkeypatch.setattr(qgf.cli.evaluate, "play_arms", play)
    for more in ([], ["--best-of", "1", "4"]):
        with pytest.raises(SystemExit):
            qgf.cli.main.main(["evaluate", str(tmp_path), "--guide", "none", *more])
    assert asked == [own, 1, 4]
