"""What a person reads after each mistake, to the letter; nothing is written, and nobody sees a traceback."""

from collections.abc import Callable
from pathlib import Path

import pytest

Dsmath = Callable[..., tuple[int, str, str]]
ONE = "dsmath: one mistake in this experiment, nothing was run\n  "
GSM8K = '{"question": "1 + 1?", "answer": "#### 2"}\n'

TEXTS = {
    "kl.coff=0.1": ONE + "kl.coff: unknown key, did you mean kl.coef?   [command line]",
    "kl=loss_k4": ONE + "kl = loss_k4: no such option, did you mean loss_k3?; there are "
    "implicit, loss_k3, none, reward_adaptive, reward_k1   [command line]",
    "seed=-1": ONE + "seed = -1: expected a whole number >= 0 and <= 4294967295   [command line]",
    "seed=1.5": ONE + "seed = 1.5: expected a whole number >= 0 and <= 4294967295   [command line]",
    "kl.coef=.04x": ONE + "kl.coef = '.04x': expected a number >= 0   [command line]",
    "kl.coef=": ONE + "kl.coef = '': expected a number >= 0   [command line]",
    "kl.coef=null": ONE + "kl.coef = null: expected a number >= 0   [command line]",
    "kl.coef=inf": ONE + "kl.coef = inf: expected a number >= 0   [command line]",
    "~kl.coef": ONE + "kl.coef: no value; give one with kl.coef=VALUE   [command line]",
    "~kl": ONE + "kl: no value; give one with kl=VALUE   [command line]",
    "kl=": ONE
    + "kl = : no such option; there are implicit, loss_k3, none, reward_adaptive, reward_k1   [command line]",
    "=": ONE + "=: cannot be read as KEY=VALUE (the key is empty)   [command line]",
    "a": "dsmath: a: neither a verb nor KEY=VALUE; verbs are run, plan, annotate, rerun, diff, mcnemar, "
    "compare, lineage, export, sync, grade, schema, status, resume",
    "plna": "dsmath: plna: neither a verb nor KEY=VALUE, did you mean plan?; verbs are run, plan, annotate, "
    "rerun, diff, mcnemar, compare, lineage, export, sync, grade, schema, status, resume",
    "run plan": "dsmath: run plan: expected one verb",
    "model=hf": ONE + "model.policy.path: no value; give one with model.policy.path=VALUE   [conf/model/hf.yaml:9]",
    "model=hf model.policy.path=./no/model": "dsmath: ./no/model: no such folder, and not a hub name (OWNER/NAME)",
    "+kl=none": ONE + "+kl=none: this group has its place already; leave the + out: kl=none   [command line]",
    "launcher=null": ONE
    + "launcher = null: a group needs an option; leave it out, or take one of local, slurm   [command line]",
    "sampling.group_size=1": ONE
    + "sampling.group_size = 1: a group's mean is its only baseline, so the advantage of a single sample is always 0; "
    "expected at least 2, or algorithm=ppo, which needs no group   [command line]",
    "rl.batch_size=10 sampling.group_size=8": ONE
    + "rl.batch_size = 10: not divisible by sampling.group_size = 8, so a group would be cut; expected a multiple of "
    "it, such as 8 or 16   [command line]",
    "kl.coef=0,-1": ONE + "kl.coef=-1  →  kl.coef = -1.0: expected a number >= 0   [command line]",
    "algorithm=grpo,grpoo": ONE
    + "algorithm=grpoo  →  algorithm = grpoo: no such option, did you mean grpo?; there are dapo, dpo, "
    "dr_grpo, grpo, grpo_iterative, grpo_process, gspo, online_rft, ppo, rft, rloo, sft   [command line]",
    "seed=range(0)": ONE + "the sweep: it has no points, one of its ranges is empty   [command line]",
    "--cfg job seed=0,1": ONE + "seed=0,1: several values, where one point is shown; give one of them   [command line]",
    "schedule@sft.schedule=constnat": ONE
    + "schedule@sft.schedule = constnat: no such option, did you mean constant?; there are constant, cosine, multi_step"
    "   [command line]",
    "eval.benchmarks=[gsm8k]": ONE
    + "eval.benchmarks: benchmarks are chosen by their group; expected benchmark=gsm8k, or "
    "benchmark=[gsm8k,math]   [command line]",
    "eval.prompt=boxd": ONE
    + "eval.prompt = 'boxd': expected one of model, boxed, tool, few_shot, program, did you mean "
    "boxed?   [command line]",
    "benchmark=gsm8k": "dsmath: paths.benchmarks is not set: the folder that holds gsm8k/test.jsonl; "
    "paths.benchmarks=FOLDER, or paths.benchmarks=hub for openai/gsm8k on the Hugging Face hub (docs/benchmarks.md "
    "says where each file comes from)",
    "plan benchmark=[gsm8k,sat] paths.benchmarks=nowhere": "dsmath: paths.benchmarks = nowhere: no such folder",
    "grade .": "dsmath: .: a folder",
    "data=gsm8k data.path=nowhere": "dsmath: nowhere: no such folder",
    "stage=corpus crawl=warc": ONE + "crawl.path: no value; give one with crawl.path=VALUE   [conf/crawl/warc.yaml:10]",
    "stage=corpus corpus.token_budgets.5=3": ONE
    + "corpus.token_budgets.5 = 3: expected a round, 1 to 4   [command line]",
    "annotate annotation=automatic": "dsmath: annotation=automatic: a rule decides; expected annotation=interactive, "
    "or annotation=file",
    "annotate round=2": "dsmath: annotation.file = dsmath:embedded_decisions.yaml: these decisions are the project's; "
    "expected annotation=interactive, which keeps yours in annotation.yaml, or annotation=file annotation.file=PATH",
    "annotate annotation=interactive": "dsmath: no round of this corpus is in store/ yet: expected `dsmath "
    "stage=corpus round=1` with the same words before its domains can be judged",
    "advantage.lam=0.9": ONE + "advantage.lam = 0.9: advantage=group has no use for it; algorithm=ppo takes it"
    "   [command line]",
    "algorithm=ppo value=none": ONE + "advantage = gae: needs a value model, and value=none has none; use "
    "value=separate or value=head (algorithm=ppo), or advantage=group",
    "reward=model reward.path=nowhere": "dsmath: reward.path = nowhere: no such folder; expected one of the stage "
    "reward_model",
    "rerun nowhere": "dsmath: nowhere: not a run folder, it has no config.yaml",
    "diff nowhere elsewhere": "dsmath: nowhere: not a run folder, it has no config.yaml",
    "diff nowhere": "dsmath: expected: dsmath diff RUN RUN",
    "--hlep": "dsmath: --hlep: no such option, did you mean --help?; there are --help, -h, --version, --cfg, -c, "
    "--resolve, --package, -p, --multirun, -m, --config-dir, -cd",
    "--config-dir nowhere": "dsmath: --config-dir nowhere: no such folder",
    "--cfg job --package klx": "dsmath: --package klx: the config has no such part",
}


@pytest.mark.parametrize("command", TEXTS)
def test_a_mistake_is_told_in_these_words_and_nothing_is_written(dsmath: Dsmath, command: str) -> None:
    code, out, err = dsmath(*command.split())
    assert err == f"{TEXTS[command]}\n"
    assert (code, out) == (2, "")
    assert not list(Path.cwd().iterdir())


@pytest.mark.parametrize(
    "command",
    [
        "sampling={group_size:8}", "data=[gsm8k]", "hydra.foo=1", "experiment=[]", "experiment=null", "~kl.coff",
        "seed=glob(*)", "seed=interval(0,1)", "hydra.sweeper.params.seed=0,1",
        "kl.coef.x=1", "kl.coef[0]=1", "optim=adamw",
        "kl..coef=1", "local=default",
        "model=tiny,null", "hydra=foo", "hydra/launcher=foo", "name=a/b", "name=", "paths.store=",
        "sft.optim.betas=[0.9]", "kl.coef=${nope}",
        "rl.problems=3", "rl.problems._target_=nope.nope", "--cfg foo", "--cfg",
        "--cfg job --package [", "--cfg all --resolve",
        "--multirun=3", "seed=1 plan", "kl.coef=1e400", "eval.of=sft", "+x=1",
    ],
)  # fmt: skip
def test_a_strange_override_is_a_message_not_a_traceback(dsmath: Dsmath, command: str) -> None:
    code, out, err = dsmath(*command.split())
    assert (code, out) == (2, "")
    assert err.startswith("dsmath: ")
    assert "Traceback" not in err
    assert not list(Path.cwd().iterdir())


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (None, "data/train.jsonl: no such file, did you mean test.jsonl? (the folder has test.jsonl)"),
        ("", "data/train.jsonl: it has no problems (it is empty)"),
        (
            GSM8K + "{oops\n",
            "data/train.jsonl: 1 of 2 lines cannot be read as gsm8k problems:\n"
            "  data/train.jsonl:2: not JSON: Expecting property name enclosed in double quotes at column 2",
        ),
    ],
    ids=["missing", "empty", "broken line"],
)
def test_a_data_file_that_cannot_be_used_is_told_before_anything_runs(
    dsmath: Dsmath, train: str | None, message: str
) -> None:
    Path("data").mkdir()
    Path("data/test.jsonl").write_text(GSM8K, encoding="utf-8")
    if train is not None:
        Path("data/train.jsonl").write_text(train, encoding="utf-8")
    assert dsmath("data=gsm8k", "data.path=data") == (2, "", f"dsmath: {message}\n")
    assert [path.name for path in Path.cwd().iterdir()] == ["data"]


def test_a_store_below_a_file_is_told(dsmath: Dsmath) -> None:
    Path("file").write_text("", encoding="utf-8")
    here = Path.cwd()
    text = f"dsmath: paths.store = file/store: {here}/file is not a folder; choose another with paths.store=FOLDER\n"
    assert dsmath("paths.store=file/store") == (2, "", text)


def write_experiment(text: str) -> None:
    Path("my/experiment").mkdir(parents=True)
    Path("my/experiment/mine.yaml").write_text(f"# @package _global_\n{text}", encoding="utf-8")


def test_a_typo_in_an_experiment_file_is_told_with_its_line(dsmath: Dsmath) -> None:
    write_experiment("name: mine\nkl:\n  coff: 0.1\n")
    text = ONE + "kl.coff: unknown key, did you mean kl.coef?   [my/experiment/mine.yaml:4]\n"
    assert dsmath("--config-dir", "my", "experiment=mine") == (2, "", text)


@pytest.mark.parametrize(
    "text", ["kl: {coef: 0.1\nname: x\n", "- a\n- b\n", "defaults:\n  - override /modle: tiny\n", "kl:\n\tcoef: 1\n"]
)
def test_a_broken_experiment_file_is_a_message(dsmath: Dsmath, text: str) -> None:
    write_experiment(text)
    code, out, err = dsmath("--config-dir", "my", "experiment=mine")
    assert (code, out) == (2, "")
    assert err.startswith("dsmath: one mistake in this experiment, nothing was run\n  ")


def test_ones_own_component_with_a_wrong_argument_is_told(dsmath: Dsmath, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("own_source.py").write_text("class Source:\n    def __init__(self, *, count): ...\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(Path.cwd()))
    write_experiment("rl:\n  problems:\n    _target_: own_source.Source\n    cuont: 3\n")
    Path("my/experiment/mine.yaml").write_text(
        "# @package _global_\ndata:\n  problems: null\nsft:\n  problems: {_target_: own_source.Source, cuont: 3}\n",
        encoding="utf-8",
    )
    _, _, err = dsmath("--config-dir", "my", "experiment=mine")
    assert "sft.problems.cuont: own_source.Source takes no such argument, did you mean count?" in err
