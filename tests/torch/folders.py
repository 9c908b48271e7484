"""Policies of every method and critic as folders, untrained, and whether both rooms make the same of one."""

from functools import cache, partial
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import torch
from twins import assert_close, numbers

from qgf import torch as qt
from qgf.critics import CRITICS
from qgf.networks.learned import LearnedGuide
from qgf.torch.guidance import grad
from qgf.training.lesson import write_lesson
from qgf.training.methods import METHODS
from qgf.training.options import make_method
from qgf.training.saved import load_policy
from qgf.training.trained import Trained, save_trained, skeleton_of
from qgf.types import Amortised, Better, Calibration, Labelled, Members, Noisy, Spec, Taught, ability

S, A, H, BATCH = 5, 2, 3, 4
FORMS = dict(plain={}, again=dict(action_again=True), scaled=dict(value_scale=7.0), fused=dict(fused=True, critics=3))
FORMS["all"] = FORMS["again"] | FORMS["scaled"] | FORMS["fused"]
FORMS["fourier"] = dict(fourier=3, fourier_scale=0.2)
FORMS["fused fourier"] = FORMS["all"] | FORMS["fourier"]
FORMS["late"] = dict(weight_decay=1.0, decay_when="memorising")
FORMS["transformer"] = dict(critic_net="transformer")
FORMS["fused transformer"] = dict(critic_net="transformer", fused=True, critics=3, value_scale=7.0, **FORMS["fourier"])
EVERY: dict[str, dict] = {name: dict(method=name) for name in METHODS}
EVERY |= {f"bc-{name}": dict(critic=name) for name in CRITICS}
EVERY |= {f"bc-{name}": options for name, options in FORMS.items()}
EVERY |= {f"{name}-fourier": dict(method=name, **FORMS["fourier"]) for name in ("lab", "fql", "gc")}
EVERY |= {f"{name}-distilled": dict(method=name, taught=Taught("ood", 1, 12, 0.1)) for name in ("bc", "lab")}
RANGES = dict(value_low=-4.0, value_high=3.0, bins=11)


def save(folder: Path, method="bc", critic=None, taught=None, **options) -> Path:
    """A policy with numbers of no meaning: every network another, target and critic too, and every scale in use."""
    options |= RANGES if critic == "hl-gauss" else {}
    made = make_method(method, critic, width=8, depth=2, **options)
    spec = Spec(S, A, H, goal_dim=2 if method == "gc" else 0)
    leaves, structure = jax.tree.flatten(skeleton_of(made, spec).nets)
    drawn = [np.float32(0.5 * numbers(*x.shape, seed=k)) for k, x in enumerate(leaves)]
    mean, std = np.float32(numbers(S)), np.float32(np.abs(numbers(S, seed=1)) + 0.3)
    trained = Trained(
        jax.tree.unflatten(structure, drawn), mean, std, made, spec, calibration=Calibration(0.7, 1.9),
        limits=(1.5,) * S, reward_unit=2.5, actions=((-2.0, 1.0), (3.0, 1.5)),
    )  # fmt: skip
    save_trained(trained, folder)
    if taught is not None:
        guide = LearnedGuide(S, A * H, taught.width, jax.random.key(7))
        write_lesson(folder, eqx.tree_at(lambda x: x.scale, guide, jnp.float32(3.0)), taught)
    return folder


def inputs():
    """Observations, some beyond the limits, chunks and times."""
    return 2 * numbers(BATCH, S, seed=2), 0.5 * numbers(BATCH, H * A, seed=3), np.linspace(0, 0.9, BATCH)


@cache
def expected(folder: Path) -> dict[str, np.ndarray]:
    """What JAX makes of a folder, in float64."""
    with jax.enable_x64(True):
        policy = load_policy(folder)
        obs, a, t = map(jnp.asarray, inputs())
        found = in_jax(policy.velocity, policy.critic, obs, a, t)
        found |= dict(
            out=policy.outward(a.reshape(-1, H, A)), weight=policy.weight, steps=policy.steps, samples=policy.samples
        )
        return {name: np.asarray(x) for name, x in found.items()}


def asked(v, q, obs, a, t, slope) -> dict:
    """What velocity and critic say, and what they can do besides: in either room."""
    found = dict(v=v(obs, a, t), q=q(obs, a), g=slope(lambda a: q(obs, a))(a))
    if members := ability(q, Members):
        found["members"] = members(obs, a)
    if noisy := ability(q, Noisy):
        found["noisy"] = noisy(obs, a, t)
    if amortised := ability(q, Amortised):
        found["amortised"] = amortised(obs, a, t)
    if labelled := ability(v, Labelled):
        found |= dict(labelled=labelled(obs, a, t), better=ability(labelled, Better)(obs, a, t))
    return found


def told(policy, a) -> dict:
    """Of either room's policy."""
    out = policy.outward(a.reshape(-1, H, A))
    return dict(out=out, weight=policy.weight, steps=policy.steps, samples=policy.samples)


in_jax = jax.jit(partial(asked, slope=lambda q: jax.grad(lambda a: q(a).sum())))


def agree(folder: Path, dtype=torch.float64, tolerance=1e-6) -> None:
    """Raises AssertionError where torch makes anything else of a folder."""
    policy = qt.load_policy(folder).to(dtype)
    obs, a, t = (torch.tensor(x, dtype=dtype) for x in inputs())
    found = asked(policy.velocity, policy.critic, obs, a, t[:, None], slope=grad)
    found |= dict(
        out=policy.outward(a.reshape(-1, H, A)), weight=policy.weight, steps=policy.steps, samples=policy.samples
    )
    assert found.keys() == expected(folder).keys()
    for name, x in found.items():
        assert_close(x, expected(folder)[name], tolerance, name)
    critic, chunks = qt.load_critic(folder).to(dtype), torch.tensor(expected(folder)["out"], dtype=dtype)
    assert_close(critic(obs, chunks), expected(folder)["q"], tolerance)
    if "members" in found:
        assert_close(ability(critic, Members)(obs, chunks), expected(folder)["members"], tolerance)
