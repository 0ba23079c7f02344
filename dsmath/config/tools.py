"""Tools: what a sandbox needs to be told, and what cannot be learned from outputs in which one spoke."""

from dataclasses import fields

from dsmath.config.paradigm import Broken
from dsmath.config.schema import Experiment


def limits(e: Experiment) -> Broken:
    """All limits, or none where nothing runs."""
    for field in fields(e.tools):
        key, value = f"tools.{field.name}", getattr(e.tools, field.name)
        if field.name == "name":
            continue
        if e.tools.name == "none" and value is not None:
            yield key, f" = {value}: tools=none runs nothing; use tools=python, or {key}=null"
        if e.tools.name != "none" and value is None:
            yield key, f": no value; tools={e.tools.name} needs one, conf/tools/{e.tools.name}.yaml has it"


def learning(e: Experiment) -> Broken:
    """What policy optimisation cannot do with tools."""
    if e.tools.name == "none":
        return
    if e.source.name != "online":
        yield (
            "tools",
            f" = {e.tools.name}: outputs of source={e.source.name} are there already, and nothing in them is run; use "
            "tools=none, or source=online (algorithm=grpo)",
        )
    if e.reward.name == "process":
        yield (
            "tools",
            f" = {e.tools.name}: reward=process scores every step of an output, and what a tool says is no step of the "
            "policy's; use tools=none, or reward=rule or reward=model (algorithm=grpo)",
        )
