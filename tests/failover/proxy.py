"""A proxy before the database's servers, which loses answers to commits."""

import socket
import threading

# A commit is told by its size: no other request of a node's that is prepared has so many parameters.
LEAST_COMMIT = 500


class Proxy:
    """Listens at an address for each server. When it is told so, it cuts connections at the answer to
    a commit, which the server has done by then."""

    def __init__(self, address, servers, port):
        self.loses = threading.Event()
        self.lost = 0
        self.address = address
        self.hosts = []
        for server in servers:
            listener = socket.create_server((address, 0))
            self.hosts.append(f"{address}:{listener.getsockname()[1]}")
            threading.Thread(target=self.accept, args=(listener, (server, port)), daemon=True).start()

    def ports(self):
        return [int(host.rsplit(":", 1)[1]) for host in self.hosts]

    def accept(self, listener, server):
        while True:
            client, _ = listener.accept()
            threading.Thread(target=self.serve, args=(client, server), daemon=True).start()

    def serve(self, client, server):
        try:
            other = socket.create_connection(server, timeout=3)
        except OSError:
            client.close()
            return
        other.settimeout(None)
        asked = threading.Event()

        def note(request):
            if request[:1] == b"B" and len(request) >= LEAST_COMMIT:
                asked.set()
            return False

        def loses(_):
            if asked.is_set() and self.loses.is_set():
                self.lost += 1
                return True
            asked.clear()
            return False

        threading.Thread(target=self.relay, args=(client, other, note), daemon=True).start()
        self.relay(other, client, loses)

    @staticmethod
    def relay(source, target, loses):
        try:
            while (passed := source.recv(1 << 16)) and not loses(passed):
                target.sendall(passed)
        except OSError:
            pass
        for end in source, target:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
