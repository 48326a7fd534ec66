"""Validates exports by the published definitions of their formats: `validate.py FORMAT <export`.

Each format is checked by packages that its people or others publish (pinned in the Makefile); where there is none, by
what its specification says. Prints what it counted as one line of JSON; the first fault ends it with status 1.
"""

import collections
import json
import re
import sys
from urllib.parse import urlparse

from jsonschema import Draft202012Validator, FormatChecker

COUNTS = collections.Counter()


def lines():
    text = sys.stdin.buffer.read().decode("utf-8")
    if text and not text.endswith("\n"):
        fault(0, "the last line does not end")
    for number, line in enumerate(text.split("\n")[:-1], 1):
        yield number, line


def fault(number, what):
    sys.exit(f"line {number}: {what}")


def ocsf():
    """OCSF 1.8.0: the compiled schema of the OCSF people, as JSON Schema by ocsf-json-schema."""
    from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

    validators = {}
    compiled = get_ocsf_schema(version="1.8.0")
    schema = OcsfJsonSchemaEmbedded(compiled)
    enums = {c["uid"]: c["attributes"] for c in compiled["classes"].values()}
    for number, line in lines():
        event = json.loads(line)
        if event["metadata"]["version"] != "1.8.0":
            fault(number, "another version")
        key = (event["class_uid"], tuple(event["metadata"]["profiles"]))
        if key not in validators:
            name = schema.lookup_class_name_from_uid(key[0])
            validators[key] = Draft202012Validator(schema.get_class_schema(name, list(key[1])))
        errors = [f"{e.json_path}: {e.message}" for e in validators[key].iter_errors(event)]
        if errors:
            fault(number, f"{errors}\n{line}")
        if event["type_uid"] != event["class_uid"] * 100 + event["activity_id"]:
            fault(number, "type_uid is not of its activity")
        # The captions that stand beside numbers are those of the schema, but for 99, which is free.
        for attribute, definition in enums[key[0]].items():
            caption = event.get(definition.get("sibling"))
            value = event.get(attribute)
            if caption is not None and value not in (None, 99) and "enum" in definition:
                if attribute not in ("type_uid", "category_uid") and definition["enum"][str(value)]["caption"] != caption:
                    fault(number, f"{attribute} {value} is not {caption!r}")
        COUNTS[f"class {event['class_uid']}"] += 1


def cloud_events():
    """CloudEvents 1.0.2: the SDK of the CloudEvents people."""
    from cloudevents.core.bindings.http import HTTPMessage, from_http_event

    seen = set()
    for number, line in lines():
        members = json.loads(line)
        message = HTTPMessage(headers={"content-type": "application/cloudevents+json"}, body=line.encode())
        event = from_http_event(message)
        # The SDK puts in what is required and missing.
        if members["specversion"] != "1.0" or not {"id", "source", "type"} <= set(members):
            fault(number, "a required attribute is missing")
        if event.get_specversion() != "1.0" or event.get_data() != members["data"]:
            fault(number, "it is read as something else")
        if any(not re.fullmatch("[a-z0-9]{1,20}", name) for name in members if name != "data"):
            fault(number, "a name that attributes can't have")
        key = (event.get_source(), event.get_id())
        if key in seen:
            fault(number, "source and id are not unique")
        seen.add(key)
        COUNTS["events"] += 1


def otlp():
    """OTLP/JSON: the classes that the OpenTelemetry people generate from opentelemetry-proto. A round trip finds members
    that they do not know; the names of attributes are compared with the semantic conventions."""
    from opentelemetry.proto_json.trace.v1.trace import TracesData
    from opentelemetry.semconv._incubating.attributes import gen_ai_attributes, process_attributes
    from opentelemetry.semconv.schemas import Schemas

    known = {v for module in (gen_ai_attributes, process_attributes) for v in vars(module).values() if isinstance(v, str)}
    operations = {v.value for v in gen_ai_attributes.GenAiOperationNameValues}
    spans, parents, traces = set(), set(), set()
    for number, line in lines():
        given = json.loads(line)
        data = TracesData.from_dict(given)
        if normal(data.to_dict()) != normal(given):
            fault(number, f"members that OTLP does not know:\n{normal(data.to_dict())}\n{normal(given)}")
        for resource in data.resource_spans:
            if resource.schema_url != Schemas.V1_44_0.value:
                fault(number, "another version of the conventions")
            for scope in resource.scope_spans:
                for span in scope.spans:
                    if len(span.trace_id) != 16 or len(span.span_id) != 8 or span.span_id in spans:
                        fault(number, "an id of the wrong form, or twice")
                    if not 0 < span.start_time_unix_nano <= span.end_time_unix_nano:
                        fault(number, "a span that ends before it begins")
                    spans.add(span.span_id)
                    traces.add(span.trace_id)
                    if span.parent_span_id:
                        parents.add(span.parent_span_id)
                    names = {a.key: a.value for a in span.attributes}
                    if len(names) != len(span.attributes):
                        fault(number, "an attribute stands twice")
                    for name in names:
                        if name.startswith(("gen_ai.", "process.")) and name not in known:
                            fault(number, f"the conventions do not know {name}")
                    if "gen_ai.operation.name" in names:
                        operation = names["gen_ai.operation.name"].string_value
                        wanted = f"{operation} {names['gen_ai.agent.name'].string_value}"
                        if operation not in operations or span.name != wanted or not names["gen_ai.provider.name"].string_value:
                            fault(number, "not as the conventions name such spans")
                        COUNTS[operation] += 1
                    COUNTS["spans"] += 1
    if parents - spans or len(traces) > 1:
        fault(0, "a parent that is nowhere, or several traces")


def normal(value):
    """Without what protocol buffers take for absent."""
    if isinstance(value, dict):
        items = {k: normal(v) for k, v in value.items()}
        return {k: v for k, v in items.items() if v not in (None, {}, [], "", 0)}
    return [normal(v) for v in value] if isinstance(value, list) else value


# What section 6.1 of Agent Trace 0.1.0 wants of a record, written down from its text: its people publish their schema in no
# package. Objects take nothing that the section does not name, as that schema has it.
RANGE = {
    "type": "object",
    "additionalProperties": False,
    "required": ["start_line", "end_line"],
    "properties": {
        **{k: {"type": "integer", "minimum": 1, "maximum": 2**53 - 1} for k in ("start_line", "end_line")},
        "content_hash": {"type": "string"},
    },
}
CONTRIBUTOR = {
    "type": "object",
    "additionalProperties": False,
    "required": ["type"],
    "properties": {"type": {"enum": ["human", "ai", "mixed", "unknown"]}, "model_id": {"type": "string", "maxLength": 250}},
}
CONVERSATION = {
    "type": "object",
    "additionalProperties": False,
    "required": ["ranges"],
    "properties": {
        "url": {"type": "string", "format": "uri"},
        "contributor": CONTRIBUTOR,
        "ranges": {"type": "array", "items": RANGE},
    },
}
FILE = {
    "type": "object",
    "additionalProperties": False,
    "required": ["path", "conversations"],
    "properties": {"path": {"type": "string"}, "conversations": {"type": "array", "items": CONVERSATION}},
}
AGENT_TRACE = {
    "type": "object",
    "required": ["version", "id", "timestamp", "files"],
    "properties": {
        "version": {"const": "0.1.0"},
        "id": {"type": "string", "format": "uuid"},
        "timestamp": {"type": "string", "format": "date-time"},
        "vcs": {
            "type": "object",
            "additionalProperties": False,
            "required": ["type", "revision"],
            "properties": {"type": {"enum": ["git", "jj", "hg", "svn"]}, "revision": {"type": "string"}},
        },
        "tool": {"type": "object", "additionalProperties": False, "required": ["name", "version"], "properties": {"name": {"type": "string"}, "version": {"type": "string"}}},
        "files": {"type": "array", "items": FILE},
        "metadata": {"type": "object"},
    },
    "additionalProperties": False,
}


def agent_trace():
    checker = FormatChecker()
    checker.checks("uri")(lambda text: bool(urlparse(text).scheme))
    validator = Draft202012Validator(AGENT_TRACE, format_checker=checker)
    for number, line in lines():
        record = json.loads(line)
        errors = [f"{e.json_path}: {e.message}" for e in validator.iter_errors(record)]
        if errors:
            fault(number, errors)
        for file in record["files"]:
            COUNTS["files"] += 1
            for conversation in file["conversations"]:
                for span in conversation["ranges"]:
                    if span["start_line"] > span["end_line"]:
                        fault(number, "a range runs backwards")
                    COUNTS["lines"] += span["end_line"] - span["start_line"] + 1
        COUNTS["records"] += 1


def git_ai():
    """Git AI Standard v3.0.0, sections 1.2.2 to 1.2.4: one note."""
    text = sys.stdin.buffer.read().decode("utf-8")
    before, divider, after = text.partition("---\n") if text.startswith("---\n") else text.partition("\n---\n")
    if not divider:
        fault(0, "no divider")
    metadata = json.loads(after)
    if metadata["schema_version"] != "authorship/3.0.0" or not isinstance(metadata["prompts"], dict):
        fault(0, "the metadata lack what they must have")
    if not re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", metadata["base_commit_sha"]):
        fault(0, "the commit is none")
    for name, session in metadata["sessions"].items():
        agent = session["agent_id"]
        if not re.fullmatch("s_[0-9a-f]{14}", name) or set(agent) != {"tool", "id", "model"}:
            fault(0, f"session {name} is not as it must be")
        import hashlib

        if hashlib.sha256(f"{agent['tool']}:{agent['id']}".encode()).hexdigest()[:14] != name[2:]:
            fault(0, f"the key {name} is of another session")
        attributes = session.get("custom_attributes", {})
        if not all(isinstance(v, str) for v in (*agent.values(), *attributes.values(), session.get("human_author", ""))):
            fault(0, "what must be text is not")
        if not set(session) <= {"agent_id", "human_author", "custom_attributes"}:
            fault(0, "a session has what it must not have")
    path, attested = None, set()
    for number, line in enumerate(before.split("\n") if before else [], 1):
        if not line.startswith("  "):
            path = line[1:-1] if line.startswith('"') else line
            if not path or path in attested or (re.search(r"\s", path) and not line.startswith('"')):
                fault(number, "a path in the wrong form, or twice")
            attested.add(path)
            continue
        match = re.fullmatch(r"  (s_[0-9a-f]{14})::t_[0-9a-f]{14} ([0-9,-]+)", line)
        if not match or match[1] not in metadata["sessions"] or path is None:
            fault(number, f"an entry in the wrong form: {line!r}")
        last = 0
        for part in match[2].split(","):
            start, _, end = part.partition("-")
            start, end = int(start), int(end or start)
            if not last < start <= end or part == f"{start}-{start}":
                fault(number, f"ranges out of order: {line!r}")
            last = end
            COUNTS["lines"] += end - start + 1
    COUNTS["files"] = len(attested)


def webhook():
    """Standard Webhooks: the library of its people. A line: secret, headers and body."""
    from standardwebhooks.webhooks import Webhook

    for _, line in lines():
        call = json.loads(line)
        Webhook(call["secret"]).verify(call["body"], call["headers"])
        COUNTS["calls"] += 1


CHECKS = {
    "ocsf": ocsf,
    "cloud-events": cloud_events,
    "otlp": otlp,
    "agent-trace": agent_trace,
    "git-ai": git_ai,
    "webhook": webhook,
}

CHECKS[sys.argv[1]]()
print(json.dumps(COUNTS))
