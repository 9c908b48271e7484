"""Roll policies out in their environment: success with intervals, on the same episodes for every arm."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from time import perf_counter
from typing import Any

import equinox as eqx
import jax
import numpy as np

from qgf.errors import UserError
from qgf.files import atomic_path
from qgf.sampling import DEFAULT_STRENGTH, Policy, act_jit, with_fields
from qgf.statistics import wilson

Progress = Callable[[int, int, int], None]


@dataclass(frozen=True)
class Arm:
    """One way of acting with a trained policy."""

    guide: str = "qgf"
    strength: float | None = None
    weight: float | None = None
    best_of: int = 1
    steps: int | None = None
    schedule: str = "constant"

    @property
    def label(self) -> str:
        strength = DEFAULT_STRENGTH if self.strength is None else self.strength
        amount = f" {strength:g}" if self.weight is None else f" w={self.weight:g}"
        schedule = "" if self.schedule == "constant" else f" {self.schedule}"
        several = f" best-of-{self.best_of}" if self.best_of > 1 else ""
        steps = f" T={self.steps}" if self.steps else ""
        return f"{self.guide}{'' if self.guide == 'none' else schedule + amount}{several}{steps}"

    @property
    def preference(self) -> tuple[float, int]:
        """What decides among equals, the least first: how far the strength is from the default, in factors; samples."""
        factor = 1.0 if self.strength is None else self.strength / DEFAULT_STRENGTH
        return abs(float(np.log(factor))) if factor > 0 else float("inf"), self.best_of

    def of(self, policy: Policy) -> Policy:
        """The policy acting this way."""
        return policy.guided(self.guide, self.strength, self.weight, self.best_of, self.steps, self.schedule)


def arms(
    guides: Iterable[str],
    strengths: Iterable[float] | None = None,
    weights: Iterable[float] | None = None,
    best_of: Iterable[int] = (1,),
    steps: int | None = None,
    schedules: Iterable[str] = ("constant",),
) -> list[Arm]:
    """All combinations; "none" has no strength. Raises UserError if strengths and weights are both given."""
    if strengths and weights:
        raise UserError("give strengths or weights, not both")
    amounts: list[dict[str, Any]] = (
        [dict(weight=w) for w in weights] if weights else [dict(strength=s) for s in strengths or (DEFAULT_STRENGTH,)]
    )
    return [
        Arm(guide, best_of=n, steps=steps, **how)
        for n in best_of
        for guide in guides
        for how in ([{}] if guide == "none" else [amount | dict(schedule=s) for s in schedules for amount in amounts])
    ]


def possible(policy: Policy, guides: Iterable[str]) -> dict[str, str]:
    """Which guides this policy can run: name -> "" or what it lacks."""
    lacks = {}
    for guide in guides:
        try:
            _shapes(policy.guided(guide))
            lacks[guide] = ""
        except UserError as error:
            lacks[guide] = str(error)
    return lacks


def _shapes(policy: Policy) -> None:
    """Trace the policy without running it, so that what it lacks is known before anything is played."""
    obs = jax.ShapeDtypeStruct((1, *policy.velocity.mean.shape), np.float32)  # type: ignore[attr-defined]
    jax.eval_shape(policy.act, obs, jax.random.key(0))


@dataclass(frozen=True)
class Score:
    """What one arm did, episode by episode; arrays are [episodes] in the order of the seeds."""

    env: str
    seed: int
    success: np.ndarray  # whether the task was solved
    returns: np.ndarray  # sum of rewards
    lengths: np.ndarray  # environment steps
    value: np.ndarray  # mean critic value of the chunks chosen
    ratio: np.ndarray  # mean |w g| / |v|
    skipped: np.ndarray  # denoising steps left unguided because the gradient was not finite
    seconds: float  # wall time of the arm
    decision_ms: float  # mean time per call of the policy, for all lanes together
    weight: float  # raw guidance weight
    gflop: float = float("nan")  # 1e9 floating-point operations per action chunk of one observation, counted
    first: int = 0  # number of the first episode
    updates: int = 0
    arm: Arm = field(default_factory=Arm)
    policy_seed: int = 0
    paths: list[np.ndarray] = field(
        default_factory=list, repr=False
    )  # per episode: observation at each decision [C, S]

    @property
    def episodes(self) -> int:
        return len(self.success)

    @property
    def rate(self) -> float:
        """Fraction of episodes in which the task was solved."""
        return float(np.mean(self.success))

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the success rate."""
        return wilson(int(self.success.sum()), self.episodes)

    def row(self) -> dict[str, object]:
        low, high = self.interval
        arm = self.arm
        return dict(
            env=self.env, policy_seed=self.policy_seed, updates=self.updates, guide=arm.guide,
            strength="" if arm.strength is None else arm.strength, weight=f"{self.weight:.6g}", best_of=arm.best_of,
            steps=arm.steps or "", schedule=arm.schedule, seed=self.seed, first=self.first, episodes=self.episodes,
            successes=int(self.success.sum()),
            success=f"{self.rate:.4f}", low=f"{low:.4f}", high=f"{high:.4f}", **{
                name: f"{np.mean(getattr(self, name)):.4f}" for name in ("returns", "lengths", "value", "ratio")
            }, skipped=int(self.skipped.sum()), gflop=f"{self.gflop:.6g}", decision_ms=f"{self.decision_ms:.2f}",
            seconds=f"{self.seconds:.1f}", outcomes="".join("01"[int(x)] for x in self.success),
        )  # fmt: skip


def pooled(scores: list[Score], env: str) -> Score:
    """The episodes of one arm in several environments as one score, under the name `env`."""
    names = ("success", "returns", "lengths", "value", "ratio", "skipped")
    joined: dict[str, Any] = {name: np.concatenate([getattr(s, name) for s in scores]) for name in names}
    seconds, decision_ms = sum(s.seconds for s in scores), float(np.mean([s.decision_ms for s in scores]))
    paths = [path for s in scores for path in s.paths]
    return replace(scores[0], env=env, seconds=seconds, decision_ms=decision_ms, paths=paths, **joined)


def share_of(episodes: int, tasks: list[str]) -> int:
    """Episodes of each task. Raises UserError if they cannot be spread evenly."""
    if episodes % len(tasks):
        raise UserError(f"episodes are spread evenly over {len(tasks)} goals: {episodes} is no multiple of it")
    return episodes // len(tasks)


def episode_seeds(seed: int, episodes: int) -> list[int]:
    """The environment seed of each episode; different `seed`s give disjoint blocks for all practical purposes."""
    return [int(np.random.SeedSequence([seed, k]).generate_state(1)[0] >> 1) for k in range(episodes)]


def evaluate(
    policy: Policy,
    env_name: str,
    episodes: int = 50,
    seed: int = 0,
    envs=None,
    progress: Progress = lambda done, successes, total: None,
    first: int = 0,
) -> Score:
    """Play `episodes` episodes, chunks open loop. Episode k has its own seed and its own noise for every decision,
    so that any two policies meet the same episodes, however many run at a time. `first` is the number of the first.

    `envs` may be shared between calls (`make_vector_env`). `progress(done, successes, total)`.
    """
    _check_episodes(episodes)
    own = envs is None
    envs = envs or _environments(env_name, policy.horizon, episodes)
    try:
        policy = with_fields(
            policy, calibration=None
        )  # its numbers are part of the program: other runs can share it now
        gflop = _check_fit(policy, envs, env_name)
        return replace(_play(policy, env_name, envs, episodes, seed, progress, first), gflop=gflop)
    finally:
        if own:
            envs.close()


def _environments(env_name: str, horizon: int, episodes: int):
    from qgf.envs import lanes_of, make_vector_env, parse_name  # simulators: needed to play, not to read results

    env_id = parse_name(env_name).env
    return make_vector_env(env_id, horizon, min(lanes_of(env_id), episodes))


def _check_episodes(episodes: int) -> None:
    if episodes < 1:
        raise UserError(f"episodes must be at least 1, got {episodes}")


def _check_fit(policy: Policy, envs, env_name: str) -> float:
    """What an action of this policy costs here (`gflop_per_action`). Raises UserError if it was made for others."""
    wanted = (policy.horizon, policy.action_dim)
    if envs.single_action_space.shape != wanted:
        raise UserError(
            f"{env_name} takes actions {list(envs.single_action_space.shape)}, the policy gives {list(wanted)}"
        )
    obs_shape = envs.single_observation_space.shape
    try:
        return gflop_per_action(policy, obs_shape)
    except TypeError as error:
        raise UserError(f"{env_name} has observations {list(obs_shape)}, the policy was made for others") from error


def _play(policy: Policy, env_name: str, envs, episodes: int, seed: int, progress: Progress, first: int) -> Score:
    lanes = envs.num_envs
    seeds = episode_seeds(seed, first + episodes)[first:]
    base = jax.random.key(seed)
    success = np.zeros(episodes, bool)
    returns, lengths, decisions, value, ratio, skipped = (np.zeros(episodes) for _ in range(6))
    paths: list[list[np.ndarray]] = [[] for _ in range(episodes)]
    playing = np.full(lanes, -1)  # the episode in each lane, -1: none
    upcoming = iter(range(episodes))
    free = np.ones(lanes, bool)
    began, thinking, calls, done = perf_counter(), 0.0, 0, 0
    act_jit(
        policy, np.zeros(envs.observation_space.shape, np.float32), decision_keys(base, np.zeros((2, lanes), int))
    )  # compile

    while True:
        starting = np.zeros(lanes, bool)
        for lane in np.flatnonzero(free):
            playing[lane] = next(upcoming, -1)
            starting[lane] = playing[lane] >= 0
        if starting.any():
            lane_seeds = [seeds[k] if start else None for k, start in zip(playing, starting, strict=True)]
            obs, _ = envs.reset(seed=lane_seeds, options=dict(reset_mask=starting))
        active = np.flatnonzero(playing >= 0)
        if not len(active):
            break
        clock = perf_counter()
        counts = np.where(playing >= 0, decisions[playing], 0).astype(int)
        keys = decision_keys(base, np.stack([first + np.maximum(playing, 0), counts]))
        actions, info = jax.tree.map(np.asarray, act_jit(policy, obs, keys))
        thinking, calls = thinking + perf_counter() - clock, calls + 1
        for lane in active:
            paths[playing[lane]].append(obs[lane].copy())
        obs, rewards, terminated, truncated, infos = envs.step(actions)
        k = playing[active]
        returns[k] += rewards[active]
        lengths[k] += infos["steps"][active]
        success[k] |= infos["success"][active].astype(bool)
        decisions[k] += 1
        value[k] += info.value[active]
        ratio[k] += info.ratio[active]
        skipped[k] += info.skipped[active]
        free = (terminated | truncated) & (playing >= 0) | (playing < 0)
        for lane in active[free[active]]:
            paths[playing[lane]].append(obs[lane].copy())
        done += int(free[active].sum())
        progress(done, int(success.sum()), episodes)
    return Score(
        env=env_name, seed=seed, first=first, success=success, returns=returns, lengths=lengths,
        value=value / decisions, ratio=ratio / decisions, skipped=skipped,
        seconds=perf_counter() - began, decision_ms=1e3 * thinking / calls, paths=[np.stack(p) for p in paths],
        weight=0.0 if policy.guide == "none" else np.asarray(policy.weight).item(),
    )  # fmt: skip


def gflop_per_action(policy: Policy, obs_shape: tuple[int, ...]) -> float:
    """Counted on the policy's program for one observation; nan where it has a loop of unknown length."""
    arrays, fixed = eqx.partition(policy, lambda x: isinstance(x, (jax.Array, np.ndarray)))
    (given, structure), (rest, whole) = jax.tree.flatten(arrays), jax.tree.flatten(fixed)
    shapes = tuple(jax.ShapeDtypeStruct(x.shape, x.dtype) for x in given)
    return _gflop(structure, shapes, whole, tuple(rest), tuple(obs_shape))


@lru_cache(maxsize=256)
def _gflop(structure, shapes, whole, rest, obs_shape) -> float:
    """Of a policy given by its arrays' structure and shapes and by all that is not an array: counted once for all
    weights, strengths and parameters.
    """
    from qgf.cost import flops

    fixed, arrays = jax.tree.unflatten(whole, rest), jax.tree.unflatten(structure, shapes)
    act = lambda arrays, obs, key: eqx.combine(arrays, fixed).act(obs, key)[0]
    try:
        return flops(act, arrays, jax.ShapeDtypeStruct((1, *obs_shape), np.float32), jax.random.key(0)) / 1e9
    except UserError:
        return float("nan")


@jax.jit
def decision_keys(base, episode_and_count):
    """The noise key of each lane: a function of its episode and decision number only."""
    fold = jax.random.fold_in
    return jax.vmap(lambda k, c: fold(fold(base, k), c))(*episode_and_count)


def evaluate_run(run, chosen: list[Arm], env_name: str, episodes: int, seed: int, progress=None) -> list[Score]:
    """Every arm for every seed's policy of a run, on one set of environment processes.

    `progress(arm, policy_seed)` returns the progress function of one evaluation.
    """
    from qgf.checkpoint import load_trained

    policies = [load_trained(folder) for folder in run.policy_dirs()]
    ways = [[arm.of(trained.policy()) for arm in chosen] for trained in policies]  # fails early on a bad option
    for way in ways[0]:
        _shapes(way)
    _check_episodes(episodes)
    envs = _environments(env_name, policies[0].spec.horizon, episodes)
    scores = []
    try:
        for policy_seed, trained in enumerate(policies):
            for arm, policy in zip(chosen, ways[policy_seed], strict=True):
                tell = progress(arm, policy_seed) if progress else lambda *_: None
                score = evaluate(policy, env_name, episodes, seed, envs, tell)
                scores.append(replace(score, arm=arm, policy_seed=policy_seed, updates=trained.updates))
    finally:
        envs.close()
    return scores


KEY = (
    "env", "policy_seed", "updates", "guide", "strength", "weight", "best_of", "steps", "schedule", "seed", "first",
    "episodes",
)  # fmt: skip


def read_scores(path: Path) -> list[dict[str, str]]:
    """The rows of an evaluation.csv, none if there is no such file."""
    if not path.exists():
        return []
    with open(path, newline="") as file:
        return [dict(schedule="constant", first="0", gflop="", outcomes="") | row for row in csv.DictReader(file)]


def write_scores(path: Path, scores: list[Score]) -> None:
    """Add rows to evaluation.csv; an arm that was evaluated before on the same episodes is replaced."""
    rows = {tuple(row[k] for k in KEY): row for row in read_scores(path)}
    for score in scores:
        row = {key: str(x) for key, x in score.row().items()}
        rows[tuple(row[k] for k in KEY)] = row
    with atomic_path(path) as temporary, open(temporary, "w", newline="") as file:
        table = csv.DictWriter(file, fieldnames=list(next(iter(rows.values()))))
        table.writeheader()
        table.writerows(rows.values())
