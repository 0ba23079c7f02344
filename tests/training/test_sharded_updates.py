"""Updates of models in shards: what one process learns, whoever has how many micro-batches; see sharded_cases.py."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.append(str(Path(__file__).parent))
import sharded_cases as cases


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two processes found."""
    folder = tmp_path_factory.mktemp("ranks")
    script, environment = Path(cases.__file__), os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    processes = [
        subprocess.Popen(
            [sys.executable, str(script), str(rank), str(folder / "store"), str(folder)],
            env=environment | {"LOCAL_RANK": str(rank), "NODE_RANK": "0"}, stderr=subprocess.PIPE, text=True,
        )
        for rank in (0, 1)
    ]  # fmt: skip
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1)]


def assert_alike(found: dict[str, Any], expected: dict[str, Any], *, within: float = 1e-5) -> None:
    assert found["weights"].keys() == expected["weights"].keys()
    for name, value in expected["weights"].items():
        torch.testing.assert_close(found["weights"][name].to(value.dtype), value, rtol=within, atol=within)
    for ours, theirs in zip(found["metrics"], expected["metrics"], strict=True):
        assert ours == pytest.approx(theirs, rel=10 * within)


@pytest.mark.parametrize("case", ["ddp", "shards", "checkpointed", "gathered"])
def test_two_ranks_with_unequal_micro_batches_learn_what_one_learns(ranks: list[dict[str, Any]], case: str) -> None:
    expected = cases.outcome(cases.trained(cases.Tiny(), "auto", 1))
    assert min(expected["metrics"][0][f"{part}gradient_norm"] for part in ("", "value_")) > 0.3, "both were clipped"
    for rank in ranks:
        assert_alike(rank[case], expected)


def test_a_head_of_its_own_learns_too(ranks: list[dict[str, Any]]) -> None:
    expected = cases.outcome(cases.trained(cases.Tiny(tied=False), "auto", 1))
    assert_alike(ranks[0]["untied"], expected)
    found = ranks[0]["untied"]["weights"]
    assert not torch.equal(found["model.lm_head.weight"], found["model.model.embed_tokens.weight"])


@pytest.mark.parametrize(("case", "dtype"), [("mixed", torch.float32), ("bf16", torch.bfloat16)])
def test_lower_precision_is_near(ranks: list[dict[str, Any]], case: str, dtype: torch.dtype) -> None:
    found, expected = ranks[0][case], ranks[0]["shards"]
    assert {value.dtype for name, value in found["weights"].items() if name.startswith("model.")} == {dtype}
    assert [m["loss"] for m in found["metrics"]] == pytest.approx([m["loss"] for m in expected["metrics"]], rel=0.02)


def test_gathered_models_are_whole_inside_and_in_shards_again_after(ranks: list[dict[str, Any]]) -> None:
    module = cases.trained(cases.Tiny(), "auto", 1)
    module.model.eval()
    for number, rank in enumerate(ranks):
        assert rank["gathered"]["kinds"] == [{"DTensor"}, {"Parameter"}, {"DTensor"}]
        row = cases.SHARE[number][-1]
        with torch.no_grad():
            torch.testing.assert_close(
                rank["gathered"]["logits"], module.model(cases.ROWS[row : row + 1]).logits, rtol=1e-4, atol=1e-4
            )


def test_a_loss_that_is_not_a_number_on_one_rank_stops_both_before_any_weight_changes(
    ranks: list[dict[str, Any]],
) -> None:
    for rank in ranks:
        assert rank["fails"]["error"].startswith("sft: the loss is nan at step 0; the weights are as before that step")
        for name, value in rank["fails"]["before"].items():
            assert torch.equal(rank["fails"]["after"][name], value), name
