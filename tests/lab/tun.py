#!/usr/bin/env python3
"""tun.py DEVICE FD COMMAND...: becomes the command, with the TUN device of this network namespace open as FD.

Says "ready" on stdout before the device takes its place.
"""
import fcntl
import os
import struct
import sys

TUNSETIFF = 0x400454CA
# IFF_TUN, and IFF_NO_PI: packets without a header before them.
FLAGS = 0x1001


def main():
    name, fd, command = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", name.encode(), FLAGS))
    if fd == 1:
        print("ready", flush=True)
    os.dup2(device, fd)
    os.execvp(command[0], command)


main()
