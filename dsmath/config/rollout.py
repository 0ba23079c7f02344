"""Engines that completions are sampled with: what each needs of the rest of the experiment."""

from dsmath.config.paradigm import Broken
from dsmath.config.schema import Experiment

COOLEST = 0.01  # vLLM raises lower temperatures to it, except 0


def engine(e: Experiment) -> Broken:
    """A share of memory for vLLM and for nothing else; what vLLM cannot do here."""
    name, share = e.rollout.name, e.rollout.memory_share
    if name == "continuous" and e.rollout.max_rows is not None:
        yield (
            "rollout.max_rows",
            f" = {e.rollout.max_rows}: with rollout=continuous what a row draws depends on the rows beside it, so all "
            "of a batch are sampled together; use rollout.max_rows=null, or rollout=transformers",
        )
    if name != "vllm":
        if share is not None:
            yield (
                "rollout.memory_share",
                f" = {share:g}: rollout={name} takes what its rows need; use rollout.memory_share=null",
            )
        return
    if share is None:
        yield (
            "rollout.memory_share",
            ": no value; rollout=vllm needs a share of the GPU, conf/rollout/vllm.yaml has one",
        )
    if e.hardware.accelerator != "gpu":
        yield (
            "rollout",
            f" = vllm: samples on a GPU, and hardware={e.hardware.name} has none; use hardware=gpu, or "
            "rollout=transformers",
        )
    if e.hardware.devices * e.hardware.num_nodes > 1:
        yield (
            "rollout",
            f" = vllm: shares one GPU with the trainer, and hardware={e.hardware.name} has {e.hardware.num_nodes} × "
            f"{e.hardware.devices}; use hardware.devices=1 hardware.num_nodes=1, or rollout=transformers",
        )


def temperatures(e: Experiment, stages: set[str]) -> Broken:
    """Temperatures that vLLM would change."""
    if e.rollout.name != "vllm":
        return
    used = {
        "samples.temperature": "samples" in stages,
        "reward_data.temperature": "reward_data" in stages and e.reward_model.kind == "process",
        "sampling.temperature": "rl" in stages and e.source.name == "online",
        "eval.temperature": "answers" in stages and e.eval.samples > 0,
    }
    for key, sampled in used.items():
        section, name = key.split(".")
        value = getattr(getattr(e, section), name)
        if sampled and value < COOLEST:
            yield key, f" = {value:g}: vLLM samples at {COOLEST:g} or more; raise it, or use rollout=transformers"
