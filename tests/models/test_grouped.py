"""Prompts shared by their completions in one flat row, against a padded batch of whole sequences."""

from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForTokenClassification

from dsmath.models import scorer
from dsmath.models.grouped import ARCHITECTURES, Layout, can_group
from dsmath.rl import log_probs
from dsmath.rl.log_probs import head_log_probs, sequence_terms

PAD = 0
# prompt and completion: a group whose lengths differ much, another, one alone, one split up, an empty completion
ROWS = [
    ([5, 6, 7], [8, 9, 10, 11, 12, 13, 14, 15]),
    ([5, 6, 7], [9]),
    ([4], [3, 3, 4]),
    ([4], [3, 5, 4]),
    ([9, 8, 7, 6, 5], [4, 4]),
    ([5, 6, 7], [8, 9, 10, 11, 12, 13, 14, 3]),
    ([4], []),
]
RESPONSE = max(len(completion) for _, completion in ROWS)
SPECIAL: dict[str, dict[str, Any]] = {"mistral": {"sliding_window": None}, "smollm3": {"no_rope_layer_interval": 2}}


def model_of(kind: str, auto: Any = AutoModelForCausalLM, **changes: Any) -> Any:
    options = {
        "vocab_size": 20, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 4, "max_position_embeddings": 64, "initializer_range": 0.4,
        "pad_token_id": PAD, "eos_token_id": 2, "bos_token_id": 1,
    }  # fmt: skip
    torch.manual_seed(0)
    return auto.from_config(AutoConfig.for_model(kind, **(options | SPECIAL.get(kind, {}) | changes))).double().eval()


def padded_batch() -> tuple[torch.Tensor, torch.Tensor]:
    width = max(len(prompt) for prompt, _ in ROWS)
    rows = [[PAD] * (width - len(p)) + p + c + [PAD] * (RESPONSE - len(c)) for p, c in ROWS]
    real = [[0] * (width - len(p)) + [1] * (len(p) + len(c)) + [0] * (RESPONSE - len(c)) for p, c in ROWS]
    return torch.tensor(rows), torch.tensor(real, dtype=torch.bool)


def terms_and_gradients(model: Any, head: torch.nn.Module) -> list[torch.Tensor]:
    sequences, mask = padded_batch()
    inside = mask[:, -RESPONSE:]
    terms = sequence_terms(
        model, sequences, mask, response_length=RESPONSE, temperature=0.7, with_entropy=True, value_head=head
    )
    assert terms.entropy is not None
    assert terms.values is not None
    factors = torch.linspace(-1, 2, int(inside.sum()), dtype=torch.float64)
    total = (factors * (terms.log_probs[inside] + terms.values[inside])).sum()
    parameters = [*model.parameters(), *head.parameters()]
    gradients = torch.autograd.grad(total, parameters, allow_unused=True)
    found = [terms.log_probs[inside], terms.entropy[inside], terms.values[inside]]
    return [t.detach() for t in found] + [torch.zeros(1) if g is None else g for g in gradients]


@pytest.mark.parametrize("kind", sorted(ARCHITECTURES))
def test_terms_and_gradients_are_those_of_a_padded_batch(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(kind)
    head = torch.nn.Linear(16, 1).double()
    assert can_group(model)
    monkeypatch.setattr(log_probs, "LOGITS", 5 * 20)  # several chunks, the last one shorter
    found = terms_and_gradients(model, head)
    monkeypatch.setattr(log_probs, "can_group", lambda model: False)
    expected = terms_and_gradients(model, head)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)  # norms and rotations are float32 in every model
    assert sum(float(g.abs().sum()) > 0 for g in found[3:]) == len(list(model.parameters())) + 2


@pytest.mark.parametrize("before", [True, False])
def test_scores_of_tokens_are_those_of_a_padded_batch(before: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of("llama", AutoModelForTokenClassification, num_labels=1)
    sequences, mask = padded_batch()
    found = scorer.token_scores(model, sequences, mask, response_length=RESPONSE, before=before)
    monkeypatch.setattr(scorer, "can_group", lambda model: False)
    expected = scorer.token_scores(model, sequences, mask, response_length=RESPONSE, before=before)
    inside = mask[:, -RESPONSE:]
    torch.testing.assert_close(found[inside], expected[inside], rtol=1e-5, atol=1e-6)


def test_no_token_is_computed_twice_and_no_padding_at_all() -> None:
    sequences, mask = padded_batch()
    layout = Layout(sequences, mask, response_length=RESPONSE)
    prompts = {tuple(prompt) for prompt, _ in ROWS}
    assert len(layout.tokens) == sum(map(len, prompts)) + sum(len(completion) for _, completion in ROWS)
    numbers = torch.arange(len(layout.targets), dtype=torch.float32) + 1
    written = layout.padded(numbers)
    assert torch.equal(written[mask[:, -RESPONSE:]], numbers)
    assert torch.equal(layout.targets, sequences[:, -RESPONSE:][mask[:, -RESPONSE:]])


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("gemma2", {"query_pre_attn_scalar": 4}),  # squashes logits and slides windows
        ("mistral", {"sliding_window": 4}),
        ("granite", {}),  # scales its logits
        ("qwen2", {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 0}),
    ],
)
def test_architectures_that_do_more_take_the_padded_way(kind: str, changes: dict[str, Any]) -> None:
    assert not can_group(model_of(kind, **changes))


def test_a_model_with_a_forward_of_its_own_takes_the_padded_way() -> None:
    model = model_of("llama")

    class Own(type(model)):  # type: ignore[misc]
        def forward(self, *arguments: Any, **named: Any) -> Any:
            return super().forward(*arguments, **named)

    model.__class__ = Own
    assert not can_group(model)


def test_the_model_stays_what_it_was_for_everybody_else(tmp_path: Any) -> None:
    model = model_of("llama").float()
    tokens = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        before = model(tokens).logits
        assert can_group(model)
        sequence_terms(model, *padded_batch(), response_length=RESPONSE, temperature=1.0)
        assert torch.equal(model(tokens).logits, before)
        mask = torch.tensor([[0, 1, 1, 1]])
        positions = torch.tensor([[0, 0, 1, 2]])
        padded = model(torch.tensor([[PAD, 5, 6, 7]]), attention_mask=mask, position_ids=positions).logits[:, 1:]
    torch.testing.assert_close(padded, before[:, :3], rtol=1e-5, atol=1e-6)
    model.save_pretrained(tmp_path)
    assert "dsmath" not in (tmp_path / "config.json").read_text()


def test_the_heads_log_probs_never_hold_places_times_vocabulary() -> None:
    torch.manual_seed(0)
    head = torch.nn.Linear(8, 64, bias=False)
    states = torch.randn(4096, 8, requires_grad=True)
    tokens = torch.randint(64, (4096,))
    sizes: list[int] = []

    def note(tensor: torch.Tensor) -> torch.Tensor:
        sizes.append(tensor.numel())
        return tensor

    with pytest.MonkeyPatch.context() as patch, torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        patch.setattr(log_probs, "LOGITS", 64 * 100)
        found, _ = head_log_probs(states, head, tokens, temperature=1.0)
        found.sum().backward()
    assert max(sizes) < 4096 * 64 / 5
    expected = head(states).log_softmax(-1).gather(1, tokens[:, None]).squeeze(1)
    torch.testing.assert_close(found, expected)
