"""LeRobot's policies under a critic whose optimum is known; here small modules of the same make (`small`)."""

import json
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from small import DIMS, STEPS, WIDTH, Chunking, Closed, Dit, Openpi, T, Vla, noisy, trained_critic

from qgf.errors import Caution, UserError
from qgf.lerobot import calibrate, guide, unguide
from qgf.lerobot.policies import shape_of
from qgf.lerobot.prefix import pooled, prefix_of
from qgf.torch import load_critic, sample
from qgf.torch.guidance import placebo, qgf
from qgf.torch.harm import Shaping

CENTRE = torch.tensor([0.4, -0.2, 0.1])
toward = lambda batch, a: -((a - CENTRE) ** 2).sum(dim=(1, 2))
BATCH = {"observation.state": torch.zeros(2, 4), "observation.images.top": torch.ones(2, 1, 2, 2)}
OBSERVATION = SimpleNamespace(state=torch.zeros(2, 4))
ends = dict(low=-1.0, high=1.0)
MADE = dict(
    vla=Vla, dit=Dit, bfloat16=lambda: Vla(dtype=torch.bfloat16), openpi=Openpi, closed=lambda: Closed(Chunking())
)


def guided(policy, critic, **options):
    if isinstance(policy, Openpi):
        options |= dict(action_dim=DIMS, executed=4)
    return guide(policy, critic, **options)


def chunk_of(policy):
    """A whole chunk, of the policy's own noise."""
    if isinstance(policy, Openpi):
        return policy.sample_actions("cpu", OBSERVATION)[..., :DIMS]
    if isinstance(policy, Dit):
        policy.reset()
        first = policy.select_action(dict(BATCH))
        return torch.stack([first, *policy.queue], dim=1)
    return policy.predict_action_chunk(dict(BATCH))


@pytest.mark.parametrize("make", MADE.values(), ids=MADE)
@pytest.mark.parametrize("name", ["qgf", "jacobian", "ood"])
def test_actions_move_to_the_optimum_and_back(make, name):
    policy = make().eval()
    attributes = set(vars(policy))
    with torch.inference_mode():
        before = chunk_of(policy)
        assert torch.equal(chunk_of(guided(policy, toward, weight=0.0)), before)
        assert torch.equal(chunk_of(guided(policy, toward, guide="none")), before)  # whatever its strength
        distances = []
        for weight in (0.0, 0.1, 0.5, 2.0):
            chunk = chunk_of(guided(policy, toward, weight=weight, guide=name))
            n = policy.guidance.shape.count
            distances.append(float((chunk[:, :n] - CENTRE).norm(dim=-1).mean()))
            if name == "qgf":  # what is not executed is not guided
                assert torch.equal(chunk[:, n:], before[:, n:])
        assert distances == sorted(distances, reverse=True) and distances[-1] < 0.3 * distances[0]
        assert torch.equal(chunk_of(unguide(policy)), before)
    assert set(vars(policy)) == attributes


@pytest.mark.parametrize("make", MADE.values(), ids=MADE)
def test_guided_actions_stay_in_the_range(make):
    away = lambda batch, a: a.sum(dim=(1, 2))
    policy = guided(make().eval(), away, weight=50.0, low=(-1.0, -1.0, 0.0), high=(1.0, 0.5, 0.25))
    assert torch.equal(
        chunk_of(policy)[:, : policy.guidance.shape.count].amax(dim=(0, 1)), torch.tensor([1, 0.5, 0.25])
    )


@pytest.mark.parametrize("make", [Vla, Dit])
@pytest.mark.parametrize("name", ["bptt", "chain", "placebo", "steady", placebo(qgf), "zero:ood", "negated:qgf"])
def test_every_estimator_acts(make, name):
    policy = make().eval()
    before = chunk_of(policy)
    with torch.inference_mode():
        after = chunk_of(guide(policy, toward, weight=0.5, guide=name))
    assert torch.isfinite(after).all()
    assert torch.equal(after, before) == (name == "zero:ood")
    if name in ("placebo", "steady") or callable(name):  # as long as what it stands for, and among the same numbers
        n = policy.guidance.shape.count
        assert torch.equal(after[:, n:], before[:, n:])
        blind = policy.guidance_log[0]["ratio"]
        chunk_of(guide(policy, toward, weight=1e-9))
        assert blind == pytest.approx(0.5e9 * policy.guidance_log[0]["ratio"], rel=0.7)


def test_a_velocity_is_asked_as_often_as_it_must_be():
    policy, asked = Vla().eval(), []
    plain = policy.model.denoise_step
    policy.model.denoise_step = lambda **call: [asked.append(1), plain(**call)][1]
    chunk_of(guide(policy, toward, weight=0.5))
    assert len(asked) == STEPS
    chunk_of(guide(policy, toward, weight=0.5, guide="chain"))
    assert len(asked) == STEPS + STEPS * (STEPS + 1) // 2


PACES = [dict(solver="midpoint"), dict(guide_steps=4), dict(solver="midpoint", guide_steps=7)]


@pytest.mark.parametrize("make", [Vla, Dit])
@pytest.mark.parametrize("pace", [*PACES, dict(cap_step=0.3)], ids=str)
def test_steps_are_those_of_the_sampler(make, pace):
    """LeRobot's own loop, entered at its velocity, gives what `qgf.torch.sample` does from the same noise."""
    policy = make().eval()
    if make is Vla:
        a0, rows = noisy(BATCH["observation.state"]), slice(0, 4)
        v = lambda a, t: -policy.model.denoise_step(None, [], a, (1 - t).expand(len(a)))
    else:
        a0, rows = noisy(BATCH["observation.state"], DIMS), slice(1, 4)
        v = lambda a, t: policy.noise_predictor(a, t.expand(len(a)), conditioning_vec=None)
    with torch.no_grad():
        q, known = lambda a: toward(None, a[:, rows, :DIMS]), dict(pace)
        caps = Shaping(known.pop("cap_step")) if "cap_step" in known else None
        ways = [
            sample(v, q, a0, "qgf", 0.8, STEPS, -9, 9, "linear", shaping=x, **y) for x, y in ((caps, known), (None, {}))
        ]
    found = chunk_of(guide(policy, toward, weight=0.8, schedule="linear", **pace))
    expected, usual = (x[:, rows, :DIMS] for x in ways)
    assert torch.allclose(found[:, : policy.guidance.shape.count], expected, atol=1e-5)
    assert not torch.allclose(expected, usual, atol=1e-3)  # and that is not how steps are taken by default
    assert policy.guidance_log[0]["steps"] == STEPS


@pytest.mark.parametrize("make", [Vla, Dit])
def test_only_the_guided_numbers_are_pushed(make):
    """Guided in the first number alone is guided by a critic that knows no other."""
    policy = make().eval()
    first = lambda batch, a: toward(batch, torch.cat([a[..., :1], a[..., 1:].detach()], dim=-1))
    ways = ((toward, dict(guided_dims=[0])), (first, {}), (toward, {}))
    some, wanted, every = (chunk_of(guide(policy, critic, weight=1.0, **how)) for critic, how in ways)
    assert torch.allclose(some, wanted, atol=1e-6) and not torch.allclose(some, every, atol=1e-3)
    with pytest.raises(UserError, match="guided_dims are numbers"):
        guide(policy, toward, weight=1.0, guided_dims=[DIMS])


def test_a_guide_is_asked_at_a_share_of_the_steps():
    policy, asked = Dit().eval(), []
    critic = lambda batch, a: (asked.append(1), toward(batch, a))[1]
    counts = []
    for guide_steps in (None, 5, 2):
        asked.clear()
        chunk_of(guide(policy, critic, weight=0.5, guide_steps=guide_steps))
        counts.append(len(asked))
    assert [counts[0] - n for n in counts] == [0, STEPS - 5, STEPS - 2]  # the log asks, too
    for wrong, message in (
        (dict(guide_steps=0), "guide_steps must be"),
        (dict(solver="heun"), "unknown solver"),
        (dict(cap_dim=1.0), "only a calibrated policy"),
    ):
        with pytest.raises(UserError, match=message):
            guide(policy, critic, weight=0.5, **wrong)


@pytest.mark.parametrize("net", ["network", "transformer"])
def test_chunks_of_fifty_actions(tmp_path, monkeypatch, net):
    """As pi0 and SmolVLA execute them, under critics as runs have them."""
    monkeypatch.setattr("small.T", 50)
    policy = Vla(n_action_steps=50, pretrained_path=str(saved(tmp_path / "base", "MEAN_STD"))).eval()
    run = trained_critic(tmp_path / net, 4, DIMS, 50, -2.0, 5.0, net)
    values = []
    for weight in (0.0, 1.0, 4.0):
        guide(policy, run, weight=weight)
        policy.predict_action_chunk(dict(BATCH))
        assert policy.guidance.chunk.shape == (2, 50, DIMS)
        values.append(float(policy.guidance.q(rows=slice(None))(policy.guidance.chunk).mean()))
    assert values[0] < values[1] < values[2]


def test_autocast_queues_and_the_log(tmp_path):
    policy, seen = guide(Vla().eval(), toward, weight=0.5, **ends), []
    policy.guidance_log.path = tmp_path / "live.csv"
    policy.guidance.critic = lambda batch, a: (seen.append((a.dtype, a.shape)), toward(batch, a))[1]
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        first = [policy.select_action(BATCH) for _ in range(5)]
    assert torch.isfinite(torch.stack(first)).all()
    assert set(seen) == {(torch.float32, (2, 4, DIMS))}  # what is executed, without padding, in single precision
    assert len(policy.guidance_log) == 2  # four actions of one chunk, the fifth of the next
    row = policy.guidance_log[0]
    assert row["steps"] == STEPS and row["skipped"] == 0 and row["ratio"] > 0 and row["value"] <= 0
    policy.guidance_log.save(tmp_path / "log.csv")
    text = (tmp_path / "log.csv").read_text()
    assert text == (tmp_path / "live.csv").read_text() and text.count("\n") == 3
    policy.guidance_log.tensorboard(tmp_path / "events")
    assert list((tmp_path / "events").iterdir())


def test_members_are_gated_and_their_agreement_is_logged():
    either = lambda batch, a: torch.stack([a.sum(dim=(1, 2)), -a.sum(dim=(1, 2)) / 2], dim=1)
    critic = lambda batch, a: either(batch, a).mean(dim=1)
    critic.members = either
    policy = Vla().eval()
    before = chunk_of(policy)
    assert torch.equal(chunk_of(guide(policy, critic, weight=0.5, guide="gate")), before)  # they disagree altogether
    assert not torch.equal(chunk_of(guide(policy, critic, weight=0.5, members=0)), before)
    assert policy.guidance_log[0]["agreement"] == pytest.approx(-0.8)  # 2 (-1/2) / (1 + 1/4)


@pytest.mark.parametrize("make", [Vla, Dit, Openpi])
def test_the_best_of_several(make):
    policy, chunks = make().eval(), []
    shape = shape_of(policy, DIMS, 3)
    whose, name = (
        (policy, "_generate_actions") if make is Dit else (policy if make is Openpi else policy.model, "sample_actions")
    )
    plain = getattr(whose, name)
    setattr(whose, name, lambda *args, **more: chunks.append(plain(*args, **more)) or chunks[-1])
    best = chunk_of(guided(policy, toward, weight=0.3, best_of=5))
    every = chunks[0].reshape(2, 5, -1, chunks[0].shape[-1])[..., :DIMS]
    n = policy.guidance.shape.count
    values = torch.stack([toward(None, row[:, :n]) for row in every])
    assert shape.dims == DIMS and len(set(values.flatten().tolist())) == 10
    assert torch.equal(best, torch.stack([row[i] for row, i in zip(every, values.argmax(dim=1), strict=True)]))
    if make is Vla:
        with pytest.raises(UserError, match="best of 5"):
            policy.predict_action_chunk(BATCH, noise=torch.zeros(2, T, WIDTH))


def test_what_the_policy_sees_is_told():
    policy, told = Vla().eval(), []
    critic = lambda batch, a: (told.append(batch["observation.features"]), toward(batch, a))[1]
    policy.predict_action_chunk(BATCH)
    guide(policy, critic, weight=0.1, best_of=2).predict_action_chunk(BATCH)
    assert all(torch.equal(x, torch.full((4, 4), 0.5)) for x in told)  # of a one and a zero; the third is masked
    attributes = set(vars(policy.model))
    assert torch.equal(prefix_of(unguide(policy), BATCH), torch.full((2, 4), 0.5))
    assert "embed_prefix" not in vars(policy.model) and set(vars(policy.model)) < attributes
    assert torch.equal(pooled(torch.arange(6.0).reshape(1, 6), 2), torch.tensor([[3.0, 4, 5]]))  # of two times the last
    with pytest.raises(UserError, match="nothing of its observations"):
        prefix_of(Closed(Chunking()), BATCH)


def test_what_is_not_finite_goes_unguided():
    policy = Vla().eval()
    before = chunk_of(policy)
    torn = lambda batch, a: torch.sqrt(a.sum(dim=(1, 2)) - 1e9)
    assert torch.equal(chunk_of(guide(policy, torn, weight=0.5)), before)
    assert policy.guidance_log[0]["skipped"] == 2 * STEPS


def test_training_is_not_guided():
    policy = Dit()
    x, t = torch.randn(2, T, DIMS), torch.tensor([0.1, 0.2])
    before = policy.train().noise_predictor(x, t, conditioning_vec=None)
    assert torch.equal(guide(policy, toward, weight=9.0).noise_predictor(x, t, conditioning_vec=None), before)


def spread(policy, sigma=0.3):
    """The policy's chunks are N(CENTRE, sigma^2) then."""
    policy.predict_action_chunk = lambda batch: sigma * torch.randn(len(batch["observation.state"]), T, DIMS) + CENTRE
    return policy


def test_strength_is_measured_on_the_policys_own_chunks():
    policy = guide(spread(Vla().eval()), toward, strength=2.0)
    found = calibrate(policy, [BATCH] * 8)
    assert found.sigma == pytest.approx(0.3, rel=0.1)
    assert found.grad_norm == pytest.approx(2 * 0.3 * (4 * DIMS) ** 0.5, rel=0.1)
    weight = 2 * found.sigma * (4 * DIMS) ** 0.5 / found.grad_norm
    assert policy.guidance.weight == pytest.approx(weight)
    assert guide(policy, toward, strength=2.0, calibration=found).guidance.weight == pytest.approx(weight)
    policy = guide(spread(Vla().eval()), toward, strength=2.0)
    torch.manual_seed(3)
    expected = torch.randn(2, T, DIMS)
    torch.manual_seed(3)
    with pytest.warns(Caution, match="first states"):  # not measured before: at what is asked first, once
        chunk = policy.predict_action_chunk(BATCH)
    assert torch.equal(chunk, 0.3 * expected + CENTRE)  # the policy's own noise is as it was
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        policy.predict_action_chunk(BATCH)


def test_a_queue_is_measured_chunk_by_chunk():
    policy = guide(Dit().eval(), toward, strength=1.0)
    found = calibrate(policy, [BATCH], chunks=3)
    assert found.sigma == 0  # its noise has one seed here
    assert found.grad_norm > 0 and policy.queue == [] and policy.guidance_log == []


STATS = dict(mean=(1.0, 2.0, -3.0), std=(2.0, 0.5, 4.0), min=(-4.0,) * 3, max=(6.0,) * 3)
STATS |= dict(q01=(-2.0,) * 3, q99=(3.0,) * 3, q10=(-1.0,) * 3, q90=(2.0,) * 3)


def saved(folder, mode):
    """The pre-processor of a policy as LeRobot saves it."""
    folder.mkdir()
    state = {f"action.{name}": torch.tensor(x) for name, x in STATS.items()}
    state |= {"observation.state.mean": torch.full((4,), 5.0), "observation.state.std": torch.full((4,), 3.0)}
    save_file(state, folder / "norm.safetensors")
    kinds = {"action": dict(type="ACTION", shape=[3]), "observation.state": dict(type="STATE", shape=[4])}
    config = dict(norm_map=dict(ACTION=mode, STATE="MEAN_STD"), features=kinds, eps=1e-8)
    steps = [dict(registry_name="normalizer_processor", config=config, state_file="norm.safetensors")]
    (folder / "policy_preprocessor.json").write_text(json.dumps(dict(name="policy_preprocessor", steps=steps)))
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained_critic(tmp_path_factory.mktemp("run") / "policy", 4, DIMS, 4, -2.0, 5.0)


CENTRES = dict(IDENTITY=(0, 1), MEAN_STD=(STATS["mean"], STATS["std"]), MIN_MAX=(1, 5), QUANTILES=(0.5, 2.5))
CENTRES |= dict(QUANTILE10=(0.5, 1.5))


@pytest.mark.parametrize("mode", CENTRES)
def test_a_runs_critic_is_asked_in_its_own_units(tmp_path, run, mode):
    policy = Vla(pretrained_path=str(saved(tmp_path / "base", mode))).eval()
    guide(policy, run, weight=0.1)
    centre, half = (torch.as_tensor(x) for x in CENTRES[mode])
    a, state = torch.randn(2, 4, DIMS), torch.randn(2, 4)
    expected = load_critic(run)(5 + 3 * state, centre + half * a)
    for one in (state, torch.stack([torch.zeros(2, 4), state], dim=1)):  # of several times the last
        found = policy.guidance.critic({"observation.state": one}, a)
        assert torch.allclose(found, expected, rtol=1e-5, atol=1e-5)
    more = {"observation.environment_state": torch.ones(2, 7), "observation.features": torch.ones(2, 9)}
    assert torch.equal(policy.guidance.critic(more | {"observation.state": state}, a), found)
    assert torch.allclose(policy.guidance.low[:DIMS], ((-2.0 - centre) / half).float().expand(DIMS))
    assert torch.allclose(policy.guidance.high[:DIMS], ((5.0 - centre) / half).float().expand(DIMS))
    assert torch.isinf(policy.guidance.high[DIMS:]).all()
    chunk_of(policy)
    assert -1 <= policy.guidance_log[0]["agreement"] <= 1


def test_scales_are_kept_beside_the_policy(tmp_path, run):
    folder = saved(tmp_path / "base", "MEAN_STD")
    policy = guide(spread(Vla(pretrained_path=folder).eval()), str(run), strength=1.5)
    assert policy.guidance.weight is None
    calibrate(policy, [BATCH], chunks=4)
    again = guide(Vla(pretrained_path=folder).eval(), str(run), strength=1.5)
    assert again.guidance.weight == policy.guidance.weight > 0
    (folder / "qgf-calibration.json").write_text('{"format": 2, "critics": {}}')
    with pytest.raises(UserError, match="format 2"):
        guide(Vla(pretrained_path=folder), run, strength=1.0)


def test_a_critic_that_does_not_fit_is_one_line(tmp_path, run):
    with pytest.raises(UserError, match="give its preprocessor="):
        guide(Vla(), run, weight=0.1)
    folder = saved(tmp_path / "base", "MEAN_STD")
    with pytest.raises(UserError, match="qgf train --horizon 3"):
        guide(Dit(pretrained_path=folder), run, weight=0.1)
    policy = guide(Vla(pretrained_path=folder).eval(), run, weight=0.1)
    with pytest.raises(UserError, match=r"sees 4 numbers.*environment_state \[2\]"):
        policy.guidance.critic({"observation.environment_state": torch.zeros(2, 2)}, torch.zeros(2, 4, DIMS))
    with pytest.raises(UserError, match="PERCENTILE"):
        guide(Vla(pretrained_path=saved(tmp_path / "odd", "PERCENTILE")), run, weight=0.1)


@pytest.mark.parametrize("make,options,message", [
    (lambda: Vla(use_relative_actions=True), {}, "relative"),
    (lambda: Vla(adapt_to_pi_aloha=True), {}, "Aloha"),
    (lambda: Vla(compile_model=True), {}, "compile_model=False"),
    (lambda: Dit(integration_method="rk4"), {}, "rk4"),
    (lambda: Dit(objective="diffusion"), {}, "no velocity"),
    (lambda: Closed(), {}, "init_rtc_processor"),
    (lambda: Closed(Chunking()), dict(best_of=2), "best_of=1"),
    (Vla, dict(guide="gradstep"), "behind the sampler"),
    (Vla, dict(guide="cfgrl"), "another velocity"),
    (Vla, dict(guide="qfg"), "did you mean 'qgf'"),
    (Vla, dict(best_of=0), "best_of"),
    (Vla, dict(strength=1.0), "not both"),
])  # fmt: skip
def test_what_cannot_be_guided_is_one_line(make, options, message):
    policy = make()
    before = dict(vars(policy))
    with pytest.raises(UserError, match=message) as error:
        guide(policy, toward, **dict(weight=1.0) | options)
    assert "\n" not in str(error.value) and vars(policy) == before
    other = Vla()
    del other.model
    with pytest.raises(UserError, match="nowhere that is known"):
        guide(other, toward, weight=1.0)


def test_a_compiled_sampler_and_a_time_that_is_not_known_are_one_line():
    policy = Openpi()
    policy.sample_actions = torch.compile(policy.sample_actions)
    with pytest.raises(UserError, match="del model"):
        guided(policy, toward, weight=1.0)
    policy = guide(Closed(Chunking()), toward, weight=1.0, guide="chain")
    with pytest.raises(UserError, match="one time a step"):
        policy.predict_action_chunk(BATCH)
    with pytest.raises(UserError, match="not guided"):
        calibrate(Vla(), [BATCH])
    assert np.isfinite(calibrate(guide(Vla().eval(), toward), [BATCH], chunks=2).grad_norm)
