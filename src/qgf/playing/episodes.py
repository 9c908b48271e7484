"""Roll policies out in their environment: success with intervals, on the same episodes for every arm."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache, reduce
from math import nan
from time import perf_counter
from typing import Any
from zlib import crc32

import equinox as eqx
import jax
import numpy as np

from qgf.environments import family_of, vector
from qgf.environments.pictures import zeros
from qgf.environments.spaces import LIMIT
from qgf.errors import Caution, UserError
from qgf.method.checks import check_functions
from qgf.method.observations import ObsSpec
from qgf.method.policy import Policy, act_jit
from qgf.playing.decisions import ASKED, agreement_at, displacement_at
from qgf.playing.rows import OWN, SHARED
from qgf.playing.scores import Score
from qgf.playing.units import to_environment
from qgf.playing.warm import Warm, check_warm
from qgf.words import STATE

Played = Callable[[int, "int | None", int], None]
"""(done, solved, total), episodes; solved is None as long as nothing has said what that is."""


Stream = tuple[int, ...]


def stream_of(env_name: str, training_seed: int | None) -> Stream:
    """What tells the episodes of one task and training seed from those of all others; nothing without the latter."""
    return () if training_seed is None else (crc32(env_name.encode()), training_seed)


def episode_seeds(seed: int, episodes: int, stream: Stream = ()) -> list[int]:
    """The environment seed of each episode; different `seed`s, and streams, give disjoint blocks for all practical
    purposes.
    """
    return [int(np.random.SeedSequence([seed, k, *stream]).generate_state(1)[0] >> 1) for k in range(episodes)]


def noise_key(seed: int, stream: Stream = ()) -> jax.Array:
    """The key that every decision's noise is folded from."""
    return reduce(jax.random.fold_in, stream, jax.random.key(seed))


def evaluate(
    policy: Policy,
    env_name: str,
    episodes: int = 50,
    seed: int = 0,
    envs=None,
    progress: Played = lambda done, successes, total: None,
    first: int = 0,
    execute: int | None = None,
    rule: str = "",
    keys: Sequence[str] = (),
    training_seed: int | None = None,
    warm: float | None = None,
) -> Score:
    """Play `episodes` episodes, chunks open loop: whole, or (receding horizon) their first `execute` actions.

    Episode k has its own seed and its own noise for every decision, so that any two ways of acting meet the same
    episodes, however many run at a time. With the policy's `training_seed` they are the task's and that seed's own, so
    that runs differ in their luck; without it, they are the same everywhere. `first` is the number of the first. `envs`
    may be shared between calls (`environments`). `progress(done, successes, total)`.

    `rule` says what success is: a key of info, or what one or the return must reach ("return>=-200"). Without it that
    is the environment's to say; where no episode does, `Score.success` is None, and arms are compared by their
    return. `keys` chooses among observations that are dictionaries. With `warm` every chunk but an episode's first is
    denoised from that time on, from what is left of the last one.
    """
    _check_episodes(episodes)
    _check_execute(execute, policy.horizon)
    check_warm(warm, execute, policy)
    own = envs is None
    envs = envs or environments(env_name, policy.horizon, episodes, keys, rule)
    _check_autoreset(envs)
    try:
        gflop = _check_fit(policy, envs, env_name)
        played = to_environment(policy, envs.single_action_space, env_name)
        stream = stream_of(env_name, training_seed)
        score = _play(policy, env_name, envs, episodes, seed, progress, first, execute, played, rule, stream, warm)
        return replace(score, gflop=gflop, stream=OWN if stream else SHARED)
    finally:
        if own:
            envs.close()


def environments(env_name: str, horizon: int, episodes: int, keys: Sequence[str] = (), rule: str = "") -> vector.Lanes:
    """As many environments at a time as the family of the name plays, and no more than there are episodes."""
    lanes = family_of(env_name).lanes(env_name)
    return vector.make_vector_env(env_name, horizon, min(lanes, episodes), keys, rule)


@contextmanager
def on_demand(
    env_name: str, horizon: int, episodes: int, keys: Sequence[str] = (), rule: str = ""
) -> Iterator[Callable[[], Any]]:
    """A function that returns environment processes for so many episodes, started at its first call; they end with the
    block.
    """
    opened: list[Any] = []

    def envs():
        if not opened:
            opened.append(environments(env_name, horizon, episodes, keys, rule))
        return opened[0]

    try:
        yield envs
    finally:
        for one in opened:
            one.close()


def _check_episodes(episodes: int) -> None:
    if episodes < 1:
        raise UserError(f"episodes must be at least 1, got {episodes}")


def _check_execute(execute: int | None, horizon: int) -> None:
    if execute is not None and not 1 <= execute <= horizon:
        raise UserError(f"execute must lie between 1 and the {horizon} actions of a chunk, got {execute}")


def _check_autoreset(envs) -> None:
    """Raises UserError for vector environments that reset by themselves: what follows an end would be lost."""
    mode = (getattr(envs, "metadata", None) or {}).get("autoreset_mode")
    if mode is not None and getattr(mode, "name", mode) != "DISABLED":
        raise UserError(
            f"envs reset themselves ({getattr(mode, 'name', mode)}), evaluate starts every episode with its own seed: "
            "make them with autoreset_mode=gymnasium.vector.AutoresetMode.DISABLED"
        )


def _check_fit(policy: Policy, envs, env_name: str) -> float:
    """What an action of this policy costs here (`gflop_per_action`). Raises UserError if it was made for others."""
    wanted = (policy.horizon, policy.action_dim)
    if envs.single_action_space.shape != wanted:
        raise UserError(
            f"{env_name} takes actions {list(envs.single_action_space.shape)}, the policy gives {list(wanted)}"
        )
    one = ObsSpec.of(zeros(envs.single_observation_space))
    made = f"{env_name} has observations {one}, the policy was made for "
    if policy.obs_spec is not None and policy.obs_spec != one:
        raise UserError(f"{made}{policy.obs_spec}")
    try:
        return gflop_per_action(policy, one)
    except UserError:
        try:
            check_functions(policy.velocity, policy.critic, one.one, policy.horizon, policy.action_dim)
        except UserError as error:
            made = f"{made}others"
            raise UserError(f"{made}: {error}") from error
        raise


def _play(
    policy: Policy, env_name: str, envs, episodes: int, seed: int, progress: Played, first: int, execute: int | None,
    played: Callable[[np.ndarray], np.ndarray],
    rule: str,
    stream: Stream,
    warm: float | None,
) -> Score:  # fmt: skip
    lanes = envs.num_envs
    seeds = episode_seeds(seed, first + episodes, stream)[first:]
    base = noise_key(seed, stream)
    success, told = np.zeros(episodes, bool), _Told(env_name, episodes, rule)
    returns, lengths, decisions, value, ratio, skipped = (np.zeros(episodes) for _ in range(6))
    rest = Warm(policy, lanes, execute, warm) if warm and execute else None
    nats, jerk, fell_back = 0.0, 0.0, None if policy.fallback is None else 0.0
    paths: list[list[np.ndarray]] = [[] for _ in range(episodes)]
    asked: list[tuple[Any, ...]] = []  # the first observations, what was done at them and from which noise
    playing = np.full(lanes, -1)  # the episode in each lane, -1: none
    upcoming = iter(range(episodes))
    free = np.ones(lanes, bool)
    began, thinking, calls, done = perf_counter(), 0.0, 0, 0
    act_jit(policy, zeros(envs.observation_space), decision_keys(base, np.zeros((2, lanes), int)))  # compile

    while True:
        starting = np.zeros(lanes, bool)
        for lane in np.flatnonzero(free):
            playing[lane] = next(upcoming, -1)
            starting[lane] = playing[lane] >= 0
        if starting.any():
            lane_seeds = [seeds[k] if start else None for k, start in zip(playing, starting, strict=True)]
            obs, begun = envs.reset(seed=lane_seeds, options=dict(reset_mask=starting))
            told.began(starting, begun)
        active = np.flatnonzero(playing >= 0)
        if not len(active):
            break
        clock = perf_counter()
        counts = np.where(playing >= 0, decisions[playing], 0).astype(int)
        keys = decision_keys(base, np.stack([first + np.maximum(playing, 0), counts]))
        actions, info = jax.tree.map(np.asarray, act_jit(policy, obs, keys))
        if rest:
            actions, info = rest.act(obs, keys, (actions, info), counts == 0)
        thinking, calls = thinking + perf_counter() - clock, calls + 1
        for lane in active:
            paths[playing[lane]].append(_numbers(obs, lane))
            if len(asked) < ASKED:
                asked.append((_row(obs, lane), actions[lane].copy(), info.a0[lane].copy()))
        obs, rewards, terminated, truncated, infos = envs.step(played(actions)[:, :execute])
        k = playing[active]
        returns[k] += rewards[active]
        lengths[k] += infos["steps"][active]
        success[k] |= infos["success"][active].astype(bool)
        decisions[k] += 1
        value[k] += info.value[active]
        ratio[k] += info.ratio[active]
        skipped[k] += info.skipped[active]
        nats, jerk = nats + info.nats[active].sum(), jerk + info.jerk[active].sum()
        fell_back = None if fell_back is None else fell_back + info.fell_back[active].sum()
        free = (terminated | truncated) & (playing >= 0) | (playing < 0)
        for lane in active[free[active]]:
            paths[playing[lane]].append(_numbers(obs, lane))
        told.ended(playing, active[free[active]], infos)
        done += int(free[active].sum())
        progress(done, int(success.sum()) if told.any else None, episodes)
    seen, done_there, noise = jax.tree.map(lambda *x: np.stack(x), *asked)
    far = nan if warm else displacement_at(policy, seen, done_there, noise)
    each = lambda x: nan if x is None else float(x / decisions.sum())
    return Score(
        env=env_name, seed=seed, first=first, success=told.checked(success), rule=rule, returns=returns,
        lengths=lengths, value=value / decisions, ratio=ratio / decisions, skipped=skipped,
        seconds=perf_counter() - began, decision_ms=1e3 * thinking / calls, paths=[np.stack(p) for p in paths],
        weight=0.0 if policy.guide == "none" else np.asarray(policy.weight).item(),
        agreement=agreement_at(policy, seen, done_there), displacement=far,
        nats=each(nats), jerk=each(jerk), fallbacks=each(fell_back),
    )  # fmt: skip


def _row(obs: Any, lane: Any) -> Any:
    return jax.tree.map(lambda x: x[lane].copy(), obs)


def _numbers(obs: Any, lane: Any) -> np.ndarray:
    """What is kept of an observation: its numbers, and of pictures none."""
    state = obs.get(STATE) if isinstance(obs, dict) else obs
    return np.zeros(0, np.float32) if state is None else state[lane].copy()


class _Told:
    """Whether anything said, by its end, if the task of an episode is solved."""

    def __init__(self, env_name: str, episodes: int, rule: str):
        self.env, self.rule = env_name, rule
        self.known, self.cut = np.zeros(episodes, bool), np.zeros(episodes, bool)
        self.seeded = True

    def began(self, lanes: np.ndarray, infos: dict) -> None:
        """Note whether the seed of episodes that began in `lanes` [n] bool decides them."""
        self.seeded &= "seeded" not in infos or bool(np.all(infos["seeded"][lanes]))

    def ended(self, playing: np.ndarray, lanes: np.ndarray, infos: dict) -> None:
        """Note the episodes that have come to their end in `lanes`."""
        k = playing[lanes]
        self.known[k] = infos["known"][lanes] if "known" in infos else True
        self.cut[k] = infos["cut"][lanes] if "cut" in infos else False

    @property
    def any(self) -> bool:
        return bool(self.known.any())

    def checked(self, success: np.ndarray) -> np.ndarray | None:
        """The successes [episodes], None if there is nothing that could tell them. Says what was cut off, and raises
        UserError where only some episodes could tell: the others would count as failed.
        """
        if not self.seeded:
            warnings.warn(
                f"{self.env}: two resets with one seed began differently: arms do not meet the same episodes, and "
                "nothing can be repeated; let reset(seed=...) decide (super().reset(seed=seed) and self.np_random)",
                Caution,
                stacklevel=4,
            )
        if self.cut.any():
            warnings.warn(
                f"{self.env} has no time limit: {self.cut.sum()} of {len(self.cut)} episodes were cut off after "
                f"{LIMIT} steps (gymnasium.register takes max_episode_steps)",
                Caution,
                stacklevel=4,
            )
        if self.known.all() or (self.rule and self.any):
            return success
        if self.rule:
            raise UserError(f"{self.env}: in no step has info what the success rule {self.rule!r} asks for")
        if self.any:
            raise UserError(
                f"{self.env}: {(~self.known).sum()} of {len(self.known)} episodes ended and no step said whether the "
                "task is solved; put success (or is_success) into the info of every step, or say what it is (--success)"
            )
        return None


def gflop_per_action(policy: Policy, one: ObsSpec) -> float:
    """Counted on the policy's program for one observation; nan where it has a loop of unknown length."""
    arrays, fixed = eqx.partition(policy, eqx.is_array)
    (given, structure), (rest, whole) = jax.tree.flatten(arrays), jax.tree.flatten(fixed)
    shapes = tuple(jax.ShapeDtypeStruct(x.shape, x.dtype) for x in given)
    return _gflop(structure, shapes, whole, tuple(rest), one)


@lru_cache(maxsize=256)
def _gflop(structure, shapes, whole, rest, one: ObsSpec) -> float:
    """Of a policy given by its arrays' structure and shapes and by all that is not an array: counted once for all
    weights, strengths and parameters.
    """
    from qgf.method.flops import Uncountable, flops

    fixed, arrays = jax.tree.unflatten(whole, rest), jax.tree.unflatten(structure, shapes)
    act = lambda arrays, obs, key: eqx.combine(arrays, fixed).act(obs, key)[0]
    try:
        return flops(act, arrays, one.batch(1), jax.random.key(0)) / 1e9
    except Uncountable:
        return float("nan")


@jax.jit
def decision_keys(base, episode_and_count):
    """The noise key of each lane: a function of its episode and decision number only."""
    fold = jax.random.fold_in
    return jax.vmap(lambda k, c: fold(fold(base, k), c))(*episode_and_count)
