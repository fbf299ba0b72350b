"""A registry that lies, breaks off, sends elsewhere or never ends; for registry.bats.

registry-hostile.py DIRECTORY LOG [PORT]: serves the image in DIRECTORY (files named by their digest's digits, and `manifest`) under
any repository; the repository's name says how it behaves. Prints its two ports, a line each; the second is "another host".
Each request is a line of LOG: PORT METHOD PATH, then auth=, range=.
"""
import base64
import hashlib
import http.server
import itertools
import os
import sys
import threading
import time
import urllib.parse

directory, log_path = sys.argv[1], sys.argv[2]
log = open(log_path, "a", buffering=1)
lock = threading.Lock()
counts = {}
OTHER = {}
KEPT = {}


def count(key):
    with lock:
        counts[key] = counts.get(key, 0) + 1
        return counts[key]


def read(name):
    with open(os.path.join(directory, name), "rb") as f:
        return f.read()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, body=b"", headers=(), length=None):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def endless(self, content_type):
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        block = b"x" * 65536
        for _ in itertools.count():
            self.wfile.write(b"%x\r\n%s\r\n" % (len(block), block))

    def do_GET(self):
        log.write("%d %s %s auth=%s range=%s\n" % (
            self.server.server_port, self.command, self.path, self.headers.get("Authorization", ""),
            self.headers.get("Range", "")))
        try:
            self.route()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_HEAD = do_POST = do_PUT = do_PATCH = do_GET

    def route(self):
        if self.path.startswith("http://"):  # as a proxy is asked
            self.path = self.path[self.path.index("/", 7):]
        parts = self.path.split("/")
        if self.command in ("POST", "PUT", "PATCH") or "/kept-" in self.path:
            return self.upload(parts[2], parts[3] if len(parts) > 3 else "")
        if self.path == "/v2/":
            return self.answer(200)
        if self.path.startswith("/token"):
            return self.token()
        if parts[1] == "elsewhere":
            return self.answer(200, read(parts[2]))
        if len(parts) == 5 and parts[1] == "v2" and parts[3] in ("manifests", "blobs"):
            scenario, kind, name = parts[2], parts[3], parts[4]
            method = getattr(self, scenario.replace("-", "_"), None)
            if scenario.startswith("s-") and method:
                return method(kind, name)
        return self.answer(404)

    def plain(self, kind, name):
        if kind == "manifests":
            return self.answer(200, read("manifest"), [("Content-Type", "application/vnd.oci.image.manifest.v1+json")])
        return self.blob(read(name.split(":")[1]))

    def blob(self, data, stop=None, ranges=True):
        """As much as is asked for; the connection breaks after `stop` bytes."""
        first, wanted = 0, self.headers.get("Range")
        if wanted and ranges:
            first = int(wanted.split("=")[1].rstrip("-"))
        rest = data[first:]
        self.send_response(206 if first else 200)
        if first:
            self.send_header("Content-Range", "bytes %d-%d/%d" % (first, len(data) - 1, len(data)))
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest if stop is None else rest[:stop])
        if stop is not None and stop < len(rest):
            self.wfile.flush()
            self.close_connection = True

    def is_layer(self, kind, name):
        return kind == "blobs" and len(read(name.split(":")[1])) > 100000

    # --- how it behaves

    def s_good(self, kind, name):
        self.plain(kind, name)

    def s_wrong_digest(self, kind, name):
        if not self.is_layer(kind, name):
            return self.plain(kind, name)
        data = bytearray(read(name.split(":")[1]))
        data[len(data) // 2] ^= 1
        self.blob(bytes(data))

    def s_wrong_config(self, kind, name):
        if kind == "manifests" or self.is_layer(kind, name):
            return self.plain(kind, name)
        self.blob(read(name.split(":")[1]).replace(b"linux", b"minix"))

    def s_endless(self, kind, name):
        if not self.is_layer(kind, name):
            return self.plain(kind, name)
        self.endless("application/octet-stream")

    def s_endless_manifest(self, kind, name):
        self.endless("application/vnd.oci.image.manifest.v1+json")

    def s_short(self, kind, name):
        if not self.is_layer(kind, name):
            return self.plain(kind, name)
        self.blob(read(name.split(":")[1])[:-5])

    def s_cut(self, kind, name):
        if not self.is_layer(kind, name):
            return self.plain(kind, name)
        data = read(name.split(":")[1])
        self.blob(data, len(data) // 3 if count("cut") < 3 else None)

    def s_cut_no_range(self, kind, name):
        if not self.is_layer(kind, name):
            return self.plain(kind, name)
        data = read(name.split(":")[1])
        self.blob(data, len(data) // 2 if count("no range") == 1 else None, ranges=False)

    def s_cut_wrong_range(self, kind, name):
        if not self.is_layer(kind, name):
            return self.plain(kind, name)
        data = read(name.split(":")[1])
        if count("wrong range") == 1:
            return self.blob(data, len(data) // 2)
        self.answer(206, data[10:], [("Content-Range", "bytes 10-%d/%d" % (len(data) - 1, len(data)))])

    def s_dies(self, kind, name):
        """With the whole server, when half of the layer is through; the next server finds PORT given, and lives."""
        if not self.is_layer(kind, name) or len(sys.argv) > 3:
            return self.plain(kind, name)
        data = read(name.split(":")[1])
        self.blob(data, len(data) // 2)
        os._exit(0)

    def s_cut_always(self, kind, name):
        if not self.is_layer(kind, name):
            return self.plain(kind, name)
        self.blob(read(name.split(":")[1]), 1000)

    def s_busy(self, kind, name):
        if kind == "manifests" and count("busy") == 1:
            return self.answer(429, b"", [("Retry-After", "1")])
        self.plain(kind, name)

    def s_busy_for_an_hour(self, kind, name):
        self.answer(429, b'{"errors":[{"code":"TOOMANYREQUESTS","message":"pull rate limit"}]}', [("Retry-After", "3600")])

    def s_down(self, kind, name):
        self.answer(503)

    def s_sends_elsewhere(self, kind, name):
        if self.headers.get("Authorization") != "Basic " + base64.b64encode(b"user:secret").decode():
            return self.answer(401, b"", [("WWW-Authenticate", 'Basic realm="r"')])
        if kind == "manifests":
            return self.plain(kind, name)
        self.answer(307, b"", [("Location", "http://localhost:%d/elsewhere/%s" % (OTHER["port"], name.split(":")[1]))])

    def s_sends_around(self, kind, name):
        self.answer(302, b"", [("Location", self.path)])

    def s_sends_to_a_file(self, kind, name):
        self.answer(302, b"", [("Location", "file:///etc/passwd")])

    def s_sends_nowhere(self, kind, name):
        self.answer(302, b"", [("Location", "http://[::1")])

    def s_headers(self, kind, name):
        self.answer(200, read("manifest"), [("X-%d" % i, "x" * 8000) for i in range(20)])

    def s_long_location(self, kind, name):
        self.answer(302, b"", [("Location", "http://localhost/" + "x" * 20000)])

    def s_garbage(self, kind, name):
        self.answer(200, b'{"schemaVersion":2,"config":{' + b"[" * 1000,
                    [("Content-Type", "application/vnd.oci.image.manifest.v1+json")])

    def s_web_page(self, kind, name):
        self.answer(200, b"<html>please log in</html>", [("Content-Type", "text/html")])

    def s_words(self, kind, name):
        self.answer(400, b'{"errors":[{"message":"\\u001b[31mred\\u0007 ' + b"long " * 10000 + b'"}]}')

    def s_sleeps(self, kind, name):
        if kind == "manifests" and count("sleep") == 1:
            time.sleep(20)
            return self.plain(kind, name)
        if not self.is_layer(kind, name) or count("trickle") > 1:
            return self.plain(kind, name)
        data = read(name.split(":")[1])
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        for byte in data[:100]:
            self.wfile.write(bytes([byte]))
            time.sleep(0.2)
        self.close_connection = True

    def s_unknown_scheme(self, kind, name):
        self.answer(401, b"", [("WWW-Authenticate", "Negotiate")])

    # --- uploads: POST gives a place, PUT is checked there

    def s_push(self, kind, name):
        self.answer(404)

    s_push_resumes = s_push_in_pieces = s_push_breaks = s_push_refuses = s_push_nowhere = s_push_to_a_file = s_push_elsewhere = s_push

    def keep(self, scenario, place):
        """What comes is kept, also of a request that breaks off; each answer says another place."""
        path = "/v2/%s/%s" % (scenario, place)
        if self.command == "POST":
            place = "kept-%d" % count("places")
            KEPT[place] = b""
            return self.answer(202, b"", [("Location", "/v2/%s/%s?step=0" % (scenario, place))])
        have = KEPT[place]
        step = [("Location", "%s?step=%d" % (path, count(place)))]
        if self.command == "GET":
            return self.answer(204, b"", step + [("Range", "0-%d" % max(len(have) - 1, 0))])
        length = int(self.headers["Content-Length"])
        log.write("%s %s of %s at %d\n" % (self.command, self.headers.get("Content-Range", "-"), length, len(have)))
        if scenario == "s-push-in-pieces" and length > (16 << 20 if self.command == "PATCH" else 50000):
            self.close_connection = True
            return self.answer(413)
        if scenario == "s-push-resumes" and length > 100000 and count("breaks") < 3:
            KEPT[place] += self.rfile.read(length // 2)
            self.close_connection = True
            return None
        if self.command == "PATCH" and self.headers["Content-Range"] != "%d-%d" % (len(have), len(have) + length - 1):
            return self.answer(416)
        KEPT[place] += self.rfile.read(length)
        if self.command == "PATCH":
            return self.answer(202, b"", step + [("Range", "0-%d" % (len(KEPT[place]) - 1))])
        query = urllib.parse.parse_qs(urllib.parse.urlparse(self.path).query)
        good = query["digest"] == ["sha256:" + hashlib.sha256(KEPT[place]).hexdigest()]
        return self.answer(201 if good else 400)

    def upload(self, scenario, kind):
        if scenario in ("s-push-resumes", "s-push-in-pieces") and kind != "manifests":
            return self.keep(scenario, kind.split("?")[0])
        if scenario == "s-push-elsewhere" and "Authorization" not in self.headers and self.command == "POST":
            return self.answer(401, b"", [("WWW-Authenticate", 'Basic realm="r"')])
        if self.command == "POST":
            place = {"s-push-nowhere": None, "s-push-to-a-file": "file:///tmp/x",
                     "s-push-elsewhere": "http://localhost:%d/v2/%s/place" % (OTHER["port"], scenario)}.get(
                         scenario, "/v2/%s/place?state=a%%20b" % scenario)
            return self.answer(202, b"", [("Location", place)] if place else [])
        length = int(self.headers["Content-Length"])
        if scenario == "s-push-refuses":
            self.close_connection = True
            return self.answer(413, b'{"errors":[{"message":"quota is used up"}]}')
        if scenario == "s-push-breaks" and length > 100000 and count("break") == 1:
            self.rfile.read(length // 2)
            self.close_connection = True
            return None
        digest = "sha256:" + hashlib.sha256(self.rfile.read(length)).hexdigest()
        query = urllib.parse.parse_qs(urllib.parse.urlparse(self.path).query)
        good = kind == "manifests" or (query["digest"] == [digest] and
                                       (scenario == "s-push-elsewhere" or query["state"] == ["a b"]))
        return self.answer(201 if good else 400)

    # --- tokens: each is good for two requests

    def token(self):
        if "bad" in self.path:
            return self.answer(200, b'{"token":"x\\r\\nX-Evil: 1"}')
        if "none" in self.path:
            return self.answer(200, b"[]")
        if "refused" in self.path:
            return self.answer(401, b'{"details":"incorrect username or password"}')
        self.answer(200, b'{"access_token":"t%d"}' % count("tokens"))

    def want_token(self, query=""):
        self.answer(401, b"", [("WWW-Authenticate", 'Bearer realm="http://%s/token%s",service="s",scope="repository:x:pull"' %
                                (self.headers["Host"], query))])

    def s_token(self, kind, name):
        token = self.headers.get("Authorization", "")
        if not token.startswith("Bearer t") or count(token) > 2:
            return self.want_token()
        self.plain(kind, name)

    def s_token_bad(self, kind, name):
        self.want_token("?bad=1")

    def s_token_none(self, kind, name):
        self.want_token("?none=1")

    def s_token_refused(self, kind, name):
        self.want_token("?refused=1")

    def s_token_never_enough(self, kind, name):
        self.want_token()


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass


servers = [Server(("127.0.0.1", port), Handler) for port in (int((sys.argv + [0] * 3)[3]), 0)]
OTHER["port"] = servers[1].server_port
threading.Thread(target=servers[1].serve_forever, daemon=True).start()
print("%d\n%d" % (servers[0].server_port, servers[1].server_port), flush=True)
servers[0].serve_forever()
