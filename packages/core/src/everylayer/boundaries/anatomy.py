"""What one exception consists of, told without asking its own methods; and made again so."""

from __future__ import annotations

import copyreg
import sys
from typing import Any

from .. import text

_MAX_ATTRIBUTES = 64
_MAX_NAME = 512
_HOOKS = (
    "__reduce__",
    "__reduce_ex__",
    "__getstate__",
    "__setstate__",
    "__getnewargs__",
    "__getnewargs_ex__",
)

# Read through the base classes: a subclass may define hostile properties of these names.
_mro: Any = type.__dict__["__mro__"].__get__
_namespace: Any = type.__dict__["__dict__"].__get__
_args: Any = BaseException.__dict__["args"].__get__


def mro(cls: type) -> tuple[type, ...]:
    """Return the classes that `cls` derives from, itself first."""
    found: tuple[type, ...] = _mro(cls)
    return found


def builtin_base(cls: type) -> type[BaseException]:
    """Return the nearest builtin class of exceptions."""
    for base in _mro(cls):
        # A heap type is one that Python code made.
        if issubclass(base, BaseException) and not base.__flags__ & (1 << 9):
            return base  # type: ignore[no-any-return]
    return BaseException


def reduces_itself(cls: type) -> bool:
    """Tell whether the class, and not the interpreter, says how it is pickled."""
    if cls in copyreg.dispatch_table:
        return True
    builtin = builtin_base(cls)
    for base in _mro(cls):
        if base is builtin:
            return False
        if any(hook in _namespace(base) for hook in _HOOKS):
            return True
    return False


def args_of(exc: BaseException) -> tuple[Any, ...]:
    """Return what the builtin base class of `exc` is made with."""
    base = builtin_base(type(exc))
    try:
        reduced = base.__reduce__(exc)
    except Exception:
        return tuple(_args(exc))
    return tuple(reduced[1]) if isinstance(reduced, tuple) else tuple(_args(exc))


def attributes_of(exc: BaseException) -> dict[str, Any]:
    """Return what was set on `exc`: its `__dict__`, its slots, and its builtin base's members."""
    cls = type(exc)
    base = builtin_base(cls)
    found: dict[str, Any] = {}
    try:
        reduced = base.__reduce__(exc)
        state = reduced[2] if len(reduced) > 2 else None
    except Exception:
        state = None
    if isinstance(state, dict):
        # Such as the name of an ImportError.
        found.update((key, value) for key, value in state.items() if key != "args")
    found.update(dictionary_of(exc))
    for owner in _mro(cls):
        if owner is base:
            break
        for name, member in list(_namespace(owner).items()):
            if type(member) is _MEMBER:
                try:
                    found.setdefault(name, member.__get__(exc, cls))
                except AttributeError:
                    continue
    found.pop("__notes__", None)
    kept = [key for key in found if type(key) is str and len(key) <= _MAX_NAME]
    return {key: found[key] for key in kept[:_MAX_ATTRIBUTES]}


def dictionary_of(exc: BaseException) -> dict[str, Any]:
    """Return the `__dict__` of `exc`, whatever its class shows by that name."""
    found: dict[str, Any] = BaseException.__dict__["__dict__"].__get__(exc)
    return found


def make(cls: type, args: tuple[Any, ...]) -> BaseException:
    """Return an exception of `cls` with these arguments; its own `__init__` is not called."""
    base = builtin_base(cls)
    made: BaseException = base.__new__(cls, *args)
    if not issubclass(base, _GROUP):
        base.__init__(made, *args)
    return made


def set_attribute(exc: BaseException, name: str, value: Any) -> None:
    """Set what `attributes_of` told, past the class's own `__setattr__` and properties."""
    for owner in _mro(type(exc)):
        member = _namespace(owner).get(name)
        if type(member) is _MEMBER or (member is not None and not owner.__flags__ & (1 << 9)):
            if hasattr(type(member), "__set__"):
                member.__set__(exc, value)
                return
            break
    dictionary_of(exc)[name] = value


def place_of(cls: type) -> tuple[str, str]:
    """Return the module and the qualified name that `cls` says it has."""
    name = text.class_name(cls)
    qualname = text.shorten(type.__dict__["__qualname__"].__get__(cls), _MAX_NAME)
    module = name[: -len(qualname) - 1] if name != qualname else "builtins"
    return module, qualname


def find(module: str, qualname: str) -> Any:
    """Return what has that name there, None if nothing has."""
    try:
        if module not in sys.modules:
            __import__(module)
        found: Any = sys.modules[module]
        for part in qualname.split("."):
            found = getattr(found, part)
    except BaseException:
        return None
    return found


class _Slotted:
    __slots__ = ("slot",)


_MEMBER = type(_Slotted.__dict__["slot"])
if sys.version_info >= (3, 11):
    _GROUP: tuple[type[BaseException], ...] = (BaseExceptionGroup,)
else:
    _GROUP = ()
