//! A firewall for UDP: passes datagrams on to one address, or does not.

use std::{
    collections::HashMap,
    io,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// A port of 127.0.0.1 behind which another one is, while the gate is open. Closed on drop.
#[derive(Debug)]
pub struct UdpGate {
    /// Where to send to.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    outside: UdpSocket,
    is_open: AtomicBool,
    is_over: AtomicBool,
}

impl UdpGate {
    /// A closed gate to this address.
    ///
    /// # Panics
    /// When there is no free port.
    #[must_use]
    pub fn closed(inside: SocketAddr) -> Self {
        let outside = bind().expect("there is a free port");
        let address = outside.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared { outside, is_open: AtomicBool::new(false), is_over: AtomicBool::new(false) });
        let thread = thread::spawn({
            let shared = shared.clone();
            move || shared.pass_in(inside)
        });
        Self { address, shared, threads: vec![thread] }
    }

    /// From now on datagrams pass.
    pub fn open(&self) {
        self.shared.is_open.store(true, Ordering::Relaxed);
    }

    /// From now on they do not.
    pub fn close(&self) {
        self.shared.is_open.store(false, Ordering::Relaxed);
    }
}

impl Drop for UdpGate {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so.
            let _said = thread.join();
        }
    }
}

impl Shared {
    fn passes(&self) -> bool {
        self.is_open.load(Ordering::Relaxed)
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Every sender gets a socket of its own on the inside, as behind address translation.
    fn pass_in(self: Arc<Self>, inside: SocketAddr) {
        let mut ways: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
        let mut backs = Vec::new();
        let mut datagram = vec![0; 65_536];
        while !self.is_over() {
            let Some((length, sender)) = receive(&self.outside, &mut datagram) else { continue };
            if !self.passes() {
                continue;
            }
            let way = ways.entry(sender).or_insert_with(|| {
                let way = Arc::new(bind().expect("there is a free port"));
                let (shared, back) = (self.clone(), way.clone());
                backs.push(thread::spawn(move || shared.pass_out(&back, sender)));
                way
            });
            // A lost datagram is what networks do.
            let _lost = way.send_to(&datagram[..length], inside);
        }
        for back in backs {
            let _said = back.join();
        }
    }

    fn pass_out(&self, way: &UdpSocket, sender: SocketAddr) {
        let mut datagram = vec![0; 65_536];
        while !self.is_over() {
            if let Some((length, _)) = receive(way, &mut datagram)
                && self.passes()
            {
                let _lost = self.outside.send_to(&datagram[..length], sender);
            }
        }
    }
}

/// A datagram, or nothing for a while.
fn receive(socket: &UdpSocket, datagram: &mut [u8]) -> Option<(usize, SocketAddr)> {
    socket.recv_from(datagram).ok()
}

fn bind() -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    // How soon the end of the gate is noticed.
    socket.set_read_timeout(Some(Duration::from_millis(100)))?;
    Ok(socket)
}
