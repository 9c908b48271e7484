"""Data of any environment, collected by a controller of one's own."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from qgf.data.folder import data_dir
from qgf.environments.family import Counted
from qgf.environments.spaces import limit_of, vectors
from qgf.errors import Caution, UserError
from qgf.files import atomic_path
from qgf.registry import Registry

if TYPE_CHECKING:
    import gymnasium

Act: TypeAlias = Callable[[np.ndarray], Any]
"""act(obs) -> action."""

CONTROLLERS: Registry[Callable[[np.random.Generator], Act]] = Registry("controller", more="/:")
"""By the environment that they act in: controller(rng) -> act(obs), a new one for every episode."""
TRANSITIONS = 100_000


def random(env: gymnasium.Env) -> Callable[[np.random.Generator], Act]:
    """A controller whose actions are drawn evenly from the environment's range, or N(0, 1) where that has no end."""
    low, high = env.action_space.low, env.action_space.high  # type: ignore[attr-defined]
    finite = np.isfinite(low) & np.isfinite(high)
    ends = np.where(finite, low, 0.0), np.where(finite, high, 1.0)
    return lambda rng: lambda obs: np.where(finite, rng.uniform(*ends), rng.normal(size=low.shape))


def collect(
    name: str,
    env: gymnasium.Env,
    transitions: int | None = None,
    seed: int = 0,
    directory: str | Path | None = None,
    overwrite: bool = False,
    progress: Counted = lambda done, total: None,
) -> Path:
    """Write NAME.npz (`transitions`, the last episode is cut off there) and NAME-val.npz (a tenth); the former's path.

    `CONTROLLERS[name]` acts, or `random`. Every episode has its own seed, drawn from (seed, split, number). Raises
    UserError if the dataset is there already and `overwrite` is not set.
    """
    wanted = TRANSITIONS if transitions is None else transitions
    if wanted < 1:
        raise UserError(f"transitions must be at least 1, got {wanted}")
    folder = data_dir(directory)
    target = folder / f"{name}.npz"
    if target.exists() and not overwrite:
        raise UserError(f"{target} is there already; pass --overwrite to make it anew")
    folder.mkdir(parents=True, exist_ok=True)
    box: Any = env.action_space
    controller = CONTROLLERS[name] if name in CONTROLLERS else random(env)
    _try_seed(name, env, seed)
    parts, done, total = {"val": -(-wanted // 10), "train": wanted}, 0, wanted + -(-wanted // 10)
    for number, (split, least) in enumerate(parts.items()):
        episodes: list[dict[str, np.ndarray]] = []
        before = done
        while done - before < least:
            entropy = [seed, number, len(episodes)]
            rng = np.random.default_rng(entropy)
            rows = _episode(name, env, controller(rng), int(rng.integers(2**31)), least - (done - before))
            episodes.append(_stack(rows))
            done += len(episodes[-1]["terminals"]) - 1
            progress(done, total)
        path = target if split == "train" else folder / f"{name}-val.npz"
        arrays = {key: np.concatenate([e[key] for e in episodes]) for key in episodes[0]}
        arrays |= dict(action_low=box.low, action_high=box.high)
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    return target


def _try_seed(name: str, env: gymnasium.Env, seed: int) -> None:
    from qgf.environments.chunk import seed_decides

    if not seed_decides(env, name, vectors(name, env.observation_space)[1], seed):
        said = f"{name}: its reset does not heed its seed: collected again, the data will be others"
        warnings.warn(said, Caution, stacklevel=4)


def _episode(name: str, env: gymnasium.Env, act: Act, seed: int, most: int) -> Iterator[dict[str, Any]]:
    """The rows of one episode, of `most` steps or fewer; the last only holds its final state."""
    from qgf.environments.chunk import begun, stepped

    _, flat = vectors(name, env.observation_space)
    ends = env.action_space.low, env.action_space.high  # type: ignore[attr-defined]
    limit, zero = limit_of(env), np.zeros_like(ends[0], np.float32)
    obs = begun(env, name, seed)
    state, over, step = flat(obs), False, 0
    while not over:
        action = np.asarray(act(obs), np.float32)
        if action.size != zero.size or not np.isfinite(action).all():
            raise UserError(f"{name}: the controller gives {action}, expected {zero.size} finite numbers")
        action = np.clip(action.reshape(zero.shape), *ends)
        obs, reward, terminated, truncated, _ = stepped(env, name, action)
        step += 1
        over = terminated or truncated or step in (limit, most)
        yield dict(observations=state, actions=action, rewards=reward, masks=float(not terminated), terminals=False)
        state = flat(obs)
    yield dict(observations=state, actions=zero, rewards=0.0, masks=1.0, terminals=True)


def _stack(rows: Iterator[dict[str, Any]]) -> dict[str, np.ndarray]:
    whole = list(rows)
    return {key: np.array([row[key] for row in whole], bool if key == "terminals" else np.float32) for key in whole[0]}
