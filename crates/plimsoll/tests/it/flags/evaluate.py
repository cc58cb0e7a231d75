"""Evaluates `cases.json` with OpenFeature's SDK and its OFREP provider; says what differs. Arguments: the URL, the file."""

import json
import sys

from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext

url, file = sys.argv[1:3]
headers = {"Authorization": "Bearer flags-secret"}
api.set_provider(OFREPProvider(url, headers_factory=lambda: headers))
client = api.get_client()
differs = 0
cases = json.load(open(file, encoding="utf-8"))
for case in cases:
    attributes = dict(case["context"])
    key = attributes.pop("targetingKey", None)
    ask = getattr(client, f"get_{case['type']}_details")
    given = ask(case["flag"], case["default"], EvaluationContext(key, attributes))
    # What an error code is, a text or a member of an enumeration, depends on the version.
    code = getattr(given.error_code, "value", given.error_code)
    seen = {"value": given.value, "error": code}
    if "error" not in case and "variant" not in case:
        # There is no value, and versions of providers differ in how they say it: the code's own default counts.
        seen.pop("error")
    if "variant" in case:
        seen["variant"] = given.variant
        seen["reason"] = getattr(given.reason, "value", given.reason)
    if "metadata" in case:
        seen["metadata"] = dict(given.flag_metadata)
    expected = {name: case.get(name) for name in seen}
    if seen != expected:
        differs += 1
        print(f"{case['flag']} with {case['context']}: {seen}, not {expected}")
print(f"{len(cases)} evaluated, {differs} differ")
