"""A progress bar in a terminal, a line now and then in a log."""

import sys
import time

LINE_EVERY = 30.0  # seconds between lines where there is no terminal


class Progress:
    """Counts up to `total`, showing named numbers beside the count."""

    def __init__(self, label: str, total: int, *, enabled: bool) -> None:
        self._label = label
        self._total = total
        self._enabled = enabled
        self._bar: object | None = None
        self._last = 0.0

    def start(self, done: int = 0) -> None:
        """Show the bar, from where a resumed run stands."""
        self._last = time.monotonic()
        if self._enabled and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            bar = Bar(
                TextColumn("{task.description:<14}"),
                BarColumn(bar_width=30),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[numbers]}"),
                console=Console(stderr=True),
            )
            self._task = bar.add_task(self._label, total=self._total, completed=done, numbers="")
            bar.start()
            self._bar = bar

    def advance_to(self, done: int, **numbers: float) -> None:
        """Show how far it is."""
        text = "  ".join(f"{name} {value:.3g}" for name, value in numbers.items())
        if self._bar is not None:
            self._bar.update(self._task, completed=done, numbers=text)  # type: ignore[attr-defined]
        elif self._enabled and (done == self._total or time.monotonic() - self._last > LINE_EVERY):
            self._last = time.monotonic()
            print(f"{self._label} {done}/{self._total}  {text}".rstrip(), file=sys.stderr, flush=True)

    def stop(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.stop()  # type: ignore[attr-defined]
            self._bar = None
