#!/usr/bin/env python3
"""pcp.py ADDRESS WAN: a router's answers to the Port Control Protocol (RFC 6887), of MAP requests for UDP alone.

Opens the port that is asked for, in the table `lab` of nft. Says "ready" when it answers, and what it opened.
"""
import ipaddress
import socket
import struct
import subprocess
import sys

MAP, UDP, SUCCESS, NOT_AUTHORIZED, UNSUPPORTED = 1, 17, 0, 2, 4
# Seconds, so that a client soon asks again.
LIFETIME = 4


def main():
    address, wan = sys.argv[1:3]
    door = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    door.bind((address, 5351))
    print("ready", flush=True)
    owners, opened = {}, set()
    while True:
        request, sender = door.recvfrom(1100)
        if len(request) < 60 or request[0] != 2 or request[1] != MAP:
            continue
        (lifetime,) = struct.unpack("!I", request[4:8])
        nonce, protocol = request[24:36], request[36]
        inside, outside = struct.unpack("!HH", request[40:44])
        inner = (sender[0], inside)
        if protocol != UDP:
            result = UNSUPPORTED
        elif owners.setdefault(inner, nonce) != nonce:
            # Whoever knows not the number of the first request is somebody else.
            result = NOT_AUTHORIZED
        else:
            result = SUCCESS
            if lifetime == 0:
                owners.pop(inner)
                print(f"closed {inside}", flush=True)
            elif inner not in opened:
                rule = f'add rule ip lab pre iifname "wan" udp dport {outside} dnat to {sender[0]}:{inside}'
                subprocess.run(["nft", rule], check=True)
                opened.add(inner)
                print(f"opened {outside} for {sender[0]}:{inside}", flush=True)
            else:
                print(f"renewed {outside}", flush=True)
            lifetime = min(lifetime, LIFETIME)
        head = struct.pack("!BBBBII12x", 2, 0x80 | MAP, 0, result, lifetime, 1)
        mapped = ipaddress.IPv6Address(f"::ffff:{wan}").packed
        door.sendto(head + nonce + struct.pack("!B3xHH", protocol, inside, outside) + mapped, sender)


main()
