#!/usr/bin/env python3
"""A foreign reader of exported AuditEvents: the FHIR models of PyPI's `fhir.resources`.

    .venv/bin/python tests/python/audit_events.py < events.fhir.ndjson

Reads one resource from each line of standard input, in the model of R4B, in which AuditEvent is as it is in R4. Exit code 0:
every line is a well-formed AuditEvent that reads back as it was written, and the last line of the output says how many there
were. 1: one was not, and a line says which and why.
"""

import json
import sys

from fhir.resources.R4B.auditevent import AuditEvent


class Difference(Exception):
    """A line is not an AuditEvent, or says something else once it was read."""


def check(line):
    """Parses one line, and compares what was understood with what was written."""
    written = json.loads(line)
    event = AuditEvent.model_validate_json(line)
    understood = json.loads(event.model_dump_json(exclude_none=True))
    written.pop("recorded"), understood.pop("recorded")  # The same moment, in another form.
    understood.setdefault("resourceType", "AuditEvent")
    if understood != written:
        raise Difference(f"read back as {json.dumps(understood)}")


def main():
    count = 0
    for count, line in enumerate(sys.stdin, 1):
        try:
            check(line)
        except (Difference, ValueError, KeyError) as error:
            sys.exit(f"NOT ok: line {count}: {error}\n{line}")
    print(f"ok: {count} AuditEvents")


if __name__ == "__main__":
    main()
