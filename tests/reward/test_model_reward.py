"""The reward of a trained model: where it stands, and that it is the model's number."""

import sys
from pathlib import Path

import pytest
import torch

from dsmath.models.scorer import Scorer, scorer_from_policy, token_scores
from dsmath.reward.model import ModelReward
from dsmath.reward.steps import step_ends
from dsmath.rl.sampler import Rollout, as_rollout

sys.path.append(str(Path(__file__).parents[1] / "training"))
from training_tools import small_policy

TEXTS = ["3 + 4 = 7\n7 * 2 = 14\n\\boxed{14}", "\\boxed{7}", "3\n4"]


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    made = scorer_from_policy(small_policy())
    with torch.no_grad():
        made.model.score.weight.copy_(torch.randn(1, 16, generator=torch.Generator().manual_seed(0)))
    return made


@pytest.fixture(scope="module")
def rollout(scorer: Scorer) -> Rollout:
    tokenizer = scorer.tokenizer
    completions = [[*tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id] for text in TEXTS]
    prompts = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in ("Why?\n", "How many?\n", "a\n")]
    return as_rollout(prompts, completions, pad_token_id=tokenizer.pad_token_id, device=torch.device("cpu"))


@pytest.mark.parametrize("kind", ["outcome", "process"])
@pytest.mark.parametrize("transform", ["score", "probability"])
def test_rewards_are_the_models_scores_at_the_ends_alone(
    scorer: Scorer, rollout: Rollout, kind: str, transform: str
) -> None:
    reward = ModelReward(scorer, kind, transform, "\n")  # type: ignore[arg-type]
    scorer.model.train()
    rewards, ends = reward.score(rollout, micro_batch_size=2)
    assert scorer.model.training
    for row, completion in enumerate(rollout.completions()):
        expected = step_ends(scorer.tokenizer, completion, "\n") if kind == "process" else [len(completion) - 1]
        assert ends[row].nonzero().flatten().tolist() == expected
        prompt = rollout.prompt_tokens[row][rollout.prompt_mask[row]].tolist()
        alone = torch.tensor([[*prompt, *completion]])
        scores = token_scores(scorer.model.eval(), alone, alone >= 0, response_length=len(completion), before=False)[
            0, expected
        ]
        wanted = scores.sigmoid() if transform == "probability" else scores
        assert torch.allclose(rewards[row, expected], wanted, atol=1e-9)
        assert rewards[row].count_nonzero() == len(expected)
    assert not rewards.requires_grad
