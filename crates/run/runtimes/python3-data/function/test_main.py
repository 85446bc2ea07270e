"""Tests of main.py, in the sandbox or outside, wherever `strongroom` and pandas can be imported."""

import unittest

from main import transform
from strongroom import run_through

BIRDS = {"birds.csv": "species,mass\nAdelie,3700\nGentoo,5000\nAdelie,3725\n"}


class Transform(unittest.TestCase):
    def test_numbers_are_averaged_by_a_column(self):
        ran = run_through(transform, files=BIRDS, by="species")
        self.assertEqual(ran.value, {"mass": {"Adelie": 3712.5, "Gentoo": 5000.0}})
        self.assertEqual(ran.text("means.csv"), "species,mass\nAdelie,3712.5\nGentoo,5000.0\n")

    def test_they_have_as_many_digits_as_are_asked_for(self):
        ran = run_through(transform, files=BIRDS, by="species", digits=0)
        self.assertEqual(ran.value["mass"]["Adelie"], 3712.0)

    def test_a_column_that_is_not_there_is_an_error(self):
        with self.assertRaises(KeyError):
            run_through(transform, files=BIRDS, by="wing")


if __name__ == "__main__":
    unittest.main()
