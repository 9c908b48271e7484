"""What is said of trainings that cannot be relied on: critics that know nothing or diverge, losses that are none."""

import warnings
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from qgf.critics.iql import IQL
from qgf.critics.losses import Pessimistic
from qgf.data.dataset import Dataset
from qgf.errors import Caution, UserError
from qgf.training.checkpoint import Checkpoints
from qgf.training.config import TrainConfig
from qgf.training.diverged import refuse
from qgf.training.doubts import doubts
from qgf.training.health import bounds, health
from qgf.training.loop import train
from qgf.training.methods.bc import BC
from qgf.training.setup import prepare
from qgf.training.validation import held_out, verdicts
from qgf.training.window import WHOLE, Window

METHOD = BC(width=16, depth=1)
CONFIG = TrainConfig(
    steps=1500, batch_size=64, horizon=1, learning_rate=3e-3, log_every=500, checkpoint_every=1500, method=METHOD
)


def made(reward, n=1000):
    """One state after another; a reward of the action."""
    rng = np.random.default_rng(0)
    obs, actions = (rng.normal(size=(n, 2)), rng.uniform(-1, 1, (n, 1)))
    ends = np.arange(n) % 20 == 19
    arrays = (x.astype(np.float32) for x in (obs, actions))
    return Dataset("mine", *arrays, ends, reward(actions[:, 0]).astype(np.float32), np.ones(n, np.float32))


def trained(reward, folder):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        run = train(made(reward), CONFIG, folder)
    return run, [str(x.message) for x in told if issubclass(x.category, Caution)]


def test_a_critic_that_knows_and_one_that_knows_nothing(tmp_path):
    run, said = trained(lambda a: -np.abs(a - 0.5), tmp_path / "knows")
    last = {name: x[-1] for name, x in run.metrics().items()}
    assert last["critic/agreement"] > 0.5 and last["critic/explained"] > 0.5
    assert last["critic/beyond"] == 0 and last["flow/outside"] < 0.05
    assert doubts(run.metrics()) == [] and len(said) == 1 and "no episode ends its task" in said[0]
    run, said = trained(lambda a: 0 * a, tmp_path / "nothing")
    assert [word for word in said if "every reward is 0" in word and "guidance is noise" in word]
    assert [word for word in said if "explains 0 %" in word]
    assert "every reward is 0" in run.record["data"]["look_at"][0]


def test_how_far_q_lies_beyond_its_range():
    """Against the values of all members at all chunks, of which a draw is measured."""
    setup = prepare(made(lambda a: a), CONFIG)
    state = setup.start()
    found = health(setup.learner.program, state, setup.chunks, setup.bounds)
    q = Pessimistic(state.nets.target)
    rows = np.arange(len(setup.chunks.starts))
    values = np.asarray(q.members(setup.chunks.obs[rows], setup.chunks.actions[rows]))
    low, high = setup.bounds
    assert (low, high) == pytest.approx((-100, 100), rel=0.02)
    assert found["critic/beyond"] == 0 and values.min() > low and values.max() < high
    tight = np.array([values.min() + 10, values.min() + 20], np.float32)
    beyond = float(health(setup.learner.program, state, setup.chunks, tight)["critic/beyond"])
    assert beyond == pytest.approx(1.0, abs=0.2)  # ten below, of ten


def test_the_range_of_q_has_the_value_of_an_end_in_it():
    few = made(lambda a: 0 * a - 1)
    assert bounds(few.rewards[~few.ends], 0.9) == pytest.approx([-10, 0], rel=1e-5)
    assert bounds(np.full(3, 2.0), 0.5) == pytest.approx([0, 4], rel=1e-5)
    low, high = bounds(np.zeros(3), 0.99)
    assert low == 0 and high > 0


def rows(n=10, **columns):
    made = dict(step=1000 * np.arange(1, n + 1), seed=np.zeros(n))
    return made | {name.replace("_", "/", 1): np.resize(x, n).astype(float) for name, x in columns.items()}


@pytest.mark.parametrize(
    "columns, said",
    [
        (dict(critic_agreement=0.05), "the critics disagree about the direction (mean cosine of their gradients 0.05)"),
        (dict(critic_agreement=np.nan), "the critics disagree"),
        (dict(critic_explained=-0.3), "the critic explains 0 % of the variance"),
        (dict(critic_beyond=0.4), "Q lies outside of [min r, max r] / (1 - discount) by 40 % of that range"),
        (dict(flow_outside=0.25), "25 % of the flow's actions leave the range"),
        (dict(val_critic=np.arange(1, 11), loss_critic=2.0), "the critic's held-out loss rises (5 to 9.5 since 4,000 "),
        (dict(val_critic=np.arange(1, 11), loss_critic=np.arange(1, 11)), None),
        (dict(val_critic=np.arange(10, 0, -1), loss_critic=1.0), None),
        (dict(critic_agreement=0.5, critic_explained=0.5, critic_beyond=0.05, flow_outside=0.02), None),
        (dict(), None),
    ],
)
def test_every_doubt_is_a_line(columns, said):
    found = doubts(rows(**columns))
    assert len(found) == (said is not None) and (not said or found[0].startswith(said))


def test_the_worst_seed_speaks_of_the_last_row():
    both = dict(step=np.array([500, 500, 1000, 1000]), seed=np.array([0, 1, 0, 1]))
    assert doubts(both | {"critic/agreement": np.array([0.9, 0.9, 0.9, 0.0])})
    assert not doubts(both | {"critic/agreement": np.array([0.0, 0.0, 0.9, 0.9])})
    assert not doubts(dict(step=np.array([100]), seed=np.array([0])) | {"critic/agreement": np.array([0.0])})


def test_a_loss_that_is_no_number_is_named_with_the_last_good_checkpoint(tmp_path):
    config = TrainConfig(steps=20, batch_size=16, horizon=1, log_every=10, checkpoint_every=10, method=METHOD)
    data = made(lambda a: a)
    with pytest.raises(UserError) as caught:
        train(data, replace(config, learning_rate=1e20), tmp_path / "run")
    said = str(caught.value)
    assert "went wrong first, at update " in said and "there is no checkpoint yet; try a smaller" in said
    assert not (tmp_path / "run" / "policy").exists()


def test_a_run_that_goes_on_names_the_checkpoint_it_can_go_on_from(tmp_path):
    config = TrainConfig(steps=20, batch_size=16, horizon=1, log_every=10, checkpoint_every=10, method=METHOD)
    setup, checkpoints = prepare(made(lambda a: a), config), Checkpoints(tmp_path / "checkpoints")
    state, found = setup.learner.run(setup.start(), setup.chunks, 10)
    checkpoints.save(10, state)
    refuse(setup, checkpoints, {name: np.asarray(x) for name, x in found.items()}, 10, tmp_path)  # nothing is wrong
    wrong = setup.chunks._replace(returns=setup.chunks.returns * np.inf)
    worse = replace(setup, window=Window(lambda block: wrong, WHOLE))
    with pytest.raises(UserError) as caught:
        refuse(worse, checkpoints, {"loss/flow": np.ones(1), "q": np.array([np.nan])}, 20, tmp_path)
    said = str(caught.value)
    assert "loss/critic went wrong first, at update 11" in said and "checkpoints/10;" in said


# Critics made good, and wrong on purpose, by small trainings

PURPOSE = replace(
    CONFIG, steps=1600, discount=0.05, learning_rate=1e-3, log_every=200, checkpoint_every=1600,
    method=BC(width=64, depth=1, critic=IQL(polyak=0.1)),
)  # fmt: skip


HEART = replace(PURPOSE, steps=2000, learning_rate=1e-2, log_every=100, checkpoint_every=2000)
HEART = replace(HEART, method=replace(PURPOSE.method, critic=IQL(polyak=0.3)))


def judged(folder, config, reward, rows=160, sensors=6):
    """What is said of a critic of a few episodes and a reward of the action, watched on held-out ones."""
    data = few_episodes(reward, rows, sensors)
    run = train(data, config, folder, evaluate=held_out(data, config), eval_every=config.log_every)
    return verdicts(run.played()), doubts(run.metrics())


def few_episodes(reward, rows, sensors):
    """And 400 held-out ones."""

    def episodes(n, seed, validation=None):
        rng = np.random.default_rng(seed)
        obs, actions = rng.normal(size=(n, sensors)), rng.uniform(-1, 1, (n, 1))
        ends, solved = (np.arange(n) % 20 == k for k in (19, 18))
        arrays = (x.astype(np.float32) for x in (reward(actions[:, 0], rng), ~solved))
        return Dataset("mine", obs.astype(np.float32), actions.astype(np.float32), ends, *arrays, None, validation)

    return episodes(rows, 0, episodes(400, 1))


@pytest.mark.parametrize(
    ("beyond", "said"),
    [
        ([1.9, 1.4, 0.7, 0.3, 0.05], ""),  # one that is learned in parts of a large scale begins so, and comes back
        ([0.0, 0.05, 0.3, 0.2, 0.05], "after 600 updates Q lies outside of [min r, max r] / (1 - discount) by 30 %"),
        ([1.9, 1.4, 1.5, 0.3, 0.05], "after 600 updates Q lies outside of [min r, max r] / (1 - discount) by 150 %"),
        ([1.9, 1.4, 0.7, 0.3, 0.2], "by 20 % of that range"),  # and did not come back in time
    ],
)
def test_while_a_critic_comes_back_into_its_range_it_is_not_said_to_diverge(beyond, said, monkeypatch, tmp_path):
    course = iter(beyond)
    monkeypatch.setattr("qgf.training.loop.health", lambda *_: {"critic/beyond": jnp.array(next(course))})
    config = replace(CONFIG, steps=1000, log_every=200, checkpoint_every=1000)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        train(made(lambda a: a), config, tmp_path / "run")
    lines = [str(x.message) for x in told if "diverges" in str(x.message)]
    assert [said in line for line in lines] == [True] * bool(said)


@pytest.mark.filterwarnings("ignore::qgf.errors.Caution")
def test_critics_made_wrong_on_purpose_are_named_and_a_good_one_is_not_accused(tmp_path):
    few = dict(rows=60, sensors=2)
    assert judged(tmp_path / "good", HEART, lambda a, rng: a, **few) == ([], [])
    noisy = lambda a, rng: a + 0.7 * rng.normal(size=len(a))  # which there is nothing to learn of
    assert ["by heart" in line for line in judged(tmp_path / "heart", HEART, noisy, **few)[0]] == [True]
    known = lambda a, rng: -np.abs(a - 0.5)
    flat = replace(PURPOSE, method=replace(PURPOSE.method, critic=IQL(polyak=0.1, weight_decay=900.0)))
    (line,), _ = judged(tmp_path / "flat", flat, known)
    assert "gone flat" in line
    said, doubted = judged(tmp_path / "wild", replace(PURPOSE, learning_rate=10.0), known)
    assert said == [] and len([line for line in doubted if "the critic diverges" in line]) == 1


@pytest.mark.filterwarnings("ignore::qgf.errors.Caution")
def test_weights_decay_once_the_data_are_learned_by_heart_and_not_before(tmp_path):
    noisy, known = (lambda a, rng: a + 0.7 * rng.normal(size=len(a))), (lambda a, rng: a)
    plain = replace(HEART, steps=2400, log_every=200, checkpoint_every=400)
    critic = IQL(polyak=0.3, weight_decay=3.0, decay_when="memorising")
    late = replace(plain, method=replace(HEART.method, critic=critic))
    data = few_episodes(noisy, 60, 2)
    by_heart, regular = (train(data, how, tmp_path / name) for name, how in (("plain", plain), ("late", late)))
    on = regular.metrics()["critic/decays"]
    assert on[0] == 0 and on[-1] == 1 and np.all(np.diff(on) >= 0)
    began = int(np.argmax(on))
    ratio = by_heart.metrics()["val/critic"] / by_heart.metrics()["loss/critic"]
    assert regular.metrics()["critic/explained"][began - 2 : began + 1].max() < 0.95
    assert np.all(ratio[began - 2 : began + 1] > 2) and not np.any(ratio[: began + 1] != (
        regular.metrics()["val/critic"] / regular.metrics()["loss/critic"])[: began + 1])  # fmt: skip
    last = lambda run: run.metrics()["val/critic"][-3:].mean()
    assert last(regular) < 0.8 * last(by_heart)
    soon = int(regular.metrics()["step"][began]) + 200
    assert soon < late.steps
    half = train(data, replace(late, steps=soon), tmp_path / "again")
    assert half.metrics()["critic/decays"][-1] == 1
    again = train(data, late, tmp_path / "again")
    assert again.metrics().keys() == regular.metrics().keys()
    assert all(np.array_equal(x, regular.metrics()[name], equal_nan=True) for name, x in again.metrics().items())

    sound = train(few_episodes(known, 60, 2), late, tmp_path / "sound").metrics()
    assert not sound["critic/decays"].any()
    with pytest.raises(UserError, match="no held-out episodes to say whether they are memorised"):
        train(replace(data, validation=None), late, tmp_path / "none")
