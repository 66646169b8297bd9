"""The book over http on this machine alone, for browsers that block local files."""
import webbrowser
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer


class Quiet(SimpleHTTPRequestHandler):
    """Serves files without a line for each of them."""

    def log_message(self, *_):
        pass


def server(folder, port=0):
    """A server of the folder on 127.0.0.1; for port 0 the system chooses one that is free."""
    return ThreadingHTTPServer(("127.0.0.1", port), partial(Quiet, directory=str(folder)))


def serve(folder, port=0):
    """Serve the folder and open the browser, until Ctrl-C."""
    with server(folder, port) as here:
        address = f"http://127.0.0.1:{here.server_port}/"
        print(f"{address}   (Ctrl-C ends it)", flush=True)
        webbrowser.open(address)
        try:
            here.serve_forever()
        except KeyboardInterrupt:
            print()
