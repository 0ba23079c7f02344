"""Pages that look like mathematics to a classifier which knows little: definitions of law and nature, and programs."""

import random

from dsmath.corpus.embedded.article import Article
from dsmath.corpus.embedded.prose import paragraphs

# ruff: noqa: SIM905, E501 - word lists read best as text; a sentence a line
LAW = (
    "In this Act a dwelling means any building, or part of one, that is used for habitation.",
    "A tenant is entitled to notice if and only if the lease exceeds {n} months.",
    "Suppose that a vessel carries more than {n} passengers; then its master shall keep a register.",
    "A person is called a resident when he or she has lived in {town} for at least {k} years.",
    "Proof of service shall be filed within {n} days.",
    "For example, a grocer who sells wine by the glass is a retailer within the meaning of paragraph {k}.",
    "The following are equivalent in effect: a deed under seal, and a declaration before two witnesses.",
    "This definition does not apply where section {n} provides otherwise.",
    "The converse does not hold: a licence to sell is no licence to produce.",
    "It follows that a contract signed under threat is void.",
    "An order made under section {k} has effect subject to section {n}.",
    "Let the applicant show cause; otherwise the court may dismiss the claim.",
    "In the case of {who} against the harbour board it was held that silence is not consent.",
    "Every member of the council has exactly one vote, and the chair decides if the votes are equal.",
    "Conversely, where the goods are perishable, the buyer must give notice at once.",
    "The term hereditament is defined in schedule {k}; see also the entry on leases.",
    "A fine not greater than {m} pounds may be imposed for each breach.",
    "We say that a right is absolute if no condition limits it.",
)
NATURE = (
    "The {name} is a {group} that occurs in {place} and the hills around it.",
    "A species is called endemic if it lives in a single region.",
    "The genus contains {n} species, of which {k} are found in Europe.",
    "By definition every {group} of this family has the same arrangement of parts.",
    "Examples are kept in the collections of {town} and {place}.",
    "The name was first given by {who} in {year}.",
    "Two populations are said to be related if they descend from a common ancestor.",
    "Let us consider the young: they differ from the adults in colour and in size.",
    "An adult {name} weighs up to {m} grams.",
    "The following properties characterise the family: the number of parts, their order and their form.",
    "It is not known whether the converse is true for island forms.",
    "In general, the larger the territory, the smaller the number of neighbours.",
    "See also the entries on habitats and on classification.",
    "This entry belongs to the classification natural history. Corrections are welcome.",
    "Suppose that food is scarce; then the {name} moves to lower ground.",
    "There is exactly one record from {town}, made by {other}.",
    "Every known {name} has been observed between May and October.",
    "Hence the {name} is regarded as an indicator of clean water.",
)
_NAMES = {
    "bird": "Bittern Dipper Goldcrest Kingfisher Lapwing Nightjar Redstart Siskin Treecreeper Wheatear".split(),
    "plant": "Bilberry Bogbean Butterwort Foxglove Gentian Harebell Meadowsweet Saxifrage Sundew Yarrow".split(),
    "mammal": "Badger Dormouse Hedgehog Noctule Otter Polecat Shrew Vole Weasel Wildcat".split(),
    "mineral": "Agate Beryl Calcite Dolomite Fluorite Galena Jasper Malachite Olivine Pyrite".split(),
}
PROGRAMMING = (
    "A variable is a name for a value, and an assignment changes it.",
    "The loop ends when the condition becomes false.",
    "Let us look at the next line of the program.",
    "By convention the index of the first element is 0.",
    "If the list is empty, the function returns at once.",
    "Note that the expression on the right is evaluated first.",
    "The following example shows the idea; run it and change the values.",
    "A function is called recursive if it calls itself.",
    "It is an error to use a name before it has been defined.",
    "For every request the server starts a new task.",
    "Suppose that two threads write to the same file; then lines may be lost.",
    "This pattern is equivalent to the one from the last section, but shorter.",
    "Exercise: extend the program so that it prints the longest name.",
    "In general, small functions are easier to test.",
    "The debugger shows the state after each step.",
    "Hence the cache is cleared before the next call.",
)


def law(r: random.Random) -> Article:
    """A part of a statute or a commentary on it."""
    subject = r.choice(
        "Leases Carriage Licences Notices Fisheries Markets Harbours Inheritance Guardianship Highways".split()
    )
    blocks = paragraphs(r, LAW, k=str(r.randint(2, 9)))
    numbered = [f"Section {i}. {block}" for i, block in enumerate(blocks, start=r.randint(1, 60))]
    return Article(f"{subject} Act, part {r.randint(1, 12)}: definitions and effect", tuple(numbered))


def nature(r: random.Random) -> Article:
    """An encyclopedia's entry on an animal, a plant or a mineral."""
    group = r.choice(list(_NAMES))
    name = r.choice(_NAMES[group])
    first, *rest = paragraphs(r, NATURE, name=name.lower(), group=group, k=str(r.randint(2, 9)))
    return Article(f"{name} ({group})", (first, "## Examples", *rest))


def programming(r: random.Random) -> Article:
    """A tutorial for beginners, with assignments that look like equations."""
    a, b, c = r.sample(
        "total count index size offset width limit sum step price length left right middle best".split(), 3
    )
    n, m = r.randint(2, 99), r.randint(2, 99)
    samples = (
        f"    {a} = 0\n    for {b} in range({n}):\n        {a} = {a} + {b}\n    print({a})",
        f"    {a} = {n}\n    while {a} > 0:\n        {a} = {a} - 1\n        {b} = {b} * 2",
        f"    {c} = {a} + {m} * {b}\n    if {c} == {n}:\n        {c} = {c} / 2\n    return {c} - {a}",
        f"    {a} = [ {n} , {m} , {n + m} ]\n    {b} = {a}[0] + {a}[1]\n    assert {b} == {a}[2]",
        f"    def {a}({b}):\n        return {b} * {b} + {n}\n\n    {c} = {a}({m}) - {a}({n})",
        f"    {a} = {b}\n    {b} = {c}\n    {c} = {a}\n    x = x + {n}\n    y = y - {m}",
    )
    words, blocks = paragraphs(r, PROGRAMMING), []
    for paragraph, sample in zip(words, r.sample(samples, len(samples)), strict=False):
        blocks += [paragraph, sample]
    return Article(f"Lesson {r.randint(1, 40)}: {a}, {b} and {c} in a program", tuple(blocks))


def code(r: random.Random) -> Article:
    """Programming documentation, with code that contains signs and numbers but no mathematics."""
    name, other = r.sample(
        "buffer cache client config cursor handler logger parser queue router session socket stream template thread widget".split(),
        2,
    )
    verb = r.choice("open load flush bind render fetch register parse".split())
    port, timeout = r.randint(1025, 9999), r.randint(5, 90)
    samples = (
        f"    {name} = {name.capitalize()}(host='localhost', port={port})\n    {name}.{verb}(timeout={timeout})\n    if {name}.closed:\n        raise RuntimeError('{name} closed')",
        f"    for (int i = 0; i < {other}.size(); i++) {{\n        {name}->{verb}({other}[i], {timeout});\n    }}",
        f"    export {name.upper()}_PORT={port}\n    ./run --{verb} --retries {r.randint(1, 9)} | grep -v ${name.upper()} > {other}.log",
        f"    const {name} = await {other}.{verb}({{ limit: {timeout} }});\n    console.log(`${{{name}.length}} items`);",
        f"    SELECT id, name FROM {name}s WHERE {other}_id = {port} AND active = 1 ORDER BY created LIMIT {timeout};",
    )
    pool = (
        f"The {name} module wraps the {other} and adds retries.", f"Call {verb} before the first write, otherwise a warning is logged.", f"The default timeout is {timeout} seconds.", f"Deprecated since version {r.randint(1, 6)}.{r.randint(0, 9)}; use the {other} instead.",
        f"Set the port to {port} in the file {name}.ini.", "Thread safety: instances must not be shared between workers.", f"Returns an iterator over {other} objects.", "Raises an exception if the file does not exist.",
        "Install the package with your usual package manager and restart the service.", f"On Windows the {name} falls back to polling.", "The callback receives the response and the headers.", f"See the changelog for a list of breaking changes in the {other}.",
        "Pull requests are welcome; please run the linter first.", f"Environment variables override values from the {name} file.",
    )  # fmt: skip
    chosen = r.sample(pool, 9)
    blocks = [
        " ".join(chosen[:3]),
        r.choice(samples),
        " ".join(chosen[3:6]),
        "## Options",
        f"- {verb}: how the {name} starts\n- port: {port}\n- timeout: {timeout}",
        r.choice(samples),
        " ".join(chosen[6:]),
    ]
    return Article(f"{name}.{verb} — {other} toolkit {r.randint(1, 9)}.{r.randint(0, 20)} documentation", tuple(blocks))
