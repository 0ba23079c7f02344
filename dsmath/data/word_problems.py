"""Arithmetic word problems made on demand, with demonstrations by careful and by careless solvers.

A problem is a chain: an opening gives a quantity, each further sentence changes it by one operation, the question asks
for the end. The demonstrations of the train split imitate real data, where not every author is careful: a stated share
of them leaves out the last step (`hasty`) or takes a unit for another size (`misreader`). A model that imitates them
all learns both ways, and reinforcement can choose between them. Gold answers are always right, and so are all solutions
outside the train split.

A solution is the chain's steps, or in `ProgramWordProblems` a program that takes them and what running it prints.
"""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

from dsmath.data.problem import Problem, Split
from dsmath.errors import UserError, did_you_mean
from dsmath.models.code_blocks import FENCE, output_block
from dsmath.randomness import derive_random

# ruff: noqa: SIM905 - word lists read best as text
NAMES = (
    "Ada Ali Amy Ana Ben Bo Carl Chen Dan Dina Eli Emma Eva Finn Gus Hana Ida Ines Ivan Jack Jan Jin Joe Kai Kim "
    "Lea Leo Lin Lisa Luca Max Mei Mia Mila Nia Nina Noah Omar Otto Paul Pia Raj Rosa Sam Sara Tara Tom Uma Yara Zoe"
).split()
THINGS = (
    "apples bags balls beads bells birds boats books bowls boxes bricks brushes buttons cakes candles cards cars coins "
    "cups dolls drums eggs fans flags flowers forks hats jars keys kites lamps leaves maps masks mugs nuts pans pears "
    "pens plates robots ropes rugs shells spoons stamps stars stones toys tulips"
).split()
COLOURS = "black blue brown gold grey green orange pink purple red white yellow".split()

PLAIN = (
    "{name} has {a} {colour} {things}.",
    "{name} owns {a} {colour} {things}.",
    "{name} starts with {a} {colour} {things}.",
)
GROUPS = (
    "{name} has {a} rows of {b} {colour} {things}.",
    "{name} fills {a} crates with {b} {colour} {things} each.",
    "{name} gets {b} {colour} {things} from each of {a} people.",
)
UNITS = (  # sentence, size of the unit, size that a misreader takes it for
    ("{name} has {a} dozen {colour} {things}.", 12, 10),
    ("{name} makes {colour} {things} for {a} weeks, one a day.", 7, 5),
    ("{name} buys {colour} {things} for {a} years, one a month.", 12, 10),
)
EVENTS = {
    "+": ("{name} buys {n} more.", "{friend} gives {name} {n} more.", "Then {name} finds {n} more."),
    "-": ("{name} gives {n} to {friend}.", "{name} loses {n}.", "Then {name} sells {n}."),
    "*": ("{name} trades each for {n} others.", "{friend} swaps each one for {n}."),
    "/": ("{name} keeps one of {n} equal parts.", "{name} trades every {n} for one."),
}
QUESTIONS = ("How many does {name} have now?", "How many {things} is that?", "How many are there in the end?")
ENDINGS = {  # a last operation that brings its own question
    "*": (
        "Each costs {n} dollars. How many dollars is that?",
        "{friend} has {n} times as many. How many does {friend} have?",
    ),
    "/": (
        "{n} friends share them equally. How many does each get?",
        "They fill packs of {n}. How many packs is that?",
    ),
}

Chain = tuple[int, list[tuple[str, int]]]
"""A first quantity, then (operation, operand) pairs."""


class WordProblems:
    """Word problems in English with one to `max_steps` operations, as lazy sequences.

    A problem depends on nothing but these arguments, its split and its index. No two splits share a question, whatever
    their seeds, because the question's hash decides its split. The first 30 000 problems of a split differ by
    construction (each has another person, thing and colour) and later ones rarely repeat an earlier one.
    """

    def __init__(
        self,
        *,
        seed: int,
        difficulty: int,
        max_steps: int,
        careless_share: float,
        train_size: int,
        validation_size: int,
        test_size: int,
    ) -> None:
        """Quantities stay within 20 x `difficulty`; `careless_share` of the train demonstrations that can go wrong do.

        Raises UserError for values that no problem can satisfy.
        """
        for name, value in {"difficulty": difficulty, "max_steps": max_steps}.items():
            if value < 1:
                raise UserError(f"WordProblems: {name}={value}, expected 1 or more")
        if not 0 <= careless_share <= 1:
            raise UserError(f"WordProblems: careless_share={careless_share}, expected a share from 0 to 1")
        self.sizes: dict[Split, int] = {"train": train_size, "validation": validation_size, "test": test_size}
        for split, size in self.sizes.items():
            if size < 0:
                raise UserError(f"WordProblems: {split}_size={size}, expected 0 or more")
        self.seed = seed
        self.largest = 20 * difficulty
        self.max_steps = max_steps
        self.careless_share = careless_share

    def split(self, name: Split) -> Sequence[Problem]:
        """The problems of a split; raises UserError for an unknown name."""
        if name not in self.sizes:
            raise UserError(
                f"WordProblems: no split {name!r}{did_you_mean(name, self.sizes)}; known: {list(self.sizes)}"
            )
        return _Split(self, name, self.sizes[name])

    def solution(self, chain: Chain) -> str:
        """What a solver writes who sees a problem as this chain: its steps, then the last one's result in a box."""
        return "\n".join([*_lines(chain), f"\\boxed{{{_values(chain)[-1]}}}"])


class ProgramWordProblems(WordProblems):
    """Word problems with tool-integrated solutions (§3): a block of code, what it prints, and that in a box."""

    def solution(self, chain: Chain) -> str:
        """The program of a solver who sees a problem as this chain, with its output."""
        start, moves = chain
        lines = [f"x = {start}", *(f"x = x {'//' if operation == '/' else operation} {n}" for operation, n in moves)]
        end = _values(chain)[-1]
        code = "".join(f"{line}\n" for line in [*lines, "print(x)"])
        program = f"{FENCE}python\n{code}{FENCE}"
        return f"{program}{output_block(str(end), after=program)}\\boxed{{{end}}}"


class _Split(Sequence[Problem]):
    def __init__(self, source: WordProblems, name: Split, size: int) -> None:
        self.source, self.name, self.size = source, name, size
        stories = len(NAMES) * len(THINGS) * len(COLOURS)
        self.order = derive_random(source.seed, "word problems", f"{name} stories").sample(range(stories), stories)

    def __len__(self) -> int:
        return self.size

    @overload
    def __getitem__(self, index: int) -> Problem: ...
    @overload
    def __getitem__(self, index: slice) -> list[Problem]: ...
    def __getitem__(self, index: int | slice) -> Problem | list[Problem]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self.size))]
        if not -self.size <= index < self.size:
            raise IndexError(f"index {index} is outside the {self.size} problems of {self.name}")
        index %= self.size
        rng = derive_random(self.source.seed, "word problems", self.name, step=index)
        story = _story(self.order[index % len(self.order)], rng)
        while True:
            draft = _draw(rng, story, self.source.largest, self.source.max_steps)
            if _split_of(draft.question) == self.name:
                break
        careless = self.name == "train" and rng.random() < self.source.careless_share
        solver = rng.choice(sorted(draft.mistakes)) if careless and draft.mistakes else "careful"
        _, moves = draft.chain
        operations = "".join(operation for operation, _ in moves)
        tags: dict[str, str | int] = {"steps": len(moves), "operations": operations, "solver": solver}
        solution = self.source.solution(draft.chain if solver == "careful" else draft.mistakes[solver])
        return Problem(f"{self.name}-{index}", draft.question, solution, str(_values(draft.chain)[-1]), tags)


@dataclass(frozen=True, slots=True)
class _Draft:
    question: str
    chain: Chain
    mistakes: dict[str, Chain]  # careless solver -> as what he sees it, where he can go wrong


def _story(number: int, rng: random.Random) -> dict[str, str]:
    """The words of a story: `number` decides person, thing and colour, chance decides the friend."""
    number, name = divmod(number, len(NAMES))
    colour, thing = divmod(number, len(THINGS))
    friend = rng.choice([other for other in NAMES if other != NAMES[name]])
    return {"name": NAMES[name], "friend": friend, "things": THINGS[thing], "colour": COLOURS[colour]}


def _split_of(question: str) -> Split:
    """The split that a question belongs to: a tenth each of all questions is kept for validation and test."""
    tenth = int.from_bytes(hashlib.sha256(question.encode()).digest()[:8], "big") % 10
    return "validation" if tenth == 0 else "test" if tenth == 1 else "train"


def _draw(rng: random.Random, story: dict[str, str], largest: int, max_steps: int) -> _Draft:
    steps = rng.randint(1, max_steps)
    wrong_unit: int | None = None
    match rng.choice(("plain", "plain", "groups", "unit")):
        case "groups":
            b = rng.randint(2, min(9, largest // 2))
            start, moves = rng.randint(2, min(9, largest // b)), [("*", b)]
            text = rng.choice(GROUPS).format(a=start, b=b, **story)
        case "unit":
            sentence, size, wrong_unit = rng.choice([unit for unit in UNITS if 2 * unit[1] <= largest])
            start, moves = rng.randint(2, min(9, largest // size)), [("*", size)]
            text = sentence.format(a=start, **story)
        case _:
            start, moves = rng.randint(2, largest - 1), []
            text = rng.choice(PLAIN).format(a=start, **story)
    question = rng.choice(QUESTIONS)
    while len(moves) < steps:
        operation, n = _draw_move(rng, _values((start, moves))[-1], largest)
        moves.append((operation, n))
        sentences: tuple[str, ...] = EVENTS[operation]
        if len(moves) == steps:
            sentences += ENDINGS.get(operation, ())
        sentence = rng.choice(sentences)
        question = "" if "?" in sentence else question
        text += " " + sentence.format(n=n, **story)
    text = f"{text} {question.format(**story)}".rstrip()
    mistakes: dict[str, Chain] = {"hasty": (start, moves[:-1])} if len(moves) > 1 else {}
    if wrong_unit is not None:
        misread: Chain = (start, [("*", wrong_unit), *moves[1:]])
        if _is_whole(misread):
            mistakes["misreader"] = misread
    return _Draft(text, (start, moves), mistakes)


def _draw_move(rng: random.Random, value: int, largest: int) -> tuple[str, int]:
    """An operation and an operand that keep `value` a whole number from 1 to `largest`, and change it."""
    operands = {
        "+": range(1, min(largest - value, largest // 2) + 1),
        "-": range(1, min(value - 1, largest // 2) + 1),
        "*": range(2, min(9, largest // value) + 1),
        "/": [n for n in range(2, 10) if value % n == 0],
    }
    operation = rng.choice([operation for operation, choices in operands.items() if choices])
    return operation, rng.choice(operands[operation])


def _values(chain: Chain) -> list[int]:
    """Every quantity of a chain, the first one included."""
    values = [chain[0]]
    for operation, n in chain[1]:
        value = values[-1]
        values.append({"+": value + n, "-": value - n, "*": value * n, "/": value // n}[operation])
    return values


def _is_whole(chain: Chain) -> bool:
    """Whether a chain stays positive and divides without a remainder."""
    values = _values(chain)
    exact = all(value % n == 0 for value, (operation, n) in zip(values, chain[1], strict=False) if operation == "/")
    return exact and min(values) > 0


def _lines(chain: Chain) -> list[str]:
    values = _values(chain)
    return [
        f"{value} {operation} {n} = {result}"
        for value, (operation, n), result in zip(values, chain[1], values[1:], strict=False)
    ]
