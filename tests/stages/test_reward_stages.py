"""The chain to a reward model: what each stage leaves, and what it says when there is nothing to learn."""

import json
from pathlib import Path

from conftest import Dsmath, published

from dsmath.data.samples import read_samples
from dsmath.data.solutions import read_solutions
from dsmath.stages.reward_model import Description, load_reward_model

OWN = (
    "samples.questions=12", "samples.per_question=3", "samples.max_new_tokens=6", "reward_data.max_new_tokens=8",
    "samples.rule._target_=own_reward.Letters", "reward_data.rule._target_=own_reward.Letters",
    "reward_data.solutions_per_question=2", "reward_model.objective=pointwise", "reward_model.steps=3",
)  # fmt: skip
PROCESS = ("stage=reward_model", "reward_model.kind=process", *OWN)
BENCH = {"id": "b", "problem": "How many?", "steps": ["3 + 4 = 7", "\\boxed{8}"], "label": 1}


def marked(store: Path) -> str:
    """A character that ends a step in some output: the outputs of an untrained model hold anything."""
    texts = [sample.completion for sample in read_samples(published(store, "samples"))]
    return next(c for text in texts for c in text[1:-1] if c.isascii() and c.isalpha())


def test_the_chain_leaves_samples_labels_and_a_model(dsmath: Dsmath, tmp_path: Path) -> None:
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "gsm8k.jsonl").write_text(json.dumps(BENCH) + "\n")
    (tmp_path / "bench" / "long.jsonl").write_text(json.dumps({**BENCH, "steps": ["3 + 4 = 7"] * 90}) + "\n")
    first = dsmath(tmp_path, "stage=samples", *OWN)
    assert first.code == 0, first.err
    samples = read_samples(published(first.store, "samples"))
    assert len(samples) == 36
    assert len({sample.id for sample in samples}) == 12

    benchmark = "reward_model.benchmark={_target_: dsmath.data.process_bench.ProcessBench, path: bench}"
    mark = f"reward_data.step_mark={marked(first.store)}"
    done = dsmath(tmp_path, *PROCESS, mark, benchmark)
    assert done.code == 0, done.err
    solutions = read_solutions(published(done.store, "reward_data"))
    assert all(solution.steps[-1].share == float(solution.correct) for solution in solutions)
    assert any(len(solution.steps) > 1 for solution in solutions)
    held_out = {solution.id for solution in solutions if solution.split == "validation"}
    assert len(held_out) == 1
    assert all((solution.id in held_out) == (solution.split == "validation") for solution in solutions)

    entry = published(done.store, "reward_model")
    scorer, described = load_reward_model(entry)
    assert described == Description("process", "pointwise", "hard", mark.partition("=")[2])
    assert scorer.model.config.num_labels == 1
    summary = json.loads((entry / "entry.json").read_text())["summary"]
    assert (summary["benchmark"]["gsm8k"]["items"], summary["benchmark"]["gsm8k"]["left_out"]) == (1, 0)
    assert (summary["benchmark"]["long"]["items"], summary["benchmark"]["long"]["left_out"]) == (0, 1)
    assert "first_error_f1" not in summary["benchmark"]["long"]


def test_nothing_to_learn_from_is_said_with_what_to_change(dsmath: Dsmath, tmp_path: Path) -> None:
    unmarked = dsmath(tmp_path, *PROCESS, "reward_data.step_mark='@#@'")
    assert unmarked.code == 2
    assert "reward_data.step_mark = '@#@': ends no step in any of the" in unmarked.err
    assert "an output begins: '" in unmarked.err
    wrong = dsmath(tmp_path, "stage=reward_data", *OWN, "samples.rule._target_=dsmath.reward.rule.RuleReward")
    assert wrong.code == 2
    assert "outputs are wrong (accuracy 0)" in wrong.err
    few = dsmath(tmp_path, "stage=samples", *OWN, "data.problems.train_size=10")
    assert few.code == 2
    assert "samples.questions = 12: more than the 10 problems of the train split" in few.err
    outcome = dsmath(
        tmp_path, "stage=reward_model", *OWN,
        "reward_model.benchmark={_target_: dsmath.data.process_bench.ProcessBench, path: nowhere}",
    )  # fmt: skip
    assert outcome.code == 2
    assert "use reward_model.kind=process, or reward_model.benchmark=null" in outcome.err
