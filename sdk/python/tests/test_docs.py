"""What is public says what it is: each name, each method, each property."""

import inspect
import unittest

import strongroom


def public():
    """Every public thing with a place for a text, by its name."""
    for name in strongroom.__all__:
        found = getattr(strongroom, name)
        if inspect.isclass(found):
            yield name, found
            yield from members(name, found)
        elif inspect.isfunction(found):
            yield name, found
        elif inspect.ismodule(found):
            for inner, value in vars(found).items():
                at_home = getattr(value, "__module__", None) == found.__name__
                if at_home and not inner.startswith("_"):
                    yield f"{name}.{inner}", value
                    if inspect.isclass(value):
                        yield from members(f"{name}.{inner}", value)
    for part in ("datasets", "functions", "runs", "requests"):
        with strongroom.Station("http://127.0.0.1:1", "t") as station:
            yield from members(part, type(getattr(station, part)))
        told = f"Async{part.capitalize()}"
        yield from members(told, getattr(inspect.getmodule(strongroom.AsyncStation), told))


def members(name, kind):
    for inner, value in vars(kind).items():
        if isinstance(value, (classmethod, staticmethod)):
            value = value.__func__
        if not inner.startswith("_") and (inspect.isfunction(value) or isinstance(value, property)):
            yield f"{name}.{inner}", value


class Docs(unittest.TestCase):
    def test_every_public_name_says_what_it_is(self):
        found = dict(public())
        self.assertLess(100, len(found))
        missing = [name for name, value in found.items() if not (value.__doc__ or "").strip()]
        self.assertEqual(missing, [])

    def test_every_parameter_and_every_returned_value_has_a_type(self):
        for name, value in public():
            called = value.fget if isinstance(value, property) else value
            if not inspect.isfunction(called):
                continue
            wanted = {each for each in inspect.signature(called).parameters if each != "self"}
            if isinstance(value, property) or "cls" in wanted:
                wanted.discard("cls")
            self.assertLessEqual(wanted | {"return"}, set(called.__annotations__), name)

    def test_a_station_and_its_twin_for_asyncio_have_the_same_methods(self):
        def names(kind):
            own = {name for name in vars(kind) if not name.startswith("_")}
            return own - {"close", "health", "me", "url"}

        self.assertEqual(names(strongroom.Station), names(strongroom.AsyncStation))
        twins = inspect.getmodule(strongroom.AsyncStation)
        with strongroom.Station("http://127.0.0.1:1", "t") as station:
            for part in ("datasets", "functions", "runs", "requests"):
                one = type(getattr(station, part))
                other = getattr(twins, f"Async{part.capitalize()}")
                with self.subTest(part=part):
                    self.assertEqual(names(one) - {"check"}, names(other))
                    for name in names(other):
                        told = [inspect.signature(getattr(each, name)) for each in (one, other)]
                        self.assertEqual(*(list(each.parameters) for each in told), name)
