#!/usr/bin/env python3
"""Checks what Custody hands out, written from deploy/evidence.md alone: the standard library and `cryptography`.

    outsider.py record DIR --key VKEY [--installation-log DIR]
    outsider.py pack FILE --key VKEY
    outsider.py log URL --origin ORIGIN --key VKEY [--token TOKEN]
    outsider.py note FILE --key VKEY
    outsider.py batch                      a JSON array of such arguments on each line of standard input

Each answer is a line of JSON. Exit codes: 0 good, 68 broken, 69 incomplete, 80 nobody vouched for the key.
"""

import argparse
import base64
import gzip
import hashlib
import json
import os
import re
import stat
import sys
import urllib.request

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

GOOD, BROKEN, INCOMPLETE, UNVOUCHED = 0, 68, 69, 80
MAX_EVENT = 65_535
BUNDLE = 256
FRAME_MAGIC = 0x184D2A5C


class Broken(Exception):
    """Something is not what was recorded."""


def need(condition, what):
    if not condition:
        raise Broken(what)


# --- SHA-256, RFC 6962, canonical JSON (RFC 8785 without fractions) -------------------------------------------------

def sha256(data):
    return hashlib.sha256(data).digest()


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def leaf_hash(entry):
    return sha256(b"\0" + entry)


def node_hash(left, right):
    return sha256(b"\1" + left + right)


def root_of(leaves):
    """RFC 6962, 2.1, with a stack of the roots of full subtrees."""
    if not leaves:
        return sha256(b"")
    stack = []
    for at, leaf in enumerate(leaves):
        stack.append(leaf)
        count = at + 1
        while count % 2 == 0:
            right = stack.pop()
            stack[-1] = node_hash(stack[-1], right)
            count //= 2
    while len(stack) > 1:
        right = stack.pop()
        stack[-1] = node_hash(stack[-1], right)
    return stack[0]


def included(leaf, index, size, root, proof):
    """RFC 9162, 2.1.3.2."""
    if index >= size:
        return False
    fn, sn, r = index, size - 1, leaf
    for p in proof:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            r = node_hash(p, r)
            while not fn & 1 and fn != 0:
                fn >>= 1
                sn >>= 1
        else:
            r = node_hash(r, p)
        fn >>= 1
        sn >>= 1
    return sn == 0 and r == root


def canonical(value):
    if value is True:
        return "true"
    if value is False:
        return "false"
    if value is None:
        return "null"
    if isinstance(value, int):
        need(abs(value) < 2 ** 53, "a number is beyond 2^53 - 1")
        return str(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    need(isinstance(value, dict), "a number has a fraction")
    members = sorted(value.items(), key=lambda member: member[0].encode("utf-16-be"))
    return "{" + ",".join(json.dumps(k, ensure_ascii=False) + ":" + canonical(v) for k, v in members) + "}"


def read_json(data, what):
    """Refuses any other spelling than the canonical one."""
    try:
        value = json.loads(data.decode("utf-8"), parse_constant=lambda _: need(False, what))
        same = canonical(value).encode("utf-8") == data
    except (ValueError, RecursionError) as error:
        raise Broken(f"{what}: {error}") from error
    need(same, f"{what}: it is not canonical JSON")
    return value


def members(value, must, may, what):
    need(isinstance(value, dict), f"{what}: no object")
    missing = set(must) - set(value)
    unknown = set(value) - set(must) - set(may)
    need(not missing and not unknown, f"{what}: {sorted(missing)} missing, {sorted(unknown)} unknown")
    return value


def unbase64(text, what):
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise Broken(f"{what}: {error}") from error
    need(base64.b64encode(data).decode() == text, f"{what}: base64 in another spelling")
    return data


def decimal(text, what):
    need(re.fullmatch("0|[1-9][0-9]*", text, re.ASCII) is not None and int(text) < 2 ** 64, f"{what}: no number")
    return int(text)


# --- Keys and notes: C2SP signed-note, tlog-checkpoint, tlog-proof --------------------------------------------------

class Key:
    """A verifier key: `<name>+<8 hex digits>+<base64 of 1 and the Ed25519 public key>`."""

    def __init__(self, name, public):
        self.name, self.public = name, public

    @classmethod
    def parse(cls, text):
        parts = text.split("+", 2)
        need(len(parts) == 3, "it is no verifier key")
        name, hash_, raw = parts
        raw = unbase64(raw, "the verifier key")
        need(name and not re.search(r"[\s+\x00-\x1f\x7f]", name), "the key's name")
        need(len(raw) == 33 and raw[0] == 1, "it is no Ed25519 key")
        key = cls(name, raw[1:])
        need(key.hash().hex() == hash_, "the key's hash is not that of its name and key")
        return key

    def hash(self, name=None):
        return sha256((name or self.name).encode() + b"\n\x01" + self.public)[:4]

    def id(self):
        return f"{self.name}+{self.hash().hex()}"

    def text(self):
        return f"{self.id()}+{base64.b64encode(bytes([1]) + self.public).decode()}"

    def good(self, message, signature):
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
            return True
        except (InvalidSignature, ValueError):
            return False


class Note:
    def __init__(self, data, what):
        need(len(data) <= 64 * 1024, f"{what}: too long")
        try:
            all_ = data.decode("utf-8")
        except ValueError as error:
            raise Broken(f"{what}: {error}") from error
        need(not re.search(r"[\x00-\x09\x0b-\x1f]", all_), f"{what}: a control character")
        need("\n\n" in all_ and all_.endswith("\n"), f"{what}: no signed note")
        text, lines = all_.rsplit("\n\n", 1)
        self.text, self.what, self.lines = text + "\n", what, []
        for line in lines[:-1].split("\n"):
            match = re.fullmatch(r"\u2014 ([^\s+]+) (\S+)", line)
            need(match, f"{what}: a signature line")
            raw = unbase64(match[2], f"{what}: a signature line")
            need(len(raw) > 4, f"{what}: a signature line")
            self.lines.append((match[1], raw[:4], raw[4:]))
        need(len(self.lines) <= 64, f"{what}: too many signatures")

    def signer(self, keys, name):
        """The key of these, under this name, that signed it. A line of one of them that does not fit spoils the note."""
        found, own, foreign = None, None, []
        for line_name, hash_, signature in self.lines:
            key = next((key for key in keys if hash_ == key.hash(line_name)), None)
            if key is None:
                foreign.append(signature[1:])
                continue
            need(key.good(self.text.encode(), signature), f"{self.what}: the signature of {line_name}")
            if line_name == name and found is None:
                found, own = key, signature
        need(found, f"{self.what}: no signature of the key under the name {name}")
        need(own[1:] not in foreign, f"{self.what}: a line repeats the key's signature under another hash")
        return found


class Checkpoint:
    def __init__(self, data, what="checkpoint"):
        self.note = Note(data, what)
        lines = self.note.text[:-1].split("\n")
        need(len(lines) >= 3 and all(lines), f"{what}: not the lines of a checkpoint")
        self.origin, self.size = lines[0], decimal(lines[1], what)
        self.root = unbase64(lines[2], what)
        need(len(self.root) == 32, f"{what}: the root")
        self.data = data

    def signed(self, keys, origin):
        need(self.origin == origin, f"{self.note.what}: it is of the log {self.origin}")
        return self.note.signer(keys, origin)


class Proof:
    def __init__(self, data, what):
        need(b"\n\n" in data, f"{what}: no empty line")
        head, self.checkpoint = data.split(b"\n\n", 1)
        try:
            lines = head.decode("utf-8").split("\n")
        except ValueError as error:
            raise Broken(f"{what}: {error}") from error
        need(lines.pop(0) == "c2sp.org/tlog-proof@v1", f"{what}: the first line")
        self.extra = None
        if lines and lines[0].startswith("extra "):
            self.extra = unbase64(lines.pop(0)[6:], what)
        need(lines and lines[0].startswith("index "), f"{what}: no index")
        self.index = decimal(lines.pop(0)[6:], what)
        self.hashes = [unbase64(line, what) for line in lines]
        need(all(len(hash_) == 32 for hash_ in self.hashes), f"{what}: a hash")
        self.head = Checkpoint(self.checkpoint, what)
        self.what = what

    def shows(self, leaf, keys, origin):
        self.head.signed(keys, origin)
        fits = included(leaf, self.index, self.head.size, self.head.root, self.hashes)
        need(fits, f"{self.what}: the entry is not shown to be in the log")


class History:
    """All keys of an installation, each with the sizes of the installation log between which it was in force."""

    def __init__(self, keys, terms):
        self.keys, self.terms = keys, terms

    @classmethod
    def alone(cls, key):
        return cls([key], {key.public: (None, None)})

    @classmethod
    def parse(cls, data):
        what = "keys/history.json"
        need(data.endswith(b"\n"), f"{what}: no newline at the end")
        file = members(read_json(data[:-1], what), ["first", "rotations", "version"], [], what)
        need(file["version"] == 1, f"{what}: the version")
        keys, turns = [Key.parse(file["first"])], []
        for text in file["rotations"]:
            note = Note(text.encode(), what)
            lines = note.text[:-1].split("\n")
            need(len(lines) == 6 and lines[0] == "custody/key-rotation/v1", f"{what}: a rotation")
            old, new = Key.parse(lines[1]), Key.parse(lines[2])
            need(len(note.lines) == 2, f"{what}: a rotation has two signatures")
            note.signer([old], old.name)
            note.signer([new], new.name)
            turn = (decimal(lines[3], what), decimal(lines[4], what))
            known = [key.public for key in keys]
            need(old.public == known[-1] and new.public not in known and new.name == old.name, f"{what}: the chain")
            need(not turns or (turns[-1][0] <= turn[0] and turns[-1][1] <= turn[1]), f"{what}: the sizes")
            keys.append(new)
            turns.append(turn)
        terms = {}
        for at, key in enumerate(keys):
            since = turns[at - 1][0] if at else None
            until = turns[at][0] if at < len(turns) else None
            terms[key.public] = (since, until)
        return cls(keys, terms)

    def knows(self, key):
        return any(known.public == key.public and known.name == key.name for known in self.keys)

    def in_force(self, key, size):
        since, until = self.terms[key.public]
        if size is None:
            return since is None and until is None
        return (since is None or since <= size) and (until is None or size <= until)


# --- Events and the attestation --------------------------------------------------------------------------------------

EVENT = ["actor", "blobs", "cause", "data", "id", "on_behalf_of", "policy", "prev", "seq", "session", "time", "type", "v"]


class Events:
    """What follows from the events, one after the other; `None` stands for one that is withheld."""

    def __init__(self):
        self.leaves, self.shown, self.shared = [], 0, None
        self.authorized, self.commits, self.closed, self.closed_at = None, [], None, None
        self.counts, self.blobs, self.gaps, self.differences = {}, [], 0, 0

    def take(self, entry):
        seq = len(self.leaves)
        what = f"event {seq}"
        need(len(entry) <= MAX_EVENT, f"{what}: too long")
        event = members(read_json(entry, what), EVENT, [], what)
        need(event["v"] == 1 and event["seq"] == seq, f"{what}: another event stands there")
        before = "sha256:" + self.leaves[-1].hex() if self.leaves else None
        need(event["prev"] == before, f"{what}: it does not name the hash of the event before it")
        shared = (event["session"], event["policy"], event["on_behalf_of"])
        need(self.shared in (None, shared), f"{what}: it is of another session, policy or requester")
        self.shared = shared
        kind, data = event["type"], event["data"]
        self.counts[kind] = self.counts.get(kind, 0) + 1
        self.blobs += [(seq, members(blob, ["digest", "media_type", "role", "size"], ["stored"], what)) for blob in event["blobs"]]
        if kind == "session.authorized" and self.authorized is None:
            self.authorized = event
        elif kind == "commit.created":
            self.commits.append(data)
        elif kind == "session.closed":
            self.closed, self.closed_at = event, seq
        elif kind == "recorder.gap":
            self.gaps += 1
        elif kind == "workspace.compared":
            self.differences += data["difference_count"]
        self.shown += 1
        self.leaves.append(leaf_hash(entry))

    def withheld(self, leaf):
        self.leaves.append(leaf)

    def root(self):
        return root_of(self.leaves)

    def check_closing(self):
        """Whether the record is complete."""
        if self.closed is None:
            return False
        total = len(self.leaves)
        need(self.closed_at + 1 == total, "events stand after the closing event")
        said, found = self.closed["data"]["counts"], self.counts
        if self.shown == total:
            need(said == found, "the closing event counts other events than are there")
        else:
            need(all(found[kind] <= said.get(kind, 0) for kind in found), "it counts fewer than are there")
            need(sum(said.values()) == total, "what it counts does not add up")
        hidden = lambda kind: said.get(kind, 0) > found.get(kind, 0)
        coverage = self.closed["data"]["coverage"]
        differs = "gaps" in (coverage.get("workspace"), coverage.get("files"))
        hides = hidden("recorder.gap") or (hidden("workspace.compared") and differs)
        return not (self.gaps or self.differences or hides)

    def statement(self, checkpoint, installation_log, unique):
        """The attestation as it follows from the events and the head."""
        closed, authorized = self.closed["data"], self.authorized
        subjects = []
        for commit in self.commits:
            names = (f"{commit['branch']}@{commit['commit']}", f"{commit['commit']}^{{tree}}")
            if not unique:
                names = (commit["branch"], "tree")
            for name, kind, hex_ in ((names[0], "gitCommit", commit["commit"]), (names[1], "gitTree", commit["tree"])):
                if not unique or all(subject["name"] != name for subject in subjects):
                    subjects.append({"name": name, "digest": {kind: hex_}})
        subjects.append({"name": "checkpoint", "digest": {"sha256": hashlib.sha256(checkpoint.data).hexdigest()}})
        said = {
            "session": self.shared[0],
            "policy": self.shared[1],
            "approvers": [],
            "command": [],
            "closed": self.closed["time"],
            "outcome": closed["outcome"],
            "coverage": closed["coverage"],
            "log": {
                "origin": checkpoint.origin,
                "size": len(self.leaves),
                "root": "sha256:" + self.root().hex(),
            },
        }
        if authorized is not None:
            data, request = authorized["data"], authorized["data"]["request"]
            said.update(requester=data["requester"], approvers=data["approvers"], policy_name=data["policy_name"],
                        rule=data["rule"], authorized=authorized["time"])
            for name in ("repository", "base_commit", "base_tree", "command", "image"):
                said[name] = request[name]
        if "exit" in closed:
            said["exit"] = closed["exit"]
        if installation_log is not None:
            said["installation_log"] = installation_log
        return {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": subjects,
            "predicateType": "https://custody.dev/attestation/agent-session/v1",
            "predicate": said,
        }


def open_seal(data, keys):
    """The statement in the envelope, and the key that signed it."""
    what = "seal.dsse.json"
    need(data.endswith(b"\n"), f"{what}: no newline at the end")
    envelope = members(read_json(data[:-1], what), ["payload", "payloadType", "signatures"], [], what)
    kind = envelope["payloadType"]
    need(kind == "application/vnd.in-toto+json", f"{what}: another payload")
    payload = unbase64(envelope["payload"], what)
    message = f"DSSEv1 {len(kind)} {kind} {len(payload)} ".encode() + payload
    for signature in envelope["signatures"]:
        members(signature, ["keyid", "sig"], [], what)
        for key in keys:
            if key.id() == signature["keyid"] and key.good(message, unbase64(signature["sig"], what)):
                return read_json(payload, what), key
    raise Broken(f"{what}: no signature of the installation")


def check_seal(statement, events, checkpoint):
    place = statement["predicate"].get("installation_log")
    made = [events.statement(checkpoint, place, unique) for unique in (True, False)]
    need(statement in made, "seal.dsse.json: it says something else than the events")
    return place


def head_leaf(statement):
    """The leaf of a sealed head in the installation log."""
    said = statement["predicate"]
    leaf = {"session": said["session"], "size": said["log"]["size"], "root": said["log"]["root"],
            "time": said["closed"], "sealed": True}
    return canonical(leaf).encode()


# --- Tiles: C2SP tlog-tiles -------------------------------------------------------------------------------------------

def tile_path(level, index, width):
    number = f"{index % 1000:03}"
    index //= 1000
    while index:
        number = f"x{index % 1000:03}/{number}"
        index //= 1000
    partial = "" if width == BUNDLE else f".p/{width}"
    return f"tile/{level}/{number}{partial}"


def tiles(level, size):
    nodes = size >> (8 * level)
    for index in range(nodes // BUNDLE):
        yield index, BUNDLE
    if nodes % BUNDLE:
        yield nodes // BUNDLE, nodes % BUNDLE


def entries_of(bundle, width, what):
    entries, at = [], 0
    while at < len(bundle):
        length = int.from_bytes(bundle[at:at + 2], "big")
        entry = bundle[at + 2:at + 2 + length]
        need(len(bundle) >= at + 2 and len(entry) == length, f"{what}: it ends inside of an entry")
        entries.append(entry)
        at += 2 + length
    need(len(entries) == width, f"{what}: {len(entries)} entries, not {width}")
    return entries


def check_hash_tiles(read, size, leaves):
    level, nodes = 0, leaves
    while nodes:
        for index, width in tiles(level, size):
            path = tile_path(level, index, width)
            wanted = b"".join(nodes[index * BUNDLE:index * BUNDLE + width])
            need(read(path) == wanted, f"{path}: it holds other hashes than the entries give")
        full = len(nodes) // BUNDLE
        nodes = [root_of(nodes[at * BUNDLE:(at + 1) * BUNDLE]) for at in range(full)]
        level += 1


# --- A record's directory ----------------------------------------------------------------------------------------------

def read_file(path, what, limit=None):
    try:
        with open(path, "rb") as file:
            data = file.read() if limit is None else file.read(limit + 1)
    except OSError as error:
        raise Broken(f"{what}: {error.strerror}") from error
    need(limit is None or len(data) <= limit, f"{what}: too long")
    return data


def refuse_special_files(root):
    for dir_, dirs, files in os.walk(root):
        for name in dirs + files:
            mode = os.lstat(os.path.join(dir_, name)).st_mode
            need(stat.S_ISDIR(mode) or stat.S_ISREG(mode), f"{name}: neither a file nor a directory")


class Record:
    def __init__(self, dir_, key, log):
        self.dir, self.given, self.log = dir_, key, log

    def read(self, name, limit=None):
        return read_file(os.path.join(self.dir, name), name, limit)

    def check(self):
        """Whether it is complete. What is broken is raised."""
        refuse_special_files(self.dir)
        text = self.read("installation.vkey", 4096)
        try:
            named = Key.parse(text.decode("utf-8").removesuffix("\n"))
        except ValueError as error:
            raise Broken(f"installation.vkey: {error}") from error
        key = self.given or named
        need((named.name, named.public) == (key.name, key.public), "the record names another key")
        keys = [key]
        checkpoint = Checkpoint(self.read("checkpoint", 64 * 1024))
        events = Events()
        for index, width in tiles(0, checkpoint.size):
            path = tile_path("entries", index, width)
            for entry in entries_of(self.read(path), width, path):
                events.take(entry)
        need(events.shared, "there are no events")
        check_hash_tiles(self.read, checkpoint.size, events.leaves)
        need(events.root() == checkpoint.root, "the events do not give the checkpoint's root")
        session = events.shared[0]
        checkpoint.signed(keys, f"{key.name}/session/{session}")
        complete = events.check_closing()
        place, sealed = None, os.path.exists(os.path.join(self.dir, "seal.dsse.json"))
        if sealed:
            need(events.closed is not None, "the closing event that the attestation follows from is not there")
            statement, _ = open_seal(self.read("seal.dsse.json"), keys)
            place = check_seal(statement, events, checkpoint)
        complete = complete and sealed
        erased = self.check_erasure(keys, key, session)
        self.check_blobs(events, erased)
        if self.log is not None:
            complete = self.check_log(key, events, session, place) and complete
        return complete

    def check_erasure(self, keys, key, session):
        path = os.path.join(self.dir, "erasure.note")
        if not os.path.exists(path):
            return False
        note = Note(self.read("erasure.note"), "erasure.note")
        note.signer(keys, f"{key.name}/erasure")
        lines = note.text.split("\n")
        need(len(lines) == 3 and lines[0] in ("custody/erasure/v1", "custody/erasure/v2"), "erasure.note: its text")
        said = read_json(lines[1].encode(), "erasure.note")
        need(said["session"] == session, "erasure.note: it is of another session")
        return True

    def check_blobs(self, events, erased):
        root = os.path.join(self.dir, "blobs")
        sealed_dir = os.path.join(root, "sealed")
        claimed, locked = set(), set()
        for seq, blob in events.blobs:
            hex_ = blob["digest"].removeprefix("sha256:")
            clear = os.path.join(root, "sha256", hex_[:2], hex_ + ".zst")
            stored = blob.get("stored")
            sealed = None
            if stored is not None:
                need(re.fullmatch("[0-9a-f]{64}", stored["name"]), f"event {seq}: the name of a sealed blob")
                sealed = os.path.join(sealed_dir, stored["name"][:2], stored["name"])
                claimed.add(sealed)
            if os.path.exists(clear):
                check_clear(read_file(clear, clear), f"blob {hex_}")
            if sealed is not None and os.path.exists(sealed):
                need(digest(read_file(sealed, sealed)) == stored["digest"], f"blob {hex_}: another sealed file")
            elif not os.path.exists(clear):
                need(erased or (sealed is None and os.path.isdir(sealed_dir)), f"blob {hex_}: it is missing")
                locked.add(hex_)
        found = {os.path.join(d, f) for d, _, fs in os.walk(sealed_dir) for f in fs}
        need(erased or len(locked) <= len(found - claimed), "a sealed blob is missing")

    def check_log(self, key, events, session, place):
        log = lambda name: read_file(os.path.join(self.log, name), f"log/{name}")
        checkpoint = Checkpoint(log("checkpoint"), "log/checkpoint")
        checkpoint.signed([key], f"{key.name}/log")
        leaves, hashes, roots = [], [], {}
        for index, width in tiles(0, checkpoint.size):
            path = tile_path("entries", index, width)
            for entry in entries_of(log(path), width, path):
                leaf = members(read_json(entry, path), ["root", "sealed", "session", "size", "time"], [], path)
                leaves.append(leaf)
                hashes.append(leaf_hash(entry))
        need(root_of(hashes) == checkpoint.root, "the entries do not give the root of log/checkpoint")
        own, complete, total = [leaf for leaf in leaves if leaf["session"] == session], True, len(events.leaves)
        sealed = False
        for leaf in own:
            if leaf["size"] > total:
                complete = False
            else:
                root = "sha256:" + root_of(events.leaves[:leaf["size"]]).hex()
                need(root == leaf["root"], "the installation log has another root of the session's log")
                sealed = sealed or (leaf["sealed"] and leaf["size"] == total)
        placed = True
        if place is not None:
            index, size = place["index"], place["size"]
            placed = size == index + 1 and size <= len(leaves) and place["origin"] == f"{key.name}/log"
            placed = placed and "sha256:" + root_of(hashes[:size]).hex() == place["root"]
            placed = placed and leaves[index]["session"] == session and leaves[index]["sealed"] and leaves[index]["size"] == total
        return complete and sealed and placed and bool(own)


def check_clear(data, what):
    """One zstd frame, and a skippable frame with the SHA-256 of the bytes before it."""
    end = FRAME_MAGIC.to_bytes(4, "little") + (32).to_bytes(4, "little") + sha256(data[:-40])
    need(len(data) >= 40 and data[-40:] == end, f"{what}: it is not stored as it was written")


# --- An evidence pack ----------------------------------------------------------------------------------------------------

def tar_header(name, size):
    block = bytearray(512)
    for at, data in ((0, name.encode()), (100, b"0000644"), (108, b"0000000"), (116, b"0000000"),
                     (124, b"%011o" % size), (136, b"00000000000"), (148, b"        "), (156, b"0"),
                     (257, b"ustar\x0000"), (329, b"0000000"), (337, b"0000000")):
        block[at:at + len(data)] = data
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


FIXED = ["checkpoint", "seal.dsse.json", "keys/history.json", "installation/leaf.tlog-proof", "policy.json", "events.jsonl"]


def pack_order(path):
    if path in FIXED:
        return (FIXED.index(path), 0, "")
    proof = re.fullmatch(r"proofs/(0|[1-9][0-9]*)\.tlog-proof", path, re.ASCII)
    if proof:
        return (len(FIXED), int(proof[1]), "")
    need(re.fullmatch(r"blobs/sha256/[0-9a-f]{64}", path), f"{path} is no file of a pack")
    return (len(FIXED) + 1, 0, path)


class Pack:
    def __init__(self, path, key):
        self.data, self.at, self.given = read_file(path, path), 0, key

    def take(self, size):
        part = self.data[self.at:self.at + size]
        need(len(part) == size, "the pack ends too early")
        self.at += size
        return part

    def file(self, name, size=None):
        block = self.take(512)
        if size is None:
            digits = block[124:135]
            need(re.fullmatch(rb"[0-7]{11}", digits), f"no header of {name}")
            size = int(digits, 8)
        need(block == tar_header(name, size), f"no header of {name} stands there")
        content = self.take(size)
        need(not any(self.take(-size % 512)), "the padding after a file holds something")
        return content

    def check(self):
        table = self.file("manifest.json")
        need(table.endswith(b"\n"), "manifest.json: no newline at the end")
        names = ["events", "files", "session", "version", "withheld_blobs", "withheld_events"]
        manifest = members(read_json(table[:-1], "manifest.json"), names, [], "manifest.json")
        need(manifest["version"] == 1, "manifest.json: the version")
        order = [pack_order(members(f, ["path", "sha256", "size"], [], "manifest.json")["path"]) for f in manifest["files"]]
        need(order == sorted(set(order)), "manifest.json: files twice, or in another order")
        withheld = [members(b, ["digest", "reason", "size"], [], "manifest.json")["digest"] for b in manifest["withheld_blobs"]]
        need(withheld == sorted(set(withheld)), "manifest.json: withheld blobs twice, or in another order")
        files = {}
        for entry in manifest["files"]:
            files[entry["path"]] = self.file(entry["path"], entry["size"])
            need(digest(files[entry["path"]]) == entry["sha256"], f"{entry['path']}: not the file that the manifest names")
        need(self.take(1024) == bytes(1024) and self.at == len(self.data), "something else than the end stands there")
        for name in FIXED:
            need(name in files or name == "policy.json", f"{name} is missing")

        history = History.parse(files["keys/history.json"])
        need(self.given is None or history.knows(self.given), "the key does not occur in the history of keys")
        name = history.keys[-1].name
        checkpoint = Checkpoint(files["checkpoint"])
        events = Events()
        lines = files["events.jsonl"]
        need(lines.endswith(b"\n"), "events.jsonl: the last line has no end")
        for line in lines[:-1].split(b"\n"):
            if line.startswith(b'{"withheld":'):
                said = members(read_json(line, "events.jsonl"), ["withheld"], [], "events.jsonl")["withheld"]
                need(re.fullmatch("sha256:[0-9a-f]{64}", said), "events.jsonl: no leaf hash")
                events.withheld(bytes.fromhex(said.removeprefix("sha256:")))
            else:
                events.take(line)
        need(events.shared and events.shared[0] == manifest["session"], "the manifest names another session")
        total = len(events.leaves)
        need((manifest["events"], manifest["withheld_events"]) == (total, total - events.shown), "the manifest counts other events")
        origin = f"{name}/session/{manifest['session']}"
        signers = [checkpoint.signed(history.keys, origin)]
        need((checkpoint.size, checkpoint.root) == (total, events.root()), "the events do not give the checkpoint's root")
        for path, content in files.items():
            if path.startswith("proofs/"):
                proof = Proof(content, path)
                need(path == f"proofs/{proof.index}.tlog-proof" and proof.index < total, f"{path}: of another event")
                need(proof.head.data == checkpoint.data or
                     (proof.head.size, proof.head.root) == (checkpoint.size, checkpoint.root), f"{path}: of another head")
                proof.shows(events.leaves[proof.index], history.keys, origin)
        self.check_blobs(manifest, files, events)
        need(events.closed is not None, "the closing event that the attestation follows from is not there")
        complete = events.check_closing()
        statement, signer = open_seal(files["seal.dsse.json"], history.keys)
        signers.append(signer)
        place = check_seal(statement, events, checkpoint)
        if "policy.json" in files:
            need(digest(files["policy.json"]) == events.shared[1], "policy.json: no event names it")
        if place is None:
            return False
        need(all(history.in_force(key, place["size"]) for key in signers), "the key was not in force")
        proof = Proof(files["installation/leaf.tlog-proof"], "installation/leaf.tlog-proof")
        need(proof.index == place["index"], "installation/leaf.tlog-proof: of another place")
        proof.shows(leaf_hash(head_leaf(statement)), history.keys, f"{name}/log")
        head_key = proof.head.signed(history.keys, f"{name}/log")
        need(history.in_force(head_key, proof.head.size), "installation/leaf.tlog-proof: the key was not in force")
        return complete

    def check_blobs(self, manifest, files, events):
        named = {blob["digest"]: blob["size"] for _, blob in events.blobs}
        there = {"sha256:" + path.rsplit("/", 1)[1]: content for path, content in files.items() if path.startswith("blobs/")}
        for name, content in there.items():
            need(digest(content) == name and named.get(name) == len(content), f"{name}: not what an event names")
        for blob in manifest["withheld_blobs"]:
            need(named.get(blob["digest"]) == blob["size"] and blob["digest"] not in there, "a blob that no event names is withheld")
        withheld = {blob["digest"] for blob in manifest["withheld_blobs"]}
        need(all(name in there or name in withheld for name in named), "a blob is neither there nor withheld")


# --- A log over HTTP -----------------------------------------------------------------------------------------------------

def fetch(url, token):
    request = urllib.request.Request(url, headers={"Accept-Encoding": "gzip"})
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            data = answer.read()
            return gzip.decompress(data) if answer.headers.get("Content-Encoding") == "gzip" else data
    except OSError as error:
        raise Broken(f"{url}: {error}") from error


def check_http_log(url, origin, key, token):
    read = lambda path: fetch(f"{url}/{path}", token)
    checkpoint = Checkpoint(read("checkpoint"))
    checkpoint.signed([key], origin)
    leaves = []
    for index, width in tiles(0, checkpoint.size):
        path = tile_path("entries", index, width)
        leaves += [leaf_hash(entry) for entry in entries_of(read(path), width, path)]
    check_hash_tiles(read, checkpoint.size, leaves)
    need(root_of(leaves) == checkpoint.root, "the entries do not give the checkpoint's root")
    return checkpoint.size


# --- The program ---------------------------------------------------------------------------------------------------------

def answer(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["record", "pack", "log", "note"])
    parser.add_argument("what")
    parser.add_argument("--key")
    parser.add_argument("--installation-log")
    parser.add_argument("--origin")
    parser.add_argument("--token")
    given = parser.parse_args(arguments)
    try:
        key = Key.parse(given.key) if given.key else None
        complete = True
        if given.kind == "record":
            complete = Record(given.what, key, given.installation_log).check()
        elif given.kind == "pack":
            complete = Pack(given.what, key).check()
        elif given.kind == "log":
            check_http_log(given.what.rstrip("/"), given.origin, key, given.token)
        else:
            note = Note(read_file(given.what, given.what), given.what)
            note.signer([key], key.name)
    except Broken as error:
        return {"verdict": "broken", "code": BROKEN, "what": str(error)}
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, OverflowError) as error:
        # A member that is not there or of another type: nobody wrote that.
        return {"verdict": "broken", "code": BROKEN, "what": f"another shape: {error!r}"}
    if not complete:
        return {"verdict": "incomplete", "code": INCOMPLETE}
    if key is None:
        return {"verdict": "unvouched", "code": UNVOUCHED}
    return {"verdict": "good", "code": GOOD}


def main():
    if sys.argv[1:] == ["batch"]:
        for line in sys.stdin:
            print(json.dumps(answer(json.loads(line))), flush=True)
        return GOOD
    said = answer(sys.argv[1:])
    print(json.dumps(said))
    return said["code"]


if __name__ == "__main__":
    sys.exit(main())
