"""The result in sentences: what the log, the command line, the page and the model card all say."""

from brain_tumor.training.bootstrap import Estimate
from brain_tumor.training.evaluation import ALL, NOTHING_ALIKE, Evaluation
from brain_tumor.training.quality import Findings


def percent(share: float | None) -> str:
    """Write a share 0-1 as a percentage with one decimal; a dash where there is none."""
    return "–" if share is None else f"{100 * share:.1f} %"  # noqa: RUF001 - a dash in a table


def with_interval(estimate: Estimate | None) -> str:
    """Write a share and its 95 % interval, in per cent."""
    if estimate is None:
        return percent(None)
    interval = estimate.confidence_interval
    if interval is None:
        return f"{percent(estimate.value)} (no interval)"
    return f"{percent(estimate.value)} ({100 * interval.lower:.1f} to {100 * interval.upper:.1f})"


def headline_sentence(findings: Findings) -> str:
    """Say the figure to quote, its interval and what it was measured on."""
    name, part = findings.evaluation.headline()
    condition = {
        ALL: "",
        NOTHING_ALIKE: " that nothing in training resembles",
    }.get(name, " whose picture is not in training, though something like it is")
    scans = f"{len(part)} scan{'s' if len(part) > 1 else ''} of {part.channel}"
    return (
        f"Accuracy {percent(part.accuracy)} (95 % interval "
        f"{_range(findings.headline.accuracy)}) on {scans}{condition}."
    )


def leak_sentence(evaluation: Evaluation) -> str:
    """Say whether the scans were trained on, with the accuracy that a leak inflates beside it."""
    if evaluation.leaks is None or evaluation.resembles is None:
        return (
            "It is not known whether these scans, or scans like them, were trained on; if they "
            "were, the figures are too high."
        )
    count, channel = len(evaluation), evaluation.channel
    if not evaluation.leaky:
        return f"No scan of {channel} resembles one that was trained on: the figures are leak-free."
    name, part = evaluation.headline()
    beside = (
        f"Leak-free accuracy is {percent(part.accuracy)} on {len(part)} scans"
        if name == NOTHING_ALIKE
        else "No scan is left that nothing in training resembles, so there is no leak-free figure"
    )
    return (
        f"LEAK: {int(evaluation.leaks.sum())} of the {count} scans of {channel} show a picture "
        f"that was trained on, {int(evaluation.resembles.sum())} resemble one. Accuracy on all "
        f"{count} is {percent(evaluation.accuracy)}, which rewards memory. {beside}."
    )


def _range(estimate: Estimate) -> str:
    interval = estimate.confidence_interval
    if interval is None:
        return "not known, all are of one group"
    return f"{100 * interval.lower:.1f} to {100 * interval.upper:.1f}"
