#!/usr/bin/env python3
"""delay.py IF1 IF2 MS: carries ethernet frames between two interfaces, each MS milliseconds late.

The kernels that this is made for come without netem. Says "ready" when it carries.
"""
import collections
import ctypes
import fcntl
import select
import socket
import struct
import sys
import time

SIOCETHTOOL = 0x8946
# Frames must arrive here whole and with their checksums: ETHTOOL_STXCSUM, ETHTOOL_SSG, ETHTOOL_STSO, ETHTOOL_SGSO.
OFFLOADS = (0x17, 0x19, 0x1F, 0x24)


def offloads_off(name):
    control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for command in OFFLOADS:
        value = ctypes.create_string_buffer(struct.pack("II", command, 0))
        request = struct.pack("16sP", name.encode(), ctypes.addressof(value))
        try:
            fcntl.ioctl(control, SIOCETHTOOL, request)
        except OSError:
            pass  # not every interface knows all of them


def main():
    if len(sys.argv) == 3 and sys.argv[1] == "--plain":
        return offloads_off(sys.argv[2])
    late = float(sys.argv[3]) / 1000
    ends = []
    for name in sys.argv[1:3]:
        offloads_off(name)
        end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        end.bind((name, 0))
        ends.append(end)
    other = {ends[0]: ends[1], ends[1]: ends[0]}
    waiting = collections.deque()
    print("ready", flush=True)
    while True:
        wait = max(0, waiting[0][0] - time.monotonic()) if waiting else None
        for end in select.select(ends, [], [], wait)[0]:
            frame, meta = end.recvfrom(65535)
            if meta[2] != socket.PACKET_OUTGOING:
                waiting.append((time.monotonic() + late, other[end], frame))
        while waiting and waiting[0][0] <= time.monotonic():
            _, end, frame = waiting.popleft()
            try:
                end.send(frame)
            except OSError:
                pass  # an interface that goes away loses frames, as a cable does


main()
