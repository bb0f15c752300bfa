from http.server import BaseHTTPRequestHandler, HTTPServer

WORD = "packed"


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(WORD.encode())


print(f"this is the {WORD} one", flush=True)
HTTPServer(("", 8005), Page).serve_forever()
