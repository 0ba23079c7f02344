"""The terminal app of `dsmath annotate`."""

from collections.abc import Callable
from typing import ClassVar

from textual.app import App
from textual.binding import Binding, BindingType
from textual.screen import Screen

from dsmath.annotate.dialogs import Addresses
from dsmath.annotate.screen import DomainScreen
from dsmath.annotate.session import Session
from dsmath.corpus.domain_views import DomainView


class AnnotateApp(App[None]):
    """The terminal app over one session.

    Args:
        view: what there is to see of a domain.
        addresses: every URL of a domain with whether its page was collected, read when a pattern is typed.
    """

    ENABLE_COMMAND_PALETTE = False
    TITLE = "dsmath annotate"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+c", "leave", show=False, priority=True)]
    CSS = """
    #domain { padding: 0 1; }
    #state { padding: 0 1 1 1; }
    #middle { height: 1fr; layout: vertical; }
    #paths { height: auto; max-height: 40%; }
    #pages { height: 1fr; padding: 0 1; border-top: solid $primary; }
    .-wide #middle { layout: horizontal; }
    .-wide #paths { width: auto; max-width: 50%; max-height: 100%; height: 100%; }
    .-wide #pages { border-top: none; border-left: solid $primary; height: 100%; width: 1fr; }
    #below { height: auto; dock: bottom; }
    #said { padding: 0 1; }
    #help { padding: 0 1; background: $panel; }
    """

    def __init__(
        self, session: Session, view: Callable[[str], DomainView], addresses: Callable[[str], Addresses]
    ) -> None:
        super().__init__()
        self.HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (130, "-wide")]  # columns of the terminal
        self._screen = DomainScreen(session, view, addresses)

    def get_default_screen(self) -> Screen[None]:
        """The page of a domain."""
        return self._screen

    def action_leave(self) -> None:
        """Everything is saved already."""
        self.exit()
