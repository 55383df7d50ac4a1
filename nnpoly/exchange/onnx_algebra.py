"""Formulas of one variable in a normal form, so that equal ones come out equal.

Exporters write one activation in many ways: GELU's x (1 + erf(x / sqrt 2)) / 2 has its products in
any order, and quotients for some. A formula here is a sum of products with numbers before them,
like a polynomial; what it is a polynomial of are `Atom`s: the variable, and functions of formulas.
So associativity, commutativity and distributivity need no rules, and a difference of functions is
never lost: two formulas are the same where each product has its equal in the other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, TypeAlias

MOST_TERMS, DEEPEST, LARGEST = 64, 12, 200  # of a formula: no activation comes near


class TooComplex(ValueError):
    """A formula that is none of a layer's."""


class Atom(NamedTuple):
    """The variable "x", or a function of formulas; "group" is a sum as a factor."""

    function: str
    arguments: tuple[Formula, ...] = ()


Product: TypeAlias = frozenset[tuple[Atom, float]]  # atoms and their powers
_ONE: Product = frozenset()


class Formula:
    """A sum of products of atoms' powers, each with a number before it."""

    __slots__ = ("_hash", "depth", "size", "terms")
    depth: int
    size: int

    def __init__(self, terms: Mapping[Product, float]) -> None:
        self.terms = {product: number for product, number in terms.items() if number != 0.0}
        below = [a for product in self.terms for atom, _ in product for a in atom.arguments]
        self.depth = 1 + max((formula.depth for formula in below), default=0)
        self.size = len(self.terms) + sum(formula.size for formula in below)
        if len(self.terms) > MOST_TERMS or self.depth > DEEPEST or self.size > LARGEST:
            raise TooComplex("it is larger than any activation")
        if not all(map(math.isfinite, self.terms.values())):
            raise TooComplex("it has numbers that are not finite")
        self._hash = hash(frozenset(self.terms.items()))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Formula) and self.terms == other.terms

    def __add__(self, other: Formula | float) -> Formula:
        terms = dict(self.terms)
        for product, number in _formula(other).terms.items():
            terms[product] = terms.get(product, 0.0) + number
        return Formula(terms)

    def __mul__(self, other: Formula | float) -> Formula:
        terms: dict[Product, float] = {}
        for product, number in self.terms.items():
            for factor, times in _formula(other).terms.items():
                powers = dict(product)
                for atom, power in factor:
                    powers[atom] = powers.get(atom, 0.0) + power
                key = frozenset((atom, power) for atom, power in powers.items() if power)
                terms[key] = terms.get(key, 0.0) + number * times
                if len(terms) > MOST_TERMS:
                    raise TooComplex("it is larger than any activation")
        return Formula(terms)

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self) -> Formula:
        return self * -1.0

    def __sub__(self, other: Formula | float) -> Formula:
        return self + -_formula(other)

    def __rsub__(self, other: float) -> Formula:
        return _formula(other) - self

    def __truediv__(self, other: Formula | float) -> Formula:
        return self * _formula(other).to(-1.0)

    def __rtruediv__(self, other: float) -> Formula:
        return _formula(other) / self

    def __abs__(self) -> Formula:
        return apply("abs", self)

    def __gt__(self, other: Formula | float) -> Formula:
        return _positive(self - other, "gt")

    def __ge__(self, other: Formula | float) -> Formula:
        return _positive(self - other, "ge")

    def __lt__(self, other: Formula | float) -> Formula:
        return 1.0 - (self >= other)

    def __le__(self, other: Formula | float) -> Formula:
        return 1.0 - (self > other)

    @property
    def number(self) -> float | None:
        """Its value where it is a number."""
        if not self.terms:
            return 0.0
        return self.terms.get(_ONE) if len(self.terms) == 1 else None

    def to(self, power: float) -> Formula:
        """Its power: products where it is a whole one, else of the sum as one atom."""
        if power == int(power) and 1 <= power <= 4:
            made = self
            for _ in range(int(power) - 1):
                made = made * self
            return made
        if self.number is not None:
            return _formula(_power(self.number, power))
        if power == -1.0 and len(self.terms) == 1:
            ((product, number),) = self.terms.items()
            return Formula({frozenset((atom, -p) for atom, p in product): 1.0 / number})
        return Formula({frozenset({(Atom("group", (self,)), power)}): 1.0})

    def numbers(self) -> Iterator[float]:
        """Yield all numbers in it."""
        for product, number in self.terms.items():
            yield number
            for atom, _ in product:
                for argument in atom.arguments:
                    yield from argument.numbers()

    def replace(self, change: Callable[[Atom], Formula | None]) -> Formula:
        """Return it with atoms changed, from the outside in; None leaves one."""
        made = Formula({})
        for product, number in self.terms.items():
            factor = _formula(number)
            for atom, power in product:
                new = change(atom)
                if new is None:
                    inner = Atom(atom.function, tuple(a.replace(change) for a in atom.arguments))
                    factor = factor * Formula({frozenset({(inner, power)}): 1.0})
                else:
                    factor = factor * new.to(power)
            made = made + factor
        return made


X = Formula({frozenset({(Atom("x"), 1.0)}): 1.0})


def _formula(value: Formula | float) -> Formula:
    return value if isinstance(value, Formula) else Formula({_ONE: float(value)})


def _power(number: float, power: float) -> float:
    try:
        made = number**power
    except (ArithmeticError, ValueError) as error:
        raise TooComplex("it divides by 0, or has the root of a negative number") from error
    if isinstance(made, complex):
        raise TooComplex("it has the root of a negative number")
    return float(made)


def number(value: float) -> Formula:
    """A number as a formula."""
    return _formula(value)


def apply(function: str, *arguments: Formula) -> Formula:
    """A function of formulas, of which nothing else is known."""
    return Formula({frozenset({(Atom(function, arguments), 1.0)}): 1.0})


def _positive(difference: Formula, kind: str) -> Formula:
    """1 where a formula is positive ("ge": or zero), else 0; its factor is of no account."""
    lead = difference.terms.get(next(iter(X.terms)), 0.0)
    if not lead:
        return apply(kind, difference)
    if lead > 0.0:
        return apply(kind, difference * (1.0 / lead))
    return 1.0 - apply("ge" if kind == "gt" else "gt", difference * (1.0 / lead))


def where(condition: Formula, then: Formula | float, other: Formula | float) -> Formula:
    """One formula where a comparison holds, else another.

    Whether it holds at equality is forgotten, since activations that are matched so are continuous.
    """
    yes, no = _formula(then), _formula(other)
    if (yes.number, no.number) == (1.0, 0.0):
        return condition
    if condition.terms.get(_ONE) == 1.0:  # 1 - condition
        condition, yes, no = 1.0 - condition, no, yes
    atoms = [atom for product in condition.terms for atom, _ in product]
    if len(atoms) != 1 or atoms[0].function not in ("gt", "ge"):
        raise TooComplex("it chooses by what is no comparison")
    (against,) = atoms[0].arguments
    yes, no = _assuming(yes, against, 1), _assuming(no, against, 2)
    return yes if yes == no else apply("where", against, yes, no)


def _assuming(formula: Formula, positive: Formula, branch: int) -> Formula:
    """A formula in whose choices by the sign of `positive` one branch is taken."""

    def change(atom: Atom) -> Formula | None:
        if atom.function == "where" and atom.arguments[0] == positive:
            return atom.arguments[branch]
        return None

    return formula.replace(change)


def maximum(a: Formula, b: Formula) -> Formula:
    """The larger one."""
    return where(a > b, a, b)


def minimum(a: Formula, b: Formula) -> Formula:
    """The smaller one."""
    return where(a > b, b, a)


def same(a: Formula, b: Formula, tolerance: float) -> bool:
    """Whether two formulas are equal, their numbers up to a relative tolerance."""
    if a.size != b.size:
        return False
    rest = list(b.terms.items())
    if len(a.terms) != len(rest):
        return False
    for product, number in a.terms.items():
        for i, (other, value) in enumerate(rest):
            close = math.isclose(number, value, rel_tol=tolerance)
            if close and _same_products(product, other, tolerance):
                del rest[i]
                break
        else:
            return False
    return True


def _same_products(a: Product, b: Product, tolerance: float) -> bool:
    rest = list(b)
    if len(a) != len(rest):
        return False
    for atom, power in a:
        for i, (other, value) in enumerate(rest):
            if power == value and _same_atoms(atom, other, tolerance):
                del rest[i]
                break
        else:
            return False
    return True


def _same_atoms(a: Atom, b: Atom, tolerance: float) -> bool:
    pairs = zip(a.arguments, b.arguments, strict=False)
    alike = a.function == b.function and len(a.arguments) == len(b.arguments)
    return alike and all(same(mine, yours, tolerance) for mine, yours in pairs)
