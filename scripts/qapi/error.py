# SPDX-License-Identifier: GPL-2.0-or-later
"""The one exception of the generator; its text is "FILE:LINE: message"."""


class SchemaError(Exception):
    """A mistake in a schema file, with the place where it is."""

    def __init__(self, where, message):
        super().__init__(f'{where}: {message}' if where else message)
