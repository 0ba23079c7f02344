"""English pages of mathematics: the facts of the topic files, told in the manner of each kind of site."""

import random
import re

from dsmath.corpus.embedded.article import Article, Fact
from dsmath.corpus.embedded.facts import FACTS

TOPICS: tuple[str, ...] = tuple(dict.fromkeys(fact.topic for fact in FACTS))


def _of(topic: str) -> list[Fact]:
    return [fact for fact in FACTS if fact.topic == topic]


def _examples(r: random.Random, fact: Fact, count: int) -> list[str]:
    """Different examples of a fact as blocks; one that contains a displayed formula gives several."""
    drawn: dict[str, None] = {}
    for _ in range(4 * count):
        if len(drawn) < count:
            drawn[fact.example(r)] = None
    return [block for example in drawn for block in example.split("\n\n")]


def encyclopedia(r: random.Random) -> Article:
    """An entry: definition, examples, and a related entry's statement."""
    fact = r.choice(FACTS)
    related = [other for other in _of(fact.topic) if other != fact]
    blocks = [r.choice(fact.statements), "## Examples", *_examples(r, fact, r.randint(2, 4))]
    for other in r.sample(related, min(len(related), r.randint(1, 2))):
        blocks += [f"## {other.name}", r.choice(other.statements), *_examples(r, other, 1)]
    blocks.append(r.choice(_SEE).format(topic=fact.topic, name=_lower(fact.name)))
    return Article(fact.name, tuple(blocks), mathematical=True)


def lecture(r: random.Random) -> Article:
    """Lecture notes: numbered definitions, examples and exercises on one topic."""
    topic, chapter = r.choice(TOPICS), r.randint(1, 14)
    facts = _of(topic)
    facts = r.sample(facts, min(len(facts), r.randint(2, 4)))
    blocks = [r.choice(_LECTURE_OPENINGS).format(topic=topic, name=_lower(facts[0].name))]
    for number, fact in enumerate(facts, start=1):
        blocks += [f"## {chapter}.{number} {fact.name}", f"Theorem {chapter}.{number}. {r.choice(fact.statements)}"]
        examples = _examples(r, fact, r.randint(1, 3))
        blocks += [f"Example {chapter}.{number}. {examples[0]}", *examples[1:]]
    blocks += [f"## Exercises for chapter {chapter}", "\n".join(f"- {e}" for e in r.sample(_EXERCISES, 3))]
    return Article(f"Chapter {chapter}: {topic} ({_lower(facts[0].name)})", tuple(blocks), mathematical=True)


def question(r: random.Random) -> Article:
    """A question of a forum for mathematics with answers and comments."""
    fact = r.choice(FACTS)
    name = _lower(fact.name)
    blocks = [r.choice(_QUESTIONS).format(name=name, topic=fact.topic), *_examples(r, fact, 1), r.choice(_DOUBTS)]
    blocks += ["## Answer", r.choice(_ANSWERS), r.choice(fact.statements), *_examples(r, fact, r.randint(1, 2))]
    blocks.append(r.choice(_COMMENTS))
    for remark in r.sample(_FURTHER, r.randint(0, 2)):
        blocks += ["## Another answer", remark, *_examples(r, fact, r.randint(1, 2)), r.choice(_COMMENTS)]
    return Article(r.choice(_QUESTION_TITLES).format(name=name), tuple(blocks), mathematical=True)


def blog(r: random.Random) -> Article:
    """A post in the first person."""
    fact = r.choice(FACTS)
    other = r.choice([f for f in FACTS if f.topic == fact.topic])
    name = _lower(fact.name)
    blocks = [r.choice(_BLOG_OPENINGS).format(name=name), r.choice(fact.statements), r.choice(_BLOG_TURNS)]
    blocks += _examples(r, fact, r.randint(2, 3))
    if other is not fact:
        blocks += [r.choice(_BLOG_LINKS).format(name=_lower(other.name)), r.choice(other.statements)]
        blocks += _examples(r, other, 1)
    blocks.append(r.choice(_BLOG_CLOSINGS))
    return Article(r.choice(_BLOG_TITLES).format(name=name), tuple(blocks), mathematical=True)


def survey(r: random.Random) -> Article:
    """A wiki page that walks through a whole topic."""
    topic = r.choice(TOPICS)
    facts = _of(topic)
    facts = r.sample(facts, min(len(facts), 4))
    blocks = [r.choice(_SURVEY_OPENINGS).format(topic=topic)]
    for fact in facts:
        blocks += [f"## {fact.name}", r.choice(fact.statements), *_examples(r, fact, 2)]
    return Article(f"{topic.capitalize()} — {_lower(facts[0].name)} and more", tuple(blocks), mathematical=True)


def _lower(name: str) -> str:
    """A fact's name inside a sentence; names of people keep their capital."""
    first = re.split("[' ]", name, maxsplit=1)[0]
    return name if first in _PEOPLE else name[0].lower() + name[1:]


_PEOPLE = {
    "Bézout", "Fermat", "Euler", "Chinese", "Bayes", "Fibonacci", "Catalan", "Lagrange", "Gaussian", "Cramer", "Heron", "Euclidean",
    "Pythagorean", "Taylor", "Newton", "Simpson", "RSA",
}  # fmt: skip
# ruff: noqa: E501 - a sentence a line
_SEE = (
    "See also the entries on {topic}; the proof of the general statement is in every textbook of the subject.",
    "This entry belongs to the classification {topic}. Corrections are welcome.",
    "Other proofs of these results are collected in an attached entry on {topic}.",
    "The examples were verified by direct computation. Related concepts are listed under {topic}.",
    "For the history of the subject ({topic}) the reader is referred to the bibliography of this encyclopedia.",
)
_LECTURE_OPENINGS = (
    "These notes accompany the course on {topic} and assume the previous chapters. First subject: {name}.",
    "Today's lecture treats {name}. Proofs that were left out in class are meant as exercises.",
    "Last week we introduced the language of {topic}; now we can state the first serious results.",
    "This chapter is short but important for everything later. Its main subject is {name}.",
    "The plan for the session: definitions, then {name}, then as many examples as time allows.",
)
_EXERCISES = (
    "Find a second proof of the first theorem of this chapter.",
    "Repeat the computation of the first example with numbers of your own choice and verify the result.",
    "Show by a counterexample that the hypothesis of the theorem cannot be dropped.",
    "Is the converse true? Give a proof or a counterexample.",
    "Write out the details of the step that the lecture called obvious.",
    "Generalise the last example to arbitrary parameters.",
    "Explain to a fellow student in three sentences why the theorem holds.",
    "Compare the statement with its analogue from the previous chapter.",
)
_QUESTIONS = (
    'I am learning {topic} on my own and have reached the section "{name}". I worked through this case:',
    "An exam had a problem on the subject of {name}. My attempt is below; I would like to know whether it is rigorous.",
    "My textbook spends half a page on the subject: {name}. To see what happens I computed an example.",
    "What is the intuition here (the topic is {name})? So far I can only do computations such as this one.",
    "Let me ask something elementary. Topic: {name}. Here is what I know.",
    "While preparing a seminar talk on {topic} ({name}) I did the following.",
)
_DOUBTS = (
    "Is this correct, and does the argument work in general?",
    "How would one prove this without guessing? Any hint is appreciated.",
    "I don't see where the hypothesis is used. What am I missing?",
    "Is there a slicker way? My computation seems longer than necessary.",
    "Does this follow from the definition alone, or do I need a theorem?",
)
_ANSWERS = (
    "Your computation is right. Here is the general statement behind it.",
    "Yes. Let me recall the precise formulation first.",
    "It helps to start from the definition.",
    "Hint first, then a full example:",
)
_FURTHER = (
    "The other answer is fine, but one can be more explicit.",
    "A remark that is too long for a comment. Look at one more case:",
    "I had the same trouble when I was a student, and this helped me:",
    "For comparison, here are other numbers.",
)
_COMMENTS = (
    "Comment: nice, this is much clearer than my notes.",
    "Comment: you should mention where the assumption enters.",
    "Comment: thanks, I had missed the last step.",
    "Comment: the same idea works over any field.",
    "Comment: could you add a reference?",
    "Edit: fixed a sign in the last line.",
)
_QUESTION_TITLES = (
    "How to understand this: {name}?", "Is my reasoning valid? ({name})", "An example, please: {name}", "Beginner question: {name}",
    "Elementary proof wanted: {name}", "Computing by hand: {name}", "Where is the hypothesis used? ({name})",
)  # fmt: skip
_BLOG_OPENINGS = (
    "I promised a reader a post with the title {name}, so here we go.",
    "Some theorems look dry until one tries small cases. My favourite: {name}.",
    "On the train this morning I filled an envelope with computations. Subject: {name}.",
    "Every autumn the same chapter ({name}), and every autumn I find a better way to say it.",
    "This is the second post of a series. Last time was motivation; today the thing itself: {name}.",
)
_BLOG_TURNS = (
    "That is the official version. What does it mean for actual numbers?",
    "Read that again slowly, and then look at the following.",
    "No proof today, only evidence:",
    "The statement is short; the fun is in the details.",
)
_BLOG_LINKS = (
    "This reminds me of something else: {name}.", "Closely related, and often confused with it: {name}.", "A cousin of this result: {name}.",
    "If you liked that, read on: {name}.",
)  # fmt: skip
_BLOG_CLOSINGS = (
    "Corrections in the comments, please.", "Next week: what goes wrong in infinite situations.", "Exercise for the reader: find a case that is as small as possible.",
    "I learned this from a colleague over coffee.", "Happy computing!",
)  # fmt: skip
_BLOG_TITLES = (
    "Notes: {name}",
    "A favourite of mine: {name}",
    "A small computation: {name}",
    "Explained: {name}",
    "With examples: {name}",
)
_SURVEY_OPENINGS = (
    "This page gives an overview of {topic}. Each section states one result and illustrates it.",
    "The following results form the core of a first course on {topic}.",
    "This article is about {topic}. For applications, see the pages of the individual theorems.",
)
