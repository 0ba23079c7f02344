"""Whole GRPO training of a tiny random Llama: TRL 1.16.0's trainer and ours, on the same injected completions."""

import copy
from dataclasses import dataclass, replace
from functools import partial
from unittest.mock import patch

import lightning as L
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from dsmath.config.compose import composer
from dsmath.config.schema import Schedule
from dsmath.data.modules import Prompts
from dsmath.data.problem import Problem
from dsmath.models.load import Policy
from dsmath.models.tokenizer import build_tokenizer
from dsmath.reward.rule import RewardResult
from dsmath.rl.advantage import group_advantages
from dsmath.rl.aggregation import token_weights
from dsmath.rl.log_probs import sequence_log_probs
from dsmath.rl.loss import policy_objective
from dsmath.rl.sampler import as_rollout
from dsmath.rollout import own
from dsmath.rollout.own import OwnEngine
from dsmath.training.policy_optimisation import PolicyOptimisation

pytestmark = pytest.mark.oracle

PROMPTS, GROUP_SIZE, LONGEST = 4, 4, 10
LR, BETAS, EPSILON, DECAY, CLIP_NORM = 1e-2, (0.9, 0.95), 1e-5, 0.1, 0.05
BETA, CLIP, REWARD_EPSILON = 0.04, 0.2, 1e-4
ADAMW = partial(torch.optim.AdamW, lr=LR, betas=BETAS, eps=EPSILON, weight_decay=DECAY)
TOLERANCE = 1e-5  # of every weight; an update moves them by up to LR


@dataclass(frozen=True)
class Exploration:
    """Prompts as text, and for each of them, in consecutive rows, a group of completions with their rewards."""

    prompts: list[str]
    completions: list[list[int]]
    rewards: list[float]


@pytest.fixture(name="tokenizer", scope="module")
def _tokenizer():
    return build_tokenizer(vocab_size=512)


@pytest.fixture(name="model")
def _model(tokenizer):
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=64, initializer_range=0.3, tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return LlamaForCausalLM(config)


def explorations(count, tokenizer):
    """Ragged prompts and completions, some ended and some not; in each, one group's rewards are all equal."""
    generator = torch.Generator().manual_seed(7)

    def integers(low, high, size):
        return torch.randint(low, high, (size,), generator=generator).tolist()

    usual = [i for i in range(len(tokenizer)) if i not in tokenizer.all_special_ids]
    result = []
    for _ in range(count):
        prompts = [" + ".join(map(str, integers(1, 99, size))) + " =" for size in integers(1, 5, PROMPTS)]
        completions = []
        for length in integers(1, LONGEST + 1, PROMPTS * GROUP_SIZE):
            row = [usual[i] for i in integers(0, len(usual), length)]
            completions.append(row if length == LONGEST else [*row[:-1], tokenizer.eos_token_id])
        rewards = [float(r) for r in integers(0, 3, PROMPTS * GROUP_SIZE)]
        rewards[:GROUP_SIZE] = [1.0] * GROUP_SIZE
        result.append(Exploration(prompts, completions, rewards))
    return result


# --- TRL's side


def trained_by_trl(model, tokenizer, given, folder, *, updates, **changes):
    """The model after TRL's trainer has learnt from these explorations, `updates` times from each.

    A step takes four micro-batches, in TRL's own shuffled order.
    """
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    remaining = iter(given)

    class Injected(GRPOTrainer):
        current: Exploration

        def _generate_single_turn(self, prompt_ids, *_, **__):
            self.current = next(remaining)
            repeated = [prompt for prompt in self.current.prompts for _ in range(GROUP_SIZE)]
            assert prompt_ids == tokenizer(repeated)["input_ids"]
            return copy.deepcopy(self.current.completions), None

    def rewards(completion_ids, **_):
        assert completion_ids == trainer.current.completions
        return trainer.current.rewards

    settings = {
        "beta": BETA, "loss_type": "grpo", "use_bias_correction_kl": False, "scale_rewards": "group", "epsilon": CLIP
    } | changes  # fmt: skip
    config = GRPOConfig(
        output_dir=str(folder), max_steps=len(given) * updates, num_iterations=updates,
        per_device_train_batch_size=4, gradient_accumulation_steps=PROMPTS * GROUP_SIZE // 4,
        num_generations=GROUP_SIZE, max_completion_length=LONGEST, learning_rate=LR, lr_scheduler_type="constant",
        adam_beta1=BETAS[0], adam_beta2=BETAS[1], adam_epsilon=EPSILON, weight_decay=DECAY, max_grad_norm=CLIP_NORM,
        optim="adamw_torch", shuffle_dataset=False, bf16=False, use_cpu=True, activation_checkpointing=False,
        report_to=[], save_strategy="no", disable_tqdm=True, logging_strategy="no", **settings,
    )  # fmt: skip
    model.save_pretrained(folder / "start")  # where TRL will also find the reference
    from_folder = LlamaForCausalLM.from_pretrained(folder / "start")
    data = Dataset.from_dict({"prompt": [prompt for explored in given for prompt in explored.prompts]})
    trainer = Injected(
        model=from_folder,
        reward_funcs=rewards,
        args=config,
        train_dataset=data,
        processing_class=copy.deepcopy(tokenizer),
    )
    trainer.train()
    return trainer.model


# --- our side: the functions of dsmath.rl in a plain loop, and the module that training runs


def plain_loop(model, tokenizer, given, *, updates, aggregation="sequence_mean", kl_gradient="plain"):
    """The model after `updates` steps from each exploration, with all rows of a step at once."""
    reference = copy.deepcopy(model).requires_grad_(False)
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    optimizer = ADAMW([{"params": decayed}, {"params": others, "weight_decay": 0.0}])
    for explored in given:
        rollout = as_rolled_out(explored, tokenizer)
        sequences, mask = (rollout.sequences, rollout.attention_mask), rollout.response_mask
        window = {"response_length": mask.shape[1], "temperature": 1.0}
        advantages = group_advantages(
            torch.tensor(explored.rewards), group_size=GROUP_SIZE, std="sample", epsilon=REWARD_EPSILON, tolerance=0
        )
        with torch.no_grad():
            old = sequence_log_probs(model, *sequences, **window)
            reference_log_probs = sequence_log_probs(reference, *sequences, **window)
        for _ in range(updates):
            loss, _ = policy_objective(
                sequence_log_probs(model, *sequences, **window),
                old_log_probs=old,
                reference_log_probs=reference_log_probs,
                advantages=advantages[:, None],
                mask=mask,
                weights=token_weights(mask, how=aggregation),
                clip_low=CLIP,
                clip_high=CLIP,
                dual_clip=None,
                ratio_level="token",
                kl_coef=BETA,
                kl_estimator="k3",
                kl_gradient=kl_gradient,
            )
            optimizer.zero_grad()
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
            assert norm > CLIP_NORM  # so that the clipping is compared, too
            optimizer.step()
    return model


def module(model, tokenizer, given, *, updates, aggregation="sequence_mean", kl_gradient="plain"):
    """The same by PolicyOptimisation in micro-batches of five; only its sampler and its judge are injected."""
    with composer() as compose:
        experiment = compose.one(["algorithm=grpo"]).experiment
    changes = {
        "algorithm": {"updates_per_exploration": updates, "aggregation": aggregation, "clip_low": CLIP,
                      "clip_high": CLIP},
        "advantage": {"std": "sample", "epsilon": REWARD_EPSILON},
        "kl": {"coef": BETA, "gradient": kl_gradient},
        "sampling": {"group_size": GROUP_SIZE, "max_new_tokens": LONGEST, "temperature": 1.0},
        "reward": {}, "value": {}, "iteration": {},
    }  # fmt: skip
    sections = {name: replace(getattr(experiment, name), **fields) for name, fields in changes.items()}
    policy = Policy(model, tokenizer, 64)
    sampled, judged = iter(given), iter(given)

    def judge(problems, completions):
        rewards = next(judged).rewards
        assert len(problems) == len(completions) == len(rewards)
        return [RewardResult(reward=r, correct=False, formatted=False, answer=None) for r in rewards]

    steps = len(given) * updates
    learner = PolicyOptimisation(
        policy=policy, judge=judge, optim=ADAMW, schedule=Schedule("constant", 0, [], [], 1.0), steps=steps,
        gradient_clip=CLIP_NORM, seed=0, micro_batch_size=5, validate_every=100, flat_groups_warning=100,
        engine=OwnEngine(policy=policy, max_rows=100), **sections,
    )  # fmt: skip
    data = Prompts(
        problems=Problems(), policy=policy, prompt_style="plain", instruction="", batch_size=PROMPTS * GROUP_SIZE,
        group_size=GROUP_SIZE, updates=updates, max_new_tokens=LONGEST, validation_size=0, seed=0,
    )  # fmt: skip
    trainer = L.Trainer(
        accelerator="cpu", devices=1, max_steps=steps, max_epochs=-1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
    )  # fmt: skip
    with patch.object(own, "generate", lambda *_, **__: as_rolled_out(next(sampled), tokenizer)):
        trainer.fit(learner, data)
    return model


class Problems:
    """Something to ask: what is answered is injected."""

    def split(self, name):
        size = 20 if name == "train" else 0
        return [Problem(f"{name}-{i}", f"What is {i} + 1?", "", str(i + 1)) for i in range(size)]


def as_rolled_out(explored, tokenizer):
    prompts = [ids for ids in tokenizer(explored.prompts)["input_ids"] for _ in range(GROUP_SIZE)]
    return as_rollout(prompts, explored.completions, pad_token_id=tokenizer.pad_token_id, device=torch.device("cpu"))


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.parametrize("ours", [plain_loop, module])
@pytest.mark.parametrize("updates", [1, 2])
def test_after_three_explorations_with_the_papers_settings_the_weights_are_trls(
    trl, agree, tmp_path, model, tokenizer, *, ours, updates
):
    start, given = weights(model), explorations(3, tokenizer)
    theirs = weights(trained_by_trl(model, tokenizer, given, tmp_path, updates=updates))
    found = weights(ours(model, tokenizer, given, updates=updates))
    assert (theirs - start).abs().max() > 2 * LR
    torch.testing.assert_close(found, theirs, rtol=0, atol=TOLERANCE)
    agree.values(f"weights by {ours.__name__}, {3 * updates} steps", "TRL 1.16.0", found, theirs, tolerance=TOLERANCE)


@pytest.mark.parametrize("ours", [plain_loop, module])
def test_trls_own_defaults_lead_elsewhere_and_we_follow_when_told_to(trl, agree, tmp_path, model, tokenizer, *, ours):
    """Its mean over tokens and its KL weighted with the ratio; the paper's settings end at other weights."""
    given = explorations(2, tokenizer)
    defaults = {"loss_type": "dapo", "use_bias_correction_kl": True}
    theirs = weights(trained_by_trl(model, tokenizer, given, tmp_path, updates=2, **defaults))
    papers = weights(ours(copy.deepcopy(model), tokenizer, given, updates=2))
    found = weights(ours(model, tokenizer, given, updates=2, aggregation="token_mean", kl_gradient="ratio"))
    assert (papers - theirs).abs().max() > 100 * TOLERANCE
    torch.testing.assert_close(found, theirs, rtol=0, atol=TOLERANCE)
    agree.values(f"weights by {ours.__name__}, TRL's defaults", "TRL 1.16.0", found, theirs, tolerance=TOLERANCE)
