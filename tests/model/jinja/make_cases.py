#!/usr/bin/env python3
"""Computes the answers in tests/data/chat/language.json and scopes.json anew.

Needs transformers and jinja2; run it after adding templates to the files:
    python tests/model/jinja/make_cases.py tests/data/chat/language.json tests/data/chat/scopes.json
"""
import datetime
import json
import sys

from transformers.utils import chat_template_utils


class November(datetime.datetime):
    """The clock that strftime_now asks."""

    @classmethod
    def now(cls, tz=None):
        return cls(2026, 11, 23)


def answer(template: str, variables: dict) -> dict:
    try:
        compiled = chat_template_utils._cached_compile_jinja_template(template)
        return {"text": compiled.render(**variables)}
    except chat_template_utils.jinja2.exceptions.TemplateError as error:
        own = type(error) is chat_template_utils.jinja2.exceptions.TemplateError
        return {"error": str(error) if own else True}
    except Exception:  # whatever Python raises inside the template
        return {"error": True}


def main(paths) -> None:
    chat_template_utils.datetime = November
    for path in paths:
        with open(path, encoding="utf-8") as file:
            cases = json.load(file)
        rows = [{"template": row["template"], **answer(row["template"], dict(cases["variables"]))}
                for row in cases["rows"]]
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        with open(path, "w", encoding="utf-8") as file:
            file.write('{"source": ' + json.dumps(cases["source"]) + ',\n "variables": ' +
                       json.dumps(cases["variables"], ensure_ascii=False) +
                       ',\n "rows": [\n  ' + ",\n  ".join(lines) + "\n ]}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
