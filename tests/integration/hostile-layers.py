"""hostile-layers.py DIRECTORY CANARY: archives that mean harm, DIRECTORY/NAME.tar each, and one line each on standard output: NAME,
a tab, what the error has to say (nothing: it is harmless and comes in). CANARY is a path that none of them may make. For
images-hostile.bats."""
import sys

out, canary = sys.argv[1], sys.argv[2].encode()
END = bytes(1024)


def octal(n, size):
    return b"%0*o\0" % (size - 1, n)


def entry(name=b"f", data=b"", kind=b"0", link=b"", size=None, uid=octal(0, 8), magic=b"ustar\x0000"):
    h = bytearray(512)
    fields = ((0, name), (100, octal(0o644, 8)), (108, uid), (116, octal(0, 8)), (124, size or octal(len(data), 12)),
              (136, octal(0, 12)), (148, b" " * 8), (156, kind), (157, link), (257, magic))
    for at, value in fields:
        h[at:at + len(value)] = value
    h[148:156] = b"%06o\0 " % sum(h)
    return bytes(h) + data + bytes(-len(data) % 512)


def pax(*records, kind=b"x"):
    text = b""
    for key, value in records:
        length = len(key) + len(value) + 3
        while len(str(length)) + len(key) + len(value) + 3 != length:
            length = len(str(length)) + len(key) + len(value) + 3
        text += b"%d %s=%s\n" % (length, key, value)
    return entry(b"PaxHeader", text, kind=kind)


def attribute(name, value=b"y", of=b"f"):
    return pax((b"SCHILY.xattr." + name, value)) + entry(of, kind=b"5" if of[-1:] == b"/" else b"0")


def sparse(*records):
    return pax((b"GNU.sparse.major", b"0"), (b"GNU.sparse.minor", b"1"), *records) + entry(data=b"x")


up, top = b"../" * 8, canary.rsplit(b"/", 1)[0]
CASES = [
    ("absolute", entry(canary, b"x"), ""),
    ("up", entry(up + canary, b"x"), "lead out of the layer"),
    ("up-within", entry(b"a/../../b"), "lead out of the layer"),
    ("up-in-the-extended-name", pax((b"path", up + canary)) + entry(), "lead out of the layer"),
    ("link-then-through", entry(b"l", kind=b"2", link=top) + entry(b"l/" + canary.rsplit(b"/", 1)[1], b"x"), "No such file"),
    ("link-up-then-through", entry(b"l", kind=b"2", link=up + top) + entry(b"l/" + canary.rsplit(b"/", 1)[1], b"x"), "No such file"),
    ("link-then-file", entry(b"l", kind=b"2", link=canary) + entry(b"l", b"x"), ""),
    ("hard-link-to-the-link", entry(b"l", kind=b"2", link=canary) + entry(b"h", kind=b"1", link=b"l") + entry(b"h", b"x"), ""),
    ("hard-link-out", entry(b"h", kind=b"1", link=b"/etc/passwd"), "a hard link"),
    ("hard-link-up", entry(b"h", kind=b"1", link=up + b"etc/passwd"), "lead out of the layer"),
    ("hard-link-by-a-link", entry(b"l", kind=b"2", link=b"/etc") + entry(b"h", kind=b"1", link=b"l/passwd"), "a hard link"),
    ("back-and-forth", entry(b"a", b"1") + entry(b"a/", kind=b"5") + entry(b"a/b") + entry(b"a", b"2") + entry(b"a/", kind=b"5"), ""),
    ("root-is-a-file", entry(b".", b"x"), "root is not a directory"),
    ("root-is-a-link", entry(b"./", kind=b"2", link=b"/tmp"), "root is not a directory"),
    ("no-name", entry(b"", b"x"), "root is not a directory"),
    ("whiteout-of-nothing", entry(b".wh."), 'a whiteout of ""'),
    ("whiteout-of-itself", entry(b".wh.."), 'a whiteout of "."'),
    ("whiteout-of-the-parent", entry(b".wh..."), 'a whiteout of ".."'),
    ("below-a-whiteout", entry(b".wh.a/b"), "below a whiteout"),
    ("whiteout-through-a-link", entry(b"l", kind=b"2", link=b"/tmp") + entry(b"l/.wh..wh..opq") + entry(b"l/.wh.x"), ""),
    ("housekeeping", entry(b".wh..wh.plnk") + entry(b".wh..wh.aufs/x"), ""),
    ("a-device-that-hides", entry(b"c", kind=b"3"), "0:0"),
    ("overlay-opaque", attribute(b"trusted.overlay.opaque", of=b"d/"), "overlayfs's own"),
    ("overlay-redirect", attribute(b"trusted.overlay.redirect", b"/etc", of=b"d/"), "overlayfs's own"),
    ("overlay-metacopy", attribute(b"trusted.overlay.metacopy"), "overlayfs's own"),
    ("overlay-whiteout", attribute(b"user.overlay.whiteout"), "overlayfs's own"),
    ("overlay-encoded", pax((b"LIBARCHIVE.xattr.trusted.overlay.opaque", b"eQ==")) + entry(b"d/", kind=b"5"), "overlayfs's own"),
    ("capability-that-is-none", attribute(b"security.capability", b"v"), "security.capability"),
    ("attribute-too-large", attribute(b"user.x", b"v" * 65537), "user.x"),
    ("control-characters", entry(b"../\x1b[2J\x07"), "lead out of the layer"),
    ("name-256", pax((b"path", b"n" * 256)) + entry(), "a name of 256 bytes"),
    ("path-5000", pax((b"path", b"/".join([b"d"] * 5000))) + entry(), "directories in each other"),
    ("size-negative", entry(size=b"\xff" * 12), "cannot be read"),
    ("size-overflows", entry(size=b"\x80" + b"\x7f" * 11), "cannot be read"),
    ("extended-size-negative", pax((b"size", b"-5")) + entry(), "cannot be read"),
    ("owner-negative", entry(uid=b"\xff" * 8), "cannot be"),
    ("owner-too-large", pax((b"uid", b"4294967296")) + entry(), "cannot be"),
    ("holes-beyond-the-size", sparse((b"GNU.sparse.size", b"100"), (b"GNU.sparse.map", b"1000000000000,1")), "map of holes"),
    ("a-petabyte-of-holes", sparse((b"GNU.sparse.size", b"%d" % 10**15), (b"GNU.sparse.map", b"0,1,%d,0" % 10**15)), "Hull's limit"),
    ("header-of-1-GiB", entry(b"p", kind=b"x", size=octal(1 << 30, 12)) + b"n" * 100000, "cannot be read"),
    ("long-name-of-1-GiB", entry(b"././@LongLink", kind=b"L", size=octal(1 << 30, 12), magic=b"ustar  \0") + b"n" * 100000, "cannot be read"),
    ("header-of-3-MB", attribute(b"user.x", b"v" * 3000000), "cannot be read"),
    ("cut-off", entry(data=b"1" * 5000)[:3000], "cannot be read"),
    ("not-an-archive", b"\x01" * 4096, "no tar archive"),
    ("one-byte", b"x", "no tar archive"),
    ("two-in-one", entry(b"a") + END + entry(b"b"), ""),
    ("garbage-behind", entry(b"a") + END + b"\x01" * 5000, ""),
    ("of-many-volumes", entry(kind=b"M", magic=b"ustar  \0"), "type that no layer can have"),
]
for name, data, says in CASES:
    with open("%s/%s.tar" % (out, name), "wb") as f:
        f.write(data if name in ("cut-off", "not-an-archive", "one-byte") else data + END)
    print(name + "\t" + says)
