"""Descriptions: the frozen objects that say what a network, a loss or an optimiser is.

Layers, activations, initialisers, losses, optimisers and schedules are small frozen objects without
arrays. A class of them is a plain subclass of `Described`. Its arguments are the attributes that it
annotates, as in a dataclass, or those of an `__init__` of its own, which keeps each under its name.
By them an object is printed, compared, copied and written to a file, as JSON; nothing that is read
from a file is ever executed.

The standard library's dataclasses do the same. They compile several methods for every class, which
took half of the time of `import nnpoly`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Self, dataclass_transform

from ._checks import nearest

if TYPE_CHECKING:
    from inspect import Signature

_REQUIRED: Any = object()  # the default of an argument that has none
_STARRED = 0x0C  # the flags of a function with *args or **kwargs
_being_made: set[int] = set()  # the ids of objects whose `__init__` runs


class Argument:
    """An argument of a description: its annotation, its default, whether it is given by name."""

    __slots__ = ("annotation", "default", "keyword")

    def __init__(self, annotation: Any, default: Any, keyword: bool) -> None:
        self.annotation, self.default, self.keyword = annotation, default, keyword

    @property
    def required(self) -> bool:
        """Whether it has no default."""
        return self.default is _REQUIRED


def _assigning(init: Callable[..., None]) -> Callable[..., None]:
    """Let an `__init__`, and the `__init__`s that it calls, assign attributes."""

    @wraps(init)
    def __init__(self: Described, *given: Any, **named: Any) -> None:  # noqa: N807
        outermost = id(self) not in _being_made
        _being_made.add(id(self))
        try:
            init(self, *given, **named)
            if outermost:
                self.arguments()  # each has been kept
        finally:
            if outermost:
                _being_made.discard(id(self))

    return __init__


class _Signature:
    """The `__signature__` of a class that has no `__init__` of its own, made when it is asked."""

    def __get__(self, instance: object, kind: type[Described]) -> Signature:
        if instance is not None or _has_own_init(kind):
            raise AttributeError("__signature__")
        from inspect import Parameter, Signature

        order = sorted(kind.accepted.items(), key=lambda item: item[1].keyword)
        parameters = [
            Parameter(
                name,
                Parameter.KEYWORD_ONLY if argument.keyword else Parameter.POSITIONAL_OR_KEYWORD,
                default=Parameter.empty if argument.required else argument.default,
                annotation=argument.annotation,
            )
            for name, argument in order
        ]
        return Signature(parameters, return_annotation=None)


class _OfDataclass:
    """`__dataclass_fields__` or `__dataclass_params__`, made when they are asked.

    By them a user's `@dataclass(frozen=True)` class takes the arguments of the class above it too,
    and `dataclasses.replace` works.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, kind: type[Described]) -> Any:
        if _has_own_init(kind):
            raise AttributeError(self._name)
        from dataclasses import field, make_dataclass

        fields = []
        for name, argument in kind.accepted.items():
            default = {} if argument.required else {"default": argument.default}
            made = field(kw_only=argument.keyword, **default)
            fields.append((name, argument.annotation, made))
        return getattr(make_dataclass(kind.__name__, fields, frozen=True), self._name)


@dataclass_transform(frozen_default=True)
class Described:
    """A frozen object that is known by its class and its arguments."""

    accepted: ClassVar[Mapping[str, Argument]] = {}
    __signature__ = _Signature()
    __dataclass_fields__ = _OfDataclass()
    __dataclass_params__ = _OfDataclass()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        inherited: dict[str, Argument] = {}
        for base in reversed(cls.__mro__[1:]):
            inherited.update(getattr(base, "accepted", {}))
        if "__init__" in vars(cls):
            cls.__init__ = _assigning(vars(cls)["__init__"])  # type: ignore[method-assign]
            cls.accepted = inherited
            return
        own = _annotated(cls)
        cls.accepted = _in_order(cls, {**inherited, **_redefined(cls, inherited), **own})
        if own and _has_own_init(cls):
            _require_init(cls, list(own))

    @_assigning
    def __init__(self, *given: Any, **named: Any) -> None:
        where, accepted = type(self).__name__, type(self).accepted
        positional = [name for name, argument in accepted.items() if not argument.keyword]
        if len(given) > len(positional):
            raise TypeError(
                f"{where}: got {len(given)} arguments by position, which may be "
                f"{_listed(positional)}."
            )
        values = dict(zip(positional, given, strict=False))
        for name, value in named.items():
            if name not in accepted:
                known = _listed(dict.fromkeys((*positional, *accepted)))
                raise TypeError(
                    f"{where}: has no argument `{name}`. Its arguments are {known}."
                    f"{nearest(name, accepted)}"
                )
            if name in values:
                raise TypeError(f"{where}: `{name}` was given twice, by position and by name.")
            values[name] = value
        for name, argument in accepted.items():
            if name not in values and argument.required:
                raise TypeError(f"{where}: `{name}` is missing. Give it: {where}({name}=...).")
            self.__dict__[name] = values.get(name, argument.default)
        self.__post_init__()

    def __post_init__(self) -> None:
        """Check the arguments, and store them as they shall be; a subclass may override it."""

    def arguments(self) -> dict[str, Any]:
        """Return the arguments that make an equal object, by name."""
        try:
            return {name: getattr(self, name) for name in _names(type(self))}
        except AttributeError as error:
            raise AttributeError(
                f"{type(self).__name__}: `__init__` must keep each argument in the attribute of "
                f"its name, by which the object is printed, compared and saved: {error}."
            ) from None

    def replace(self, **changes: Any) -> Self:
        """Return the object with other values of some arguments.

        Examples
        --------
        >>> import nnpoly as nn
        >>> nn.SGD(0.1, momentum=0.9).replace(learning_rate=0.01).momentum
        0.9
        """
        return type(self)(**{**self.arguments(), **changes})

    __replace__ = replace  # of `copy.replace`

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self is other or self.arguments() == other.arguments()

    def __hash__(self) -> int:
        return hash((type(self), *self.arguments().values()))

    def __repr__(self) -> str:
        inner = ", ".join(f"{name}={value!r}" for name, value in self.arguments().items())
        return f"{type(self).__name__}({inner})"

    def __setattr__(self, name: str, value: Any) -> None:
        if id(self) not in _being_made:
            self._refuse(name)
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        if id(self) not in _being_made:
            self._refuse(name)
        object.__delattr__(self, name)

    def _refuse(self, name: str) -> NoReturn:
        from dataclasses import FrozenInstanceError

        where = type(self).__name__
        raise FrozenInstanceError(
            f"{where}: `{name}` cannot be assigned, since a {where} never changes. Make a new one: "
            f".replace({name}=...)."
        )

    def _set(self, **values: Any) -> None:
        """Store checked values in `__post_init__`, where type checkers refuse to assign."""
        for name, value in values.items():
            object.__setattr__(self, name, value)


# The arguments of a class


def _annotated(cls: type) -> dict[str, Argument]:
    """Return the arguments that a class itself annotates."""
    found, keyword = {}, False
    for name, annotation in _annotations(cls).items():
        text = str(annotation)
        if "KW_ONLY" in text:  # _: KW_ONLY
            keyword = True
        elif text.partition("[")[0].rpartition(".")[2] != "ClassVar":
            found[name] = Argument(annotation, vars(cls).get(name, _REQUIRED), keyword)
    return found


def _annotations(cls: type) -> Mapping[str, Any]:
    annotations: Mapping[str, Any] | None = vars(cls).get("__annotations__")
    if annotations is None and sys.version_info >= (3, 14):  # which evaluates them when asked
        from annotationlib import Format, get_annotations

        annotations = get_annotations(cls, format=Format.FORWARDREF)
    return annotations or {}


def _redefined(cls: type, inherited: Mapping[str, Argument]) -> dict[str, Argument]:
    """Return the inherited arguments that a class gives another default, without annotation."""
    return {
        name: Argument(argument.annotation, vars(cls)[name], argument.keyword)
        for name, argument in inherited.items()
        if name in vars(cls) and not hasattr(vars(cls)[name], "__get__")
    }


def _in_order(cls: type, accepted: dict[str, Argument]) -> dict[str, Argument]:
    """Return the arguments, checking that none without a default follows one with a default."""
    optional = ""
    for name, argument in accepted.items():
        if argument.required and optional and not argument.keyword:
            raise TypeError(
                f"{cls.__name__}: `{name}` must have a default, since `{optional}` before it has."
            )
        if not argument.required and not argument.keyword:
            optional = name
    return accepted


def _require_init(cls: type[Described], own: list[str]) -> None:
    """Refuse arguments that the `__init__` above a class would not take.

    A dataclass is not refused, since `@dataclass` makes the `__init__` when the class is there.
    """
    maker = _maker(cls)
    if "__dataclass_fields__" not in vars(maker):
        raise TypeError(
            f"{cls.__name__}: `{own[0]}` must be taken by an `__init__` of {cls.__name__}, since "
            f"{maker.__name__} has one. Write it, or for a constant {own[0]}: ClassVar[...]."
        )


def _has_own_init(cls: type[Described]) -> bool:
    """Whether a class, or one above it, brings an `__init__`; a dataclass does."""
    return cls.__init__ is not Described.__init__


def _maker(cls: type) -> type:
    """Return the class whose `__init__` a class uses."""
    return next(base for base in cls.__mro__ if "__init__" in vars(base))


def _names(cls: type[Described]) -> Iterable[str]:
    """Return the names of a class's arguments."""
    if not _has_own_init(cls):
        return cls.accepted
    init: Any = cls.__init__
    while hasattr(init, "__wrapped__"):
        init = init.__wrapped__
    code = init.__code__
    own: tuple[str, ...] = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]
    if not code.co_flags & _STARRED:
        return own
    above = cls.__mro__[cls.__mro__.index(_maker(cls)) + 1]
    return dict.fromkeys((*own, *_names(above)))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"


# Files


def _path(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _below(cls: type[Described]) -> Iterator[type[Described]]:
    for kind in cls.__subclasses__():
        yield kind
        yield from _below(kind)


def _called(name: Any) -> list[type[Described]]:
    """Return the classes that a name in a file may mean: nnpoly's own, else every other one."""
    # Of a class that was defined anew, in a notebook, the last stands.
    found = {_path(cls): cls for cls in _below(Described) if cls.__name__ == name}
    package = __name__.partition(".")[0]
    own = [cls for path, cls in found.items() if path.partition(".")[0] == package]
    return own or list(found.values())


def describe(value: Any) -> Any:
    """Return `value` as JSON's own types."""
    if isinstance(value, Described):
        inner = {name: describe(argument) for name, argument in value.arguments().items()}
        return {"type": _name_in_files(type(value)), **inner}
    if isinstance(value, tuple | list):
        return [describe(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"save: {value!r} cannot be written to a file; use nnpoly's own objects.")


def _name_in_files(cls: type[Described]) -> str:
    others = [path for path in map(_path, _called(cls.__name__)) if path != _path(cls)]
    if others:
        raise TypeError(
            f"save: {_path(cls)} cannot be written to a file, where classes are known by their "
            f"names, and {others[0]} has the same. Rename yours."
        )
    return cls.__name__


def construct(description: Any) -> Any:
    """Return the object that `describe` described.

    Raises
    ------
    ValueError
        If no class has its name, or several have, or it is one that others are made from.
    """
    if isinstance(description, list):
        return [construct(item) for item in description]
    if not isinstance(description, dict):
        return description
    arguments = {name: construct(value) for name, value in description.items() if name != "type"}
    return _class_called(description.get("type"))(**arguments)


def _class_called(name: Any) -> type[Described]:
    """Return the class that a name in a file means."""
    classes = _called(name)
    if not classes:
        raise ValueError(
            f"load: this version of nnpoly knows no {name!r}. If it is a class of your own, import "
            "the module that defines it before."
        )
    if len(classes) > 1:
        paths = " and ".join(map(_path, classes))
        raise ValueError(f"load: {name!r} may be {paths}. Give these classes different names.")
    for base in classes[0].__mro__:
        for method, value in vars(base).items():
            abstract = getattr(value, "__isabstractmethod__", False)
            if abstract and getattr(classes[0], method) is value:
                raise ValueError(f"load: {name} has no `{method}`, which its subclasses have.")
    return classes[0]
