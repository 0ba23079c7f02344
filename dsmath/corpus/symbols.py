"""What LaTeX calls the characters of mathematics."""

import re
import unicodedata
from typing import Final

# One line for each kind: a character and its command, separated by spaces.
_COMMANDS: Final = r"""
∀ \forall ∃ \exists ∄ \nexists ∅ \emptyset ∈ \in ∉ \notin ∋ \ni ∌ \not\ni ∖ \setminus ⊂ \subset ⊃ \supset
⊆ \subseteq ⊇ \supseteq ⊊ \subsetneq ⊋ \supsetneq ⊄ \not\subset ⊅ \not\supset ⊈ \nsubseteq ⊉ \nsupseteq
∩ \cap ∪ \cup ⊓ \sqcap ⊔ \sqcup ⊎ \uplus ⊏ \sqsubset ⊐ \sqsupset ⊑ \sqsubseteq ⊒ \sqsupseteq
∧ \wedge ∨ \vee ¬ \neg ⊢ \vdash ⊣ \dashv ⊨ \models ⊤ \top ⊥ \bot ⊩ \Vdash ∴ \therefore ∵ \because
− - ± \pm ∓ \mp × \times ÷ \div ⋅ \cdot · \cdot ∗ * ⋆ \star ∘ \circ ∙ \bullet • \bullet
⊕ \oplus ⊖ \ominus ⊗ \otimes ⊘ \oslash ⊙ \odot † \dagger ‡ \ddagger ≀ \wr ⨿ \amalg ⋉ \ltimes ⋊ \rtimes ⋈ \bowtie
≤ \leq ≥ \geq ⩽ \leqslant ⩾ \geqslant ≦ \leqq ≧ \geqq ≪ \ll ≫ \gg ≺ \prec ≻ \succ ≼ \preceq ≽ \succeq
⪯ \preceq ⪰ \succeq ≠ \neq ≡ \equiv ≢ \not\equiv ∼ \sim ≁ \nsim ≃ \simeq ≄ \not\simeq ≅ \cong ≇ \ncong ≈ \approx
≉ \not\approx ≍ \asymp ≐ \doteq ≔ := ≕ =: ≜ \triangleq ∝ \propto ∣ \mid ∤ \nmid ∥ \parallel ∦ \nparallel
≮ \nless ≯ \ngtr ≰ \nleq ≱ \ngeq ≲ \lesssim ≳ \gtrsim ⊲ \triangleleft ⊳ \triangleright ⊴ \trianglelefteq
⊵ \trianglerighteq ◁ \triangleleft ◃ \triangleleft ▹ \triangleright ▷ \triangleright
← \leftarrow → \to ↑ \uparrow ↓ \downarrow ↔ \leftrightarrow ↕ \updownarrow ⇐ \Leftarrow ⇒ \Rightarrow ⇑ \Uparrow
⇓ \Downarrow ⇔ \Leftrightarrow ⟵ \longleftarrow ⟶ \longrightarrow ⟷ \longleftrightarrow ⟸ \Longleftarrow
⟹ \Longrightarrow ⟺ \Longleftrightarrow ↦ \mapsto ⟼ \longmapsto ↪ \hookrightarrow ↩ \hookleftarrow ↠ \twoheadrightarrow
↣ \rightarrowtail ↗ \nearrow ↘ \searrow ↙ \swarrow ↖ \nwarrow ⇀ \rightharpoonup ⇁ \rightharpoondown
↼ \leftharpoonup ↽ \leftharpoondown ⇌ \rightleftharpoons ⇝ \leadsto ↛ \nrightarrow ⇏ \nRightarrow ↾ \upharpoonright
∑ \sum ∏ \prod ∐ \coprod ∫ \int ∬ \iint ∭ \iiint ∮ \oint ⋂ \bigcap ⋃ \bigcup ⋀ \bigwedge ⋁ \bigvee ⨁ \bigoplus
⨂ \bigotimes ⨀ \bigodot ⨆ \bigsqcup ⨄ \biguplus
∂ \partial ∇ \nabla ∆ \Delta ∞ \infty √ \surd ∠ \angle ∡ \measuredangle ° ^{\circ} ℓ \ell ℘ \wp ℜ \Re ℑ \Im
ℵ \aleph ℶ \beth ℏ \hbar ı \imath ȷ \jmath □ \square ◻ \square ∎ \blacksquare ■ \blacksquare ◊ \Diamond △ \triangle
▵ \triangle ▽ \triangledown ○ \bigcirc ◯ \bigcirc ♯ \sharp ♭ \flat ♮ \natural ♣ \clubsuit ♢ \diamondsuit ♡ \heartsuit
♠ \spadesuit ✓ \checkmark ∁ \complement ℧ \mho ⅆ d ⅇ e ⅈ i ⋄ \diamond
… \ldots ⋯ \cdots ⋮ \vdots ⋱ \ddots ′ ' ″ '' ‴ '''
⟨ \langle ⟩ \rangle 〈 \langle 〉 \rangle 〈 \langle 〉 \rangle ⌈ \lceil ⌉ \rceil ⌊ \lfloor ⌋ \rfloor
⟦ [\![ ⟧ ]\!] ‖ \| ∥ \| ⟮ ( ⟯ )
{ \{ } \} % \% # \# & \& _ \_ $ \$ \ \backslash ~ \sim ^ \hat{} ∶ : ꞉ : ‐ - – - ⁄ /
ϵ \epsilon ε \varepsilon ϑ \vartheta ϖ \varpi ϱ \varrho ς \varsigma ϕ \phi φ \varphi ϰ \varkappa ϝ \digamma
"""
# Invisible operators, joiners, spaces without meaning.
_NOTHING: Final = dict.fromkeys("\u2061\u2062\u2063\u2064\u200b\u200c\u200d\u2060\u2009\u200a\u2006\u00ad", "")
_PAIRS: Final = _COMMANDS.split()
SYMBOLS: Final = dict(zip(_PAIRS[::2], _PAIRS[1::2], strict=True)) | _NOTHING | {"∥": r"\parallel"}

# Operators whose limits stand below and above them.
_WITH_LIMITS: Final = r"""
\sum \prod \coprod \bigcap \bigcup \bigwedge \bigvee \bigoplus \bigotimes \bigodot \bigsqcup \biguplus
\int \iint \iiint \oint \lim \limsup \liminf \max \min \sup \inf \det \gcd \Pr \arg
"""
LIMITS: Final = frozenset(_WITH_LIMITS.split())

_FUNCTIONS: Final = """
arccos arcsin arctan arg cos cosh cot coth csc deg det dim exp gcd hom inf ker lg lim liminf limsup ln log max min Pr
sec sin sinh sup tan tanh
"""
FUNCTIONS: Final = frozenset(_FUNCTIONS.split())

ACCENTS: Final = {
    "^": r"\hat", "ˆ": r"\hat", "̂": r"\hat", "~": r"\tilde", "˜": r"\tilde", "̃": r"\tilde", "∼": r"\tilde",
    "¯": r"\bar", "‾": r"\overline", "ˉ": r"\bar", "̄": r"\bar", "_": r"\underline", "→": r"\vec", "⃗": r"\vec",
    "←": r"\overleftarrow", "↔": r"\overleftrightarrow", "˙": r"\dot", "̇": r"\dot", ".": r"\dot", "¨": r"\ddot",
    "̈": r"\ddot", "⃛": r"\dddot", "ˇ": r"\check", "˘": r"\breve", "´": r"\acute", "`": r"\grave", "˚": r"\mathring",
    "⏞": r"\overbrace", "⏟": r"\underbrace", "︷": r"\overbrace", "︸": r"\underbrace", "̲": r"\underline",
    "―": r"\overline", "−": r"\overline",
}  # fmt: skip
WIDE_ACCENTS: Final = {
    r"\hat": r"\widehat", r"\tilde": r"\widetilde", r"\bar": r"\overline", r"\vec": r"\overrightarrow",
}  # fmt: skip

ALPHABETS: Final = {
    "bold": r"\mathbf", "double-struck": r"\mathbb", "script": r"\mathcal", "fraktur": r"\mathfrak",
    "bold-italic": r"\boldsymbol", "sans-serif": r"\mathsf", "monospace": r"\mathtt", "normal": r"\mathrm",
    "bold-script": r"\mathcal", "bold-fraktur": r"\mathfrak", "italic": r"\mathit",
}  # fmt: skip
_UNICODE_ALPHABETS: Final = (
    ("DOUBLE-STRUCK", "double-struck"), ("BOLD ITALIC", "bold-italic"), ("BOLD SCRIPT", "script"), ("SCRIPT", "script"),
    ("BOLD FRAKTUR", "fraktur"), ("FRAKTUR", "fraktur"), ("BLACK-LETTER", "fraktur"), ("MONOSPACE", "monospace"),
    ("SANS-SERIF", "sans-serif"), ("BOLD", "bold"),
)  # fmt: skip
_GREEK: Final = re.compile(r"GREEK (SMALL|CAPITAL) LETTER ([A-Z]+)$")
_LATIN_CAPITALS: Final = dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΧ", "ABEZHIKMNOPTX", strict=True)) | {"ο": "o"}


def symbol(character: str) -> str:
    """LaTeX for one character; the character itself where LaTeX has no name for it."""
    known = SYMBOLS.get(character)
    if known is not None:
        return known
    if character in _LATIN_CAPITALS:
        return _LATIN_CAPITALS[character]
    name = unicodedata.name(character, "")
    greek = _GREEK.match(name)
    if greek:
        command = "lambda" if greek[2] == "LAMDA" else greek[2].lower()
        return "\\" + (command if greek[1] == "SMALL" else command.capitalize())
    alphabet = _alphabet(name)
    plain = unicodedata.normalize("NFKC", character)
    if plain != character and len(plain) == 1 and (alphabet or name.startswith("MATHEMATICAL")):
        return f"{ALPHABETS[alphabet]}{{{symbol(plain)}}}" if alphabet else symbol(plain)
    return character


def _alphabet(name: str) -> str | None:
    if not name.startswith(("MATHEMATICAL ", "DOUBLE-STRUCK ", "SCRIPT ", "BLACK-LETTER ")):
        return None
    return next((alphabet for words, alphabet in _UNICODE_ALPHABETS if words in name), None)


def escaped(text: str) -> str:
    """Words as LaTeX's text mode writes them."""
    return re.sub(r"([%#&_${}])", r"\\\1", text.replace("\\", r"\textbackslash ")).replace("~", r"\textasciitilde ")
