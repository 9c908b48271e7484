"""LeRobot's own policies, small and of random weights, guided: `make test-lerobot`, in an environment that has it."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("lerobot.policies", reason="LeRobot is not installed: make test-lerobot")  # tests/lerobot is none

from lerobot.policies.rtc.configuration_rtc import RTCConfig
from small import trained_critic
from tiny import ACTION, EXECUTED, STATE, batch, make

from qgf.errors import UserError
from qgf.lerobot import calibrate, guide, unguide

CENTRE = torch.linspace(-0.5, 0.7, ACTION)
toward = lambda seen, a: -((a - CENTRE) ** 2).sum(dim=(1, 2))
LOW, HIGH = -0.9, 0.9
EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module", params=["smolvla", "pi0", "pi05", "dit"])
def policy(request, tmp_path_factory):
    made = make(request.param, tmp_path_factory.mktemp(request.param))
    yield unguide(made)


def executed(policy, seed=0):
    """What `select_action` plays of one chunk, [B, H, A], as lerobot-eval asks it."""
    torch.manual_seed(seed)
    policy.reset()
    with torch.inference_mode():
        seen = batch(policy)
        return torch.stack([policy.select_action(dict(seen)) for _ in range(EXECUTED)], dim=1)


@pytest.mark.parametrize("amp", [False, True], ids=["single", "autocast"])
def test_no_weight_is_no_change_to_the_bit(policy, amp):
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=amp):
        before = executed(unguide(policy))
        assert torch.equal(executed(guide(policy, toward, weight=0.0)), before)
        assert not torch.equal(executed(guide(policy, toward, weight=0.5)), before)
        assert torch.equal(executed(unguide(policy)), before)


def test_distance_falls_and_actions_stay_in_the_range(policy):
    distances, estimates = [], []
    critic = lambda seen, a: (estimates.append(a.detach()), toward(seen, a))[1]
    for weight in (0.0, 0.1, 0.25, 0.5, 1.0, 2.0):
        actions = executed(guide(policy, critic, weight=weight, low=LOW, high=HIGH))
        distances.append(float((actions - CENTRE).norm(dim=-1).mean()))
        assert weight == 0 or policy.guidance_log[0]["skipped"] == 0
    assert distances == sorted(distances, reverse=True) and distances[-1] < 0.1 * distances[0]
    assert actions.min() >= LOW and actions.max() <= HIGH
    assert all(x.min() >= LOW - 1e-6 and x.max() <= HIGH + 1e-6 for x in estimates)  # where the critic knows anything


@pytest.mark.parametrize("name", ["ood", "jacobian", "chain", "bptt", "placebo"])
def test_every_estimator_guides(policy, name):
    before = executed(unguide(policy))
    after = executed(guide(policy, toward, weight=0.05, guide=name))
    far = lambda a: float((a - CENTRE).norm(dim=-1).mean())
    assert torch.isfinite(after).all() and not torch.equal(after, before)
    assert name == "placebo" or far(after) < far(before)


def test_the_best_of_four_is_better(policy):
    value = lambda actions: float(toward(None, actions).mean())
    ones = sum(value(executed(unguide(policy), seed)) for seed in range(2))
    best = sum(value(executed(guide(policy, toward, weight=0.0, best_of=4), seed)) for seed in range(2))
    assert best > ones


def test_strength_and_what_the_policy_sees(policy):
    told = []
    critic = lambda seen, a: (told.append(seen["observation.features"].shape), toward(seen, a))[1]
    found = calibrate(guide(policy, critic, strength=1.0), [batch(policy)], chunks=4)
    assert found.sigma > 0.1 and found.grad_norm > 0.1
    executed(policy)
    assert policy.guidance.weight > 0 and len(set(told)) == 1 and told[0][0] == 2


@pytest.fixture(scope="module", params=["smolvla", "pi0", "pi05"])
def chunking(request, tmp_path_factory):
    rtc = RTCConfig(enabled=True, execution_horizon=5)
    return make(request.param, tmp_path_factory.mktemp("rtc"), rtc_config=rtc)


def test_real_time_chunking_goes_on_top(chunking):
    seen = batch(chunking)
    first = lambda **more: (torch.manual_seed(0), chunking.predict_action_chunk(dict(seen), **more))[1]
    before = first()
    leftover = torch.full((2, 6, ACTION), 0.8)
    turn = dict(inference_delay=2, prev_chunk_left_over=leftover, execution_horizon=5)
    plain = first(**turn)  # outside of inference mode, where real-time chunking alone cannot be
    guide(chunking, toward, weight=0.0)
    with torch.inference_mode():
        assert torch.equal(first(), before) and torch.equal(first(**turn), plain)
        guide(chunking, toward, weight=0.3)
        both = first(**turn)
    overlap = lambda a: float((a[:, :2] - leftover[:, :2]).abs().mean())
    assert overlap(both) < 0.5 * overlap(before)
    far = lambda a: float((a[:, 5:EXECUTED] - CENTRE).norm(dim=-1).mean())
    assert far(both) < far(plain)
    unguide(chunking)


@pytest.mark.parametrize("name", ["pi0", "pi05"])
def test_bfloat16(name, tmp_path):
    policy = make(name, tmp_path, dtype="bfloat16")
    before = executed(policy)
    assert torch.equal(executed(guide(policy, toward, weight=0.0)), before)
    near = executed(guide(policy, toward, weight=2.0, low=-1, high=1))
    assert (near - CENTRE).norm(dim=-1).mean() < 0.1 * (before - CENTRE).norm(dim=-1).mean()


def test_relative_actions_and_other_samplers_are_refused(tmp_path):
    policy = make("pi0", tmp_path)
    policy.config.use_relative_actions = True
    with pytest.raises(UserError, match="relative"):
        guide(policy, toward, weight=1.0)
    with pytest.raises(UserError, match="rk4"):
        guide(make("dit", tmp_path, integration_method="rk4"), toward, weight=1.0)


def test_lerobot_eval_plays_a_guided_policy(tmp_path):
    """Its own command, its own environment, a policy that it saved, and a critic as qgf saves it."""
    from lerobot.configs.types import FeatureType, PolicyFeature
    from lerobot.policies.factory import make_pre_post_processors

    two = dict(input_features={"observation.state": PolicyFeature(FeatureType.STATE, (2,))})
    two |= dict(output_features={"action": PolicyFeature(FeatureType.ACTION, (2,))})
    policy, base = make("dit", tmp_path, **two), tmp_path / "base"
    one = dict(
        mean=torch.full((2,), 250.0), std=torch.full((2,), 100.0), min=torch.zeros(2), max=torch.full((2,), 512.0)
    )
    before, after = make_pre_post_processors(policy.config, dataset_stats={"observation.state": one, "action": one})
    for saved in (policy, before, after):
        saved.save_pretrained(base)
    critic = trained_critic(tmp_path / "critic", 2, 2, EXECUTED, 0.0, 512.0)
    command = [
        Path(sys.executable).with_name("lerobot-eval"), "--policy.discover_packages_path=qgf.lerobot",
        "--policy.type=qgf", f"--policy.base={base}", f"--policy.critic={critic}", "--policy.strength=1",
        "--policy.best_of=2", f"--policy.log={tmp_path / 'log.csv'}", "--policy.device=cpu",
        "--policy.push_to_hub=false",
        "--env.type=pusht", "--env.obs_type=environment_state_agent_pos", "--env.episode_length=13",
        "--eval.n_episodes=1", "--eval.batch_size=1", "--eval.use_async_envs=false",
        f"--output_dir={tmp_path / 'out'}",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "first states" in done.stderr  # what a strength is was never measured on data
    rows = (tmp_path / "log.csv").read_text().splitlines()
    assert rows[0] == "chunk,steps,ratio,value,agreement,skipped" and len(rows) == 1 + 3  # of 6, 6 and 1 actions
    assert all(float(row.split(",")[2]) > 0 for row in rows[1:])


def test_features_and_the_example(tmp_path):
    """Features are what the critic sees when the policy acts; with strength its Q rises."""
    import numpy as np
    from lerobot.datasets.lerobot_dataset import LeRobotDataset
    from lerobot.policies.factory import make_pre_post_processors

    from qgf.data.readers.lerobot import read
    from qgf.lerobot.features import write_features

    policy, base = make("dit", tmp_path, cameras=1), tmp_path / "base"
    made = LeRobotDataset.create(
        "local/data", fps=10, root=tmp_path / "data", use_videos=False,
        features={
            "observation.state": dict(dtype="float32", shape=(STATE,), names=None),
            "observation.images.0": dict(dtype="image", shape=(64, 64, 3), names=["height", "width", "channels"]),
            "action": dict(dtype="float32", shape=(ACTION,), names=None),
        },
    )  # fmt: skip
    rng = np.random.default_rng(0)
    for _ in range(2):
        for _ in range(4):
            state, action = (rng.normal(size=n).astype(np.float32) for n in (STATE, ACTION))
            picture = rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)
            frame = {"observation.state": state, "observation.images.0": picture, "action": action, "task": "push it"}
            made.add_frame(frame)
        made.save_episode()
    made.finalize()
    before, after = make_pre_post_processors(policy.config, dataset_stats=made.meta.stats)
    for saved in (policy, before, after):
        saved.save_pretrained(base)
    frames, numbers = write_features(tmp_path / "data", base, tmp_path / "seen", batch_size=3)
    assert frames == 8
    columns = read(tmp_path / "seen")["observations"]  # states first, then features
    assert columns.shape == (8, STATE + numbers)
    told = []
    critic = lambda seen, a: (told.append(seen["observation.features"]), a.sum(dim=(1, 2)))[1]
    guide(policy, critic, weight=0.1)
    dataset = LeRobotDataset("local/data", root=tmp_path / "data")
    for k in (0, 5):
        policy.reset()
        policy.select_action(before({name: x for name, x in dataset[k].items() if not name.startswith("action")}))
        assert np.allclose(told[-1].numpy(), columns[k, STATE:], rtol=1e-4, atol=1e-5)
    with pytest.raises(UserError, match="there already"):
        write_features(tmp_path / "data", base, tmp_path / "seen")
    critic = trained_critic(tmp_path / "critic", STATE, ACTION, EXECUTED, -3.0, 3.0)
    example = [sys.executable, str(EXAMPLES / "06_lerobot.py"), str(base), str(critic), str(tmp_path / "data")]
    done = subprocess.run(example, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    values = [float(line.split("Q")[1].split(",")[0]) for line in done.stdout.splitlines() if "strength" in line]
    assert len(values) == 4 and values == sorted(values) and (base / "qgf-calibration.json").is_file()
