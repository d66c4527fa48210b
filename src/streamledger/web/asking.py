"""What a request asks with: query parameters that no route knows are refused, faults are told in words."""

import enum
import typing
from collections.abc import Mapping
from functools import cache
from types import NoneType
from typing import Any, Final, NamedTuple

from litestar import Request
from litestar.handlers import BaseRouteHandler
from litestar.params import HeaderParameter, ParameterKwarg
from litestar.typing import FieldDefinition

from streamledger.domain.errors import ParameterInvalid

SHOWN_CHARACTERS_MAX: Final = 64


class Parameter(NamedTuple):
    """What the framework would let pass, though `/schema` does not."""

    repeats: bool
    """Whether it may be given more than once; of others the last would count, and nobody would know."""
    nulls: str
    """The types in words, where "null" would be taken for a value that was not given; else empty."""


async def refuse_odd_parameters(request: Request[Any, Any, Any]) -> None:
    """Raises ParameterInvalid: a misspelt filter that was passed over would answer with everything."""
    known = _query_parameters(request.route_handler)
    seen = set()
    for name, value in request.query_params.multi_items():
        if (parameter := known.get(name)) is None:
            raise ParameterInvalid(
                name=name[:SHOWN_CHARACTERS_MAX],
                expected=f"one of the parameters {', '.join(sorted(known))}" if known else "no parameter",
                got="one that this call does not know",
            )
        if name in seen and not parameter.repeats:
            raise ParameterInvalid(name=name, expected="one value", got="several")
        if parameter.nulls and value.lower() == "null":
            raise ParameterInvalid(name=name, expected=parameter.nulls, got=repr(value))
        seen.add(name)


def fault_in_words(request: Request[Any, Any, Any], fault: dict[str, str]) -> dict[str, str]:
    """One fault that the framework found: the parameter's own name, what was expected, and what came."""
    variable = fault.get("key", "")
    where = fault.get("source", "query")
    message = fault.get("message", "").replace("`", "").removesuffix(" | null")
    if where == "body":
        if variable == "data" and message == "'data'":  # the framework's word for a body that is not there
            return {"name": "body", "source": where, "expected": "a JSON object", "got": "nothing"}
        expected, _, came = message.partition(", got ")
        if expected.startswith("Expected "):
            expected = expected.removeprefix("Expected ")
        else:  # such as "Object contains unknown field"
            expected, came = "what /schema describes", message[:1].lower() + message[1:]
        named = {"name": "body" if variable == "data" else variable, "source": where, "expected": expected}
        return named | ({"got": came} if came else {})
    name = _name_of(request.route_handler, variable)
    elsewhere: dict[str, Mapping[str, Any]] = {"path": request.path_params, "header": request.headers}
    got = elsewhere.get(where, request.query_params).get(name)
    expected = message.partition(", got ")[0].removeprefix("Expected ").removesuffix(" | null")
    if choices := [each for each in _choices(request.route_handler, variable) if each]:
        expected = f"one of {', '.join(choices)}"
    return {
        "name": name,
        "source": where,
        "expected": expected,
        "got": "nothing" if got is None else repr(str(got)[:SHOWN_CHARACTERS_MAX]),
    }


@cache
def _query_parameters(handler: BaseRouteHandler) -> dict[str, Parameter]:
    return {
        _name_of(handler, variable): _parameter(field.annotation)
        for variable, field in _fields(handler).items()
        if isinstance(field.kwarg_definition, ParameterKwarg)
        and not isinstance(field.kwarg_definition, HeaderParameter)
    }


@cache
def _fields(handler: BaseRouteHandler) -> dict[str, FieldDefinition]:
    """What a handler asks for by its variables, with what those ask for that it is given."""
    given = handler.resolve_dependencies()
    found = dict(handler.parsed_fn_signature.parameters)
    while names := found.keys() & given.keys():
        for name in names:
            del found[name]
            found |= given[name].parsed_fn_signature.parameters
    return found


def _parameter(annotation: Any) -> Parameter:
    types = [each for each in typing.get_args(annotation) or (annotation,) if each is not NoneType]
    choices = list(_members(annotation))
    words = f"one of {', '.join(choices)}" if choices else " or ".join(str(each.__name__) for each in types)
    return Parameter(
        repeats=any(typing.get_origin(each) is list for each in types), nulls="" if str in types else words
    )


def _name_of(handler: BaseRouteHandler, variable: str) -> str:
    field = _fields(handler).get(variable)
    definition = None if field is None else field.kwarg_definition
    name: str | None = definition.name if isinstance(definition, ParameterKwarg) else None
    return name or variable


def _choices(handler: BaseRouteHandler, variable: str) -> list[str]:
    """The values that an enumeration allows; none for a parameter of another type."""
    field = _fields(handler).get(variable)
    return [] if field is None else list(_members(field.annotation))


def _members(annotation: Any) -> typing.Iterator[str]:
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        yield from (str(member.value) for member in annotation)
    elif typing.get_origin(annotation) is typing.Literal:
        yield from map(str, typing.get_args(annotation))
    else:
        for part in typing.get_args(annotation):
            yield from _members(part)
