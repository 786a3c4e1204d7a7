"""The packages of the library and the direction of their imports; the lengths of functions; names that stay in one place."""

from __future__ import annotations

import ast

import structure

from interalia import games

# upper limits
MOST = {"packages": 20, "dependencies": 99, "lines of papers": 2900, "attributes of Game": 6}
FAMILIES = {"avb": "avb", "infogan": "infogan", "translation": "cyclegan"}
LONGEST, LONGEST_BUILD, LONGEST_BUILT = 80, 40, 60  # lines of a function, of `build`, of what `build` is made of


def test_every_package_has_a_layer() -> None:
    packages = {structure.package(file) for file in structure.trees()} - {"__init__"}
    assert packages <= structure.PACKAGES
    assert sum(map(len, structure.LAYERS)) == len(structure.PACKAGES) <= MOST["packages"]


def test_every_package_has_a_docstring() -> None:
    for name in structure.PACKAGES:
        for file in (structure.SOURCE / f"{name}.py", structure.SOURCE / name / "__init__.py"):
            if file.exists():
                assert ast.get_docstring(structure.trees()[file]), name


def test_every_import_points_down_and_dependencies_are_few() -> None:
    layer = {name: number for number, names in enumerate(structure.LAYERS) for name in names}
    up = {(a, b) for a, b in structure.dependencies() if layer[b] >= layer[a]}
    assert not up, f"imports that point up: {up}"
    assert not structure.cycles()
    assert len(structure.dependencies()) <= MOST["dependencies"]


def test_no_function_is_long() -> None:
    assert {name: lines for name, lines in structure.functions().items() if lines > LONGEST} == {}
    built = {name: lines for name, lines in structure.functions().items() if "building.py" in name}
    assert max(built.values()) <= LONGEST_BUILT
    assert all(lines <= LONGEST_BUILD for name, lines in built.items() if name.split(":")[1] == "build")


def test_papers_are_tables_for_the_most_part() -> None:
    lines = sum(len(file.read_text().splitlines()) for file in structure.trees() if structure.package(file) == "papers")
    assert lines <= MOST["lines of papers"]


def test_errors_of_the_library_name_the_argument_and_not_an_option() -> None:
    assert structure.errors_with_options() == []


def test_a_game_has_few_attributes() -> None:
    assert structure.attributes_of_game() <= MOST["attributes of Game"]


def test_an_import_within_a_function_counts_and_one_for_types_does_not() -> None:
    source = "if TYPE_CHECKING:\n    import interalia.a\ndef f():\n    if True:\n        from interalia.b import c\n"
    assert list(structure.imported(ast.parse(source).body)) == ["interalia.b.c"]


def test_no_name_and_no_attribute_decides_what_a_game_can_do() -> None:
    assert structure.attribute_tests() == []
    named = [
        place.partition(":")[0] + place[place.index(" ") :] for place in structure.names_of_games(set(games.REGISTRY))
    ]
    # the default game of a run, and the divergence and the families of networks that are called as a game is
    assert set(named) <= {
        "runs/run.py 'ali'",
        *(f"{file} 'gan'" for file in ("adversarial/divergences.py", "cli/training.py", "runs/run.py")),
        *(f"networks/{file}.py {name!r}" for file, name in FAMILIES.items()),
    }


def test_the_files_that_mutants_are_drawn_from_are_there() -> None:
    text = (structure.SOURCE.parents[1] / "benchmarks" / "mutants.py").read_text(encoding="utf-8")
    names = {ast.unparse(node.targets[0]): node.value for node in ast.parse(text).body if isinstance(node, ast.Assign)}
    paths = [path for paths in ast.literal_eval(names["PARTS"]).values() for path in paths]
    assert paths
    assert [path for path in paths if not (structure.SOURCE / path).exists()] == []
