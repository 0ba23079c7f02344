"""The words of a text as 64-bit hashes: what duplicates and benchmark overlap are counted in.

Two spellings of one text should have the same words. So case, punctuation, LaTeX and HTML markup are neutralised:

- Unicode's compatibility forms and cases are folded (`ﬁ`, `Ｘ`, full-width digits), `x²` is read as `x^2`;
- LaTeX commands that only set type or size, and operators (`\\left`, `\\mathrm`, `\\cdot`, …) vanish; Greek commands
  become their letter, `\\sin` is `sin`, `\\dfrac` is `\\frac`; other commands are words, with their backslash;
- HTML tags and entities vanish;
- apostrophes and invisible characters join (`Mira's` is `miras`), and so do separators inside a number (`48,500`,
  `2.5`); every other character that is no letter, digit or mark separates;
- scripts that are written without spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese) have a word a character.

Everything is computed on whole arrays, so that a page of 5 kB takes about a quarter of a millisecond.
"""

import html
import re
import sys
import unicodedata
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]

_SEPARATOR, _LETTER, _DIGIT, _CHARACTER, _JOINER = range(5)
_COMMA, _POINT, _NEWLINE = map(ord, ",.\n")
_APOSTROPHES = "'’‘ʼ´`"
_UNSPACED = (  # Thai and Lao, Burmese, Khmer, kana and Bopomofo, ideographs with their extensions
    (0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3005, 0x3007), (0x3040, 0x312F), (0x31F0, 0x31FF),
    (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF),
)  # fmt: skip

_TAG = re.compile(
    r"</?(?:p|br|hr|i|b|u|s|em|strong|span|div|a|img|sub|sup|code|pre|tt|li|ul|ol|td|th|tr|table|h[1-6]|font|center"
    r"|math|semantics|mrow|mi|mn|mo|msup|msub|mfrac|msqrt|mtext)"
    r"""(?:[ \t]{1,8}[\w:-]{1,40}=(?:"[^"<>\n]{0,400}"|'[^'<>\n]{0,400}'|[^\s"'<>]{1,400})){0,20}[ \t]{0,8}/?>"""
)
_ENTITY = re.compile(r"&(?:#[0-9]{1,8}|#x[0-9a-f]{1,8}|[a-z0-9]{2,30});")
_COMMAND = re.compile(r"\\([a-z]{0,40})")
_SCRIPT_DIGIT = re.compile("[²³¹⁰-₉]")
_SCRIPT_DIGITS = re.compile("([⁰¹²³⁴-⁹]{1,40}|[₀-₉]{1,40})")
_TYPE_AND_SIZE = (
    "left right middle big bigl bigr bigm bigg biggl biggr biggm displaystyle textstyle scriptstyle limits nolimits "
    "text textbf textit textrm texttt textsf emph mbox hbox mathrm mathbf mathit mathsf mathtt mathbb mathcal mathfrak "
    "mathscr boldsymbol operatorname rm bf it quad qquad hspace vspace hfill phantom label nonumber notag noindent "
    "cdot times div le leq ge geq lt gt ne neq pm mp to rightarrow leftarrow implies iff in approx equiv cdots ldots "
    "dots infty"  # operators: as characters they separate too
)
_FUNCTIONS = (
    "sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh log ln lg exp lim sup inf max min gcd lcm det dim"
)
_GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi psi "
    "omega varepsilon vartheta varphi varrho varsigma"
)
_COMMANDS = {
    **dict.fromkeys(_TYPE_AND_SIZE.split(), " "),
    **{name: f" {letter} " for name, letter in zip(_GREEK.split(), "αβγδεζηθικλμνξπρστυφχψωεθφρσ", strict=True)},
    **{name: f" {name} " for name in _FUNCTIONS.split()},
    **dict.fromkeys(("dfrac", "tfrac", "cfrac"), " \\frac "),
    "": " ",  # a backslash before anything but a letter
}


@dataclass(frozen=True, slots=True)
class Words:
    """The words of a text, in order.

    `hashes` are 64-bit and the same in every process. `codes` holds the folded text as code points without joiners, in
    which word i is `codes[starts[i]:ends[i]]`; `characters` marks the words that are single characters of an unspaced
    script, and `lines[i]` is the number of the line, counted by line feeds from 0, on which word i begins.
    """

    hashes: Hashes
    codes: NDArray[np.uint32]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    characters: NDArray[np.bool_]
    lines: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.hashes)

    def spelled(self, start: int, stop: int) -> str:
        """Words as text, one space between two: equal if and only if the words are."""
        pieces = (self.codes[a:b] for a, b in zip(self.starts[start:stop], self.ends[start:stop], strict=True))
        return " ".join(piece.tobytes().decode("utf-32-le", "surrogatepass") for piece in pieces)

    def telling(self, start: int, stop: int) -> NDArray[np.bool_]:
        """Which of some words say something alone: three letters or more, or a character; no numbers, no commands."""
        first = self.codes[self.starts[start:stop]]
        bare = ((first >= ord("0")) & (first <= ord("9"))) | (first == ord("\\"))
        long = self.ends[start:stop] - self.starts[start:stop] >= 3
        telling: NDArray[np.bool_] = (long & ~bare) | self.characters[start:stop]
        return telling


def words(text: str) -> Words:
    """The words of a text. Time and memory are linear in its length."""
    folded = _folded(text)
    codes = np.frombuffer(folded.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    kinds = _kinds()[codes]
    keep = (kinds != _JOINER) & ~_inside_numbers(codes, kinds)
    if not keep.all():
        codes, kinds = codes[keep], kinds[keep]
    character = kinds == _CHARACTER
    within = (kinds == _LETTER) | (kinds == _DIGIT)
    of_word = character | within
    joined = within[1:] & within[:-1]  # with the code point before
    begins, stops = of_word.copy(), of_word.copy()
    begins[1:] &= ~joined
    stops[:-1] &= ~joined
    starts, ends = np.flatnonzero(begins), np.flatnonzero(stops) + 1
    return Words(
        hashes=_word_hashes(codes * of_word, starts),
        codes=codes,
        starts=starts,
        ends=ends,
        characters=character[starts],
        lines=np.searchsorted(np.flatnonzero(codes == _NEWLINE), starts),
    )


def windows(hashes: Hashes, size: int) -> Hashes:
    """The hashes of every run of `size` words; none for a shorter text. Hash i is of the words i to i + size - 1."""
    count = len(hashes) - size + 1
    if count <= 0:
        return np.empty(0, np.uint64)
    total = np.zeros(count, np.uint64)
    for offset in range(size):
        total *= _MULTIPLIER
        total += hashes[offset : offset + count]
    return mixed(total)


def _folded(text: str) -> str:
    """The text with its spelling neutralised; every line of it stays a line."""
    if not text.isascii():
        if _SCRIPT_DIGIT.search(text):
            text = _SCRIPT_DIGITS.sub(r"^\1", text)
        text = text.replace("\u00a0", " ")  # alone it would make the normalisation, the slowest step here, needed
        if not unicodedata.is_normalized("NFKC", text):
            text = unicodedata.normalize("NFKC", text)
    text = text.casefold()
    if "&" in text:
        text = _ENTITY.sub(lambda match: html.unescape(match[0]).replace("\n", " "), text)
    if "<" in text:
        text = _TAG.sub(" ", text)
    if "\\" in text:
        text = _COMMAND.sub(lambda match: _COMMANDS.get(match[1], f" {match[0]} "), text)
    return text


def _inside_numbers(codes: NDArray[np.uint32], kinds: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """The points between two digits, and the commas between a digit and three more: `2.5` and `48,500`, not `1,2,3`."""
    inside = np.zeros(len(codes), np.bool_)
    at = np.flatnonzero((codes == _COMMA) | (codes == _POINT))
    at = at[(at > 0) & (at < len(codes) - 1)]
    padded = np.zeros(5, np.bool_)
    digit = np.concatenate([kinds == _DIGIT, padded])
    grouped = digit[at + 1] & digit[at + 2] & digit[at + 3] & ~digit[at + 4]
    inside[at] = digit[at - 1] & digit[at + 1] & ((codes[at] == _POINT) | grouped)
    return inside


_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_PERIOD = 4096  # places in a word that have a factor of their own; what is longer is no word


def _word_hashes(codes: NDArray[np.uint32], starts: NDArray[np.int64]) -> Hashes:
    """Sums of code point times a random odd factor of its place in the word; separators are 0 in `codes`."""
    if not len(starts):
        return np.empty(0, np.uint64)
    codes, starts = codes[starts[0] :], starts - starts[0]
    place = np.arange(len(codes)) - np.repeat(starts, np.diff(np.append(starts, len(codes))))
    return mixed(np.add.reduceat(codes * _factors()[place & (_PERIOD - 1)], starts))


def mixed(values: Hashes) -> Hashes:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014), a bijection that leaves no pattern."""
    values = values + _MULTIPLIER
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


@cache
def _factors() -> Hashes:
    return mixed(np.arange(_PERIOD, dtype=np.uint64)) | np.uint64(1)


@cache
def _kinds() -> NDArray[np.uint8]:
    """What each code point is to words."""
    kinds = np.zeros(sys.maxunicode + 1, np.uint8)
    of_category = {"L": _LETTER, "M": _LETTER, "N": _LETTER}
    for code in range(sys.maxunicode + 1):
        category = unicodedata.category(chr(code))
        kinds[code] = _JOINER if category == "Cf" else of_category.get(category[0], _SEPARATOR)
    kinds[[ord(digit) for digit in "0123456789"]] = _DIGIT
    kinds[[ord(mark) for mark in _APOSTROPHES]] = _JOINER
    kinds[ord("\\")] = _LETTER
    for first, last in _UNSPACED:
        block = kinds[first : last + 1]
        block[block == _LETTER] = _CHARACTER
    return kinds
