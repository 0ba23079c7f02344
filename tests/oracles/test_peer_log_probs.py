"""Log-probabilities and entropies of tokens against TRL 1.16.0 and verl 0.9.1."""

import copy

import pytest
import torch
import trl_calls
from transformers import LlamaConfig, LlamaForCausalLM

from dsmath.rl.log_probs import sequence_terms, token_entropy, token_log_probs

pytestmark = pytest.mark.oracle

TRL, VERL = "TRL 1.16.0", "verl 0.9.1"


@pytest.fixture(name="logits")
def _logits():
    generator = torch.Generator().manual_seed(0)
    logits = 5 * torch.randn(3, 7, 50, generator=generator, dtype=torch.float64)
    return logits, torch.randint(50, (3, 7), generator=generator)


def test_token_log_probs_equal_the_peers(trl, verl, agree, logits):
    from trl.trainer.utils import selective_log_softmax
    from verl.utils.torch_functional import logprobs_from_logits_v2

    values, tokens = logits
    factors = torch.randn(3, 7, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def ours(x):
        return (factors * token_log_probs(x, tokens, temperature=1.0)).sum()

    for peer, log_probs in ((TRL, selective_log_softmax), (VERL, logprobs_from_logits_v2)):
        agree.losses("token_log_probs", peer, ours, lambda x, f=log_probs: (factors * f(x, tokens)).sum(), values)


def test_token_entropy_equals_the_peers(trl, verl, agree, logits):
    from trl.trainer.utils import entropy_from_logits
    from verl.utils.torch_functional import entropy_from_logits as verl_entropy

    values, _ = logits
    ours = token_entropy(values, temperature=1.0)
    agree.values("token_entropy", TRL, ours, entropy_from_logits(values))
    agree.values("token_entropy", VERL, ours, verl_entropy(values))


def test_sequence_log_probs_of_a_model_equal_trls_with_gradients_by_its_weights(trl, agree):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=23, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, tie_word_embeddings=True,
    )  # fmt: skip
    model = LlamaForCausalLM(config).double()
    theirs = copy.deepcopy(model)
    tokens = torch.randint(1, 23, (4, 11))
    mask = torch.ones(4, 11, dtype=torch.bool)
    mask[0, :3], mask[1, 9:], mask[2, 6:] = False, False, False  # five tokens of prompt, six of completion
    inside = mask[:, -6:]

    terms = sequence_terms(model, tokens, mask, response_length=6, temperature=0.7, with_entropy=True)
    their_log_probs, their_entropy = trl_calls.model_log_probs(theirs, tokens, mask, response_length=6, temperature=0.7)
    agree.values("sequence_terms", TRL, terms.log_probs[inside], their_log_probs[inside])
    agree.values("sequence_terms, entropy", TRL, terms.entropy[inside], their_entropy[inside])
    terms.log_probs[inside].square().sum().backward()
    their_log_probs[inside].square().sum().backward()
    for ours, other in zip(model.parameters(), theirs.parameters(), strict=True):
        agree.values("sequence_terms, gradient by weights", TRL, ours.grad, other.grad)
