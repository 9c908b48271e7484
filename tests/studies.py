"""A made-up study: its rows, the way that a study ends with them, and how to find one in a table."""

import numpy as np
from msgspec.structs import replace

from qgf.playing.rows import Row

METHODS = {  # name: gain in the logit of success, GFLOP per action, ms per decision
    "none": (0, 0.012, 2.1), "ood": (-0.9, 0.04, 3.9), "bptt": (0.7, 0.31, 19.0), "chain": (0.4, 0.22, 12.5),
    "jacobian": (0.9, 0.052, 5.1), "qgf": (1.1, 0.041, 4.0), "placebo": (-0.3, 0.041, 4.1),
    "zero": (0.0, 0.041, 4.0), "gate": (1.0, 0.09, 6.6), "gradstep": (0.5, 0.021, 3.0), "robustq": (0.2, 0.04, 4.0),
    "cfgrl": (0.3, 0.024, 2.9), "none best-of-4": (0.8, 0.055, 3.2), "none best-of-16": (1.2, 0.22, 5.5),
    "qgf best-of-4": (1.6, 0.171, 8.2), "qgf linear": (1.0, 0.041, 4.0),
}  # fmt: skip
ENVS = {"cube-single-play": (-1.5, -0.5, 0.2, -2.2, -1.0), "pointmaze-medium-navigate": (-2.5, 0.1, 0.6, -0.4, 1.2)}
STRENGTHS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0)


def study(methods=METHODS, envs=ENVS, policies=3, seeds=1, episodes=50, seed=0):
    """The rows of a whole study."""
    random, rows = np.random.default_rng(seed), []

    def row(env, task, policy, method, split, strength, logit, episode_seed):
        outcomes = random.random(episodes) < 1 / (1 + np.exp(-logit))
        gflop, ms = METHODS[method][1:]
        rows.append(
            Row(
                env=env, task=task, policy_seed=policy, updates=100_000, method=method, guide=method.split()[0],
                strength=strength, raw_weight=0.1, best_of=1, split=split, seed=episode_seed, episodes=episodes,
                successes=int(outcomes.sum()), outcomes="".join("01"[int(o)] for o in outcomes), success=0.0, low=0.0,
                high=1.0, returns=-9.0, lengths=9.0, skipped=0, ratio=0.2, value=-3.0,
                decision_ms=ms * random.uniform(0.9, 1.1), gflop=gflop,
            )
        )  # fmt: skip

    for (env, bases), method in ((e, m) for e in envs.items() for m in methods):
        gain, guided = METHODS[method][0], not method.startswith("none")
        for task, base in enumerate(bases, 1):
            for policy in range(policies):
                logit = base + gain + 0.4 * random.standard_normal()
                for episode_seed in range(seeds):
                    row(env, task, policy, method, "held-out", 1.0 if guided else None, logit, 1000 + episode_seed)
            for strength in STRENGTHS if guided else (None,) if method == "none" else ():
                fit = gain * (1 - np.log2(strength) ** 2 / 6) if guided else 0
                row(env, task, 0, method, "tuning", strength, base + fit, 7)
    return rows


ROWS = study(seeds=2, episodes=20)
FEW = ("none", "qgf", "placebo", "qgf best-of-4")
CUBE, MAZE = ENVS


def by(table, **wanted):
    (row,) = (r for r in table if all(r[k] == v for k, v in wanted.items()))
    return row


def triple(row, name):
    return [row[name], row[f"{name}_low"], row[f"{name}_high"]]


def returned(rows, env):
    """The same study where the environment does not say what success is: each episode's return is 10 for it, less a
    little."""

    def told(row):
        each = " ".join(f"{10 * (c == '1') - 0.01 * k:.8g}" for k, c in enumerate(row.outcomes))
        nothing = dict.fromkeys(("successes", "success", "low", "high"))
        return replace(row, **nothing, outcomes="", each=each) if row.env == env else row

    return [told(row) for row in rows]
