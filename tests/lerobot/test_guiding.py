"""Policies made like LeRobot's, of small torch modules, under a critic whose optimum is known."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from qgf.errors import UserError
from qgf.lerobot import calibrate, guide, unguide

DIMS, WIDTH, T, STEPS = 3, 8, 6, 10
CENTRE = torch.tensor([0.4, -0.2, 0.1])
toward = lambda batch, a: -((a - CENTRE) ** 2).sum(dim=(1, 2))


class Expert(nn.Module):
    """pi0's and SmolVLA's sampler: time from 1 to 0, v = noise - action, actions padded to WIDTH, a cache that steps
    change in place and crop again."""

    def __init__(self, dtype=torch.float32):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Linear(WIDTH + 1, WIDTH, dtype=dtype)

    def denoise_step(self, prefix_pad_masks, past_key_values, x_t, timestep):
        past_key_values.append(timestep)
        x = torch.cat([x_t, timestep[:, None, None].expand(*x_t.shape[:2], 1)], dim=-1)
        v = torch.tanh(self.net(x.to(self.net.weight.dtype))).float()
        past_key_values.pop()
        return v

    def sample_actions(self, batch, noise):
        x, dt = noise, -1.0 / STEPS
        for k in range(STEPS):
            time = torch.full((len(x),), 1.0 + k * dt)
            x = x + dt * self.denoise_step(prefix_pad_masks=None, past_key_values=[], x_t=x, timestep=time)
        return x


class Vla(nn.Module):
    def __init__(self, **options):
        super().__init__()
        own = dict(
            action_feature=SimpleNamespace(shape=(DIMS,)), max_action_dim=WIDTH, n_action_steps=4, num_steps=STEPS
        )
        self.config = SimpleNamespace(**own | {k: x for k, x in options.items() if k != "dtype"})
        self.model = Expert(options.get("dtype", torch.float32))
        self.queue: list = []

    def predict_action_chunk(self, batch, noise=None):
        state = batch["observation.state"]
        noise = torch.randn(len(state), T, WIDTH, generator=torch.manual_seed(1)) if noise is None else noise
        return self.model.sample_actions(batch, noise)[:, :, :DIMS]

    def select_action(self, batch):
        if not self.queue:
            self.queue = list(self.predict_action_chunk(batch).transpose(0, 1)[: self.config.n_action_steps])
        return self.queue.pop(0)


class Predictor(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Linear(DIMS + 1, DIMS)

    def forward(self, x, timestep, conditioning_vec):
        return torch.tanh(self.net(torch.cat([x, timestep[:, None, None].expand(*x.shape[:2], 1)], dim=-1)))


class Dit(nn.Module):
    """Multi-task DiT: time from 0 to 1, of a chunk the actions from n_obs_steps - 1 on are executed."""

    def __init__(self, **options):
        super().__init__()
        own = dict(action_feature=SimpleNamespace(shape=(DIMS,)), horizon=T, n_action_steps=3, n_obs_steps=2)
        own |= dict(num_integration_steps=STEPS, integration_method="euler", objective="flow_matching")
        self.config, self.noise_predictor = SimpleNamespace(**own | options), Predictor()

    def predict_action_chunk(self, batch):
        x = torch.randn(len(batch["observation.state"]), T, DIMS, generator=torch.manual_seed(1))
        for k in range(STEPS):
            t = torch.full((len(x),), k / STEPS)
            x = x + self.noise_predictor(x, t, conditioning_vec=None) / STEPS
        return x


BATCH = {"observation.state": torch.zeros(2, 4)}
ends = dict(low=-1.0, high=1.0)


def executed(policy):
    first = policy.config.n_obs_steps - 1 if hasattr(policy.config, "horizon") else 0
    return slice(first, first + policy.config.n_action_steps)


@pytest.mark.parametrize("make", [Vla, Dit, lambda: Vla(dtype=torch.bfloat16)], ids=["vla", "dit", "bfloat16"])
def test_actions_move_to_the_optimum_and_back(make):
    policy = make().eval()
    with torch.inference_mode():
        before = policy.predict_action_chunk(BATCH)
        assert torch.equal(guide(policy, toward, weight=0.0).predict_action_chunk(BATCH), before)
        distances = []
        for weight in (0.0, 0.1, 0.5, 2.0):
            chunk = guide(policy, toward, weight=weight, guide="qgf").predict_action_chunk(dict(BATCH))
            distances.append(float((chunk[:, executed(policy)] - CENTRE).norm(dim=-1).mean()))
            if weight:  # what is not executed is not guided
                after = executed(policy).stop
                assert torch.equal(chunk[:, after:], before[:, after:])
        assert distances == sorted(distances, reverse=True) and distances[-1] < 0.1 * distances[0]
        assert torch.equal(unguide(policy).predict_action_chunk(BATCH), before)
    assert not hasattr(policy, "guidance") and "predict_action_chunk" not in vars(policy)


@pytest.mark.parametrize("make", [Vla, Dit])
@pytest.mark.parametrize("name", ["ood", "bptt", "chain", "jacobian", "qgf", "placebo", "zero:ood"])
def test_every_estimator_acts(make, name):
    policy = make().eval()
    before = policy.predict_action_chunk(BATCH)
    with torch.inference_mode():
        after = guide(policy, toward, weight=0.5, guide=name, **ends).predict_action_chunk(BATCH)
    assert torch.isfinite(after).all()
    assert torch.equal(after, before) == (name == "zero:ood")


def test_a_velocity_is_asked_as_often_as_it_must_be():
    policy, asked = Vla().eval(), []
    plain = policy.model.denoise_step
    policy.model.denoise_step = lambda **call: [asked.append(1), plain(**call)][1]
    guide(policy, toward, weight=0.5).predict_action_chunk(BATCH)
    assert len(asked) == STEPS
    guide(policy, toward, weight=0.5, guide="chain").predict_action_chunk(BATCH)
    assert len(asked) == STEPS + STEPS * (STEPS + 1) // 2


def test_autocast_and_queues():
    policy = Vla().eval()
    guide(policy, toward, weight=0.5, **ends)
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        first = [policy.select_action(BATCH) for _ in range(5)]
    assert torch.isfinite(torch.stack(first)).all()
    assert len(policy.guidance_log) == 2  # four actions of one chunk, the fifth of the next
    row = policy.guidance_log[0]
    assert row["steps"] == STEPS and row["skipped"] == 0 and row["ratio"] > 0 and row["value"] <= 0


def test_what_is_not_finite_goes_unguided():
    policy = Vla().eval()
    before = policy.predict_action_chunk(BATCH)
    torn = lambda batch, a: torch.sqrt(a.sum(dim=(1, 2)) - 1e9)
    assert torch.equal(guide(policy, torn, weight=0.5).predict_action_chunk(BATCH), before)
    assert policy.guidance_log[0]["skipped"] == 2 * STEPS


def test_training_is_not_guided():
    policy = Dit()
    x, t = torch.randn(2, T, DIMS), torch.tensor([0.1, 0.2])
    before = policy.train().noise_predictor(x, t, conditioning_vec=None)
    assert torch.equal(guide(policy, toward, weight=9.0).noise_predictor(x, t, conditioning_vec=None), before)


def test_strength():
    """Of a policy that is calibrated on its own chunks; while it is measured it is unguided."""
    policy = Vla().eval()
    policy.predict_action_chunk = lambda batch: 0.3 * torch.randn(2, T, DIMS) + CENTRE
    found = calibrate(policy, toward, [BATCH] * 4)
    assert found.sigma == pytest.approx(0.3, rel=0.1)
    assert found.grad_norm == pytest.approx(2 * 0.3 * (4 * DIMS) ** 0.5, rel=0.1)
    weight = guide(Vla(), toward, strength=2.0, calibration=found).guidance.weight
    assert weight == pytest.approx(2 * found.sigma * (4 * DIMS) ** 0.5 / found.grad_norm)


@pytest.mark.parametrize("make,message", [
    (lambda: Vla(use_relative_actions=True), "relative"),
    (lambda: Vla(adapt_to_pi_aloha=True), "Aloha"),
    (lambda: Vla(compile_model=True), "compile_model=False"),
    (lambda: Dit(integration_method="rk4"), "rk4"),
    (lambda: Dit(objective="diffusion"), "no velocity"),
])  # fmt: skip
def test_what_cannot_be_guided_is_one_line(make, message):
    with pytest.raises(UserError, match=message) as error:
        guide(make(), toward, weight=1.0)
    assert "\n" not in str(error.value)
    other = Vla()
    del other.model
    with pytest.raises(UserError, match="nowhere that is known"):
        guide(other, toward, weight=1.0)
