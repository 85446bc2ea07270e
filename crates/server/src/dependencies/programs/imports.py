"""Tells which modules a function imports that it has to bring. Runs nothing of it.

The parser is the interpreter's own, so this looks at code as the interpreter
will. What code can do without is left out: an import whose failure is handled,
and one that is for type checkers alone.
"""

import ast
import json
import os
import sys

FUNCTION = "/function"
PACKAGES = "/packages"


def handles_absence(handler):
    kinds = handler.type
    if kinds is None:
        return True
    kinds = kinds.elts if isinstance(kinds, ast.Tuple) else [kinds]
    names = {getattr(kind, "id", getattr(kind, "attr", "")) for kind in kinds}
    return not names.isdisjoint({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})


def is_for_type_checkers(test):
    return getattr(test, "id", getattr(test, "attr", "")) == "TYPE_CHECKING"


def modules(tree):
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level == 0:
                yield from (f"{node.module}.{name.name}" for name in node.names)
        elif isinstance(node, ast.Try) and any(map(handles_absence, node.handlers)):
            for part in (node.handlers, node.orelse, node.finalbody):
                waiting.extend(part)
        elif isinstance(node, ast.If) and is_for_type_checkers(node.test):
            waiting.extend(node.orelse)
        else:
            waiting.extend(ast.iter_child_nodes(node))


def brought():
    """The first parts of what is there without being brought."""
    names = set(sys.stdlib_module_names) | {"strongroom", "__main__"}
    for folder in (FUNCTION, PACKAGES):
        if os.path.isdir(folder):
            names.update(name.partition(".")[0] for name in os.listdir(folder))
    return names


def main():
    there = brought()
    found = set()
    for path in json.load(sys.stdin):
        with open(f"{FUNCTION}/{path}", "rb") as file:
            source = file.read()
        try:
            tree = ast.parse(source, path)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            line = getattr(error, "lineno", None)
            place = path if line is None else f"{path}, line {line}"
            sys.exit(f"error: {place}: {getattr(error, 'msg', None) or error}")
        found.update(name for name in modules(tree) if name.partition(".")[0] not in there)
    with open(3, "w", encoding="utf-8") as result:
        json.dump(sorted(found), result)


main()
