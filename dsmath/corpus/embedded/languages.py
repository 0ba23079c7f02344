"""A few pages in German, French and Japanese, some of them mathematics."""

import random
from collections.abc import Callable
from math import gcd

from dsmath.corpus.embedded.article import Article

# ruff: noqa: E501 - a sentence a line
_GERMAN = (
    "Der Gemeinderat von {town} hat am Dienstag über die neue Brücke beraten.",
    "Rund {n} Anwohner äußerten Bedenken wegen des Lärms.",
    "Die Bürgermeisterin kündigte einen Bericht für das Frühjahr an.",
    "Am Wochenende wird es kühl und windig, örtlich fällt etwas Regen.",
    "Das Museum zeigt eine Ausstellung über das Leben der Fischer.",
    "Die Bahn bittet um Verständnis für Verspätungen von bis zu {n} Minuten.",
    "Für das Straßenfest werden noch Helferinnen und Helfer gesucht.",
    "Der Bäcker am Marktplatz schließt nach {n} Jahren.",
    "In der Bücherei liest eine Autorin aus ihrem neuen Roman.",
    "Die Polizei sucht Zeugen eines Unfalls in der Nähe von {town}.",
    "Der Eintritt kostet {n} Euro, Kinder zahlen die Hälfte.",
    "Viele Gäste lobten das gute Essen und die freundliche Bedienung.",
)
_FRENCH = (
    "Le conseil municipal de {town} s'est réuni mardi soir pour parler du vieux pont.",
    "Environ {n} habitants ont exprimé leur inquiétude à cause du bruit.",
    "La maire a promis un rapport avant l'été.",
    "Le musée présente une exposition consacrée à la pêche.",
    "Les trains accusent des retards allant jusqu'à {n} minutes.",
    "Le marché ouvre à l'aube et ferme à midi.",
    "La boulangerie de la place fête ses {n} ans.",
    "Une romancière lira des extraits de son nouveau livre à la médiathèque.",
    "Le temps sera frais et venteux, avec quelques averses en soirée.",
    "L'entrée coûte {n} euros, gratuite pour les élèves.",
    "Les visiteurs ont apprécié la cuisine et l'accueil chaleureux.",
    "La fête de l'été aura lieu près de l'église.",
)
_JAPANESE = (
    "{town}では昨日、新しい橋についての説明会が開かれました。", "会場にはおよそ{n}人の住民が集まりました。", "週末は風が強く、夕方から雨が降るでしょう。", "図書館では子ども向けの読み聞かせが行われます。", "駅前のパン屋は{n}年の歴史に幕を閉じます。", "入場料は{n}円で、小学生は無料です。",
    "市長は来月までに報告書をまとめると述べました。", "美術館では漁師の暮らしを紹介する展示が始まりました。", "電車は最大で{n}分ほど遅れています。", "夏祭りは神社の近くで開かれる予定です。", "料理がおいしく、店員さんも親切でした。", "桜はちょうど見ごろを迎えています。",
)  # fmt: skip
_TOWNS = {
    "de": ("Altenau", "Birkenfeld", "Grünstadt", "Königsbach"),
    "fr": ("Beauvallon", "Saint-Rémy", "Vieux-Port", "Clairval"),
    "ja": ("青山町", "川上村", "港北市", "松原町"),
}


def _local(language: str, sentences: tuple[str, ...], titles: tuple[str, ...]) -> Callable[[random.Random], Article]:
    def make(r: random.Random) -> Article:
        town = r.choice(_TOWNS[language])
        between = "" if language == "ja" else " "
        pool = [sentence.format(town=town, n=r.randint(4, 400)) for sentence in r.sample(sentences, 9)]
        return Article(
            r.choice(titles).format(town=town, n=r.randint(2, 90)),
            tuple(between.join(pool[i : i + 3]) for i in (0, 3, 6)),
            language=language,
        )

    return make


german = _local(
    "de",
    _GERMAN,
    ("Nachrichten aus {town}, Ausgabe {n}", "{town}: Streit um die Brücke", "Was diese Woche in {town} geschieht"),
)
french = _local(
    "fr", _FRENCH, ("Nouvelles de {town}, numéro {n}", "{town} débat de son pont", "Que faire à {town} cette semaine")
)
japanese = _local("ja", _JAPANESE, ("{town}だより 第{n}号", "{town}の週末", "{town}からのお知らせ"))


def german_mathematics(r: random.Random) -> Article:
    """Lecture notes in German."""
    a, b, n = r.randint(20, 300), r.randint(8, 90), r.randint(8, 60)
    k = r.randint(2, n - 1)
    x, y = r.sample(range(1, 10), 2)
    blocks = (
        r"Der größte gemeinsame Teiler zweier ganzer Zahlen wird mit dem euklidischen Algorithmus bestimmt, denn $\gcd(a, b) = \gcd(b, a \bmod b)$.",
        rf"Beispiel. Für $a = {a}$ und $b = {b}$ ergibt sich der Wert ${gcd(a, b)}$; die Gleichung ${a}x + {b}y = {gcd(a, b)}$ ist also ganzzahlig lösbar.",
        "## Ordnung eines Elements",
        rf"In der additiven Gruppe $\mathbb{{Z}}/{n}$ hat das Element ${k}$ die Ordnung ${n // gcd(k, n)}$. Nach dem Satz von Lagrange teilt sie die Gruppenordnung.",
        "## Quadratische Gleichungen",
        f"Die Gleichung $x^2 - {x + y}x + {x * y} = 0$ hat nach dem Satz von Vieta die Lösungen ${x}$ und ${y}$, wie man durch Einsetzen bestätigt.",
    )
    return Article(
        f"Vorlesung {r.randint(1, 28)}: Teiler, Gruppen und Gleichungen", blocks, mathematical=True, language="de"
    )


def french_mathematics(r: random.Random) -> Article:
    """Lecture notes in French."""
    a, b, n = r.randint(2, 9), r.randint(1, 9), r.randint(5, 40)
    x, y = r.sample(range(1, 10), 2)
    blocks = (
        r"Soit $f$ une fonction dérivable. Le nombre dérivé $f'(a)$ est la limite du taux d'accroissement lorsque l'accroissement tend vers zéro.",
        rf"Exemple. Si $f(x) = {a}x^3 + {b}x$, alors $f'(x) = {3 * a}x^2 + {b}$; la fonction est donc croissante sur $\mathbb{{R}}$.",
        "## Suites arithmétiques",
        rf"La somme $1 + 2 + \cdots + {n}$ vaut $\frac{{{n} \cdot {n + 1}}}{{2}} = {n * (n + 1) // 2}$, ce que l'on démontre par récurrence.",
        "## Équations du second degré",
        f"Le discriminant de $x^2 - {x + y}x + {x * y}$ est égal à ${(x - y) ** 2}$; les racines sont ${x}$ et ${y}$.",
    )
    return Article(
        f"Cours {r.randint(1, 28)} : dérivées, suites et équations", blocks, mathematical=True, language="fr"
    )
