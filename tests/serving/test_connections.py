from pathlib import Path

from serving.connections import Board, Counted


def test_who_holds_fewest_takes_the_next(tmp_path: Path) -> None:
    first, second = (Counted(Board(tmp_path / "board", 2), worker) for worker in (0, 1))
    assert (first.is_fewest, second.is_fewest) == (True, True)
    first.coming += 1
    first.show()
    assert (first.is_fewest, second.is_fewest) == (False, True)
    first.coming -= 1
    first.add("a")
    second.add("b")
    second.add("c")
    assert (first.is_fewest, second.is_fewest) == (True, False)
    second.discard("b")
    second.discard("c")
    second.discard("c")
    assert (first.is_fewest, second.is_fewest) == (False, True)


def test_one_who_died_is_taken_off(tmp_path: Path) -> None:
    board = Board(tmp_path / "board", 2)
    died, lives = Counted(Board(tmp_path / "board", 2), 0), Counted(Board(tmp_path / "board", 2), 1)
    died.add("a")
    lives.add("b")
    lives.add("c")
    board.write(0, 5)
    assert lives.is_fewest
    board.write(0, 0)
    assert (board.fewest(), lives.is_fewest) == (0, False)
