"""Functions of others that are replaced for a while, and put back as they were."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple
from weakref import WeakSet

from ..fit import takes, warn_left_alone


class Switch:
    """Whether a replacement does anything: one that others have wrapped cannot be taken out."""

    __slots__ = ("on",)

    def __init__(self) -> None:
        self.on = True


Make = Callable[[Any, Switch], Any]

_INHERITED = object()


class Patch:
    """One attribute, `owner.name`, while it is replaced.

    Args:
        owner: a module or class.
        name: of a function in it.
        make: returns the replacement, given what it stands for and whether it is on.
    """

    __slots__ = ("_after", "_found", "_make", "_name", "_ours", "_owner", "_switch")

    def __init__(self, owner: Any, name: str, make: Make) -> None:
        self._owner = owner
        self._name = name
        self._make = make
        self._after: Any = None

    def put(self) -> None:
        """Replace it, unless the replacement stands there already."""
        if self._after is not None and getattr(self._owner, self._name) is self._after:
            return
        self.undo()
        self._found = vars(self._owner).get(self._name, _INHERITED)
        before = getattr(self._owner, self._name)
        self._switch = Switch()
        made = self._make(before, self._switch)
        # One that is a class method already takes no other's name.
        known = isinstance(made, classmethod)
        self._after = made if known else functools.update_wrapper(made, before)
        static = isinstance(self._found, staticmethod)
        self._ours = staticmethod(self._after) if static else self._after
        setattr(self._owner, self._name, self._ours)

    @property
    def made(self) -> Any:
        """The replacement, None while nothing is replaced."""
        return self._after

    def undo(self) -> bool:
        """Put back what was there; where somebody else has come since, pass everything on.

        Returns:
            Whether it is gone; else what came since holds it.
        """
        if self._after is None:
            return True
        self._switch.on = False
        gone = vars(self._owner).get(self._name) is self._ours
        if gone and self._found is _INHERITED:
            delattr(self._owner, self._name)
        elif gone:
            setattr(self._owner, self._name, self._found)
        self._after = self._ours = self._found = None
        return gone


class Target(NamedTuple):
    """What a framework's package replaces.

    Attributes:
        owner: a module or class of the framework's.
        name: of the function in it.
        parameters: what it must take for the replacement to fit, names with spaces between.
        make: see `Patch`.
        missing: what only shows there.
    """

    owner: Any
    name: str
    parameters: str
    make: Make
    missing: str


class Patches:
    """All that a package replaces in its framework; what is not what it was is left alone.

    Args:
        distribution: the framework's.
        package: ours, to look for a newer version of.
        targets: in the order in which they are replaced.
    """

    def __init__(self, distribution: str, package: str, *targets: Target) -> None:
        self._distribution = distribution
        self._package = package
        self._targets = targets
        self._put: list[Patch] | None = None
        self._users: WeakSet[Any] = WeakSet()

    def put(self, user: object) -> None:
        """Replace what fits, and say what does not, for `user` too, which is not kept alive."""
        self._users.add(user)
        if self._put is not None:
            return
        self._put = []
        for target in self._targets:
            if takes(getattr(target.owner, target.name, None), target.parameters):
                self._put.append(Patch(target.owner, target.name, target.make))
                self._put[-1].put()
            else:
                where = f"{target.owner.__name__}.{target.name}"
                warn_left_alone(where, self._distribution, target.missing, self._package)

    def let_go(self, user: object) -> None:
        """Put back what was there unless somebody else still needs it."""
        self._users.discard(user)
        if not self._users:
            self.undo()

    def undo(self) -> None:
        """Put back what was there, newest first, whoever needs it."""
        self._users.clear()
        while self._put:
            self._put.pop().undo()
        self._put = None
