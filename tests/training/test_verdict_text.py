"""A judgement as Markdown, from verdicts whose figures are given."""

from training.bootstrap import Estimate
from training.evaluate import Judgement
from training.metrics import ConversionVerdict, StageVerdict
from training.verdict_text import verdict_text

NONE = Estimate(float("nan"), float("nan"), float("nan"), "every row converted")


def some(value: float) -> Estimate:
    return Estimate(value, value - 0.1, value + 0.1)


def test_one_line_a_contender_with_counts_and_intervals() -> None:
    conversion = ConversionVerdict(some(0.75), some(0.5), some(0.4), NONE, NONE, NONE, 0.125, 1200, 150, 300)
    recency = ConversionVerdict(NONE, NONE, some(0.6), NONE, NONE, NONE, 0.125, 1200, 150, 300)
    stage = StageVerdict(some(0.6), some(0.8), some(0.5), (), 1500, (), 300)
    judgement = Judgement(
        {"conversion_30d": {"journeycast": conversion, "recency": recency}}, {"journeycast": stage}, ()
    )
    assert verdict_text(judgement).splitlines() == [
        "",
        "| forecast | by | rows | base rate | ROC AUC | average precision | log loss |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| conversion_30d | journeycast | 1,200 | 0.125 | 0.750 [0.650, 0.850] | 0.500 [0.400, 0.600] "
        "| 0.400 [0.300, 0.500] |",
        "| conversion_30d | recency | 1,200 | 0.125 | – | – | 0.600 [0.500, 0.700] |",
        "",
        "| forecast | by | rows | macro-F1 | accuracy | log loss |",
        "| --- | --- | --- | --- | --- | --- |",
        "| stage | journeycast | 1,500 | 0.600 [0.500, 0.700] | 0.800 [0.700, 0.900] | 0.500 [0.400, 0.600] |",
    ]


def test_nothing_is_said_of_what_was_not_judged() -> None:
    assert verdict_text(Judgement({}, {}, ())) == ""
