"""Scorers: the policy's transformer with a number for every token."""

from pathlib import Path

import pytest
import torch

from dsmath.errors import UserError
from dsmath.models.load import Policy, save_policy, tiny
from dsmath.models.scorer import (
    Scorer,
    load_scorer,
    require_same_tokenizer,
    save_scorer,
    scorer_from_policy,
    token_scores,
)
from dsmath.models.tokenizer import build_tokenizer


@pytest.fixture(scope="module")
def policy() -> Policy:
    return tiny(
        hidden_size=32, intermediate_size=64, layers=2, heads=2, context_length=48, initializer_range=0.06, seed=1
    )


@pytest.fixture
def scorer(policy: Policy) -> Scorer:
    """With a head that is not zero."""
    made = scorer_from_policy(policy)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        made.model.score.weight.copy_(torch.randn(1, 32, generator=generator))
        made.model.score.bias.fill_(0.5)
    return made


def test_a_new_scorer_has_the_policys_transformer_and_scores_zero(policy: Policy) -> None:
    before = torch.get_rng_state()
    made = scorer_from_policy(policy)
    assert torch.equal(before, torch.get_rng_state())
    theirs = policy.model.model.state_dict()
    assert all(torch.equal(weight, theirs[name]) for name, weight in made.model.model.state_dict().items())
    tokens = torch.tensor([[5, 6, 7]])
    assert token_scores(made.model, tokens, tokens > 0, response_length=3, before=False).tolist() == [[0.0, 0.0, 0.0]]
    with torch.no_grad():
        made.model.model.embed_tokens.weight.add_(1)
    assert not torch.equal(made.model.model.embed_tokens.weight, policy.model.model.embed_tokens.weight)


def test_a_score_is_a_linear_map_of_the_last_hidden_state_at_the_token(policy: Policy, scorer: Scorer) -> None:
    tokens = torch.tensor([[5, 6, 7, 8, 9]])
    hidden = policy.model(tokens, output_hidden_states=True).hidden_states[-1]
    expected = (hidden @ scorer.model.score.weight[0] + 0.5).detach()
    found = token_scores(scorer.model, tokens, tokens > 0, response_length=2, before=False)
    assert torch.allclose(found, expected[:, 3:5], atol=1e-5)
    earlier = token_scores(scorer.model, tokens, tokens > 0, response_length=2, before=True)
    assert torch.allclose(earlier, expected[:, 2:4], atol=1e-5)


def test_padding_changes_no_score(scorer: Scorer) -> None:
    rows = [([5, 6], [7, 8, 9]), ([10, 11, 12, 13], [14])]
    pad = scorer.tokenizer.pad_token_id
    sequences = torch.tensor([[pad, pad, 5, 6, 7, 8, 9], [10, 11, 12, 13, 14, pad, pad]])
    for before in (False, True):
        together = token_scores(scorer.model, sequences, sequences != pad, response_length=3, before=before)
        for row, (prompt, completion) in zip(together, rows, strict=True):
            tokens = torch.tensor([prompt + completion])
            alone = token_scores(scorer.model, tokens, tokens >= 0, response_length=len(completion), before=before)
            assert torch.allclose(row[: len(completion)], alone[0], atol=1e-5)


def test_what_is_saved_is_loaded_and_a_copy_is_its_own(scorer: Scorer, tmp_path: Path) -> None:
    save_scorer(scorer, tmp_path / "model")
    copied = scorer.copy()
    loaded = load_scorer(tmp_path / "model")
    with torch.no_grad():
        scorer.model.score.bias.fill_(9.0)
    for other in (loaded, copied):
        assert other.model.score.bias.item() == 0.5
        assert torch.equal(other.model.score.weight, scorer.model.score.weight)
    assert loaded.tokenizer.get_vocab() == scorer.tokenizer.get_vocab()
    assert (loaded.context_length, loaded.model.training, loaded.model.dtype) == (48, False, torch.float32)


def test_a_policys_folder_is_no_reward_model(policy: Policy, tmp_path: Path) -> None:
    save_policy(policy, tmp_path / "policy")
    with pytest.raises(UserError, match=r"policy: not a reward model: 2 weights are missing .* score\."):
        load_scorer(tmp_path / "policy")
    with pytest.raises(UserError, match=r"did you mean .*policy"):
        load_scorer(tmp_path / "polizy")


def test_another_tokenizer_is_refused_with_the_first_difference(policy: Policy, scorer: Scorer) -> None:
    require_same_tokenizer(scorer, policy, what="reward.path = X")
    smaller = build_tokenizer(vocab_size=400)
    other = Policy(policy.model, smaller, 48)
    sizes = f"{len(policy.tokenizer)} tokens against 400; token 400 is '.*' there and absent in the policy"
    with pytest.raises(UserError, match=rf"^reward\.path = X: its tokenizer is not the policy's.*{sizes}"):
        require_same_tokenizer(scorer, other, what="reward.path = X")


def test_a_model_that_knows_fewer_tokens_than_its_tokenizer_is_refused(policy: Policy, scorer: Scorer) -> None:
    small = scorer.copy()
    small.model.resize_token_embeddings(100)
    with pytest.raises(UserError, match=r"value\.init: its model knows 100 tokens and the policy's \d+, though"):
        require_same_tokenizer(small, policy, what="value.init")


def test_padding_with_a_token_that_the_scorer_lacks_changes_nothing(scorer: Scorer) -> None:
    mask = torch.tensor([[False, True, True, True, False]])
    found = [
        token_scores(scorer.model, torch.tensor([[pad, 5, 6, 7, pad]]), mask, response_length=3, before=False)[:, :2]
        for pad in (0, 10_000)
    ]
    assert torch.equal(found[0], found[1])
