"""Statements for the places that are passed hundreds of times a second.

Django spends five to ten times as long on building a query as SQLite on answering it. ``Prepared`` has the ORM put a
query into SQL once a process, and fills in values from then on; ``insert`` writes a row without making an object of it,
``store`` writes an object that is there. All send what the ORM would have sent: a model that changes changes them, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Generic, TypeVar

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.sqlite3.base import FORMAT_QMARK_REGEX
from django.db.models import (
    BigIntegerField,
    BooleanField,
    CharField,
    Field,
    IntegerField,
    Model,
    PositiveBigIntegerField,
    PositiveIntegerField,
    PositiveSmallIntegerField,
    QuerySet,
    SmallIntegerField,
    TextField,
)
from django.db.models.expressions import RawSQL
from django.db.models.sql import DeleteQuery, Query, UpdateQuery

M = TypeVar("M", bound=Model)

# Values that stand for a parameter while a query is put into SQL; nothing real is like them. A number that does not fit
# into a column of 32 bits would make the ORM say that nothing is found.
_NUMBER = 2_147_480_000
_TEXT = "\x01prepared-"
# What a field passes on unchanged.
_AS_IT_IS: dict[type, type] = {
    CharField: str, TextField: str, BooleanField: bool, IntegerField: int, BigIntegerField: int,
    PositiveIntegerField: int, PositiveSmallIntegerField: int, SmallIntegerField: int, PositiveBigIntegerField: int,
}  # fmt: skip


class Prepared(Generic[M]):
    """A query of a model whose values change and whose shape does not.

    ``narrow`` gets all objects and a stand-in for each parameter, and returns the query set; ``parameters`` are their
    types, ``int`` or ``str``. The query has to pass each on as it is, at least once. ``always`` gives expressions that
    each update writes.
    """

    def __init__(
        self,
        model: type[M],
        narrow: Callable[..., QuerySet[M, Any]],
        *parameters: type,
        always: Callable[[], dict[str, Any]] = dict,
    ) -> None:
        self.model = model
        self._narrow = narrow
        self._always = always
        self._marks = [_NUMBER + at if kind is int else f"{_TEXT}{at}" for at, kind in enumerate(parameters)]
        self._made: dict[Any, tuple[str, list[Any]]] = {}

    def rows(self, *values: Any) -> list[tuple[Any, ...]]:
        """What the database gives, unconverted: for ids, numbers and text."""
        return list(self._execute("select", lambda query: query, values).fetchall())

    def objects(self, *values: Any) -> list[M]:
        """The objects of a query that asks for all fields and nothing else."""
        database = _database()
        names, converters = _reading(self.model, database.vendor)
        made = []
        for row in self.rows(*values):
            read = list(row)
            for at, convert, expression in converters:
                read[at] = convert(read[at], expression, database)
            made.append(self.model.from_db(database.alias, names, read))
        return made

    def update(self, *values: Any, **to: Any) -> int:
        """The number of rows changed. With an expression in ``to`` it is the ORM's own, slower update."""
        if any(hasattr(value, "resolve_expression") for value in to.values()):
            return self._narrow(self.model._default_manager.all(), *values).update(**self._always(), **to)

        def updating(query: Query) -> Query:
            made: Any = query.chain(UpdateQuery)
            made.add_update_values({**self._always(), **{name: RawSQL("%s", [_TEXT + name]) for name in to}})
            return made

        database = _database()
        written = {_TEXT + name: _ready(self.model, name, value, database) for name, value in to.items()}
        return int(self._execute(("update", *to), updating, values, written).rowcount)

    def delete(self, *values: Any) -> int:
        """The number of rows deleted, without looking for what hangs on them."""
        return int(self._execute("delete", lambda query: query.chain(DeleteQuery), values).rowcount)

    def _execute(
        self,
        verb: Any,
        shape: Callable[[Query], Query],
        values: tuple[Any, ...],
        written: Mapping[str, Any] | None = None,
    ) -> Any:
        filled: dict[Any, Any] = dict(zip(self._marks, values, strict=True))
        filled.update(written or {})
        database = _database()
        key = (database.vendor, verb)
        if key not in self._made:
            query = shape(self._narrow(self.model._default_manager.all(), *self._marks).query)
            sql, given = query.get_compiler(connection=database).as_sql()
            missing = [mark for mark in filled if mark not in given]
            assert not missing, f"{missing} can't be filled in later"
            self._made[key] = sql, list(given)
        sql, given = self._made[key]
        return _executed(database, sql, [filled.get(one, one) if isinstance(one, int | str) else one for one in given])


def insert(model: type[Model], **values: Any) -> int:
    """Write one row, by the names of its columns' attributes (``job_id``); what is left out has the field's default.

    Returns the row's id. No signal of the ORM is sent.
    """
    database = _database()
    sql, fields = _insertion(model, database.vendor)
    row = [
        _written(field, values[field.attname] if field.attname in values else field.get_default(), database)
        for field in fields
    ]
    cursor = _executed(database, sql, row)
    # SQLite's driver knows it; of the others it has to be asked.
    return int(cursor.lastrowid if database.vendor == "sqlite" else cursor.fetchone()[0])


def store(row: Model) -> None:
    """Write a new object as ``row.save(force_insert=True)`` does; no signal is sent, no field sets itself."""
    database = _database()
    row.pk = insert(type(row), **vars(row))
    row._state.adding, row._state.db = False, database.alias


def _database() -> Any:
    """The connection of this thread itself: what stands for it looks for it anew at each access."""
    return connections[DEFAULT_DB_ALIAS]


def _executed(database: Any, sql: str, values: list[Any]) -> Any:
    """The cursor after the statement.

    Django's cursors cost five times what SQLite does: its driver is asked directly, with Django's checks and errors,
    but where somebody looks at each statement.
    """
    if database.vendor != "sqlite" or database.execute_wrappers or database.queries_logged:
        cursor = database.cursor()
        cursor.execute(sql, values)
        return cursor
    database.ensure_connection()
    database.validate_no_broken_transaction()
    with database.wrap_database_errors:
        return database.connection.execute(_for_driver(sql), values)


@lru_cache(maxsize=512)
def _for_driver(sql: str) -> str:
    """With the marks that SQLite's driver knows, as Django's cursor puts them."""
    return FORMAT_QMARK_REGEX.sub("?", sql).replace("%%", "%")


def _ready(model: type[Model], name: str, value: Any, database: Any) -> Any:
    field: Field[Any, Any] = model._meta.get_field(name)  # type: ignore[assignment]
    return _written(field, value, database)


def _written(field: Field[Any, Any], value: Any, database: Any) -> Any:
    """As the field has it written; to text, numbers and yes or no it does nothing."""
    if value is None or type(value) is _AS_IT_IS.get(type(field)):
        return value
    return field.get_db_prep_save(value, database)


@lru_cache(maxsize=64)
def _insertion(model: type[Model], vendor: str) -> tuple[str, list[Field[Any, Any]]]:
    fields = [field for field in model._meta.concrete_fields if not field.primary_key and not field.generated]
    ops = _database().ops
    quote = ops.quote_name
    names = ", ".join(quote(str(field.column)) for field in fields)
    sql = f"INSERT INTO {quote(model._meta.db_table)} ({names}) VALUES ({', '.join(['%s'] * len(fields))})"
    if vendor != "sqlite":
        sql += f" {ops.return_insert_columns([model._meta.pk])[0]}"
    return sql, fields


@lru_cache(maxsize=64)
def _reading(model: type[Model], vendor: str) -> tuple[list[str], list[tuple[int, Callable[..., Any], Any]]]:
    """Names of all fields, and what has to be made of a column's value, by its place."""
    fields, database = model._meta.concrete_fields, _database()
    columns = [field.cached_col for field in fields]
    converters = [
        (at, convert, column)
        for at, column in enumerate(columns)
        for convert in (*database.ops.get_db_converters(column), *column.get_db_converters(database))
    ]
    return [field.attname for field in fields], converters
