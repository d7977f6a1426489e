"""SQL is put together from literals and constants of its own file only: nothing of a user's gets in."""

import ast
from pathlib import Path

from tests.product import ROOT

_RUNS_SQL = {"execute", "fetch", "fetchrow", "fetchval", "executemany"}


def _is_constant(node: ast.expr) -> bool:
    if isinstance(node, ast.Constant):
        return True
    if isinstance(node, ast.Name):
        return node.id.lstrip("_").isupper()
    if isinstance(node, ast.BinOp):
        return _is_constant(node.left) and _is_constant(node.right)
    if isinstance(node, ast.Subscript):  # one of several constants
        return _is_constant(node.value)
    if isinstance(node, ast.IfExp):
        return _is_constant(node.body) and _is_constant(node.orelse)
    if isinstance(node, ast.JoinedStr):
        return all(_is_constant(part) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return _is_constant(node.value)
    return False


def _statements(path: Path) -> list[tuple[int, ast.expr]]:
    return [
        (node.lineno, node.args[0])
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in _RUNS_SQL
        and node.args
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "conn"
    ]


def test_no_statement_holds_a_value() -> None:
    found = 0
    for path in sorted((ROOT / "liveserver").rglob("*.py")):
        for line, statement in _statements(path):
            found += 1
            migration = path.name == "migrating.py" and ast.unparse(statement) == "text"
            assert migration or _is_constant(statement), f"{path}:{line}"
    assert found > 50


def test_sql_stands_in_storage_only() -> None:
    for path in sorted((ROOT / "liveserver").rglob("*.py")):
        if path.parent.name not in {"storage", "embedded"}:
            assert not _statements(path), path
