"""Licence names: one for each licence, and an allow-list that lets nothing slip through."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from paris.coordinator.model_repo.card import progress_card
from paris.coordinator.prepare.config import PrepareConfig
from paris.coordinator.prepare.rows.licences import allowed_name, card_licences, is_allowed, normal_licence
from paris.coordinator.run.create import create_run
from paris.coordinator.run.directory import RunDir
from paris.coordinator.state.model import State


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("CC BY 4.0", "cc-by-4.0"),
        ("cc-by-4.0", "cc-by-4.0"),
        ("CC-BY 4", "cc-by-4.0"),
        ("Creative Commons Attribution 4.0 International", "cc-by-4.0"),
        ("Attribution-NonCommercial-ShareAlike 2.0 Generic", "cc-by-nc-sa-2.0"),
        ("Creative Commons Attribution Share Alike 3.0 Unported", "cc-by-sa-3.0"),
        ("CC BY-SA 3.0 DE", "cc-by-sa-3.0"),
        ("BY-NC-ND", "cc-by-nc-nd"),
        ("https://creativecommons.org/licenses/by-nc-sa/4.0/legalcode", "cc-by-nc-sa-4.0"),
        ("http://creativecommons.org/licenses/by/2.0/", "cc-by-2.0"),
        ("https://creativecommons.org/publicdomain/zero/1.0/deed.en", "cc0-1.0"),
        ("http://creativecommons.org/publicdomain/mark/1.0/", "pdm-1.0"),
        ("CC0 1.0 Universal", "cc0-1.0"),
        ("Creative Commons Zero v1.0 Universal", "cc0-1.0"),
        ("MIT", "mit"),
        ("Apache 2.0", "apache-2.0"),
        ("?", "unknown"),
        ("", "unknown"),
        ("All rights reserved", "all-rights-reserved"),
        ("cc-by-4.0 or commercial", "unknown"),
        ("CC-BY 4.0 non-commercial", "unknown"),
        ("cc-by-4.0-nd", "unknown"),
        ("cc-by 4.0 sa", "unknown"),
        ("CC BY 4.0, no derivatives", "unknown"),
        ("cc-by-4.0-xx", "unknown"),
        ("CC0 1.0 non-commercial", "unknown"),
        ("https://creativecommons.org/licenses/by/4.0/ non-commercial", "unknown"),
        ("CC BY-NC 4.0 https://creativecommons.org/licenses/by/4.0/", "unknown"),
        ("https://creativecommons.org/licenses/by-foo/4.0/", "unknown"),
        ("CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/)", "cc-by-4.0"),
        ("Attribution 4.0 International (CC BY 4.0)", "cc-by-4.0"),
        ("CC0 1.0 Universal (CC0 1.0) Public Domain Dedication", "cc0-1.0"),
        ("https://creativecommons.org/licenses/by/3.0/us/", "cc-by-3.0"),
        ("MIT non-commercial", "mit-non-commercial"),
        ("by design", "by-design"),
    ],
)
def test_a_licence_has_one_name(written: str, name: str) -> None:
    assert normal_licence(written) == name
    assert normal_licence(name) == name


@pytest.mark.parametrize(
    ("allowed", "licence", "taken"),
    [
        ("cc-by", "cc-by-2.0", True),
        ("CC BY", "cc-by-4.0", True),
        ("cc-by", "cc-by-nc-4.0", False),
        ("cc-by", "cc-by-sa-4.0", False),
        ("cc-by-4.0", "cc-by-3.0", False),
        ("cc0", "cc0-1.0", True),
        ("https://creativecommons.org/licenses/by/4.0/", "cc-by-4.0", True),
        ("cc-by", "unknown", False),
        ("cc-by", "cc-by-4.0-or-commercial", False),
        ("mit", "mit", True),
        ("mit", "mit-non-commercial", False),
    ],
)
def test_an_allowed_name_allows_its_versions_and_nothing_else(allowed: str, licence: str, taken: bool) -> None:
    assert is_allowed(licence, (allowed_name(allowed),)) == taken


def test_the_list_may_come_as_one_text_and_in_any_order() -> None:
    one, other = PrepareConfig(licences="cc0, CC BY"), PrepareConfig(licences=["cc-by", "CC0"])
    assert one.licences == other.licences == ("cc-by", "cc0")
    assert one.sha256 == other.sha256


def test_the_cards_count_the_pictures_of_each_licence(tmp_path: Path) -> None:
    names = ["cc-by-4.0"] * 3 + ["house-licence"] * 5 + ["pdm-1.0"] + [""]
    create_run(tmp_path / "run", recipe="emoji")
    run = RunDir.open(tmp_path / "run")
    run.data.mkdir(exist_ok=True)
    pq.write_table(pa.table({"licence": names}), run.data / "attribution.parquet")
    assert card_licences(run.data / "attribution.parquet") == ["other", "cc-by-4.0", "unknown"]
    card = progress_card(run, State(), None)
    table = "| house-licence | 5 |\n| cc-by-4.0 | 3 |\n| pdm-1.0 | 1 |\n| unknown | 1 |"
    assert f"| licence of pictures | rows |\n| --- | --- |\n{table}\n" in card
