"""Stands in for a key management service: wraps keys by a master key of its own, as `custody/wrapping-command/v1` asks.

It behaves as the file `mode` beside it says, and remembers in `seen` what it wrapped, so that a test can look for it.
"""

import base64, hashlib, hmac, json, os, sys, time

HERE = os.path.dirname(os.path.abspath(__file__))
MASTER = b"the master key never leaves this file"


def read(name):
    with open(os.path.join(HERE, name)) as file:
        return file.read()


def mask(nonce, scope, data):
    stream = hashlib.shake_256(MASTER + nonce + scope).digest(len(data))
    return bytes(a ^ b for a, b in zip(data, stream))


def tag(nonce, scope, sealed):
    return hmac.new(MASTER, nonce + scope + sealed, "sha256").digest()


def wrap(scope, data):
    with open(os.path.join(HERE, "seen"), "a") as file:
        file.write(f"{scope.decode()} {data.hex()}\n")
    nonce = os.urandom(16)
    sealed = mask(nonce, scope, data)
    return nonce + tag(nonce, scope, sealed) + sealed


def unwrap(scope, data):
    nonce, found, sealed = data[:16], data[16:48], data[48:]
    if not hmac.compare_digest(found, tag(nonce, scope, sealed)):
        sys.exit("this is not what was wrapped for " + scope.decode())
    return mask(nonce, scope, sealed)


def main():
    mode = read("mode").strip()
    line = sys.stdin.readline()
    request = json.loads(line)
    assert request["v"] == 1 and request["wrapping"].startswith("kms/")
    scope, data = request["scope"].encode(), base64.b64decode(request["bytes"])
    if mode == "crash":
        # As a program may that is not careful: it shows what it was given.
        print("Traceback: KeyError while handling", line, data.hex(), file=sys.stderr)
        sys.exit(3)
    if mode == "killed":
        os.kill(os.getpid(), 9)
    if mode == "hang":
        time.sleep(1000)
    if mode == "silent":
        return
    if mode == "noise":
        print("welcome to the key service")
    if mode == "megabyte":
        print("x" * (1 << 20))
        return
    if mode == "random":
        print(json.dumps({"v": 1, "bytes": base64.b64encode(os.urandom(64)).decode()}))
        return
    if mode == "mixed":
        # The key of another scope: what it wrapped first of all.
        other = bytes.fromhex(read("seen").split()[1])
        data = wrap(scope, data) if request["operation"] == "wrap" else other
    elif request["operation"] == "wrap":
        data = wrap(scope, data)
    else:
        data = unwrap(scope, data)
    print(json.dumps({"v": 1, "bytes": base64.b64encode(data).decode()}))


main()
