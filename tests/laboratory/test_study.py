"""Study files: what is good is read as it stands, what is wrong is one line that names file, section and key."""

import dataclasses
import json
import re
import sys
from pathlib import Path

import pytest

from qgf.critics import HLGauss
from qgf.environments import family_of
from qgf.errors import UserError
from qgf.laboratory.study import Method, Training, read_study
from qgf.playing.arm import Arm
from qgf.playing.tune import SCALES, STRENGTHS, Candidate
from qgf.plugins import use
from qgf.training.config import TrainConfig
from qgf.training.methods import METHODS
from qgf.training.methods.bc import BC
from qgf.training.methods.lab import Lab

SMALL = """
[[environment]]
name = "pointmaze-medium-navigate"
tasks = [1, 2]
[train.base]
[method.qgf]
"""


def read(folder, text=SMALL):
    (folder / "mine.toml").write_text(text)
    return read_study(folder / "mine.toml")


def test_defaults(tmp_path):
    study = read(tmp_path)
    (env,) = study.environments
    assert (study.name, study.episodes, study.seed, study.tuning_seed) == ("mine", 50, 0, 1)
    assert (study.rungs, study.tuning_tasks, study.use) == ((8, 16), None, ())
    assert (env.name, env.tasks, env.seeds, env.transitions) == ("pointmaze-medium-navigate", (1, 2), (0,), None)
    assert env.train == "base"
    assert env.full(2) == "pointmaze-medium-navigate-singletask-task2-v0"
    assert study.trainings == dict(base=Training(TrainConfig()))
    assert study.methods == dict(
        none=Method((Arm("none"),), "never"), qgf=Method(tuple(Arm("qgf", s) for s in STRENGTHS))
    )


FULL = """
episodes = 20
seed = 4
[tuning]
seed = 5
policy_seed = 9
rungs = [3, 3, 6]
tasks = 2
[[environment]]
name = "pointmaze-medium-navigate"
tasks = [3, 1]
seeds = [7, 8]
transitions = 5000
train = "large"
[[environment]]
name = "cube-single-play"
tasks = [2]
[train.base]
[train.large]
method = "lab"
width = 64
unlabelled = 0.25
steps = 300
discount = 0.5
precision = "bfloat16"
[train.joined]
flow = "base"
critic_from = "large"
width = 64
[method.none]
guide = "none"
best_of = 2
[method.both]
guide = ["none", "ood"]
strength = [0.5, 1]
best_of = [1, 4]
schedule = ["constant", "score"]
train = ["joined", "base", "joined"]
[method.raw]
weight = 0.05
steps = 20
[method."qgf offline"]
strength = [1, 2]
best_of = 3
tune = "offline"
[method.scale]
guide = "cfgrl"
[method."placebo of ood"]
guide = "placebo:ood"
strength = 2
tune = "halving"
"""


def test_everything_that_can_be_said(tmp_path):
    study = read(tmp_path, FULL)
    assert (study.episodes, study.seed, study.tuning_seed, study.rungs, study.tuning_tasks) == (20, 4, 5, (3, 3, 6), 2)
    assert study.tuning_policy_seed == 9
    maze, cube = study.environments
    assert (maze.tasks, maze.seeds, maze.transitions, maze.train) == ((3, 1), (7, 8), 5000, "large")
    assert (cube.tasks, cube.seeds, cube.train) == ((2,), (0,), "base")
    lab = TrainConfig(steps=300, discount=0.5, precision="bfloat16", method=Lab(width=64, unlabelled=0.25))
    assert study.trainings["large"] == Training(lab)
    assert study.trainings["joined"] == Training(TrainConfig(method=BC(width=64)), "base", "large")
    both = {Arm("none"), Arm("none", best_of=4)} | {
        Arm("ood", s, best_of=n, schedule=how) for s in (0.5, 1) for n in (1, 4) for how in ("constant", "score")
    }
    assert set(study.methods["both"].arms) == both and len(study.methods["both"].arms) == len(both)
    assert study.methods == {
        "none": Method((Arm("none", best_of=2),), "never"),
        "both": Method(study.methods["both"].arms, "halving", ("joined", "base")),
        "raw": Method((Arm("qgf", weight=0.05, steps=20),), "never"),
        "qgf offline": Method(tuple(Arm("qgf", s, best_of=3) for s in (1, 2)), "offline"),
        "scale": Method(tuple(Arm("cfgrl", s) for s in SCALES)),
        "placebo of ood": Method((Arm("placebo:ood", 2),), "halving"),
    }


def test_lists_in_a_training_are_a_grid_that_a_method_chooses_from(tmp_path):
    text = """
[train.edp]
method = "edp"
critic_from = "base"
alpha = [3, 10.5]
width = [8, 16]
[method.edp]
guide = "none"
train = ["base", "edp"]
"""
    study = read(tmp_path, SMALL + text)
    names = [f"edp-alpha-{a}-width-{w}" for a in (3, 10.5) for w in (8, 16)]
    assert list(study.trainings) == ["base", *names]
    wanted = TrainConfig(method=METHODS["edp"](alpha=10.5, width=8))
    assert study.trainings["edp-alpha-10.5-width-8"] == Training(wanted, critic_from="base")
    assert study.methods["edp"] == Method((Arm("none"),), "halving", ("base", *names))
    (env,) = study.environments
    assert study.methods["edp"].candidates(env) == [Candidate(name, Arm("none")) for name in ("base", *names)]
    assert study.methods["qgf"].candidates(env)[0] == Candidate("base", Arm("qgf", STRENGTHS[0]))


DOCS = Path(__file__).parents[2] / "docs" / "studies"


def said(x):
    """What differs from the defaults, in the words of JSON."""
    if dataclasses.is_dataclass(x):
        fields = {f.name: (getattr(x, f.name), f.default) for f in dataclasses.fields(x)}
        return {"": type(x).__name__} | {name: said(value) for name, (value, usual) in fields.items() if value != usual}
    if isinstance(x, dict):
        return {key: said(value) for key, value in x.items()}
    return [said(value) for value in x] if isinstance(x, (list, tuple)) else x


@pytest.mark.parametrize("path", sorted(DOCS.glob("*.toml")), ids=lambda path: path.stem)
def test_the_studies_of_the_documentation_say_what_they_always_said(path):
    """studies.json is what the first reader, whose schema was its own, made of them."""
    wanted = json.loads(Path(__file__).with_name("studies.json").read_text(encoding="utf-8"))
    assert said(read_study(path)) == wanted[path.stem]


# What is wrong

ENV, TRAIN, METHOD = re.split(r"(?m)^(?=\[(?:train|method))", SMALL)
TWO = ENV + TRAIN + "[train.other]\n" + METHOD
WRONG = {  # name: text, what the line must say
    "broken TOML": ("episodes = \n" + SMALL, ["broken TOML", "line 1"]),
    "no environment": (TRAIN + METHOD, ["no [environment] section"]),
    "no train": (ENV + METHOD, ["no [train] section"]),
    "no method": (ENV + TRAIN, ["no [method] section"]),
    "nothing": ("", ["no [environment] section"]),
    "unknown section": (SMALL + "[methods.x]\n", ["unknown key 'methods'", "did you mean 'method'"]),
    "logger": ('log = ["tensorbord"]\n' + SMALL, ["at log", "unknown logger", "did you mean 'tensorboard'"]),
    "unknown key": ("episode = 3\n" + SMALL, ["unknown key 'episode'", "did you mean 'episodes'"]),
    "environment key": (ENV + "task = 3\n" + TRAIN + METHOD, ["at environment", "'task'", "did you mean 'tasks'"]),
    "train key": (ENV + TRAIN + "widht = 3\n" + METHOD, ["at train.base", "'widht'", "did you mean 'width'"]),
    "seed of a training": (ENV + TRAIN + "seed = 3\n" + METHOD, ["at train.base", "unknown key 'seed'"]),
    "method key": (SMALL + "strenght = 1\n", ["at method.qgf", "'strenght'", "did you mean 'strength'"]),
    "tuning key": (SMALL + "[tuning]\nrung = [1]\n", ["at tuning", "'rung'", "did you mean 'rungs'"]),
    "training method": (ENV + TRAIN + 'method = "bcc"\n' + METHOD, ["at train.base", "did you mean 'bc'"]),
    "guide": (SMALL + 'guide = "qfg"\nstrength = 1\n', ["at method.qgf", "did you mean 'qgf'"]),
    "guide among good ones": (SMALL + 'guide = ["ood", "bppt"]\n', ["at method.qgf", "did you mean 'bptt'"]),
    "schedule": (SMALL + 'schedule = "lineer"\n', ["at method.qgf", "did you mean 'linear'"]),
    "way to tune": (
        SMALL + 'tune = "halve"\n', ['at method.qgf.tune: expected one of "halving", "never", "offline", got "halve"'],
    ),
    "training of a method": (SMALL + 'train = "bass"\n', ["at method.qgf", "did you mean 'base'"]),
    "training of an environment": (
        ENV + 'train = "bass"\n' + TRAIN + METHOD, ["at environment", "did you mean 'base'"],
    ),
    "lender": (ENV + TRAIN + 'flow = "bass"\n' + METHOD, ["at train.base.flow", "unknown training 'bass'"]),
    "lender of critics": (ENV + TRAIN + 'critic_from = "b"\n' + METHOD, ["at train.base.critic_from", "'b'"]),
    "lent to itself": (ENV + TRAIN + 'critic_from = "base"\n' + METHOD, ["borrow from one another", "base -> base"]),
    "circle": (
        ENV + TRAIN + 'flow = "other"\n[train.other]\ncritic_from = "base"\n' + METHOD,
        ["borrow from one another", "base", "other"],
    ),
    "two scales": (SMALL + "strength = [1, 2]\nweight = 0.1\n", ["at method.qgf", "strengths or weights, not both"]),
    "several arms": (
        SMALL + 'tune = "never"\n', ["at method.qgf", "6 arms and nothing to choose by", "write each = true"],
    ),
    "several trainings": (
        TWO + 'guide = "none"\ntrain = ["base", "other"]\ntune = "never"\n',
        ["at method.qgf", "2 arms and nothing to choose by", "write each = true"],
    ),
    "unknown among trainings": (SMALL + 'train = ["base", "bass"]\n', ["at method.qgf", "unknown training 'bass'"]),
    "offline trainings": (
        TWO + 'strength = [1, 2]\ntrain = ["base", "other"]\ntune = "offline"\n',
        ["at method.qgf", "offline chooses among", "train"],
    ),
    "empty list of trainings": (ENV + TRAIN + "steps = []\n" + METHOD, ["at train.base.steps: an empty list"]),
    "wrong in a list": (
        ENV + TRAIN + "steps = [10, 0.5]\n" + METHOD, ["at train.base.steps: expected a whole number >= 1, got 0.5"],
    ),
    "a training twice": (
        ENV + TRAIN + "[train.a]\nsteps = [1, 2]\n[train.a-steps-2]\n" + METHOD, ["at train.a-steps-2", "rename"],
    ),
    "offline weights": (SMALL + 'weight = [1, 2]\ntune = "offline"\n', ["at method.qgf", "offline chooses among"]),
    "offline guides": (
        SMALL + 'guide = ["qgf", "ood"]\ntune = "offline"\n', ["at method.qgf", "offline chooses among"],
    ),
    "offline samples": (SMALL + 'best_of = [1, 2]\ntune = "offline"\n', ["at method.qgf", "offline chooses among"]),
    "offline without guide": (SMALL + 'guide = "none"\ntune = "offline"\n', ["at method.qgf", "offline chooses among"]),
    "equal seeds": ("seed = 1\n" + SMALL, ["seed and the tuning seed are both 1"]),
    "tuned on what is reported": (SMALL + "[tuning]\npolicy_seed = 0\n", ["training seed 0 is reported for"]),
    "equal seeds by tuning": (SMALL + "[tuning]\nseed = 0\n", ["seed and the tuning seed are both 0"]),
    "environment twice": (ENV + SMALL, ["at environment", "pointmaze-medium-navigate is there twice"]),
    "environment without name": ("[[environment]]\ntasks = [1]\n" + TRAIN + METHOD, ["at environment", "'name'"]),
    "environment without tasks": (ENV.replace("tasks = [1, 2]", "") + TRAIN + METHOD, ["at environment", "'tasks'"]),
    "unknown environment": (
        SMALL.replace("medium", "medum"),
        ["at environment[0]: pointmaze-medum-navigate, task 1", "did you mean 'pointmaze-medium-navigate-singletask"],
    ),
    "unknown task": (SMALL.replace("[1, 2]", "[1, 9]"), ["task 9", "unknown environment"]),
    "training settings": (
        ENV + TRAIN + "discount = 1.5\n" + METHOD, ["at train.base.discount: expected a number > 0 < 1, got 1.5"],
    ),
    "training without steps": (
        ENV + TRAIN + "steps = 0\n" + METHOD, ["at train.base.steps: expected a whole number >= 1, got 0"],
    ),
}  # fmt: skip


def message(folder, text):
    with pytest.raises(UserError) as caught:
        read(folder, text)
    line = str(caught.value)
    assert line.startswith(f"{folder / 'mine.toml'}") and "\n" not in line
    return line


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named(tmp_path, name):
    text, said = WRONG[name]
    line = message(tmp_path, text)
    assert [part for part in said if part not in line] == [], line


def study(**sections):
    """A file with one more line in a section."""
    env, train, method = (part + sections.get(name, "") for part, name in zip((ENV, TRAIN, METHOD), KINDS, strict=True))
    return "\n".join([sections.get("top", ""), env, train, method, "[tuning]", sections.get("tuning", "")])


KINDS = ("environment", "train", "method")
TYPES = {  # section: key: values of wrong types
    "top": dict(episodes=['"50"', "0", "2.5", "true", "[1]"], seed=["-1", '"a"', "1.0"], use=['"file.py"', "[1]", "3"]),
    "tuning": dict(rungs=["8", "[]", '["a"]', "[8, 0]", "[2.5]"], seed=['"a"', "-2"], tasks=["0", "[1]", '"all"']),
    "environment": dict(
        seeds=["0", "[]", '["a"]', "[0, 0]", "[-1]", "[true]"], transitions=['"many"', "0", "1e5"], train=["1", "[]"],
    ),
    "train": dict(
        method=["3", '["bc"]', "{}"], steps=['"10"', "1.5", "[[1]]"], width=['"wide"', "1.5"], expectile=['"high"'],
        precision=["3", '"float16"', "[]"], flow=["1", '["base"]'], critic_from=["{}"], learning_rate=["nan", "true"],
    ),
    "method": dict(
        guide=["3", "[]", "[1]", "{}"], strength=['"big"', "[]", '["a"]', "nan", "true", "{}"], weight=["[[1]]", '"a"'],
        best_of=["0", "2.5", '"4"', "[1, 0]"], schedule=["1", "[2]"], steps=["[5, 10]", "0", '"a"'], tune=["1", "[]"],
        train=["1", "[]"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    "section, key, value", [(s, key, x) for s, keys in TYPES.items() for key, values in keys.items() for x in values]
)
def test_wrong_types_are_told_and_not_tracebacks(tmp_path, section, key, value):
    line = message(tmp_path, study(**{section: f"{key} = {value}\n"}))
    where = dict(top="", environment="environment[0].", train="train.base.", method="method.qgf.", tuning="tuning.")
    twice = f"mine.toml: at environment[0]: {key}: no number may stand there twice"
    assert f"mine.toml: at {where[section]}{key}" in line or twice in line


@pytest.mark.parametrize("value", ["1", "[]", '"all"', '["one"]', "[1.5]", "[1, 1]", "[0]"])
def test_tasks_of_wrong_types(tmp_path, value):
    line = message(tmp_path, SMALL.replace("[1, 2]", value))
    assert re.search(
        r"at environment\[0\]\.tasks.* expected .*, got|environment\[0\]: tasks: no number .* twice", line
    ), line


@pytest.mark.parametrize(
    "text, said",
    [
        (SMALL.replace("[[environment]]", "[environment]"), "at environment: expected a list, got {"),
        ("environment = 3\n" + TRAIN + METHOD, "at environment: expected a list, got 3"),
        ("environment = [3]\n" + TRAIN + METHOD, "at environment[0]: expected a table, got 3"),
        ("train = 3\n" + ENV + METHOD, "at train: expected a table, got 3"),
        ("method = [1]\n" + ENV + TRAIN, "at method: expected a table, got [1]"),
        ("tuning = 3\n" + SMALL, "at tuning: expected a table, got 3"),
        (ENV + "[train]\nsteps = 300\n" + METHOD, "at train.steps: expected a table, got 300"),
        (ENV + TRAIN + '[method]\nguide = "qgf"\n', 'at method.guide: expected a table, got "qgf"'),
        (SMALL.replace('"pointmaze-medium-navigate"', "7"), "at environment[0].name: expected text, got 7"),
    ],
)
def test_sections_that_are_none(tmp_path, text, said):
    assert f"mine.toml: {said}" in message(tmp_path, text)


def test_a_message_says_all_that_was_expected(tmp_path):
    text = SMALL + "strength = [0.5, 'x']\n"
    assert message(tmp_path, text).endswith('mine.toml: at method.qgf.strength[1]: expected a number, got "x"')
    text = SMALL + "strength = 'x'\n"
    assert message(tmp_path, text).endswith(
        'at method.qgf.strength: expected a number or a list, each a number, at least one, got "x"'
    )
    text = SMALL.replace("[method.qgf]", '[method."my way"]') + "best_of = 0\n"
    assert message(tmp_path, text).endswith(
        'at method."my way".best_of: expected a whole number >= 1 or a list, each a whole number >= 1, at least one, '
        "got 0"
    )


# A row of results for each


def test_each_value_is_a_method_of_its_own(tmp_path):
    study = read(tmp_path, SMALL + "strength = [0.5, 2]\neach = true\n")
    assert study.methods == {
        "none": Method((Arm("none"),), "never"),
        "qgf 0.5": Method((Arm("qgf", 0.5),), "never"),
        "qgf 2": Method((Arm("qgf", 2),), "never"),
    }


def test_all_that_is_in_a_list_is_in_the_name(tmp_path):
    text = (
        ENV
        + "[train.a]\nwidth = [8, 16]\n[method.all]\n"
        + """
guide = ["ood", "qgf"]
strength = 1
best_of = [1, 4]
schedule = "score"
train = "a"
each = true
"""
    )
    methods = read(tmp_path, text).methods
    assert len(methods) == 1 + 2 * 2 * 2
    wanted = Method((Arm("qgf", 1, best_of=4, schedule="score"),), "never", ("a-width-16",))
    assert methods["all qgf best-of-4 a-width-16"] == wanted
    weights = read(tmp_path, SMALL + "weight = [0.1, 3]\neach = true\n").methods
    assert list(weights) == ["none", "qgf w=0.1", "qgf w=3"]
    asked = read(tmp_path, SMALL + 'strength = 1\nmembers = ["own", "min", 0]\nrobust = true\neach = true\n').methods
    assert list(asked) == ["none", "qgf", "qgf members min", "qgf members 0"]
    assert asked["qgf members 0"].arms == (Arm("qgf", 1, members="0", robust=True),)
    held = read(tmp_path, SMALL + 'strength = 1\nmembers = 0\nfallback = ["none", "judged"]\neach = true\n').methods
    assert list(held) == ["none", "qgf", "qgf fallback judged"]
    assert held["qgf fallback judged"].arms == (Arm("qgf", 1, members="0", fallback="judged"),)
    chosen = read(tmp_path, SMALL + 'guide = "none"\nbest_of = 4\nmembers = 1\nchoose = "others"\n').methods["qgf"]
    assert chosen.arms == (Arm("none", best_of=4, members="1", choose="others"),)
    assert list(read(tmp_path, SMALL + "strength = 1\neach = true\n").methods) == ["none", "qgf"]


@pytest.mark.parametrize(
    "more, said",
    [
        ('each = true\ntune = "halving"\n', "at method.qgf: each reports all that is in the lists"),
        ('strength = [1, 2]\neach = true\n[method."qgf 2"]\nstrength = 2\n', "qgf 2 is another section, too"),
        ("strength = [1, 1.0000001]\neach = true\n", "at method.qgf: two of its rows would be called qgf 1"),
        ('fallback = "judged"\n', "at method.qgf: choose='others' are those that do not guide: let one guide"),
        ('members = "meen"\n', "at method.qgf: unknown way to ask the members 'meen': did you mean 'mean'?"),
        ("each = 1\n", "at method.qgf.each: expected true or false, got 1"),
    ],
)
def test_each_that_cannot_be(tmp_path, more, said):
    assert said in message(tmp_path, SMALL + more)


def test_files_that_cannot_be_read(tmp_path):
    path = tmp_path / "mine.toml"
    for prepare, said in (
        (lambda: None, "no such file"),
        (path.mkdir, "cannot be read"),
        (lambda: (path.rmdir(), path.write_bytes(b"\xff\xfe\x00name")), "is not text in UTF-8"),
    ):
        prepare()
        with pytest.raises(UserError, match=said) as caught:
            read_study(path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_study_can_be_read_where_there_are_no_simulators(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ogbench", None)
    with pytest.raises(UserError, match="environments need"):
        family_of("cube-single-play").check("cube-single-play")
    (env,) = read(tmp_path, SMALL.replace("medium", "medum")).environments
    assert (env.tasks, env.goals, env.full(2)) == ((1, 2), False, "pointmaze-medum-navigate-singletask-task2-v0")


def test_the_options_of_every_method_can_be_written_down(tmp_path):
    """Each option of `qgf train` and of its methods, at its default, is accepted."""
    for name, method in METHODS.items():
        parts = (TrainConfig, method, type(method().critic))
        options = {f.name: f.default for cls in parts for f in dataclasses.fields(cls)} | dict(
            critic=method().critic.name
        )
        given = {k: x for k, x in options.items() if k not in ("method", "seed", "seeds") and x is not None}
        lines = [f"{k} = {str(x).lower() if isinstance(x, bool) else repr(x)}" for k, x in given.items()]
        text = ENV + "\n".join([f'[train.base]\nmethod = "{name}"', *lines, METHOD])
        assert read(tmp_path, text).trainings["base"].config == TrainConfig(method=method())
    wide = read(tmp_path, ENV + '[train.base]\ncritic = "hl-gauss"\ncritics = 3\nvalue_low = -9.5\n' + METHOD)
    assert wide.trainings["base"].config.method == BC(critic=HLGauss(critics=3, value_low=-9.5))
    assert "unknown key 'value_low'" in message(tmp_path, ENV + "[train.base]\nvalue_low = -9.5\n" + METHOD)
    paper = read(tmp_path, ENV + '[train.base]\npreset = "paper"\nsteps = 30\n' + METHOD).trainings["base"].config
    assert (paper.steps, paper.batch_size, paper.method) == (30, 1024, BC(1024, 4))
    assert "unknown preset 'p'" in message(tmp_path, ENV + '[train.base]\npreset = "p"\n' + METHOD)
    each = read(tmp_path, ENV + '[train.base]\ncritic = ["td", "iql"]\n' + METHOD.replace('"base"', '"base"'))
    assert [x.config.method for x in each.trainings.values()] == [BC(critic="td"), BC()]


def test_files_of_ones_own_are_code_that_is_used_first(tmp_path, forget):
    from qgf.method.guidance import ESTIMATORS

    (tmp_path / "more.py").write_text(
        "import qgf\nqgf.guidance.ESTIMATORS['twice'] = lambda v, q, a, t: 2 * qgf.guidance.qgf(v, q, a, t)\n"
    )
    with pytest.raises(UserError, match=r"more\.py is code, .* read it, then: qgf --use .*more\.py compare"):
        read(tmp_path, 'use = ["more.py"]\n' + SMALL)
    assert "twice" not in ESTIMATORS.own
    (tmp_path / "mine.toml").unlink()
    use(tmp_path / "more.py")
    try:
        study = read(tmp_path, 'use = ["more.py"]\n' + SMALL + 'guide = "twice"\nstrength = 1\n')
        assert study.methods["qgf"].arms == (Arm("twice", 1),)
        assert study.use == (tmp_path / "more.py",)
    finally:
        ESTIMATORS.pop("twice", None)
    (tmp_path / "mine.toml").unlink()
    with pytest.raises(UserError, match=r"gone\.py is code"):
        read(tmp_path, 'use = ["gone.py"]\n' + SMALL)


SWEPT = """
[sweep]
seeds = [0, 1, 2]
width = [64, 128]
alpha = [1.0, 3.0]
[[environment]]
name = "pointmaze-medium-navigate"
tasks = [1, 2]
[train.edp]
method = "edp"
[method.qgf]
strength = 1
[method.named]
strength = 1
train = "edp"
"""
WRITTEN = SWEPT.replace("[sweep]\nseeds = [0, 1, 2]\nwidth = [64, 128]\nalpha = [1.0, 3.0]\n", "")


def test_a_sweep_is_the_file_with_its_seeds_and_settings_written_out(tmp_path):
    text = WRITTEN.replace("tasks = [1, 2]", "tasks = [1, 2]\nseeds = [0, 1, 2]")
    text = text.replace('method = "edp"', 'method = "edp"\nwidth = [64, 128]\nalpha = [1.0, 3.0]')
    text = text.replace("[method.qgf]", '[method.qgf]\ntrain = ["edp"]\neach = true')
    swept, written = read(tmp_path, SWEPT), read(tmp_path, text)
    assert swept == written
    assert len(swept.trainings) == 4 and "qgf edp-width-64-alpha-3.0" in swept.methods
    assert len(read(tmp_path, WRITTEN.replace("[[env", "[sweep]\nseeds = [4, 5]\n[[env")).trainings) == 1


@pytest.mark.parametrize(
    "old, new, said",
    [
        ("width = [64, 128]", "width = 64", r"at sweep\.width: one value is no sweep; give a list"),
        ("tasks = [1, 2]", "tasks = [1, 2]\nseeds = [0]", r"at environment\[0\]\.seeds: \[sweep\] says it, too"),
        ('method = "edp"', 'method = "edp"\nwidth = 8', r"at train\.edp\.width: \[sweep\] says it, too"),
        ("width = [64, 128]", "widht = [64, 128]", r"at train\.edp: .*widht"),
    ],
)
def test_a_sweep_that_says_nothing_or_twice(tmp_path, old, new, said):
    with pytest.raises(UserError, match=said) as caught:
        read(tmp_path, SWEPT.replace(old, new))
    assert "\n" not in str(caught.value)
