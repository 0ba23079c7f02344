"""Where an annotator stands: the candidate domains of a round, what is decided, and what can be taken back."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path

from dsmath.corpus.annotation import Decision, append_decision, read_decisions, remove_decision, standing


class Session:
    """Answers for one round. Every answer is in the file before the call returns; the file is read anew each time."""

    def __init__(self, decisions_file: Path, domains: Sequence[str], *, round: int, by: str) -> None:
        self.domains = list(domains)
        self.round = round
        self._file = decisions_file
        self._by = by
        self._answers: list[tuple[str, Decision | None]] = []  # each with what stood there before it
        self.decisions()

    def decisions(self) -> dict[str, Decision]:
        """The decision on each domain that counts for the next round, also one of an earlier round.

        Raises:
            UserError: for a file of decisions with mistakes.
        """
        return standing(self._all(), self.round + 1)

    def left(self) -> list[str]:
        """The candidates that nobody has decided on."""
        decided = self.decisions()
        return [domain for domain in self.domains if domain not in decided]

    def decide(self, domain: str, accept: Sequence[str], why: str) -> Decision:
        """Save an answer; one on the same domain and round is replaced."""
        before = self._of_this_round(domain)
        today = date.today().isoformat()
        decision = Decision(domain, tuple(accept), self.round, self._by, today, why)
        append_decision(self._file, decision)
        self._answers.append((domain, before))
        return decision

    def undo(self) -> str | None:
        """Take the last answer of this session back; its domain, or None when there is none."""
        if not self._answers:
            return None
        domain, before = self._answers[-1]
        if before is None:
            remove_decision(self._file, domain, self.round)
        else:
            append_decision(self._file, before)
        self._answers.pop()
        return domain

    def _of_this_round(self, domain: str) -> Decision | None:
        return next((d for d in self._all() if d.domain == domain and d.round == self.round), None)

    def _all(self) -> list[Decision]:
        return read_decisions(self._file) if self._file.exists() else []
