"""What the generated pages of mathematics say: definitions and theorems with computed examples, a file a field."""

from dsmath.corpus.embedded.article import Fact
from dsmath.corpus.embedded.facts import (
    applied,
    calculus,
    combinatorics,
    geometry,
    graph_theory,
    groups,
    linear_algebra,
    logic,
    number_theory,
    polynomials,
    probability,
    real_analysis,
    rings,
    series,
    topology,
)

FACTS: tuple[Fact, ...] = (
    *number_theory.FACTS,
    *combinatorics.FACTS,
    *graph_theory.FACTS,
    *logic.FACTS,
    *probability.FACTS,
    *groups.FACTS,
    *rings.FACTS,
    *polynomials.FACTS,
    *linear_algebra.FACTS,
    *calculus.FACTS,
    *series.FACTS,
    *real_analysis.FACTS,
    *topology.FACTS,
    *applied.FACTS,
    *geometry.FACTS,
)
