"""Asks for pages by three doors of the standard library, and prints what comes."""

import http.client
import socket
import urllib.request

with open("/script/address") as file:
    address = file.read().strip()
host, port = address.split(":")

try:
    with urllib.request.urlopen(f"http://{address}/first") as answer:
        print(answer.status, answer.headers["X-Sheep"], flush=True)
        for line in answer:
            print(line.decode().strip(), flush=True)
except OSError as error:
    print("no connection:", error.reason.__class__.__name__)
    raise SystemExit from None

connection = http.client.HTTPConnection(host, int(port))
connection.request("POST", "/second", body="how many?", headers={"Connection": "close"})
answer = connection.getresponse()
print(answer.status, answer.read().decode(), flush=True)
connection.close()

with socket.create_connection((host, int(port))) as stream:
    stream.sendall(b"GET /third HTTP/1.0\r\n\r\n")
    received = b""
    while data := stream.recv(7):
        received += data
print(received.decode().split("\r\n\r\n")[1], flush=True)
