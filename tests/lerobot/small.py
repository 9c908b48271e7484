"""Policies made like LeRobot's, of small torch modules, and critics as qgf trains them, untrained."""

from pathlib import Path
from types import SimpleNamespace

import torch
from torch import nn

DIMS, WIDTH, T, STEPS = 3, 8, 6, 10
GENERATOR = torch.Generator()
CENTRE = torch.tensor([0.4, -0.2, 0.1])
toward = lambda batch, a: -((a - CENTRE) ** 2).sum(dim=(1, 2))


def noisy(state, width=WIDTH):
    return torch.randn(len(state), T, width, generator=GENERATOR.manual_seed(1))


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

    def embed_prefix(self, image, state):
        tokens = torch.stack([image.flatten(1)[:, :4], state, 7 + state], dim=1)
        return tokens, torch.tensor([True, True, False]).expand(len(state), 3), None

    def sample_actions(self, image, state, noise=None):
        x, dt = noisy(state) if noise is None else noise, -1.0 / STEPS
        self.embed_prefix(image, state)
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

    def predict_action_chunk(self, batch, noise=None, **more):
        state = batch["observation.state"]
        return self.model.sample_actions(batch["observation.images.top"], state, noise=noise, **more)[:, :, :DIMS]

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

        self.reset()

    def reset(self):
        self.seen, self.queue = [], []

    def predict_action_chunk(self, batch):
        batch["observation.state"] = torch.stack(self.seen[-2:], dim=1)  # as LeRobot's does, in its caller's batch
        return self._generate_actions(batch)

    def _generate_actions(self, batch):
        x = noisy(batch["observation.state"], DIMS)
        for k in range(STEPS):
            x = x + self.noise_predictor(x, torch.full((len(x),), k / STEPS), conditioning_vec=None) / STEPS
        return x[:, 1:4]

    def select_action(self, batch):
        self.seen = [*(self.seen or [batch["observation.state"]]), batch["observation.state"]]
        if not self.queue:
            self.queue = list(self.predict_action_chunk(batch).transpose(0, 1))
        return self.queue.pop(0)


class Openpi(Expert):
    """openpi's PyTorch pi0: model and policy in one, its arguments positional."""

    def __init__(self):
        super().__init__()
        self.config = SimpleNamespace(action_dim=WIDTH, action_horizon=T)

    def sample_actions(self, device, observation, noise=None, num_steps=STEPS):
        x, dt = noisy(observation.state) if noise is None else noise, -1.0 / num_steps
        for k in range(num_steps):
            x = x + dt * self.denoise_step(None, [], x, torch.full((len(x),), 1.0 + k * dt))
        return x


class Closed(nn.Module):
    """EVO1 and MolmoAct2: the velocity is a function inside the sampler, given to real-time chunking alone."""

    def __init__(self, rtc_processor=None):
        super().__init__()
        self.config = SimpleNamespace(action_feature=SimpleNamespace(shape=(DIMS,)), n_action_steps=4)
        self.rtc_processor = rtc_processor

    def predict_action_chunk(self, batch):
        x = noisy(batch["observation.state"], DIMS)
        for k in range(STEPS):
            asks = lambda x: -torch.tanh(x)
            turn = dict(prev_chunk_left_over=None, inference_delay=0, time=1 - k / STEPS)
            x = x - self.rtc_processor.denoise_step(x_t=x, original_denoise_step_partial=asks, **turn) / STEPS
        return x


class Chunking:
    def denoise_step(
        self, x_t, prev_chunk_left_over, inference_delay, time, original_denoise_step_partial, execution_horizon=None
    ):
        return original_denoise_step_partial(x_t)


def trained_critic(
    folder: Path, obs_dim: int, action_dim: int, horizon: int, low: float, high: float, net="network"
) -> Path:
    """A run's policy folder whose networks were never trained, for actions between `low` and `high`."""
    import jax
    import numpy as np

    from qgf.training.options import make_method
    from qgf.training.trained import Trained, save_trained, skeleton_of
    from qgf.types import Spec

    made, spec, rng = (
        make_method("bc", None, width=8, depth=2, critic_net=net),
        Spec(obs_dim, action_dim, horizon),
        np.random.default_rng(0),
    )
    leaves, structure = jax.tree.flatten(skeleton_of(made, spec).nets)
    nets = jax.tree.unflatten(structure, [rng.normal(size=x.shape).astype(np.float32) for x in leaves])
    ends = ((low,) * action_dim, (high,) * action_dim)
    save_trained(
        Trained(nets, np.zeros(obs_dim, np.float32), np.ones(obs_dim, np.float32), made, spec, actions=ends), folder
    )
    return folder
