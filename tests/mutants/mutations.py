"""Every small change of a module's source that could make a rule mean something else: one span of text for another.

Changes comparisons, connectives, conditions, constants, members of tables, calls of any/all/min/max, results and
statements, at module level too. Leaves out types, decorators, docstrings and imports: they decide nothing.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

_COMPARISONS: dict[type[ast.cmpop], tuple[str, tuple[str, ...]]] = {
    ast.Eq: (r"==", ("!=",)),
    ast.NotEq: (r"!=", ("==",)),
    ast.Lt: (r"<", ("<=", ">=")),
    ast.LtE: (r"<=", ("<", ">")),
    ast.Gt: (r">", (">=", "<=")),
    ast.GtE: (r">=", (">", "<")),
    ast.Is: (r"\bis\b", ("is not",)),
    ast.IsNot: (r"\bis\s+not\b", ("is",)),
    ast.In: (r"\bin\b", ("not in",)),
    ast.NotIn: (r"\bnot\s+in\b", ("in",)),
}
_OPERATORS: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: (r"\+", "-"),
    ast.Sub: (r"-", "+"),
    ast.Mult: (r"\*", "//"),
    ast.FloorDiv: (r"//", "*"),
    ast.BitAnd: (r"&", "|"),
    ast.BitOr: (r"\|", "&"),
}
_CALLS = {"any": "all", "all": "any", "min": "max", "max": "min", "sorted": "list", "bool": "not "}
_UNTOUCHED = {"annotation", "returns", "decorator_list"}
_TYPES = {"tuple", "dict", "Callable"}
Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Mutant:
    """A module (path) with one change: the whole source, and the lines before and after, stripped."""

    path: str
    line: int
    source: str
    before: str
    after: str

    @property
    def key(self) -> tuple[str, str, str]:
        """What names it while lines move."""
        return self.path, self.before, self.after

    def __str__(self) -> str:
        return f"{self.path}:{self.line}\n  - {self.before}\n  + {self.after}"


def mutants(path: str, source: str) -> list[Mutant]:
    """Every mutant of a module that is still Python, each once, in order of the source."""
    data = source.encode()
    starts = [0]
    for text_line in data.splitlines(keepends=True):
        starts.append(starts[-1] + len(text_line))
    made: dict[str, Mutant] = {}
    for (start, end), text in sorted(set(_Changes(data, starts).of(ast.parse(source)))):
        changed = (data[:start] + text.encode() + data[end:]).decode()
        if changed == source or changed in made or not _is_python(changed):
            continue
        first, last = data.rfind(b"\n", 0, start) + 1, data.find(b"\n", end)
        before, after = (it[first : len(it) - (len(data) - last)] for it in (data, changed.encode()))
        number = data.count(b"\n", 0, start) + 1
        made[changed] = Mutant(path, number, changed, *(" ".join(it.decode().split()) for it in (before, after)))
    return list(made.values())


def _is_python(source: str) -> bool:
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True


class _Changes:
    """The changes of one source: for each, a span of bytes and the text that takes its place."""

    def __init__(self, data: bytes, starts: list[int]) -> None:
        self._data, self._starts = data, starts

    def of(self, node: ast.AST) -> Iterator[tuple[Span, str]]:
        """The changes of a node and of all below it."""
        handler = getattr(self, f"_{type(node).__name__.lower()}", None)
        if handler is not None:
            yield from handler(node)
        if isinstance(node, ast.JoinedStr):
            return
        for name, value in ast.iter_fields(node):
            children = value if isinstance(value, list) else [value]
            for child in children if name not in _UNTOUCHED else []:
                if isinstance(child, ast.AST) and not _decides_nothing(child):
                    yield from self.of(child)

    def _span(self, node: Any) -> Span:
        return (
            self._starts[node.lineno - 1] + node.col_offset,
            self._starts[node.end_lineno - 1] + node.end_col_offset,
        )

    def _between(self, left: ast.AST, right: ast.AST, pattern: str, text: str) -> Iterator[tuple[Span, str]]:
        start, end = self._span(left)[1], self._span(right)[0]
        found = re.search(pattern, self._data[start:end].decode())
        if found:
            yield (start + found.start(), start + found.end()), text

    def _compare(self, node: ast.Compare) -> Iterator[tuple[Span, str]]:
        for (left, right), op in zip(pairwise([node.left, *node.comparators]), node.ops, strict=True):
            pattern, others = _COMPARISONS[type(op)]
            for other in others:
                yield from self._between(left, right, pattern, other)

    def _boolop(self, node: ast.BoolOp) -> Iterator[tuple[Span, str]]:
        word, other = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in pairwise(node.values):
            yield from self._between(left, right, rf"\b{word}\b", other)
        for value in node.values:
            yield self._span(value), str(word == "and")

    def _binop(self, node: ast.BinOp) -> Iterator[tuple[Span, str]]:
        if type(node.op) in _OPERATORS:
            yield from self._between(node.left, node.right, *_OPERATORS[type(node.op)])

    def _unaryop(self, node: ast.UnaryOp) -> Iterator[tuple[Span, str]]:
        start, _ = self._span(node)
        yield (start, self._span(node.operand)[0]), " "

    def _condition(self, test: ast.expr) -> Iterator[tuple[Span, str]]:
        start, end = self._span(test)
        yield (start, end), f"not ({self._data[start:end].decode()})"
        yield (start, end), "False"
        yield (start, end), "True"

    def _if(self, node: ast.If | ast.IfExp) -> Iterator[tuple[Span, str]]:
        yield from self._condition(node.test)

    _ifexp = _if

    def _comprehension(self, node: ast.comprehension) -> Iterator[tuple[Span, str]]:
        for test in node.ifs:
            yield from self._condition(test)

    def _constant(self, node: ast.Constant) -> Iterator[tuple[Span, str]]:
        value = node.value
        if isinstance(value, bool):
            yield self._span(node), str(not value)
        elif isinstance(value, int):
            yield self._span(node), str(value + 1)
            yield self._span(node), str(value - 1)
        elif isinstance(value, str):
            yield self._span(node), repr("X" + value)

    def _joinedstr(self, node: ast.JoinedStr) -> Iterator[tuple[Span, str]]:
        yield self._span(node), "''"

    def _tuple(self, node: ast.Tuple | ast.Set | ast.List) -> Iterator[tuple[Span, str]]:
        for one, following in pairwise(node.elts):
            yield (self._span(one)[0], self._span(following)[0]), ""
        if len(node.elts) > 1:
            last = self._span(node.elts[-2])[1], self._span(node.elts[-1])[1]
            yield from ((last, ","), (last, ""))
        elif isinstance(node, ast.Set):
            yield self._span(node), "set()"

    _set = _list = _tuple

    def _dict(self, node: ast.Dict) -> Iterator[tuple[Span, str]]:
        keys = [key for key in node.keys if key is not None]
        for one, following in pairwise(keys):
            yield (self._span(one)[0], self._span(following)[0]), ""

    def _call(self, node: ast.Call) -> Iterator[tuple[Span, str]]:
        if isinstance(node.func, ast.Name) and node.func.id in _CALLS:
            yield self._span(node.func), _CALLS[node.func.id]

    def _return(self, node: ast.Return) -> Iterator[tuple[Span, str]]:
        if node.value is not None:
            yield self._span(node.value), "None"

    def _expr(self, node: ast.Expr) -> Iterator[tuple[Span, str]]:
        yield self._span(node), "pass"

    _raise = _augassign = _continue = _expr


def _decides_nothing(node: ast.AST) -> bool:
    if isinstance(node, ast.Subscript):
        return isinstance(node.value, ast.Name) and node.value.id in _TYPES
    return isinstance(node, ast.Import | ast.ImportFrom) or (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    )
