"""serving.metrics: figures over models that come and go."""

from prometheus_client.parser import text_string_to_metric_families

from brain_tumor.scoring import without_foreign
from brain_tumor.serving.engine import Engine
from brain_tumor.serving.metrics import Metrics
from tests.classifiers import Recorder


def _engine(why: str) -> Engine:
    return Engine("openvino", "int8", why, without_foreign(Recorder()))


def _engines(metrics: Metrics) -> dict[str, float]:
    families = text_string_to_metric_families(metrics.text().decode())
    return {
        sample.labels["why"]: sample.value
        for family in families
        for sample in family.samples
        if sample.name == "brain_tumor_engine_info"
    }


def _ready(metrics: Metrics) -> bool:
    return b"brain_tumor_ready 0.0" not in metrics.text()


def test_several_models_are_counted_by_engine_and_nothing_is_kept_of_those_that_went() -> None:
    metrics = Metrics()
    assert not _ready(metrics)
    ends = [metrics.serves(_engine(why)) for why in ("one", "one", "other")]
    assert _engines(metrics) == {"one": 2, "other": 1}
    ends.pop()()
    assert _engines(metrics) == {"one": 2}
    ends.pop()()
    assert _engines(metrics) == {"one": 1}
    assert _ready(metrics)
    ends.pop()()
    assert _engines(metrics) == {}
    assert not _ready(metrics)


def test_a_thousand_models_that_came_and_went_leave_the_text_as_long_as_it_was() -> None:
    metrics = Metrics()
    before = len(metrics.text().splitlines())
    for number in range(1000):
        metrics.serves(_engine(str(number)))()
    assert len(metrics.text().splitlines()) == before
