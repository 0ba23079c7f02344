"""Worked arithmetic: small stories whose every step is written out, and lessons about the operations.

The settings and sentences are this file's own; names, things and colours are those of the embedded word problems, so
that a tiny model meets the words it will need. `dsmath/corpus/embedded/overlap.py` keeps test problems out.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dsmath.corpus.embedded.article import Article
from dsmath.data.word_problems import COLOURS, NAMES, THINGS

LARGEST = 100
"""No number in a worked line exceeds it."""

Chain = tuple[int, list[tuple[str, int]]]


@dataclass(frozen=True, slots=True)
class Setting:
    """A kind of story; the sentences of an operation say in words what its worked line computes."""

    title: str
    opening: tuple[str, ...]
    events: dict[str, tuple[str, ...]]
    question: tuple[str, ...]


SETTINGS = (
    Setting(
        "Counting at the market stall",
        ("At the market {name} lays out {n} {colour} {things} on a table.", "{name} begins the day at a stall with {n} {colour} {things}."),
        {"+": ("A cart brings another {n}.", "Before noon {n} further ones are unpacked."),
         "-": ("By lunch {n} of them are sold.", "A customer buys {n} and walks off."),
         "*": ("A larger delivery makes the stock {n} times as big.", "For the festival the amount is multiplied by {n}."),
         "/": ("The stock is then divided evenly between {n} tables, and we look at one table.", "Only one part in {n} stays on display.")},
        ("What is the number of {things} on the table now?", "Work out how much stock remains."),
    ),
    Setting(
        "A shelf in the library",
        ("One shelf of the school library carries {n} {things} in {colour} paper.", "{name} tidies a shelf and counts {n} {colour} {things}."),
        {"+": ("A teacher returns {n}.", "{friend} puts {n} extra beside them."),
         "-": ("A class borrows {n}.", "Someone takes {n} to the reading room."),
         "*": ("There are {n} such shelves, all alike, so count every shelf.", "The whole room has {n} shelves filled in the same way."),
         "/": ("The librarian spreads them over {n} baskets of the same size and keeps one basket.", "They are sorted into {n} equal piles; take a single pile.")},
        ("How large is the count at closing time?", "Find the final count."),
    ),
    Setting(
        "Saving pocket money",
        ("{name} keeps {n} dollars in a {colour} tin.", "In January {name} opens a tin and finds {n} dollars."),
        {"+": ("An aunt adds {n} dollars on a birthday.", "Washing a car earns {n} dollars."),
         "-": ("A ticket costs {n} dollars.", "Repairing a bicycle takes {n} dollars out of the tin."),
         "*": ("A generous uncle multiplies the amount by {n}.", "After a year of saving there is {n} times as much."),
         "/": ("The money is then shared fairly among {n} children, {name} being one.", "{name} may spend one part out of {n} equal parts.")},
        ("Calculate the dollars that belong to {name} now.", "Which amount is left for {name}?"),
    ),
    Setting(
        "The bakery's morning",
        ("A baker takes {n} warm loaves out of the oven.", "{name} bakes {n} rolls before sunrise."),
        {"+": ("The second oven yields {n}.", "An hour later {n} come out as well."),
         "-": ("A café orders {n}.", "Unfortunately {n} are burnt and thrown away."),
         "*": ("On Saturday the bakery makes {n} times that amount.", "The same is repeated on {n} mornings; add up all mornings."),
         "/": ("Bags of {n} are packed and we count the bags.", "Everything is arranged on {n} trays in equal numbers; look at one tray.")},
        ("What number does the baker write down?", "State the result of the day."),
    ),
    Setting(
        "Planting a garden",
        ("In spring {name} plants {n} {colour} tulips along the fence.", "A gardener sets {n} bulbs into the {colour} bed."),
        {"+": ("In April {n} plants from a neighbour join them.", "{friend} contributes {n} plants."),
         "-": ("Snails eat {n}.", "A storm breaks {n} of the plants."),
         "*": ("The garden has {n} beds that all look the same, and we want the total.", "Each plant grows {n} flowers, and now flowers are counted."),
         "/": ("They are moved to {n} pots, equally many in every pot; count one pot.", "A bouquet needs {n}, and we count bouquets.")},
        ("How does the count end?", "Give the number that the gardener sees."),
    ),
    Setting(
        "On the bus",
        ("The bus leaves the depot and {n} passengers board at the first stop.", "A morning train sets off with {n} travellers."),
        {"+": ("At the school {n} pupils climb aboard.", "At the next station {n} people get on."),
         "-": ("At the hospital {n} get off.", "At the park {n} passengers leave."),
         "*": ("A full train carries {n} times as many people.", "During rush hour the number grows {n} fold."),
         "/": ("They sit in {n} carriages, equally distributed, and we count one carriage.", "Teams of {n} are formed; count the teams.")},
        ("With what number does the journey finish?", "How many travellers does the driver report?"),
    ),
    Setting(
        "Game night",
        ("In the first round {name} scores {n} points.", "{name}'s {colour} token starts on square {n}."),
        {"+": ("A lucky card is worth {n} extra points.", "The dice add {n}."),
         "-": ("A penalty removes {n}.", "Landing on a trap costs {n}."),
         "*": ("A joker multiplies the score by {n}.", "The bonus field turns the score into {n} times itself."),
         "/": ("A thief leaves only one part in {n}.", "The score is divided by {n}.")},
        ("What does the scoreboard show for {name}?", "Determine the final score."),
    ),
    Setting(
        "Fetching water",
        ("A tank holds {n} litres of rain.", "{name} fills a {colour} barrel with {n} litres of water."),
        {"+": ("Overnight {n} litres flow in.", "A pump delivers {n} litres."),
         "-": ("The plants need {n} litres.", "A leak loses {n} litres."),
         "*": ("A reservoir holds {n} times as much.", "There are {n} equal tanks, taken together."),
         "/": ("The water is poured evenly into {n} buckets; measure one bucket.", "Jugs of {n} litres are filled, and the jugs are counted.")},
        ("Compute the final reading.", "What is measured in the end?"),
    ),
    Setting(
        "Beads on a string",
        ("{name} threads {n} {colour} beads for a necklace.", "A string carries {n} {colour} shells."),
        {"+": ("{friend} ties on {n}.", "Then {n} silver ones follow."),
         "-": ("The thread snaps and {n} roll away.", "For a ring, {n} are taken off."),
         "*": ("Making {n} such necklaces requires that number {n} times.", "The pattern is repeated until it is {n} times as long."),
         "/": ("Cut into {n} equal bracelets, one bracelet is worn.", "Every group of {n} gets a knot, and knots are counted.")},
        ("How long is the row at last, counted in pieces?", "Find what {name} counts last."),
    ),
    Setting(
        "Steps and stairs",
        ("{name} climbs {n} steps of a tower.", "The {colour} lift stands at floor {n}."),
        {"+": ("After a rest {n} more steps follow.", "It goes up by {n}."),
         "-": ("Then it is {n} down again.", "Descending {n} brings a better view."),
         "*": ("The top is {n} times as high.", "{friend} reaches {n} times that height."),
         "/": ("Halls divide the height into {n} equal sections; take one.", "A short cut leaves one part out of {n}.")},
        ("At which number does the walk stop?", "Name the height reached."),
    ),
)  # fmt: skip
# ruff: noqa: E501 - a sentence a line

THINKING = {
    "+": ("Both parts belong together, so we add:", "More arrives, which means a sum.", "Add the new part:"),
    "-": ("Something goes away, so we subtract:", "Take the part away:", "The difference tells us what stays:"),
    "*": (
        "Equal groups call for a product:",
        "Multiply, because the same number is repeated:",
        "So many times as much:",
    ),
    "/": ("Fair sharing is division:", "Divide into equal parts:", "We ask how often it fits:"),
}
STYLES = ("lines", "lines", "lines", "explained", "inline")


def calculate(value: int, operation: str, operand: int) -> int:
    """One step; a division has no remainder."""
    return {"+": value + operand, "-": value - operand, "*": value * operand, "/": value // operand}[operation]


def draw_chain(r: random.Random, steps: int, largest: int) -> Chain:
    """A first quantity and steps that stay whole and between 1 and `largest`.

    Only the last step divides: in a story it changes what is counted.
    """
    start = r.randint(2, largest - 1)
    moves: list[tuple[str, int]] = []
    value = start
    for step in range(1, steps + 1):
        operands: dict[str, Sequence[int]] = {
            "+": range(1, min(largest - value, 20) + 1),
            "-": range(1, min(value - 1, 20) + 1),
            "*": range(2, min(9, largest // value) + 1),
            "/": [n for n in range(2, 10) if value % n == 0 and step == steps],
        }
        operation = r.choice([o for o, choices in operands.items() if choices])
        moves.append((operation, r.choice(operands[operation])))
        value = calculate(value, *moves[-1])
    return start, moves


def worked_lines(chain: Chain) -> list[str]:
    """The steps as solutions of the embedded task write them: `7 + 5 = 12`."""
    value, lines = chain[0], []
    for operation, n in chain[1]:
        result = calculate(value, operation, n)
        lines.append(f"{value} {operation} {n} = {result}")
        value = result
    return lines


def result(chain: Chain) -> int:
    """Where a chain ends."""
    value = chain[0]
    for operation, n in chain[1]:
        value = calculate(value, operation, n)
    return value


def story(r: random.Random) -> tuple[Setting, str, Chain]:
    """A setting, the story's text and the chain that it tells."""
    setting = r.choice(SETTINGS)
    name, friend = r.sample(NAMES, 2)
    words = {"name": name, "friend": friend, "things": r.choice(THINGS), "colour": r.choice(COLOURS)}
    chain = draw_chain(r, r.choice((1, 2, 2, 3)), r.choice((20, 20, 40, LARGEST)))
    sentences = [r.choice(setting.opening).format(n=chain[0], **words)]
    sentences += [sentence.format(n=n, **words) for sentence, n in told(r, setting.events, chain)]
    return setting, " ".join([*sentences, r.choice(setting.question).format(**words)]), chain


def told(r: random.Random, events: Mapping[str, Sequence[str]], chain: Chain) -> list[tuple[str, int]]:
    """A sentence for every step with its operand; none is used again while there are others."""
    unused = {operation: r.sample(sentences, len(sentences)) for operation, sentences in events.items()}
    chosen = []
    for operation, n in chain[1]:
        unused[operation] = unused[operation] or list(events[operation])
        chosen.append((unused[operation].pop(), n))
    return chosen


def solution(r: random.Random, chain: Chain) -> list[str]:
    """Paragraphs that work a chain out; the result is boxed where the author writes the bare lines."""
    lines, end = worked_lines(chain), result(chain)
    match r.choice(STYLES):
        case "lines":
            return ["\n".join([*lines, rf"\boxed{{{end}}}"])]
        case "explained":
            thoughts = [f"{r.choice(THINKING[o])} {line}" for (o, _), line in zip(chain[1], lines, strict=True)]
            return [*thoughts, rf"The answer is \boxed{{{end}}}"]
        case _:
            return [f"{r.choice(('Solution', 'Working', 'Step by step'))}: {', then '.join(lines)}. Answer: {end}."]


def worksheet(r: random.Random) -> Article:
    """Several problems of a homework page with their solutions."""
    blocks: list[str] = [r.choice(_WORKSHEET_OPENINGS)]
    settings = []
    for number in range(1, r.randint(6, 10)):
        setting, text, chain = story(r)
        settings.append(setting.title)
        blocks += [f"## {r.choice(('Problem', 'Exercise', 'Task'))} {number}", text, *solution(r, chain)]
    blocks.append(r.choice(_CLOSINGS))
    title = (
        f"{r.choice(('Word problems', 'Homework help', 'Practice sheet', 'Worked problems'))}: {settings[0].lower()}"
    )
    return Article(title, tuple(blocks), mathematical=True)


def thread(r: random.Random) -> Article:
    """A question about one problem, answered by others."""
    setting, text, chain = story(r)
    helper, other = r.sample(NAMES, 2)
    blocks = [f"{r.choice(_ASKING)} {text}", f"## Answer by {helper}", *solution(r, chain), r.choice(_CLOSINGS)]
    for _ in range(r.randint(2, 4)):
        _, text, chain = story(r)
        blocks += [f"## Reply by {other}", f"{r.choice(_TRY)} {text}", *solution(r, chain)]
    return Article(f"{r.choice(_THREAD_TITLES)}: {setting.title.lower()}", tuple(blocks), mathematical=True)


def lesson(r: random.Random) -> Article:
    """A lesson about one operation or idea with many worked lines."""
    name, make = r.choice(_LESSONS)
    blocks = [r.choice(_LESSON_OPENINGS).format(name=name.lower()), *make(r)]
    for heading in ("First examples", "Practise", "A little harder", "In words", "Check yourself"):
        if r.random() < 0.4:
            continue
        blocks.append(f"## {heading}")
        if heading == "In words":
            _, text, chain = story(r)
            blocks += [text, *solution(r, chain)]
        else:
            blocks += make(r)
    blocks.append(r.choice(_CLOSINGS))
    return Article(
        f"{name}: {r.choice(('a lesson', 'explained', 'step by step', 'for class three'))}",
        tuple(blocks),
        mathematical=True,
    )


def _line(r: random.Random, operation: str, largest: int = LARGEST) -> str:
    while True:
        chain = draw_chain(r, 1, largest)
        if chain[1][0][0] == operation:
            return worked_lines(chain)[0]


def _rows(operation: str, sentences: tuple[str, ...]) -> Callable[[random.Random], list[str]]:
    return lambda r: [
        r.choice(sentences),
        "\n".join(_line(r, operation, r.choice((20, 50, 100))) for _ in range(r.randint(4, 7))),
    ]


def _table(r: random.Random) -> list[str]:
    n = r.randint(2, 10)
    return [
        f"The row of {n}, read aloud:",
        "\n".join(f"{k} * {n} = {k * n}" for k in sorted(r.sample(range(1, 11), 7))),
    ]


def _inverse(r: random.Random) -> list[str]:
    a, b = r.randint(2, 40), r.randint(2, 40)
    c, d = r.randint(2, 9), r.randint(2, 9)
    return [
        r.choice(("Addition is undone by subtraction.", "A family of facts:")),
        f"{a} + {b} = {a + b}\n{b} + {a} = {a + b}\n{a + b} - {b} = {a}",
        r.choice(("In the same way multiplication is undone by division.", "And with products:")),
        f"{c} * {d} = {c * d}\n{c * d} / {d} = {c}\n{c * d} / {c} = {d}",
    ]


def _percent(r: random.Random) -> list[str]:
    whole, p = r.choice((20, 40, 60, 80, 100)), r.choice((10, 20, 25, 50))
    divisor = 100 // p
    return [
        f"To find {p} percent of {whole}, divide by {divisor}, because {p} percent is one part in {divisor}.",
        f"{whole} / {divisor} = {whole // divisor}\n{whole} - {whole // divisor} = {whole - whole // divisor}",
        f"So {whole // divisor} is taken away and {whole - whole // divisor} remains.",
    ]


def _rectangle(r: random.Random) -> list[str]:
    a, b = r.randint(2, 10), r.randint(2, 10)
    return [
        f"A rectangle is {a} metres long and {b} metres wide. Area:",
        f"{a} * {b} = {a * b}",
        f"Perimeter: two sides together, then twice that.\n{a} + {b} = {a + b}\n{a + b} * 2 = {2 * (a + b)}",
    ]


_LESSONS: tuple[tuple[str, Callable[[random.Random], list[str]]], ...] = (
    ("Addition", _rows("+", ("To add means to put two numbers together.", "Count on from the larger number."))),
    (
        "Subtraction",
        _rows("-", ("To subtract means to take away.", "The difference says how far apart two numbers are.")),
    ),
    ("Multiplication", _rows("*", ("A product is a repeated sum.", "Rows of equal length are counted by a product."))),
    ("Division", _rows("/", ("To divide means to share fairly.", "A quotient says how often one number fits."))),
    ("Times tables", _table),
    ("Inverse operations", _inverse),
    ("Percentages", _percent),
    ("Rectangles", _rectangle),
)
_WORKSHEET_OPENINGS = (
    "Here are this week's problems with every step written out. Cover the solutions and try on your own first.",
    "Read each story twice, decide which operation fits, and write one line for each step.",
    "These problems need only the four operations. The last number, in the box, is the answer.",
    "A set for quiet practice: one line for one step, no step in the head.",
    "Numbers, a short story, a question. Underline what is asked before you calculate.",
    "Our tutors solved these problems together with pupils of the third and fourth class.",
)
_CLOSINGS = (
    "Always check the result by going backwards.",
    "Write the steps below one another, then mistakes are easy to find.",
    "Does the answer fit the story? If not, read again.",
    "Thank you, now I see why the order of the steps matters.",
    "If you get stuck, draw a picture of the story.",
    "Now make up a story of your own with other numbers.",
)
_ASKING = (
    "My daughter brought this home and we disagree about the answer:",
    "Can somebody show me the steps?",
    "I always mix up the order here.",
    "We had this in class today and I was ill.",
    "Help please, it is due tomorrow!",
    "My solution differs from the book.",
    "Which operation comes first in this one?",
)
_TRY = ("Try this one for practice:", "A similar one:", "Same idea, other numbers:", "Here is another from our book:")
_THREAD_TITLES = (
    "Need the steps",
    "Is my answer right",
    "Stuck with a word problem",
    "How to solve",
    "Third class homework",
)
_LESSON_OPENINGS = (
    "Today we practise {name}. Say each line aloud and do the next one without looking.",
    "This page explains {name} with small numbers; larger ones work in the same way.",
    "What is this good for? The subject is {name}, and you will see in a minute. First some lines to copy.",
    "Parents often ask how we teach this now ({name}). Here is what we do in class.",
)
