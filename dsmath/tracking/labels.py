"""What the label of an evaluation says: whose it is, and on what."""

HELD_OUT = "held_out"  # the benchmark that every experiment has: the test split of its own data


def evaluation(label: str) -> tuple[str, str] | None:
    """Model and benchmark of `eval@MODEL/BENCHMARK`; None for the label of another stage.

    A label without a benchmark, as results of earlier versions have it, is of the held-out problems.
    """
    if not label.startswith("eval@"):
        return None
    model, _, benchmark = label.removeprefix("eval@").partition("/")
    return model, benchmark or HELD_OUT
