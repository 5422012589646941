"""Plays the checks of loadtest/clients with redis-py. Each line of its output is a check."""
import os
import sys
import threading
import time

import redis

env = os.environ
PATIENCE = 20


def connect(ca):
    return redis.Redis(
        host=env["HOST"], port=int(env["PORT"]), protocol=int(env["PROTO"]), ssl=True, ssl_ca_certs=ca,
        ssl_certfile=env["CERT"] or None, ssl_keyfile=env["KEY"] or None, retry=None,
    )


c = connect(env["CA"])
large = b"0123456789\r\n\0\xff" * 20000


def same(got, want):
    if got != want:
        raise ValueError(f"got {str(got)[:80]}, want {str(want)[:80]}")


def until(f):
    end = time.time() + PATIENCE
    while time.time() < end:
        if f():
            return
        time.sleep(0.001)
    raise ValueError(f"it did not come in {PATIENCE} s")


def other_authority():
    try:
        connect(env["OTHER_CA"]).ping()
    except redis.ConnectionError as err:
        if "CERTIFICATE_VERIFY_FAILED" not in str(err):
            raise
        return
    raise ValueError("it connected")


def protocol():
    same(str(c.client_info()["resp"]), env["PROTO"])


def user():
    same(c.acl_whoami(), env["WHO"].encode() if isinstance(c.acl_whoami(), bytes) else env["WHO"])


def large_value():
    c.set("py:large", large)
    same(c.get("py:large"), large)


def pipeline():
    c.delete("py:n")
    p = c.pipeline(transaction=False)
    for _ in range(100):
        p.incr("py:n")
    same(p.execute()[-1], 100)


def transaction():
    same(c.pipeline().set("py:t", "v").get("py:t").execute()[-1], b"v")


def blocking():
    c.delete("py:list")
    got = []
    t = threading.Thread(target=lambda: got.append(c.blpop(["py:list"], PATIENCE)))
    t.start()
    until(lambda: any(x["cmd"] == "blpop" for x in c.client_list()))
    c.rpush("py:list", "v")
    t.join()
    same(list(got[0]), [b"py:list", b"v"])


def pubsub():
    sub = c.pubsub()
    sub.subscribe("py:channel")
    same(sub.get_message(timeout=PATIENCE)["type"], "subscribe")
    same(c.publish("py:channel", "hello"), 1)
    same(sub.get_message(timeout=PATIENCE)["data"], b"hello")


failed = False
for name, run in {
    "another authority is refused": other_authority, "protocol": protocol, "user": user, "large value": large_value,
    "pipeline": pipeline, "transaction": transaction, "blocking": blocking, "pub/sub": pubsub,
}.items():
    try:
        run()
        print("ok", name)
    except Exception as err:
        failed = True
        print(f"FAIL {name}: {type(err).__name__} {err}")
sys.exit(failed)
