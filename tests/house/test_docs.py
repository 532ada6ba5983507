"""Documents say what is there: commands exist as written, links lead somewhere, nothing is left undocumented."""

from __future__ import annotations

import re
import tomllib

import pytest
from command_lines import all_commands, lines_in, programs, why_not_a_command
from documents import ROOT, SHELL, anchors, blocks, inline_code, links, markdown_files

from paris.coordinator.prepare.config import prepare_config
from paris.coordinator.run.config import RunConfig, load_recipe
from paris.node.machine.config import NodeConfig

DOCUMENTS = markdown_files()
NAMES = [str(path.relative_to(ROOT)) for path in DOCUMENTS]
every_document = pytest.mark.parametrize("path", DOCUMENTS, ids=NAMES)


def test_the_guides_are_there():
    wanted = {"README.md", "CONTRIBUTING.md", "CHANGELOG.md"} | {
        f"docs/{name}.md" for name in ("architecture", "protocol", "volunteers", "organisers", "glossary")
    }
    assert wanted - set(NAMES) == set()


@every_document
def test_every_command_in_a_code_block_parses(path):
    lines = [line for block in blocks(path) if block.language in SHELL for line in lines_in(block.text)]
    assert [why for line in lines if (why := why_not_a_command(line)) is not None] == []


@every_document
def test_every_command_in_a_sentence_exists(path):
    named = [re.match(r"(paris-(?:node|coord)) ([a-z-]+)", code) for code in inline_code(path)]
    unknown = [
        found[0]
        for found in named
        if found and not found[2].startswith("-") and found[2] not in programs()[found[1]].commands
    ]
    assert unknown == []


@every_document
def test_every_relative_link_leads_somewhere(path):
    broken = []
    for link in links(path):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        file = (path.parent / target).resolve() if target else path
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            broken.append(link)
    assert broken == []


def test_every_command_is_documented():
    text = "\n".join(path.read_text("utf-8") for path in DOCUMENTS)
    assert [words for words, _ in all_commands() if not re.search(rf"{words}\b", text)] == []


def test_every_option_is_documented():
    text = "\n".join(path.read_text("utf-8") for path in DOCUMENTS)
    options = {
        p.opts[0]
        for _, command in all_commands()
        for p in command.params
        if p.param_type_name == "option" and not p.hidden
    }
    assert sorted(option for option in options if not re.search(rf"{option}(?![\w-])", text)) == []


def test_the_architecture_gives_the_reason_of_every_dependency_and_of_no_other():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    wanted = [*project["dependencies"], *(requirement for extra in extras for requirement in extra)]
    names = {re.split(r"[<>=!~;\[ ]", requirement)[0].lower() for requirement in wanted} - {project["name"]}
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    table = text[text.index("## Dependencies") : text.index("## Checked on every change")]
    assert set(re.findall(r"^\| `([a-z0-9_-]+)` \|", table, re.MULTILINE)) == names


def test_the_architecture_shows_the_layers_that_the_linter_checks():
    picture = next(block.text for block in blocks(ROOT / "docs" / "architecture.md") if " > " in block.text)
    shown = [line.split(None, 1) for line in re.sub(r"\n +> ", " > ", picture).strip().splitlines()]
    assert {name: layers.split(" > ") for name, layers in shown} == linted_layers()


def linted_layers() -> dict[str, list[str]]:
    """Folder to its layers, as in pyproject.toml, names of modules without their package."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    found = {}
    for contract in contracts:
        if contract["type"] == "layers":
            package = contract.get("containers", [contract["layers"][0].split(" | ")[0].rpartition(".")[0]])[0]
            folder = package.removeprefix("paris.").replace(".", "/") + "/"
            found[folder] = [layer.replace(f"{package}.", "") for layer in contract["layers"]]
    return found


def test_every_toml_block_is_a_valid_setting():
    """Blocks with tables belong into run.toml, those without into a volunteer's config.toml."""
    tables = [tomllib.loads(block.text) for path in DOCUMENTS for block in blocks(path) if block.language == "toml"]
    assert tables
    for table in tables:
        if "data" in table:
            prepare_config(table["data"])
        elif table.keys() <= RunConfig.model_fields.keys():
            recipe = load_recipe("emoji").model_dump(mode="json", exclude_none=True)
            RunConfig.model_validate({**recipe, "sampling": {}, "training": {}, **table})
        else:
            NodeConfig.model_validate(table)


def test_every_message_in_the_troubleshooting_table_is_one_that_the_node_says():
    source = "\n".join(
        path.read_text("utf-8") for top in ("node", "protocol", "experts") for path in (ROOT / top).rglob("*.py")
    )
    said = re.sub(r'"\s*\n\s*f?"', "", source)
    text = (ROOT / "docs" / "volunteers.md").read_text("utf-8")
    rows = re.findall(r"^\| (.+?) \| [\d, -]+ \|", text[text.index("## Troubleshooting") :], re.MULTILINE)
    quoted = [piece.strip() for row in rows for code in re.findall(r"`([^`]+)`", row) for piece in code.split("...")]
    assert len(quoted) > 20
    assert [piece for piece in quoted if len(piece) > 3 and piece not in said] == []


def test_documents_are_plain_about_where_they_were_written():
    """No path of one machine, in any document."""
    assert [
        name
        for name, path in zip(NAMES, DOCUMENTS, strict=True)
        if re.search(r"(?<!\w)/(home|root|work|Users)/\w", path.read_text("utf-8"))
    ] == []
