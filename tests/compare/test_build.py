"""From runs to arms: what is compared with what, what is drawn, and what is not silently dropped."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from run_folders import evaluated, learned, write_run, write_sweep
from scipy import stats

from dsmath.compare.build import compare
from dsmath.compare.comparison import Comparison
from dsmath.compare.sources import read_sources
from dsmath.errors import UserError

ARMS = {"0.0": [0.50, 0.52, 0.49], "0.04": [0.70, 0.73, 0.69]}
GREEDY = "eval/rl/held_out/greedy"


def compared(folder: Path, **options: object) -> Comparison:
    found, options = read_sources([str(folder)], {}), {"confidence": 0.95, **options}
    return compare(found.runs, found.never_begun, sources=[str(folder)], title="t", **options)  # type: ignore[arg-type]


def test_arms_are_what_varied_but_the_seed_and_are_paired_by_it(tmp_path: Path) -> None:
    found = compared(write_sweep(tmp_path / "s", ARMS))
    assert (found.by, [arm.label for arm in found.arms]) == (("kl.coef",), ["kl.coef = 0.0", "kl.coef = 0.04"])
    base, arm = found.metrics[0].arms
    assert (found.metrics[0].metric, base.values, arm.values) == (GREEDY, tuple(ARMS["0.0"]), tuple(ARMS["0.04"]))
    assert arm.difference is not None
    assert arm.difference.p == pytest.approx(stats.ttest_rel(ARMS["0.04"], ARMS["0.0"]).pvalue)
    assert arm.difference.verdict == "higher"
    assert found.missing == ()
    cost = found.costs["kl.coef = 0.04"]
    assert (cost.stage, cost.tokens, cost.seconds, cost.peak_memory_mb) == ("rl", 1000.0, 2.0, 300.0)


def test_the_baseline_is_the_first_arm_or_the_named_one(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "s", ARMS)
    for name in ("0.04", "kl.coef=0.04", "kl.coef = 0.04"):
        found = compared(sweep, baseline=name)
        assert found.baseline.values == {"kl.coef": "0.04"}
        assert [n.difference is None for n in found.metrics[0].arms] == [False, True]
    with pytest.raises(UserError, match=r"--baseline 0.4: no such arm.*there are kl.coef=0.0; kl.coef=0.04"):
        compared(sweep, baseline="0.4")


def grid(folder: Path, *, skip: tuple[str, int, int] | None = None) -> Path:
    point = 0
    for coef in ("0.0", "0.04"):
        for size in (4, 8):
            for seed in range(3):
                if (coef, size, seed) != skip:
                    write_run(
                        folder / str(point), seed=seed,
                        overrides=[f"kl.coef={coef}", f"sampling.group_size={size}", f"seed={seed}"],
                        config={"kl": {"coef": float(coef)}, "sampling": {"group_size": size}},
                        results=evaluated(0.1 * seed + 0.01 * size + float(coef) * (1 + 0.1 * seed)),
                    )  # fmt: skip
                point += 1
    return folder


def test_with_by_the_runs_are_paired_by_what_else_varied_too(tmp_path: Path) -> None:
    found = compared(grid(tmp_path / "s"), by=["kl.coef"])
    _, arm = found.metrics[0].arms
    assert (len(arm.values), found.missing) == (3, ())
    assert arm.difference is not None
    assert arm.difference.value == pytest.approx(np.mean([0.04 * (1 + 0.1 * seed) for seed in range(3)]))
    assert "differ in sampling.group_size too" in found.notes[0]


def test_a_seed_that_other_arms_have_is_missed(tmp_path: Path) -> None:
    found = compared(grid(tmp_path / "s", skip=("0.04", 8, 1)))
    assert [(m.what, m.state) for m in found.missing] == [
        ("kl.coef = 0.04, sampling.group_size = 8, seed = 1", "missing")
    ]
    assert found.metrics[0].arms[-1].difference is not None
    assert found.metrics[0].arms[-1].difference.seeds == 2


def test_arms_without_common_seeds_are_unpaired_and_it_is_said(tmp_path: Path) -> None:
    for point, (coef, seed, greedy) in enumerate((("0.0", 0, 0.5), ("0.0", 1, 0.6), ("0.1", 2, 0.7), ("0.1", 3, 0.9))):
        write_run(
            tmp_path / str(point), seed=seed, overrides=[f"kl.coef={coef}", f"seed={seed}"], results=evaluated(greedy)
        )
    found = compared(tmp_path)
    difference = found.metrics[0].arms[1].difference
    assert difference is not None
    assert not difference.paired
    assert difference.p == pytest.approx(stats.ttest_ind([0.7, 0.9], [0.5, 0.6], equal_var=False).pvalue)
    assert any("unpaired" in note for note in found.metrics[0].notes)


def test_runs_of_different_metrics_are_compared_where_they_can_be_and_the_others_named(tmp_path: Path) -> None:
    write_run(tmp_path / "0", overrides=["kl.coef=0.0", "seed=0"], results=evaluated(0.5))
    write_run(tmp_path / "1", seed=1, overrides=["kl.coef=0.0", "seed=1"], results={"sft": {"validation_loss": 0.4}})
    found = compared(tmp_path)
    assert found.metrics[0].arms[0].values == (0.5,)
    assert [(m.where, m.state) for m in found.missing] == [(str(tmp_path / "1"), f"no {GREEDY}")]


def test_failed_and_never_begun_runs_are_listed_not_dropped(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "s", ARMS)
    write_run(sweep / "6", seed=0, overrides=["kl.coef=0.16", "seed=0"], failure="ValueError: no")
    found = compared(sweep)
    assert [(m.what, m.state, m.detail) for m in found.missing] == [
        ("kl.coef = 0.16, seed = 0", "failed", "ValueError: no"),
        ("kl.coef = 0.16, seed = 1", "missing", "other arms have this seed"),
        ("kl.coef = 0.16, seed = 2", "missing", "other arms have this seed"),
    ]
    assert [arm.label for arm in found.arms][-1] == "kl.coef = 0.16"


def test_a_repeated_run_counts_once_the_later_one(tmp_path: Path) -> None:
    write_sweep(tmp_path / "a", {"0.0": [0.5], "0.04": [0.6]})
    write_sweep(tmp_path / "b", {"0.0": [0.55], "0.04": [0.65]})
    found = compared(tmp_path)
    assert [n.values for n in found.metrics[0].arms] == [(0.55,), (0.65,)]
    assert [m.state for m in found.missing] == ["not counted", "not counted"]


def test_runs_of_an_arm_that_differ_in_more_than_their_seed_are_pointed_out(tmp_path: Path) -> None:
    for seed, lr in ((0, 0.1), (1, 0.2)):
        write_run(
            tmp_path / str(seed), seed=seed, overrides=[f"seed={seed}"], config={"rl": {"optim": {"lr": lr}}},
            results=evaluated(0.5),
        )  # fmt: skip
    assert "first in rl.optim.lr" in compared(tmp_path).notes[0]


def test_a_run_that_diverged_is_not_counted_with_what_it_was_before(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "s", ARMS)
    results = evaluated(0.5) | {"rl": {"kl": float("nan")}}
    rows = [{"stage": "rl", "step": 1, "kl": 0.9}]
    write_run(sweep / "6", seed=3, overrides=["kl.coef=0.0", "seed=3"], config={"kl": {"name": "loss_k3", "coef": 0.0}},
              results=results, rows=rows)  # fmt: skip
    found = compared(sweep, metrics=["rl/kl"])
    assert found.metrics[0].arms[0].values == (0.01, 0.01, 0.01)
    assert ("rl/kl is nan", str(sweep / "6")) in [(m.state, m.where) for m in found.missing]


def test_runs_of_one_arm_and_seed_that_are_different_experiments_are_refused(tmp_path: Path) -> None:
    for name, width in (("a", 64), ("b", 512)):
        write_run(tmp_path / name, overrides=["seed=0"], config={"model": {"width": width}}, results=evaluated(0.5))
    with pytest.raises(UserError, match=r"different experiments: model.width is 64 and 512; .*--by model.width"):
        compared(tmp_path)
    assert len(compared(tmp_path, by=["model.width"]).arms) == 2


def test_a_baseline_whose_points_never_began_stays_the_baseline(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "s", ARMS)
    asked = {"sweeper": {"params": {"kl.coef": "0.0,0.04", "seed": "range(0,3)"}}, "overrides": {"task": []}}
    (sweep / "multirun.yaml").write_text(yaml.safe_dump({"hydra": asked}))
    for point in range(3):
        shutil.rmtree(sweep / str(point))
    found = compared(sweep)
    assert found.baseline.values == {"kl.coef": "0.0"}
    assert "no run of the baseline arm" in found.metrics[0].notes[0]
    assert [m.state for m in found.missing] == ["missing"] * 3


def test_runs_without_a_seed_all_count(tmp_path: Path) -> None:
    for number, greedy in enumerate((0.5, 0.6)):
        folder = write_run(tmp_path / str(number), overrides=["kl.coef=0.0"], results=evaluated(greedy))
        record = json.loads((folder / "run.json").read_text()) | {"seed": None}
        (folder / "run.json").write_text(json.dumps(record))
        config = yaml.safe_load((folder / "config.yaml").read_text()) | {"seed": None}
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
    assert sorted(compared(tmp_path).metrics[0].arms[0].values) == [0.5, 0.6]


def test_no_run_done_is_a_mistake_that_names_the_states(tmp_path: Path) -> None:
    write_run(tmp_path / "0", failure="ValueError: no")
    with pytest.raises(UserError, match=r"no run is done \(.*failed, ValueError: no"):
        compared(tmp_path)


def test_curves_are_means_at_the_runs_own_steps_and_interpolated_over_tokens(tmp_path: Path) -> None:
    for seed, rewards in enumerate(((0.0, 0.2, 0.4), (0.2, 0.4))):
        write_run(
            tmp_path / str(seed), seed=seed, overrides=[f"seed={seed}"], results=evaluated(0.5), rows=learned(*rewards)
        )
    found = compared(tmp_path, metrics=["rl/reward_mean"])
    panels = {panel.x: panel.bands[0] for panel in found.curves if panel.metric == "rl/reward_mean"}
    assert set(panels) == {"step", "tokens", "seconds"}
    by_step = panels["step"]
    assert (by_step.x.tolist(), by_step.mean.tolist()) == ([1, 2, 3], pytest.approx([0.1, 0.3, 0.4]))
    assert by_step.runs.tolist() == [2, 2, 1]
    by_tokens = panels["tokens"]
    place = np.argmin(abs(by_tokens.x - 150))
    assert by_tokens.mean[place] == pytest.approx(np.interp(by_tokens.x[place], [100, 200], [0.1, 0.3]), abs=1e-9)
    assert found.metrics[0].arms[0].values == (0.4, 0.4)


@pytest.mark.parametrize(
    ("given", "meant"),
    [("eval/greedy", GREEDY), ("greedy", GREEDY), ("eval/sft/greedy", "eval/sft/held_out/greedy"), (GREEDY, GREEDY)],
)
def test_short_names_mean_the_last_model_on_the_held_out_problems(tmp_path: Path, given: str, meant: str) -> None:
    found = compared(write_sweep(tmp_path / "s", ARMS), metrics=[given])
    assert found.metrics[0].metric == meant


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"metrics": ["eval/greddy"]}, "no run has it, did you mean eval/greedy?"),
        ({"metrics": ["reward_mean"]}, "give its stage too: rl/reward_mean"),
        ({"by": ["seed"]}, "--by seed: seeds are what arms are repeated over"),
        ({"by": ["kl.coeff"]}, "--by kl.coeff: no run has it, did you mean kl.coef?; keys that vary: kl.coef"),
    ],
)
def test_a_name_that_no_run_has_is_answered_with_the_nearest(
    tmp_path: Path, options: dict[str, list[str]], said: str
) -> None:
    with pytest.raises(UserError) as error:
        compared(write_sweep(tmp_path / "s", ARMS), **options)
    assert said in str(error.value)


def test_a_metric_of_several_benchmarks_must_be_told_apart(tmp_path: Path) -> None:
    write_run(tmp_path / "0", results={f"eval@rl/{b}": {"greedy": 0.5} for b in ("gsm8k", "math")})
    with pytest.raises(UserError, match="several benchmarks; give one of eval/rl/gsm8k/greedy, eval/rl/math/greedy"):
        compared(tmp_path, metrics=["eval/greedy"])
    assert [t.metric for t in compared(tmp_path).metrics] == ["eval/rl/gsm8k/greedy", "eval/rl/math/greedy"]
