"""A policy's folder in PyTorch: every method and critic acts as in JAX, each way to get one wrong is seen, and what is
damaged or unknown is refused."""

import json
import shutil

import folders
import pytest
import torch
from folders import A, S, agree
from safetensors.numpy import load_file, save_file
from torch.nn import functional as F

from qgf import torch as qt
from qgf.errors import UserError
from qgf.files import SUMS, seal, write_json
from qgf.torch import making, networks, policy, reading
from qgf.training.saved import load_policy


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder by its name in `folders.EVERY`, made when it is asked for."""
    root = tmp_path_factory.mktemp("folders")

    def folder(name):
        return root / name if (root / name).exists() else folders.save(root / name, **folders.EVERY[name])

    return folder


@pytest.mark.parametrize("name", folders.EVERY)
def test_a_policy_is_the_same(made, name):
    agree(made(name))
    agree(made(name), torch.float32, 1e-5)


# Each way to be silently wrong, and a folder where it shows


def others(record):
    """Of a run's critics those that learn, not their targets."""
    places = {dict(target="critic").get(name, name): place for name, place in record.places.items()}
    return record._replace(places=places, others=(*record.others, "target"))


gelu, layer_norm = F.gelu, F.layer_norm
made_rightly, outward = reading.made, policy.Policy.outward


def read_wrongly(monkeypatch):
    monkeypatch.setattr(reading, "made", lambda *x: others(made_rightly(*x)))


WRONG = {
    "the critics that learn": ("bc", read_wrongly),
    "the exact GELU": ("bc", lambda m: m.setattr(F, "gelu", lambda h, approximate: gelu(h))),
    "LayerNorm before GELU": (
        "bc",
        lambda m: [
            m.setattr(F, "gelu", lambda h, approximate: layer_norm(h, h.shape[-1:])),
            m.setattr(F, "layer_norm", lambda h, *_, **__: gelu(h, approximate="tanh")),
        ],
    ),
    "another eps": ("bc", lambda m: m.setattr(F, "layer_norm", lambda h, size, eps: layer_norm(h, size, eps=1e-4))),
    "the members' mean": (
        "bc", lambda m: m.setattr(networks.Pessimistic, "forward", lambda self, o, a: self.members(o, a).mean(-1)),
    ),
    "no lower bound": ("bc-ensemble", lambda m: m.setattr(networks, "lower", lambda q, rho: q.mean(-1))),
    "the deviation of a sample": (
        "bc-ensemble", lambda m: m.setattr(networks, "lower", lambda q, rho: q.mean(-1) - rho * q.std(-1)),
    ),
    "no distillation of bins": ("bc-hl-gauss", lambda m: m.setattr(F, "softmax", lambda x, dim: F.sigmoid(x))),
    "another range of bins": (
        "bc-hl-gauss",
        lambda m: m.setattr(
            making, "CategoricalEnsemble", lambda nets, low, high, bins: networks.CategoricalEnsemble(nets, -4, 3, bins)
        ),
    ),
    "raw observations": (
        "bc", lambda m: m.setattr(networks.Normalised, "applied", lambda self, f, *x: f(*x) * unit_of(self)),
    ),
    "no limits": ("bc", lambda m: m.setattr(torch, "minimum", lambda x, y: x)),
    "the unit of rewards": ("bc", lambda m: m.setattr(reading, "_filled", without_unit)),
    "the value scale": ("bc-scaled", lambda m: m.setattr(networks.Scaled, "forward", lambda self, x: self.net(x))),
    "the action once": (
        "bc-again", lambda m: m.setattr(networks.Again, "after", lambda _, h, x: torch.cat([h, 0 * x[..., -6:]], -1)),
    ),
    "actions in [-1, 1]": ("bc", lambda m: m.setattr(policy.Policy, "outward", lambda self, a: a)),
    "a critic of actions in [-1, 1]": ("bc", lambda m: m.setattr(reading.Critic, "inward", lambda _, a: a.flatten(1))),
    "goals for the flow": (
        "gc", lambda m: m.setattr(networks.Unconditioned, "forward", lambda self, o, a, t: self.net(o[..., -3:], a, t)),
    ),
    "cosine and sine": (
        "bc", lambda m: [m.setattr(torch, "sin", torch.cos), m.setattr(torch, "cos", lambda x: torch.ones_like(x))],
    ),
}  # fmt: skip


filled_rightly = reading._filled


def unit_of(scales):
    return 1.0 if scales.unit is None else scales.unit


def without_unit(*given):
    velocity, critic = filled_rightly(*given)
    critic.unit = None
    return velocity, critic


@pytest.mark.parametrize("trap", WRONG)
def test_a_wrong_turn_is_seen(made, trap, monkeypatch):
    name, turn = WRONG[trap]
    agree(made(name))
    turn(monkeypatch)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        agree(made(name))


# Formats


def test_former_formats(made, tmp_path):
    """As in JAX: 2 without limits and unit, 1 with a critic's options among the method's."""
    for version in (2, 1):
        folder = shutil.copytree(made("bc-ensemble"), tmp_path / str(version))
        config = json.loads((folder / "config.json").read_text())
        config = {key: x for key, x in config.items() if key not in ("limits", "reward_unit", "actions")}
        if version == 1:
            critic = config["method"].pop("critic")
            flat = dict.fromkeys(making.FLAT) | {key: x for key, x in critic.items() if key in making.FLAT}
            config["method"] |= flat | dict(critic=critic["name"], rho=0.25)
        write_json(folder / "config.json", config | dict(format=version))
        agree(folder)


@pytest.mark.parametrize("name", ["bc", "lab", "gc", "bc-hl-gauss"])
def test_saved_policies(made, tmp_path, name):
    load_policy(made(name)).guided("ood", strength=0.5, steps=4, schedule="linear", choose="lcb", guide_steps=3).save(
        tmp_path
    )
    agree(tmp_path)
    policy = qt.load_policy(tmp_path)
    assert (policy.guide, policy.schedule, policy.choose, policy.guide_steps) == ("ood", "linear", "lcb", 3)
    config = json.loads((tmp_path / "config.json").read_text())
    write_json(tmp_path / "config.json", config | dict(policy_format=1))
    agree(tmp_path)


def change(folder, **more):
    def changed(content, more):
        for key, x in more.items():
            content[key] = changed(dict(content[key]), x) if isinstance(x, dict) and key in content else x
        return content

    write_json(folder / "config.json", changed(json.loads((folder / "config.json").read_text()), more))


def rearranged(folder, **more):
    arrays = load_file(folder / "model.safetensors") | more
    save_file({name: x for name, x in arrays.items() if x is not None}, folder / "model.safetensors")
    seal(folder / "model.safetensors")


BAD = {
    "format 99, this version": lambda f: change(f, format=99),
    "at limitz|unknown key 'limitz'": lambda f: change(f, limitz=[1.0]),
    "did you mean 'bc'": lambda f: change(f, method=dict(name="bcc")),
    "unknown name 'mine'": lambda f: change(f, method=dict(critic=dict(name="mine"))),
    "mlp alone, not 'resnet'": lambda f: change(f, method=dict(network="resnet")),
    "unknown key 'gates'": lambda f: change(f, method=dict(gates=3)),
    "sees pictures": lambda f: change(f, spec=dict(images=dict(top=[8, 8, 3]))),
    "unknown key 'twin'": lambda f: change(f, method=dict(critic=dict(twin=True))),
    "should be .20, 9. of": lambda f: change(f, method=dict(width=9)),
    "must have 5 numbers, has 2": lambda f: change(f, limits=[1.0, 2.0]),
    "at actions: must have two ends": lambda f: change(f, actions=[[0.0], [1.0]]),
    "the lower first": lambda f: change(f, actions=[[1.0, 1.0], [0.0, 0.0]]),
    "nets.other.net is not in": lambda f: rearranged(f, **{"nets.other.net": folders.numbers(2)}),
    "found nothing": lambda f: rearranged(f, **{"nets.flow.net.biases.0": None}),
    "of torch.float64": lambda f: rearranged(f, mean=folders.numbers(S)),
    "holds NaN or Inf": lambda f: rearranged(f, mean=torch.full((S,), torch.nan).numpy()),
    "which is no scale": lambda f: rearranged(f, std=torch.zeros(S).numpy()),
    "SHA-256": lambda f: (f / "config.json").write_text((f / "config.json").read_text() + "\n"),
    "model.safetensors: is not what was written": lambda f: (f / "model.safetensors").write_bytes(b"x"),
    "not a safetensors file": lambda f: [(f / "model.safetensors").write_bytes(b"x" * 99), (f / SUMS).unlink()],
    "no such file|is not there": lambda f: (f / "model.safetensors").unlink(),
    "not a policy": lambda f: shutil.rmtree(f),
    "broken JSON": lambda f: [(f / "config.json").write_text("{"), (f / SUMS).unlink()],
}


@pytest.mark.parametrize("message", BAD)
def test_what_is_damaged_or_unknown_is_one_line(made, tmp_path, message):
    folder = shutil.copytree(made("bc"), tmp_path / "policy")
    BAD[message](folder)
    with pytest.raises(UserError, match=message) as error:
        qt.load_policy(tmp_path / "policy")
    assert "\n" not in str(error.value)


def test_a_large_lie_takes_no_memory(made, tmp_path):
    folder = shutil.copytree(made("bc"), tmp_path / "policy")
    change(folder, method=dict(width=65536, depth=900))  # fifteen terabytes
    with pytest.raises(UserError, match="belongs to another policy"):
        qt.load_policy(folder)


def test_somebody_elses_policy_is_refused(made, tmp_path):
    load_policy(made("bc")).save(tmp_path)
    change(tmp_path, trained=None)
    with pytest.raises(UserError, match="its networks are no trained ones"):
        qt.load_policy(tmp_path)


def test_what_holds_guidance_back_is_read(made, tmp_path):
    how = dict(cap_step=0.5, cap_dim=2.0, guided_dims=[0])
    load_policy(made("bc")).guided(fallback="capped", **how).save(tmp_path)
    policy = qt.load_policy(tmp_path)
    assert policy.fallback == "capped" and policy.shaping.step == 0.5
    assert policy.shaping.dim == pytest.approx(2 * policy.calibration.sigma, rel=1e-6)
    assert policy.shaping.metric.reshape(policy.horizon, policy.action_dim)[:, 0].min() == 1
    assert float(policy.shaping.metric.sum()) == policy.horizon
    change(tmp_path, metric=[1.0])
    with pytest.raises(UserError, match="at metric: must have"):
        qt.load_policy(tmp_path)
    change(tmp_path, metric=None, fallback="sometimes")
    with pytest.raises(UserError, match="at fallback: 'sometimes' is not known"):
        qt.load_policy(tmp_path)


def test_a_critic_follows_its_module(made):
    critic = qt.load_critic(made("bc")).double()
    assert critic.actions.low.dtype == torch.float64 and critic.actions.low.shape == (A,)
