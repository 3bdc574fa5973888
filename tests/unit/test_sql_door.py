"""SQL is made of constants, of what `mysql/quote.py` quotes, and of numbers: of nothing else.

Walks the syntax tree of our own code. A text that begins like a statement, or that is put behind
one, may hold only what comes from the door. What is more than this test can follow stands below,
each place with its reason; a new one is looked at by whoever adds it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# The sandbox's servers are made by us and thrown away by us; generated code holds no SQL.
_LEFT_OUT = ("server/tabletd/sandbox/", "client/tabletd_pb/")
OURS = sorted(
    path
    for folder in ("server", "client")
    for path in (ROOT / folder).rglob("*.py")
    if not path.relative_to(ROOT).as_posix().startswith(_LEFT_OUT)
)
_STATEMENT = re.compile(
    r"\s*(?:ALTER|ANALYZE|CALL|CHANGE|CREATE|DELETE|DO|DROP|EXPLAIN|FLUSH|GRANT|INSERT|KILL|LOAD"
    r"|LOCK|OPTIMIZE|PREPARE|RENAME|REPLACE|RESET|REVOKE|SELECT|SET|SHOW|START|STOP|TRUNCATE"
    r"|UPDATE|USE|WITH)\b(?! VITESS)"
)
# What quotes, or gives marks for parameters.
_DOOR = {"identifier", "marks", "account", "quoted_account"}
_NUMBERS = {"int", "len", "round"}
# What is said to people begins like a statement now and then.
_WORDS_FOR_PEOPLE = {"TabletdError", "_refused", "_refusal", "syntax_error", "error", "warning"}

# place -> why what it puts into a statement is sound although this test does not see it.
_USER = "the user's own clause, which is what was asked for; names are quoted"
_CONSTANTS = "pieces of assignments and conditions that are constants of ours at every caller"
_COLUMNS = "expressions that verify/expressions.py and keys.py make of quoted columns"
_PEOPLE = "a hint for people, which is never run"
_EXECUTOR = "server/tabletd/executor"
KNOWN: dict[str, str] = {
    f"{_EXECUTOR}/accounts.py:create_account": "privileges are constants, the account is quoted",
    f"{_EXECUTOR}/accounts.py:_create_user": "the account is quoted before its % are doubled",
    f"{_EXECUTOR}/ddl.py:Statement.single_drops": "the kind is one of an enumeration's",
    f"{_EXECUTOR}/engines/declarative.py:_replacement": _USER,
    f"{_EXECUTOR}/engines/declarative.py:_alter": "made by table_text.py of quoted names and texts "
    "of SHOW CREATE TABLE",
    f"{_EXECUTOR}/engines/probing.py:Probe._read": _USER,
    f"{_EXECUTOR}/engines/probing.py:Probe._ask_for_misfits": "conditions that preflight/ makes of "
    "quoted columns",
    f"{_EXECUTOR}/engines/probing.py:Probe._ask_for_duplicates": "keys that preflight/ makes of "
    "quoted columns",
    f"{_EXECUTOR}/engines/scratch.py:scratch": "the kind is TABLE or VIEW at every caller",
    f"{_EXECUTOR}/engines/trial.py:_try": _USER,
    f"{_EXECUTOR}/gc.py:GarbageCollector._drop": "the kind is TABLE or VIEW",
    f"{_EXECUTOR}/row_controls.py:RowControls._change": _CONSTANTS,
    f"{_EXECUTOR}/store.py:Store.transition": _CONSTANTS,
    f"{_EXECUTOR}/store.py:Store.update_run": _CONSTANTS,
    f"{_EXECUTOR}/store.py:Store.begin_run": _CONSTANTS,
    f"{_EXECUTOR}/verify/scratch.py:Scratch.make": _COLUMNS,
    f"{_EXECUTOR}/verify/scratch.py:Scratch.convert": _COLUMNS,
    f"{_EXECUTOR}/verify/scratch.py:Scratch._take": _COLUMNS,
    f"{_EXECUTOR}/verify/scratch.py:Scratch._carry": _COLUMNS,
    f"{_EXECUTOR}/verify/scratch.py:Scratch._fill": _COLUMNS,
    f"{_EXECUTOR}/verify/tables.py:Tables.begin_snapshot": "names of variables that are constants",
    f"{_EXECUTOR}/verify/tables.py:Tables.end_of": _COLUMNS,
    f"{_EXECUTOR}/verify/tables.py:Tables.checksum": _COLUMNS,
    f"{_EXECUTOR}/verify/tables.py:Tables.checksums": _COLUMNS,
    f"{_EXECUTOR}/verify/tables.py:Tables.rows": _COLUMNS,
    f"{_EXECUTOR}/verify/tables.py:Tables._by_key": _COLUMNS,
    "server/tabletd/mysql/errors.py:_grant_hint": _PEOPLE,
    "server/tabletd/mysql/privileges.py:Grant.sql": "printed by `tabletd grants`, of constants and "
    "quoted names",
    "server/tabletd/mysql/replication.py:_global": "names of variables that are constants",
    "server/tabletd/mysql/sidecar/sidecar.py:ensure_sidecar": "made of our own declarations and "
    "quoted names",
}


def test_sql_is_made_of_what_comes_from_the_door() -> None:
    found = {
        place
        for path in OURS
        for place in unsound(path.read_text(), path.relative_to(ROOT).as_posix())
    }
    assert sorted(found - set(KNOWN)) == []
    assert sorted(set(KNOWN) - found) == [], "sound by now, or gone: strike them from the list"


_SOUND = (
    'await s.execute("SELECT 1 FROM t WHERE a = %s", (name,))',
    'await s.execute(f"USE {identifier(name)}")',
    'await s.execute(f"SELECT a FROM t WHERE b IN ({marks(names)})", names)',
    'await s.execute(f"KILL {int(number)}")',
    'sql = f"SELECT {_COLUMNS} FROM t" + (" LIMIT 1" if one else "")',
    'table = identifier(schema, name)\n    await s.execute("DELETE FROM {} LIMIT 1".format(table))',
    "names = [identifier(one) for one in many]\n    sql = f\"DROP TABLE {', '.join(names)}\"",
    'raise TabletdError(Reason.X, f"ALTER TABLE {name} is refused", hint=f"GRANT {x}")',
    'logger.info("the table %s is dropped", name)',
)
_UNSOUND = (
    'await s.execute(f"USE `{name}`")',
    "await s.execute(\"SELECT 1 FROM t WHERE a = '%s'\" % name)",
    'await s.execute("SELECT 1 FROM t WHERE a = " + name)',
    'await s.execute("DROP TABLE {}".format(name))',
    'await s.execute(f"KILL {number}")',
    'where = f"a = \'{name}\'"\n    await s.execute("DELETE FROM t WHERE " + where)',
    'names = ", ".join(many)\n    sql = f"DROP TABLE {names}"',
    'table = identifier(name)\n    table = name\n    sql = f"DROP TABLE {table}"',
    'sql = f"SELECT {one} FROM t" if one else f"SELECT {identifier(two)} FROM t"',
    'await s.execute(f"""\n        UPDATE t SET a = {request.name}""")',
)


@pytest.mark.parametrize("code", _SOUND)
def test_sound_sql_is_let_through(code: str) -> None:
    assert (
        unsound(f"async def f(s, name, names, many, number, one, two, request):\n    {code}") == []
    )


@pytest.mark.parametrize("code", _UNSOUND)
def test_sql_that_holds_anything_else_is_found(code: str) -> None:
    assert unsound(f"async def f(s, name, names, many, number, one, two, request):\n    {code}")


class _Scope:
    """What is known of the names in one function and its module."""

    def __init__(self, module: ast.Module, function: ast.AST) -> None:
        self._assigned: dict[str, list[ast.expr]] = {}
        for node in ast.iter_child_nodes(module):
            self._note(node)
        for node in ast.walk(function):
            self._note(node)
        self._busy: set[str] = set()

    def _note(self, node: ast.AST) -> None:
        match node:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    self._put(target, value)
            case ast.AnnAssign(target=target, value=value) if value is not None:
                self._put(target, value)
            case (
                ast.AugAssign(target=target, value=value)
                | ast.NamedExpr(target=target, value=value)
            ):
                self._put(target, value)
            case (
                ast.For(target=target, iter=source) | ast.comprehension(target=target, iter=source)
            ):
                self._put(target, source)
            case _:
                pass

    def _put(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Name):
            self._assigned.setdefault(target.id, []).append(value)
        elif isinstance(target, ast.Tuple):
            for one in target.elts:
                self._put(one, value)

    def is_sound(self, node: ast.expr) -> bool:
        """Tell whether nothing but constants, numbers and what the door gives is in a value."""
        match node:
            case ast.Constant():
                return True
            case ast.Name(id=name):
                return self._is_sound_name(name)
            case ast.JoinedStr(values=values) | ast.Tuple(elts=values) | ast.List(elts=values):
                return all(map(self.is_sound, values))
            case ast.FormattedValue(value=value) | ast.Starred(value=value):
                return self.is_sound(value)
            case ast.BinOp(left=left, right=right):
                return self.is_sound(left) and self.is_sound(right)
            case ast.BoolOp(values=values):
                return all(map(self.is_sound, values))
            case ast.IfExp(body=body, orelse=orelse):
                return self.is_sound(body) and self.is_sound(orelse)
            case ast.Dict(values=values):
                return all(map(self.is_sound, values))
            case ast.Subscript(value=value):
                return self.is_sound(value)
            case ast.GeneratorExp(elt=elt) | ast.ListComp(elt=elt) | ast.SetComp(elt=elt):
                return self.is_sound(elt)
            case ast.Call():
                return self._is_sound_call(node)
            case _:
                return False

    def _is_sound_name(self, name: str) -> bool:
        if name.lstrip("_").isupper():  # a constant of this module or of another one
            return True
        if name in self._busy:
            return True
        values = self._assigned.get(name)
        if not values:
            return False
        self._busy.add(name)
        try:
            return all(map(self.is_sound, values))
        finally:
            self._busy.discard(name)

    def _is_sound_call(self, call: ast.Call) -> bool:
        values = [*call.args, *(keyword.value for keyword in call.keywords)]
        match call.func:
            case ast.Name(id=name) if name in _DOOR | _NUMBERS:
                return True
            case ast.Name(id="sorted" | "list" | "tuple" | "zip" | "filter" | "map"):
                return all(map(self.is_sound, values))
            case ast.Attribute(attr="join" | "format" | "strip" | "rstrip", value=value):
                return self.is_sound(value) and all(map(self.is_sound, values))
            case _:
                return False


def _functions(module: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """Return each function with its name, those within classes as `Class.name`."""
    for node in module.body:
        if isinstance(node, ast.ClassDef):
            for one in node.body:
                if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield f"{node.name}.{one.name}", one
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node
    functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    yield "", ast.Module([node for node in module.body if not isinstance(node, functions)], [])


def _leading_text(node: ast.expr) -> str:
    """Return the text that a made string begins with, '' where it begins with a value."""
    match node:
        case ast.Constant(value=str() as text):
            return text
        case ast.JoinedStr(values=[first, *_]):
            return _leading_text(first)
        case ast.BinOp(left=left, op=ast.Add() | ast.Mod()):
            return _leading_text(left)
        case ast.Call(func=ast.Attribute(attr="format", value=value)):
            return _leading_text(value)
        case _:
            return ""


def _is_made(node: ast.AST) -> bool:
    match node:
        case ast.JoinedStr(values=values):
            return any(isinstance(value, ast.FormattedValue) for value in values)
        case ast.BinOp(op=ast.Add() | ast.Mod()):
            return True
        case ast.Call(func=ast.Attribute(attr="format")):
            return True
        case _:
            return False


def _texts(node: ast.AST) -> Iterator[ast.expr]:
    """Return the made strings in a tree, but for what is said to people."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Call):
            name = getattr(child.func, "id", None) or getattr(child.func, "attr", "")
            if name in _WORDS_FOR_PEOPLE:
                continue
        if isinstance(child, ast.keyword) and child.arg == "hint":
            continue
        if isinstance(child, ast.expr) and _is_made(child):
            yield child
        else:
            yield from _texts(child)


def unsound(source: str, path: str = "") -> list[str]:
    """Return where a module makes SQL of what does not come from the door: `path:function`."""
    module = ast.parse(source)
    found: list[str] = []
    for name, function in _functions(module):
        scope = _Scope(module, function)
        found += [
            f"{path}:{name}" if path else ast.unparse(text)
            for text in _texts(function)
            if _STATEMENT.match(_leading_text(text)) and not scope.is_sound(text)
        ]
    return found
