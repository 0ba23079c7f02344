"""A domain's page: what there is to see of it, and the keys that decide on it."""

from collections.abc import Callable
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import DataTable, Static

from dsmath.annotate.dialogs import Addresses, NoteDialog, PatternDialog, count_matches
from dsmath.annotate.pages import samples, state, verdict
from dsmath.annotate.plain import one_line
from dsmath.annotate.session import Session
from dsmath.corpus.annotation import Decision
from dsmath.corpus.domain_views import DomainView
from dsmath.corpus.path_counts import PathCount
from dsmath.errors import UserError

PATHS_SHOWN = 200
COLUMNS = ("", "", "path", "pages", "collected", "share")
HELP = (
    ("a", "accept all"),
    ("r", "reject"),
    ("space 1-9", "mark path"),
    ("enter", "accept marked"),
    ("p", "pattern"),
    ("w", "why"),
    ("n", "next"),
    ("b", "back"),
    ("u", "undo"),
    ("pgdn", "scroll"),
    ("q", "leave"),
)


def _key(key: str, action: str) -> Binding:
    return Binding(key, action, show=False, priority=True)


class DomainScreen(Screen[None]):
    """A candidate domain; moves on to the next one that nobody has decided on after every answer."""

    BINDINGS: ClassVar[list[BindingType]] = [
        _key("a", "accept_all"),
        _key("r", "reject"),
        _key("space", "mark"),
        *[_key(str(n), f"mark_row({n - 1})") for n in range(1, 10)],
        _key("enter", "accept_marked"),
        _key("p", "pattern"),
        _key("w", "why"),
        _key("n", "go(1)"),
        _key("b", "go(-1)"),
        _key("u", "undo"),
        _key("pageup", "scroll_pages(-1)"),
        _key("pagedown", "scroll_pages(1)"),
        _key("q", "app.leave"),
    ]

    def __init__(
        self, session: Session, view: Callable[[str], DomainView], addresses: Callable[[str], Addresses]
    ) -> None:
        super().__init__()
        self._session = session
        self._view_of = view
        self._addresses = addresses
        self._decided = session.decisions()
        left = self._left()
        self._place = session.domains.index(left[0]) if left else 0
        self._views: dict[str, DomainView] = {}
        self._typed: dict[str, list[PathCount]] = {}  # patterns beside the common paths, by domain
        self._notes: dict[str, str] = {}
        self._marked: list[str] = []
        self._paths: list[PathCount] = []

    def compose(self) -> ComposeResult:
        """What the page is made of, filled by `show`."""
        yield Static("", id="domain")
        yield Static("", id="state")
        with Container(id="middle"):
            yield DataTable(id="paths", cursor_type="row")
            with VerticalScroll(id="pages"):
                yield Static("", id="samples")
        with Vertical(id="below"):
            yield Static("", id="said")
            yield Static(
                Content("  ").join(Content.assemble((k, "bold $accent"), " ", what) for k, what in HELP), id="help"
            )

    def on_mount(self) -> None:
        """The first domain that is left."""
        self.query_one(DataTable).add_columns(*COLUMNS)
        self.query_one(DataTable).focus()
        self.show()

    @property
    def domain(self) -> str:
        """The domain that is shown."""
        return self._session.domains[self._place]

    def show(self, said: str = "") -> None:
        """Fill the page with the domain at the place where we are."""
        domain = self.domain
        if domain not in self._views:
            self._views[domain] = self._view_of(domain)
        view = self._views[domain]
        trouble = self._look()
        decision = self._decided.get(domain)
        self._paths = [*view.paths[:PATHS_SHOWN], *self._typed.get(domain, [])]
        for path in decision.accept if decision is not None else ():
            self._add(path)
        self._marked = [path for path in decision.accept if path != "/"] if decision is not None else []
        number = f"{self._place + 1} of {len(self._session.domains)}, {len(self._left())} left"
        heading = Content.assemble((one_line(domain, 80), "bold"), "   ", (number, "$foreground-muted"))
        counts = (
            f"{view.pages:,} pages, {view.collected:,} collected ({view.share:.1%}), "
            f"{view.tokens_collected:,} tokens of them"
        )
        self.query_one("#domain", Static).update(Content.assemble(heading, "\n", counts))
        self._show_state(decision)
        self._show_paths(cursor=0)
        self.query_one("#samples", Static).update(samples(view))
        self.query_one("#pages").scroll_home(animate=False)
        self._say(trouble or said, mistake=bool(trouble))

    def action_accept_all(self) -> None:
        """The whole domain joins the seed."""
        self._answer(("/",))

    def action_reject(self) -> None:
        """Nothing of the domain does."""
        self._answer(())

    def action_accept_marked(self) -> None:
        """The marked paths do."""
        if self._marked:
            order = {path.path: place for place, path in enumerate(self._paths)}
            self._answer(tuple(sorted(self._marked, key=order.__getitem__)))
        else:
            self._say("no path is marked: space or 1-9 marks one, a accepts the whole domain", mistake=True)

    def action_mark(self) -> None:
        """Mark the path under the cursor, or take its mark away."""
        self.action_mark_row(self.query_one(DataTable).cursor_row)

    def action_mark_row(self, row: int) -> None:
        """The same for a numbered row."""
        if row < len(self._paths):
            path = self._paths[row].path
            self._marked = [m for m in self._marked if m != path] if path in self._marked else [*self._marked, path]
            self._show_paths(cursor=row)
            self._say("")

    def action_pattern(self) -> None:
        """Ask for a path that the table lacks."""

        def take(counted: PathCount | None) -> None:
            if counted is not None and counted.path == "/":
                self._say("/ is the whole domain: a accepts it")
            elif counted is not None:
                self._add(counted.path, counted)
                self._marked = [*(path for path in self._marked if path != counted.path), counted.path]
                self._show_paths(cursor=[path.path for path in self._paths].index(counted.path))
                self._say(f"{counted.path} is marked; enter accepts the marked paths")

        domain = self.domain
        self.app.push_screen(PatternDialog(domain, lambda: self._addresses(domain)), take)

    def action_why(self) -> None:
        """Ask for a note; that of a decision which is already saved changes at once."""
        domain = self.domain
        decision = self._decided.get(domain)
        of_now = decision is not None and decision.round == self._session.round
        before = decision.why if decision is not None and of_now else ""

        def take(note: str | None) -> None:
            if note is None:
                return
            self._notes[domain] = note
            if decision is not None and of_now and self._save(decision.accept):
                self.show("the note is saved")
            else:
                self._show_state(decision)

        self.app.push_screen(NoteDialog(self._notes.get(domain, before)), take)

    def action_go(self, step: int) -> None:
        """Another domain, nothing decided on this one."""
        place = self._place + step
        if 0 <= place < len(self._session.domains):
            self._place = place
            self.show()
        else:
            self._say("this is the last domain" if step > 0 else "this is the first domain")

    def action_undo(self) -> None:
        """Take the last answer back and show its domain."""
        try:
            domain = self._session.undo()
        except UserError as error:
            self._say(str(error), mistake=True)
            return
        if domain is None:
            self._say("no answer was given since the start; a new answer replaces an earlier one")
        else:
            self._place = self._session.domains.index(domain)
            self.show(f"the last answer on {domain} is taken back")

    def action_scroll_pages(self, direction: int) -> None:
        """The sample pages, up or down."""
        pages = self.query_one("#pages", VerticalScroll)
        if direction > 0:
            pages.scroll_page_down(animate=False)
        else:
            pages.scroll_page_up(animate=False)

    def _answer(self, accept: tuple[str, ...]) -> None:
        domain = self.domain
        if self._save(accept):
            self._look()
            left = self._left()
            order = [*self._session.domains[self._place + 1 :], *self._session.domains[: self._place]]
            after = next((name for name in order if name in left), None)
            saved = f"saved: {domain} {verdict(accept)}"
            if after is not None:
                self._place = self._session.domains.index(after)
            self.show(saved if after is not None else f"{saved}; every domain is decided, q leaves")

    def _save(self, accept: tuple[str, ...]) -> bool:
        before = self._decided.get(self.domain)
        kept = before.why if before is not None and before.round == self._session.round else ""
        try:
            self._session.decide(self.domain, accept, self._notes.get(self.domain, kept))
        except UserError as error:
            self._say(str(error), mistake=True)
            return False
        return True

    def _look(self) -> str:
        """Read the decisions anew, as somebody may have edited them; what is wrong with the file now, or nothing."""
        try:
            self._decided = self._session.decisions()
        except UserError as error:
            return str(error)
        return ""

    def _left(self) -> list[str]:
        return [domain for domain in self._session.domains if domain not in self._decided]

    def _add(self, path: str, counted: PathCount | None = None) -> None:
        """A row for a path that the table lacks."""
        if path != "/" and all(row.path != path for row in self._paths):
            counted = counted or count_matches(self._addresses(self.domain), self.domain, path)
            self._typed.setdefault(self.domain, []).append(counted)
            self._paths.append(counted)

    def _show_state(self, decision: Decision | None) -> None:
        self.query_one("#state", Static).update(state(decision, self._notes.get(self.domain, "")))

    def _show_paths(self, *, cursor: int) -> None:
        table = self.query_one(DataTable)
        table.clear()
        for row, path in enumerate(self._paths):
            marked = path.path in self._marked
            numbers = (f"{path.pages:,}", f"{path.collected:,}", f"{path.share:.1%}" if path.pages else "-")
            table.add_row(
                Text(str(row + 1) if row < 9 else ""),
                Text("✓" if marked else ""),
                Text(one_line(path.path, 44), style="bold" if marked else ""),
                *(Text(number, justify="right") for number in numbers),
            )
        table.move_cursor(row=cursor)

    def _say(self, text: str, *, mistake: bool = False) -> None:
        shown = " · ".join(one_line(line, 300) for line in text.splitlines()) if mistake else one_line(text, 300)
        self.query_one("#said", Static).update(Content.styled(shown, "$text-error" if mistake else "$foreground-muted"))
