"""The documents' tables, compared with the code they describe."""

import re
from pathlib import Path

import pytest

from brain_tumor.settings import Settings
from brain_tumor.training.hyperparameter_schema import flat_schema, wanted
from brain_tumor.training.hyperparameters import Hyperparameters
from tests.jobs import ROOT

PACKAGE = ROOT / "container" / "brain_tumor"


def test_every_hyperparameter_stands_in_the_training_page_with_its_default_and_meaning() -> None:
    page = (ROOT / "docs/training.md").read_text()
    for name, field in flat_schema(Hyperparameters)["properties"].items():
        row = f"| `{name}` | {field['default']} | {wanted(field)} | {field['description']} |"
        assert row in page


def test_every_setting_stands_in_the_page_of_what_it_is_for_with_its_default() -> None:
    pages = {name: (ROOT / f"docs/{name}.md").read_text() for name in ("serving", "training")}
    aliases = {
        "base_dir": "SAGEMAKER_BASE_DIR",
        "warm_pool_cache": "SAGEMAKER_MANAGED_WARMPOOL_CACHE_DIRECTORY",
        "port": "SAGEMAKER_BIND_TO_PORT",
        "batch": "SAGEMAKER_BATCH",
        "multi_model": "SAGEMAKER_MULTI_MODEL",
    }
    for name, field in Settings.model_fields.items():
        variable = aliases.get(name, f"BRAIN_TUMOR_{name.upper()}")
        page = pages["training" if name.startswith("cluster_") else "serving"]
        row = next((line for line in page.splitlines() if line.startswith(f"| `{variable}`")), "")
        assert f"| {field.default} |" in row, variable


def test_every_rule_of_the_contract_names_a_test_that_exists_or_says_that_there_is_none() -> None:
    _, section = (ROOT / "docs/serving.md").read_text().split("## What of SageMaker's contract")
    rows = [line for line in section.splitlines() if re.match(r"\| (?!rule )", line)]
    assert len(rows) > 50
    for row in rows:
        _, _, where, proof, _ = row.split("|")
        named = re.findall(r"`([^`]*)::([^`]*)`", proof)
        assert named or "not tested" in proof or where.startswith(" not "), row
        for file, test in named:
            assert f"\ndef {test}(" in (ROOT / file).read_text(), test
        for file in re.findall(r"`([\w/]+\.py|Dockerfile)`", where):
            assert any((folder / file).is_file() for folder in (ROOT, PACKAGE)), file


@pytest.mark.parametrize("page", sorted(ROOT.glob("*.md")) + sorted(ROOT.glob("docs/*.md")))
def test_every_relative_link_of_a_page_leads_to_a_file(page: Path) -> None:
    for target in page.read_text().split("](")[1:]:
        link = target.split(")")[0].split("#")[0]
        if link and "://" not in link:
            assert (page.parent / link).exists(), link
