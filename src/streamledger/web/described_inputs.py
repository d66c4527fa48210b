"""What may be sent, as `/schema` says it: the framework's schemas, made as narrow as the program is.

The framework makes a null of everything optional, which a query has no word for, loses a bound of 0, rounds
large ones, and does not say that unknown fields are refused.
"""

from typing import Any, Final

from streamledger.readmodel.projections.registry import PROJECTIONS
from streamledger.readmodel.queries.audit import SUSPICIOUS_CLASSES
from streamledger.web.parameters import POSITION_MAX

Document = dict[str, Any]

INSTANTS: Final = frozenset({"from", "to", "as_of", "known_at", "started_from", "started_to"})
_INSTANT: Final[Document] = {
    "anyOf": [
        {"type": "string", "format": "date-time"},
        {"type": "string", "pattern": r"^[0-9]{1,12}$", "description": "Whole Unix seconds"},
    ]
}
_A_PROJECTION: Final[Document] = {"type": "string", "enum": [each.name for each in PROJECTIONS]}
_TEXT: Final = r"^[^\u0000]*$"
_AUDITED: Final = "^({0})(,({0}))*$".format("|".join(SUSPICIOUS_CLASSES))
CURSOR: Final[Document] = {"type": "string", "format": "cursor", "minLength": 1, "maxLength": 2048}
"""Opaque: only what a page of the same list gave as `next_cursor` is one."""


def narrowed(operation: Document) -> Document:
    """The operation with its parameters as they are taken, those of its path first."""
    named = sorted(operation.get("parameters", []), key=lambda each: bool(each["in"] != "path"))
    parameters = [{**each, "schema": _parameter(each)} for each in named]
    return {**operation, "parameters": parameters} if parameters else operation


def _parameter(parameter: Document) -> Document:
    name, schema = parameter["name"], _without_null(parameter["schema"])
    if name == "cursor":
        return CURSOR
    if name in INSTANTS:
        return _INSTANT
    if name == "projection":
        return _A_PROJECTION
    if name == "class" and "pattern" not in schema and "enum" not in schema and "$ref" not in schema:
        return {**schema, "pattern": _AUDITED}
    if schema.get("type") == "string" and not {"enum", "format", "pattern"} & schema.keys():
        schema["pattern"] = _TEXT
    if schema.get("type") == "integer":
        least, most = schema.get("minimum", 0), schema.get("maximum", POSITION_MAX)
        schema |= {"minimum": int(least), "maximum": min(int(most), POSITION_MAX)}
    return schema


def _without_null(schema: Document) -> Document:
    alternatives = [each for each in schema.get("oneOf", ()) if each != {"type": "null"}]
    if len(alternatives) == 1:
        schema = {**alternatives[0], **{name: value for name, value in schema.items() if name != "oneOf"}}
    if isinstance(schema.get("type"), list):
        schema = {**schema, "type": next(each for each in schema["type"] if each != "null")}
    if "enum" in schema:
        schema = {**schema, "enum": [each for each in schema["enum"] if each is not None]}
    return dict(schema)


def closed(schemas: Document, names: frozenset[str]) -> Document:
    """The schemas, of which those of these names take no unknown field."""
    return {
        name: {**_named(schema), "additionalProperties": False} if name in names else schema
        for name, schema in schemas.items()
    }


def _named(schema: Document) -> Document:
    """With the names that a list of projections, and the instants that a filter, may hold."""
    properties = dict(schema["properties"])
    if "projections" in properties:  # whose `to` is a position
        properties["projections"] = {"type": "array", "items": _A_PROJECTION}
        return {**schema, "properties": properties}
    instants = {
        name: {"anyOf": [*_INSTANT["anyOf"], {"type": "null"}]} for name in INSTANTS & properties.keys()
    }
    return {**schema, "properties": properties | instants}
