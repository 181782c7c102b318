"""The echo server of the guest net_probe, by Python: the same connections must end in the same lines.

usage: echo.py PORT COUNT
"""

import errno
import socket
import sys

# Numbers of preview1.
NUMBERS = {errno.ECONNRESET: 15, errno.EPIPE: 64}

listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print(f"listening on 127.0.0.1:{sys.argv[1]}", flush=True)
for _ in range(int(sys.argv[2])):
    connection, _ = listener.accept()
    total = 0
    while True:
        try:
            data = connection.recv(4096)
        except OSError as error:
            print(f"error {NUMBERS[error.errno]} after {total}", flush=True)
            break
        if not data:
            print(f"end after {total}", flush=True)
            break
        total += len(data)
        try:
            connection.sendall(data)
        except OSError as error:
            print(f"cannot answer: {NUMBERS[error.errno]}", flush=True)
            break
    connection.close()
