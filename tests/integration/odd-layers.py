"""odd-layers.py DIRECTORY: an OCI layout whose images (gzip, none, zstd, members, frames, window: how they are compressed) are one
and the same: honest, but with all that an archive can hold. For images-hostile.bats; every directory is described."""
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile

out = sys.argv[1]
os.makedirs(out + "/blobs/sha256")
X = "SCHILY.xattr."
REG, DIR, SYM, LNK, CHR, BLK, FIFO = (getattr(tarfile, n + "TYPE") for n in ("REG", "DIR", "SYM", "LNK", "CHR", "BLK", "FIFO"))


class Layer:
    def __init__(self):
        self.bytes = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.bytes, mode="w", format=tarfile.PAX_FORMAT, errors="surrogateescape")
        self.add("./", DIR, mode=0o755)

    def add(self, name, kind=REG, data=b"", mode=0o644, owner=(0, 0), link="", pax=None, device=(0, 0)):
        info = tarfile.TarInfo(name)
        info.type, info.mode, info.linkname, info.mtime, info.size = kind, mode, link, 1000000000, len(data)
        (info.uid, info.gid), (info.devmajor, info.devminor) = owner, device
        info.pax_headers = {k: v.decode("utf-8", "surrogateescape") if isinstance(v, bytes) else v for k, v in (pax or {}).items()}
        self.tar.addfile(info, io.BytesIO(data))

    def end(self):
        self.tar.close()
        return self.bytes.getvalue()


def base():
    a = Layer()
    for name in ("usr", "usr/bin", "etc", "dev", "run", "opt", "home", "srv", "mnt", "var"):
        a.add("./" + name, DIR, mode=0o755)
    a.add("./bin", SYM, link="usr/bin")
    a.add("./usr/bin/tool", data=b"tool", mode=0o4755)
    a.add("./usr/bin/again", LNK, link="./usr/bin/tool", mode=0o4755)
    a.add("./usr/bin/ping", data=b"p", mode=0o755, pax={X + "security.capability": bytes.fromhex("0100000200200000000000000000000000000000")})
    a.add("./etc/attributes", data=b"x", pax={X + "user.a": "1", X + "user.\u00e9": "v", X + "user.bytes": bytes(range(1, 256))})
    for mode in (0, 0o111, 0o222, 0o1777, 0o2755, 0o4755, 0o6777, 0o7777):
        a.add("./opt/f%o" % mode, data=b"m", mode=mode)
        a.add("./opt/d%o" % mode, DIR, mode=mode)
    a.add("./opt/d0/inside", data=b"in")
    for i, time in enumerate(("-1", "-1.25", "-123456789.987654321", "0.5", "2147483648.123456789", "9223372036.5")):
        for prefix, kind in (("f", REG), ("d", DIR), ("l", SYM)):
            a.add("./mnt/%s%d" % (prefix, i), kind, link="x" if kind == SYM else "", mode=0o755, pax={"mtime": time})
    a.add("./var/owned", owner=(4294967294, 2097152))
    a.add("./var/link", SYM, link="owned", owner=(7, 8))
    a.add("./dev/null", CHR, mode=0o666, device=(1, 3))
    a.add("./dev/far", BLK, mode=0o600, device=(4095, 1048574))
    a.add("./run/fifo", FIFO, mode=0o622, owner=(3, 4))
    a.add("./run/fifo2", LNK, link="./run/fifo", mode=0o622, owner=(3, 4))
    for name in ("na\u00efve-\u4f60\u597d", "latin\udce9", "sp ace", "new\nline", "back\\slash", "*?[", "-rf", "x" * 255, "\u00e9" * 127):
        a.add("./home/" + name, data=name.encode("utf-8", "surrogateescape"))
    path = "."
    for i in range(16):
        path += "/" + chr(97 + i) * 200
        a.add(path, DIR, mode=0o755)
    a.add(path + "/leaf", data=b"deep")
    a.add("./home/long", SYM, link="y" * 1000)
    a.add("./home/hard", LNK, link="./home/" + "x" * 255)
    a.add("./home/loop", SYM, link="loop")
    a.add("./home/hardloop", LNK, link="./home/loop")
    for i in range(300):
        a.add("./srv/h%d" % i, LNK, link="./usr/bin/tool", mode=0o4755)
    for name in ("opaque", "gone", "d2f", "d2l"):
        a.add("./opt/" + name, DIR, mode=0o755)
        a.add("./opt/" + name + "/old", data=b"old")
    a.add("./opt/f2d", data=b"f")
    return a.end()


def over():
    b = Layer()
    b.add("./opt/.wh.gone")
    b.add("./opt/opaque", DIR, mode=0o700)
    b.add("./opt/opaque/new", data=b"new")
    b.add("./opt/opaque/.wh..wh..opq")
    b.add("./opt/f2d", DIR, mode=0o755)
    b.add("./opt/f2d/y", data=b"y")
    b.add("./opt/d2f", data=b"f")
    b.add("./opt/d2l", SYM, link="/etc")
    b.add("./bin/newtool", data=b"tool", mode=0o755)  # bin is a link below
    b.add("./.wh.srv")
    b.add("./srv", DIR, mode=0o750)
    b.add("./srv/fresh", data=b"1")
    return b.end()


def piped(data, *command):
    return subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True).stdout


def pieces(data, *command):
    return [piped(data[i:i + 30001], *command) for i in range(0, len(data), 30001)]


FORMS = {
    "gzip": ("+gzip", lambda d: piped(d, "gzip", "-n")),
    "none": ("", lambda d: d),
    "zstd": ("+zstd", lambda d: piped(d, "zstd", "-q")),
    "members": ("+gzip", lambda d: b"".join(pieces(d, "gzip", "-n"))),
    "frames": ("+zstd", lambda d: b"\x5a\x2a\x4d\x18\x05\0\0\0hello" + b"\x50\x2a\x4d\x18\x03\0\0\0abc".join(pieces(d, "zstd", "-q"))),
    "window": ("+zstd", lambda d: piped(d, "zstd", "-q", "--ultra", "-22", "--long=27")),
}


def put(data):
    digits = hashlib.sha256(data).hexdigest()
    with open(f"{out}/blobs/sha256/{digits}", "wb") as f:
        f.write(data)
    return {"digest": "sha256:" + digits, "size": len(data)}


layers = [base(), over()]
config = put(json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {
    "type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(l).hexdigest() for l in layers]}}).encode())
config["mediaType"] = "application/vnd.oci.image.config.v1+json"
index = []
for name, (suffix, squeeze) in FORMS.items():
    manifest = put(json.dumps({"schemaVersion": 2, "config": config, "layers": [
        {"mediaType": "application/vnd.oci.image.layer.v1.tar" + suffix, **put(squeeze(l))} for l in layers]}).encode())
    index.append({"mediaType": "application/vnd.oci.image.manifest.v1+json", **manifest,
                  "annotations": {"org.opencontainers.image.ref.name": name}})
with open(out + "/index.json", "w") as f:
    json.dump({"schemaVersion": 2, "manifests": index}, f)
with open(out + "/oci-layout", "w") as f:
    f.write('{"imageLayoutVersion":"1.0.0"}')
