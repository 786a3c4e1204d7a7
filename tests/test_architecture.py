"""The rooms of the library and which way they import; how long its functions are, and who knows what."""

from __future__ import annotations

import ast

import house

from interalia import games

# what the house may have at most
MOST = {"rooms": 20, "arrows": 99, "lines of papers": 2900, "attributes of Game": 6}
FAMILIES = {"avb": "avb", "infogan": "infogan", "translation": "cyclegan"}
LONGEST, LONGEST_BUILD, LONGEST_BUILT = 80, 40, 60  # lines of a function, of `build`, of what `build` is made of


def test_every_room_has_a_floor() -> None:
    rooms = {house.room(file) for file in house.trees()} - {"__init__"}
    assert rooms <= house.ROOMS
    assert sum(map(len, house.FLOORS)) == len(house.ROOMS) <= MOST["rooms"]


def test_every_room_says_in_one_sentence_what_it_is_for() -> None:
    for name in house.ROOMS:
        for file in (house.SOURCE / f"{name}.py", house.SOURCE / name / "__init__.py"):
            if file.exists():
                assert ast.get_docstring(house.trees()[file]), name


def test_every_import_points_down_and_there_are_few_arrows() -> None:
    floor = {name: number for number, names in enumerate(house.FLOORS) for name in names}
    up = {(a, b) for a, b in house.arrows() if floor[b] >= floor[a]}
    assert not up, f"imports that point up: {up}"
    assert not house.circles()
    assert len(house.arrows()) <= MOST["arrows"]


def test_no_function_is_long() -> None:
    assert {name: lines for name, lines in house.functions().items() if lines > LONGEST} == {}
    built = {name: lines for name, lines in house.functions().items() if "building.py" in name}
    assert max(built.values()) <= LONGEST_BUILT
    assert all(lines <= LONGEST_BUILD for name, lines in built.items() if name.split(":")[1] == "build")


def test_papers_are_tables_for_the_most_part() -> None:
    lines = sum(len(file.read_text().splitlines()) for file in house.trees() if house.room(file) == "papers")
    assert lines <= MOST["lines of papers"]


def test_errors_of_the_library_name_the_argument_and_not_a_flag() -> None:
    assert house.flags() == []


def test_a_game_has_few_attributes() -> None:
    assert house.attributes_of_game() <= MOST["attributes of Game"]


def test_an_import_within_a_function_counts_and_one_for_types_does_not() -> None:
    source = "if TYPE_CHECKING:\n    import interalia.a\ndef f():\n    if True:\n        from interalia.b import c\n"
    assert list(house.imported(ast.parse(source).body)) == ["interalia.b.c"]


def test_what_a_game_can_do_is_found_out_by_no_name_and_no_attribute() -> None:
    assert house.asked_by_attribute() == []
    named = [place.partition(":")[0] + place[place.index(" ") :] for place in house.names_of_games(set(games.REGISTRY))]
    # the default game of a run, and the divergence and the families of networks that are called as a game is
    assert set(named) <= {
        "runs/run.py 'ali'",
        *(f"{file} 'gan'" for file in ("adversarial/divergences.py", "cli/training.py", "runs/run.py")),
        *(f"networks/{file}.py {name!r}" for file, name in FAMILIES.items()),
    }


def test_the_files_that_mutants_are_drawn_from_are_there() -> None:
    text = (house.SOURCE.parents[1] / "benchmarks" / "mutants.py").read_text(encoding="utf-8")
    names = {ast.unparse(node.targets[0]): node.value for node in ast.parse(text).body if isinstance(node, ast.Assign)}
    paths = [path for paths in ast.literal_eval(names["ROOMS"]).values() for path in paths]
    assert paths
    assert [path for path in paths if not (house.SOURCE / path).exists()] == []
