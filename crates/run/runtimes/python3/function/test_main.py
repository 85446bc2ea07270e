"""Tests of main.py, in the sandbox or outside, wherever `strongroom` can be imported."""

import unittest

from main import transform
from strongroom import run_through

BIRDS = {"birds.csv": "species,island\nAdelie,Dream\nGentoo,Biscoe\nAdelie,Biscoe\n"}


class Transform(unittest.TestCase):
    def test_rows_are_counted_by_a_column(self):
        ran = run_through(transform, files=BIRDS, by="species")
        self.assertEqual(ran.value, {"Adelie": 2, "Gentoo": 1})
        self.assertEqual(ran.text("counts.csv"), "species,rows\r\nAdelie,2\r\nGentoo,1\r\n")

    def test_what_is_rarer_is_left_out(self):
        ran = run_through(transform, files=BIRDS, by="species", least=2)
        self.assertEqual(ran.value, {"Adelie": 2})

    def test_a_column_that_is_not_there_is_an_error(self):
        with self.assertRaises(KeyError):
            run_through(transform, files=BIRDS, by="wing")


if __name__ == "__main__":
    unittest.main()
