//! The kernel's word on this machine's addresses (rtnetlink, see `man 7 rtnetlink`): what they are, and that they change.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::OwnedFd,
};

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, netlink::SocketAddrNetlink, recv, send,
    socket_with,
};
use shared::limits::NETLINK_BYTES_MAX;
use tokio::net::UnixDatagram;

/// Tells when an address or a route of this machine changes.
#[derive(Debug)]
pub struct Watch {
    /// Not a Unix socket, but a type that waits for any datagram socket.
    socket: UnixDatagram,
}

impl Watch {
    /// Watches from now on.
    pub fn open() -> io::Result<Self> {
        let socket = open(GROUP_IPV4_ADDRESS | GROUP_IPV6_ADDRESS | GROUP_IPV4_ROUTE | GROUP_IPV6_ROUTE)?;
        Ok(Self { socket: UnixDatagram::from_std(socket.into())? })
    }

    /// Waits for a change; what it is, is looked up anew. Safe to cancel.
    pub async fn changed(&self) -> io::Result<()> {
        self.socket.readable().await?;
        let mut buffer = vec![0; NETLINK_BYTES_MAX];
        loop {
            match self.socket.try_recv(&mut buffer) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // Some got lost, which is news too.
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NOBUFS.raw_os_error()) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// The addresses of this machine's interfaces, without those that mean something on one link only.
pub fn addresses() -> io::Result<Vec<IpAddr>> {
    let socket = open(0)?;
    send(&socket, &dump_request(), SendFlags::empty())?;
    let mut found = Vec::new();
    let mut buffer = vec![0; NETLINK_BYTES_MAX];
    loop {
        // The kernel answers before it returns from `send`; nothing is waited for.
        let (length, _) = recv(&socket, &mut *buffer, RecvFlags::DONTWAIT)?;
        match read(&buffer[..length], &mut found) {
            Ok(true) => break,
            Ok(false) => {}
            Err(errno) => return Err(io::Error::from_raw_os_error(errno)),
        }
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

fn open(groups: u32) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    // Protocol 0 is NETLINK_ROUTE.
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
    bind(&socket, &SocketAddrNetlink::new(0, groups))?;
    Ok(socket)
}

fn dump_request() -> Vec<u8> {
    let length = (HEADER_BYTES + ADDRESS_BYTES) as u32;
    let mut request = Vec::new();
    request.extend(length.to_ne_bytes());
    request.extend(GET_ADDRESS.to_ne_bytes());
    request.extend(FLAGS_DUMP.to_ne_bytes());
    // Sequence number and port; then any family, on any interface.
    request.resize(HEADER_BYTES + ADDRESS_BYTES, 0);
    request
}

/// Takes the addresses out of a part of an answer. `true`: it was the last one; an error is the kernel's number.
fn read(mut part: &[u8], found: &mut Vec<IpAddr>) -> Result<bool, i32> {
    while let (Some(length), Some(kind)) = (u32_at(part, 0), u16_at(part, 4)) {
        let length = length as usize;
        let Some(body) = part.get(HEADER_BYTES..length) else { break };
        match kind {
            DONE => return Ok(true),
            ERROR => return Err(u32_at(body, 0).map_or(0, u32::cast_signed).saturating_neg()),
            NEW_ADDRESS => found.extend(address(body)),
            _ => {}
        }
        part = part.get(aligned(length)..).unwrap_or_default();
    }
    Ok(false)
}

/// The address of one message, if it is one that others may reach.
fn address(body: &[u8]) -> Option<IpAddr> {
    let (family, flags, scope) = (*body.first()?, *body.get(2)?, *body.get(3)?);
    // An address on one link is of no use to others; one that is still being checked is not ours yet.
    if scope == SCOPE_LINK || flags & FLAG_TENTATIVE != 0 {
        return None;
    }
    let mut rest = body.get(ADDRESS_BYTES..)?;
    let mut found = None;
    while let (Some(length), Some(kind)) = (u16_at(rest, 0), u16_at(rest, 2)) {
        let length = usize::from(length);
        let Some(value) = rest.get(ATTRIBUTE_BYTES..length) else { break };
        // On a point-to-point link ATTRIBUTE_ADDRESS is the other end, and ATTRIBUTE_LOCAL is ours.
        if kind == ATTRIBUTE_LOCAL || (kind == ATTRIBUTE_ADDRESS && found.is_none()) {
            found = match family {
                FAMILY_IPV4 => <[u8; 4]>::try_from(value).ok().map(|bytes| Ipv4Addr::from(bytes).into()),
                FAMILY_IPV6 => <[u8; 16]>::try_from(value).ok().map(|bytes| Ipv6Addr::from(bytes).into()),
                _ => None,
            };
        }
        rest = rest.get(aligned(length)..).unwrap_or_default();
    }
    found
}

const fn aligned(length: usize) -> usize {
    (length + 3) & !3
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

const HEADER_BYTES: usize = 16;
const ADDRESS_BYTES: usize = 8;
const ATTRIBUTE_BYTES: usize = 4;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const NEW_ADDRESS: u16 = 20;
const GET_ADDRESS: u16 = 22;
/// `NLM_F_REQUEST | NLM_F_DUMP`.
const FLAGS_DUMP: u16 = 0x301;
const FLAG_TENTATIVE: u8 = 0x40;
const SCOPE_LINK: u8 = 253;
const ATTRIBUTE_ADDRESS: u16 = 1;
const ATTRIBUTE_LOCAL: u16 = 2;
const FAMILY_IPV4: u8 = 2;
const FAMILY_IPV6: u8 = 10;
const GROUP_IPV4_ADDRESS: u32 = 0x10;
const GROUP_IPV4_ROUTE: u32 = 0x40;
const GROUP_IPV6_ADDRESS: u32 = 0x100;
const GROUP_IPV6_ROUTE: u32 = 0x400;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(HEADER_BYTES + body.len()).unwrap();
        let mut message = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), &[0; 10]].concat();
        message.extend(body);
        message.resize(aligned(message.len()), 0);
        message
    }

    fn body(family: u8, flags: u8, scope: u8, attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = vec![family, 24, flags, scope, 1, 0, 0, 0];
        for (kind, value) in attributes {
            let length = u16::try_from(ATTRIBUTE_BYTES + value.len()).unwrap();
            body.extend(length.to_ne_bytes());
            body.extend(kind.to_ne_bytes());
            body.extend(*value);
            body.resize(aligned(body.len()), 0);
        }
        body
    }

    #[test]
    fn addresses_are_read_and_those_of_one_link_are_left_out() {
        let six = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
        let answer = [
            message(
                NEW_ADDRESS,
                &body(
                    FAMILY_IPV4,
                    0,
                    0,
                    &[(ATTRIBUTE_ADDRESS, &[10, 0, 0, 9]), (ATTRIBUTE_LOCAL, &[10, 0, 0, 2]), (3, b"eth0\0")],
                ),
            ),
            message(NEW_ADDRESS, &body(FAMILY_IPV6, 0, 0, &[(ATTRIBUTE_ADDRESS, &six.octets())])),
            message(NEW_ADDRESS, &body(FAMILY_IPV6, 0, SCOPE_LINK, &[(ATTRIBUTE_ADDRESS, &[0xfe; 16])])),
            message(NEW_ADDRESS, &body(FAMILY_IPV6, FLAG_TENTATIVE, 0, &[(ATTRIBUTE_ADDRESS, &[0x20; 16])])),
        ]
        .concat();
        let mut found = Vec::new();
        assert_eq!(read(&answer, &mut found), Ok(false));
        assert_eq!(found, [IpAddr::from([10, 0, 0, 2]), six.into()]);
        assert_eq!(read(&message(DONE, &[0; 4]), &mut found), Ok(true));
        assert_eq!(read(&message(ERROR, &(-1i32).to_ne_bytes()), &mut found), Err(1));
    }

    #[test]
    fn this_machine_has_a_loopback_address() {
        assert!(addresses().unwrap().contains(&Ipv4Addr::LOCALHOST.into()));
    }

    proptest! {
        #[test]
        fn nonsense_is_read_to_its_end(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut found = Vec::new();
            // Whatever it says: the reader neither panics nor turns in circles.
            let _nonsense = read(&bytes, &mut found);
            let _nonsense = read(&message(NEW_ADDRESS, &bytes), &mut found);
            prop_assert!(found.len() <= bytes.len());
        }
    }
}
