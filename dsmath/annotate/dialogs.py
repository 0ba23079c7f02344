"""What is typed while annotating: a path pattern, with what it matches, and a note."""

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static
from textual.worker import get_current_worker

from dsmath.annotate.plain import one_line
from dsmath.corpus.annotation import path_mistake
from dsmath.corpus.path_counts import PathCount
from dsmath.corpus.urls import UrlPattern

Addresses = Sequence[tuple[str, bool]]  # every URL of a domain, and whether its page was collected
KEYS: list[BindingType] = [
    Binding("escape", "leave", "leave", priority=True),
    Binding("ctrl+c", "app.leave", show=False, priority=True),
]
STYLE = """
{name} {{ align: center middle; }}
{name} Vertical {{ width: 80%; max-width: 100; height: auto; border: round $accent; padding: 0 1; }}
"""


def count_matches(addresses: Addresses, domain: str, path: str) -> PathCount:
    """The pages that a path pattern matches, and those of them that were collected; the path as URLs write it."""
    pattern = UrlPattern.parse(domain + path)
    matched = [collected for url, collected in addresses if pattern.matches(url)]
    return PathCount(str(pattern).removeprefix(domain) or "/", len(matched), sum(matched))


class PatternDialog(ModalScreen[PathCount | None]):
    """Asks for a path and says what is wrong with it, or what it matches; enter takes one that matches something."""

    BINDINGS: ClassVar[list[BindingType]] = KEYS
    CSS = STYLE.format(name="PatternDialog")

    def __init__(self, domain: str, addresses: Callable[[], Addresses]) -> None:
        super().__init__()
        self._domain = domain
        self._addresses = addresses
        self._valid: PathCount | None = None  # what is typed, counted

    def compose(self) -> ComposeResult:
        """The line and what is said of it."""
        with Vertical():
            yield Static(Content(f"a path of {one_line(self._domain, 80)}; everything below it matches too"))
            yield Input(value="/", id="pattern", select_on_focus=False)
            yield Static("", id="verdict")

    @on(Input.Changed)
    def judge(self, event: Input.Changed) -> None:
        """Say at once what is wrong, or start to count."""
        self._valid = None
        wrong = path_mistake(self._domain, event.value)
        if wrong is not None:
            self.count("")  # stops the count of what was typed before
            self._say(wrong, "$text-error")
        else:
            self._say("counting …", "$foreground-muted")
            self.count(event.value)

    @on(Input.Submitted)
    def take(self) -> None:
        """The pattern joins the table if it matches something."""
        if self._valid is not None and self._valid.pages:
            self.dismiss(self._valid)

    def action_leave(self) -> None:
        """Back to the domain without a pattern."""
        self.dismiss(None)

    @work(thread=True, exclusive=True)
    def count(self, path: str) -> None:
        """Count beside the typing; only what was typed last is shown."""
        worker = get_current_worker()
        if not path:
            return
        counted = count_matches(self._addresses(), self._domain, path)
        if not worker.is_cancelled:
            self.app.call_from_thread(self._show, path, counted)

    def _show(self, typed: str, counted: PathCount) -> None:
        if not self.is_mounted or self.query_one(Input).value != typed:
            return
        self._valid = counted
        if counted.pages:
            missing = counted.pages - counted.collected
            self._say(
                f"{counted.pages:,} pages, {missing:,} of them not collected yet; enter takes it", "$text-success"
            )
        else:
            self._say("matches no page of this domain", "$text-error")

    def _say(self, text: str, style: str) -> None:
        self.query_one("#verdict", Static).update(Content.styled(one_line(text, 400), style))


class NoteDialog(ModalScreen[str | None]):
    """Asks why; the note is saved with the decision."""

    BINDINGS: ClassVar[list[BindingType]] = KEYS
    CSS = STYLE.format(name="NoteDialog")

    def __init__(self, note: str) -> None:
        super().__init__()
        self._note = note

    def compose(self) -> ComposeResult:
        """The line with the note so far."""
        with Vertical():
            yield Static(Content("why? saved with the decision"))
            yield Input(value=self._note, id="note", select_on_focus=False, max_length=1000)

    @on(Input.Submitted)
    def take(self, event: Input.Submitted) -> None:
        """Back to the domain with the note."""
        self.dismiss(" ".join(event.value.split()))

    def action_leave(self) -> None:
        """Back to the domain, the note as it was."""
        self.dismiss(None)
