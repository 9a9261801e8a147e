//! The wire, with a guest that is a stack of its own.

mod guest;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use edgetrust_hil::wire::{Dhcp, Dns, GUEST, HOST, Settings, Sntp, Wire};
use guest::{Guest, PATIENCE};
use smoltcp::socket::tcp::State;
use smoltcp::wire::IpAddress;

const PORT: u16 = 8443;
/// Long enough to see that nothing comes: requests are answered within milliseconds.
const NOTHING: Duration = Duration::from_millis(300);

/// A service on loopback that does this with its first connection.
fn service(with: impl FnOnce(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || with(listener.accept().unwrap().0));
    address
}

fn wire(target: Option<SocketAddr>) -> Wire {
    let forwards = target.map(|target| (PORT, target)).into_iter().collect::<BTreeMap<_, _>>();
    let names = BTreeSet::from(["gateway.a.example".to_owned()]);
    Wire::start(Settings { names, forwards, ..Settings::default() }).unwrap()
}

fn guest(wire: &Wire) -> Guest {
    let mut guest = Guest::new(wire);
    guest.lease(PATIENCE).expect("a lease");
    guest
}

/// What a guest reads, to the end.
fn read_all(guest: &mut Guest, handle: smoltcp::iface::SocketHandle) -> Vec<u8> {
    let mut all = Vec::new();
    guest.until(|guest| {
        let socket = guest.tcp(handle);
        while socket.can_recv() {
            socket.recv(|octets| (octets.len(), all.extend_from_slice(octets))).unwrap();
        }
        (!socket.may_recv() && socket.state() != State::SynSent).then_some(())
    });
    all
}

/// Octets that do not repeat soon.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 1_u32;
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        })
        .collect()
}

#[test]
fn a_guest_gets_an_address_and_names() {
    let wire = wire(None);
    let mut guest = Guest::new(&wire);
    assert_eq!(guest.lease(PATIENCE), Some((GUEST, HOST, HOST)));
    assert_eq!(guest.resolve(HOST, "gateway.a.example", PATIENCE), Some(Ok(IpAddress::Ipv4(HOST))));
    assert_eq!(guest.resolve(HOST, "gateway.b.example", PATIENCE), Some(Err(())));
    wire.set_dns(Dns::ServFail);
    assert_eq!(guest.resolve(HOST, "gateway.a.example", PATIENCE), Some(Err(())));
    wire.set_dns(Dns::Silent);
    assert_eq!(guest.resolve(HOST, "gateway.a.example", NOTHING), None);
    assert!(wire.counts().dhcp >= 2 && wire.counts().dns >= 4, "{:?}", wire.counts());
}

#[test]
fn dhcp_can_be_silent_and_come_back() {
    let wire = wire(None);
    wire.set_dhcp(Dhcp::Silent);
    let mut guest = Guest::new(&wire);
    assert_eq!(guest.lease(NOTHING), None);
    wire.set_dhcp_after(Duration::from_millis(50));
    assert_eq!(guest.lease(PATIENCE), Some((GUEST, HOST, HOST)));
}

#[test]
fn the_time_is_told() {
    let wire = wire(None);
    let mut guest = guest(&wire);
    let mut request = [0; 48];
    request[0] = 0x23;
    let server = (IpAddress::Ipv4(HOST), 123).into();
    let answer = guest.ask(server, &request, PATIENCE).unwrap();
    let seconds = u64::from(u32::from_be_bytes(answer[40..44].try_into().unwrap())) - 2_208_988_800;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!(now.abs_diff(seconds) < 60, "{now} {seconds}");
    wire.set_sntp(Sntp::Silent);
    assert_eq!(guest.ask(server, &request, NOTHING), None);
    assert_eq!(wire.counts().sntp, 2);
}

#[test]
fn a_mebibyte_arrives_whole_though_frames_are_lost() {
    // A lost frame costs a second: nothing but the timer says so to a guest with so small a window.
    for (drop_every, octets) in [(None, 1024 * 1024), (Some(41), 64 * 1024)] {
        let whole = noise(octets);
        let sent = whole.clone();
        let wire = wire(Some(service(move |mut stream| {
            let mut request = Vec::new();
            stream.read_to_end(&mut request).unwrap();
            assert_eq!(request, b"GET", "the guest's end was carried");
            stream.write_all(&sent).unwrap();
        })));
        let mut guest = guest(&wire);
        wire.set_drop_every(drop_every);
        let handle = guest.connect((HOST, PORT), 50_000);
        guest.until(|guest| guest.tcp(handle).can_send().then_some(()));
        guest.tcp(handle).send_slice(b"GET").unwrap();
        guest.tcp(handle).close();
        let all = read_all(&mut guest, handle);
        assert!(all == whole, "{} octets of {}", all.len(), whole.len());
        assert_eq!(wire.counts().connections, 1);
        assert_eq!(wire.counts().dropped > 0, drop_every.is_some());
    }
}

#[test]
fn a_service_that_does_not_read_holds_the_guest_up_and_loses_nothing() {
    let whole = noise(2 * 1024 * 1024);
    let (go, wait) = std::sync::mpsc::channel();
    let (tell, told) = std::sync::mpsc::channel();
    let wire = wire(Some(service(move |mut stream| {
        wait.recv().unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        tell.send(all).unwrap();
    })));
    let mut guest = guest(&wire);
    let handle = guest.connect((HOST, PORT), 50_000);
    let (mut sent, mut stalled, mut go) = (0, Instant::now(), Some(go));
    guest.until(|guest| {
        let socket = guest.tcp(handle);
        if socket.can_send() && sent < whole.len() {
            sent += socket.send_slice(&whole[sent..]).unwrap();
            stalled = Instant::now();
        }
        // Nothing went for a while: buffers are full, or all is sent.
        if stalled.elapsed() > NOTHING
            && let Some(go) = go.take()
        {
            go.send(()).unwrap();
        }
        (sent == whole.len()).then(|| socket.close())
    });
    drop(go.take().map(|go| go.send(())));
    let all = guest.until(|_| told.try_recv().ok());
    assert!(all == whole, "{} octets of {}", all.len(), whole.len());
}

#[test]
fn ports_that_lead_nowhere_are_reset() {
    // A port that somebody had and gave back.
    let dead = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let wire = wire(Some(dead));
    let mut guest = guest(&wire);
    let nowhere = guest.connect((HOST, 1), 50_000);
    guest.until(|guest| (guest.tcp(nowhere).state() == State::Closed).then_some(()));
    let dead = guest.connect((HOST, PORT), 50_001);
    guest.until(|guest| (guest.tcp(dead).state() == State::Closed).then_some(()));
    // The port can lead elsewhere, and then nowhere again.
    wire.set_forward(PORT, Some(service(|mut stream| stream.write_all(b"here").unwrap())));
    let alive = guest.connect((HOST, PORT), 50_002);
    assert_eq!(read_all(&mut guest, alive), b"here");
    wire.set_forward(PORT, None);
    let mut from = 50_003;
    guest.until(|guest| {
        let handle = guest.connect((HOST, PORT), from);
        from += 1;
        guest.within(NOTHING, |guest| (guest.tcp(handle).state() == State::Closed).then_some(()))
    });
}

#[test]
fn resets_are_carried_both_ways() {
    let wire = wire(Some(service(|mut stream| {
        stream.read_exact(&mut [0; 1]).unwrap();
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    })));
    let mut guest = guest(&wire);
    let handle = guest.connect((HOST, PORT), 50_000);
    guest.until(|guest| guest.tcp(handle).can_send().then_some(()));
    guest.tcp(handle).send_slice(b"x").unwrap();
    guest.until(|guest| (guest.tcp(handle).state() == State::Closed).then_some(()));

    let (tell, told) = std::sync::mpsc::channel();
    wire.set_forward(
        PORT,
        Some(service(move |mut stream| {
            stream.write_all(b"y").unwrap();
            tell.send(stream.read(&mut [0; 1]).map_err(|error| error.kind())).unwrap();
        })),
    );
    let handle = guest.connect((HOST, PORT), 50_001);
    guest.until(|guest| guest.tcp(handle).can_recv().then_some(()));
    guest.tcp(handle).abort();
    assert_eq!(guest.until(|_| told.try_recv().ok()), Err(std::io::ErrorKind::ConnectionReset));
}

#[test]
fn a_cut_cable_is_silent_and_can_be_mended() {
    let wire = wire(Some(service(|mut stream| {
        stream.read_exact(&mut [0; 1]).unwrap();
        stream.write_all(b"z").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
    })));
    let mut guest = guest(&wire);
    let handle = guest.connect((HOST, PORT), 50_000);
    guest.until(|guest| guest.tcp(handle).can_send().then_some(()));
    wire.set_cut(true);
    guest.tcp(handle).send_slice(b"x").unwrap();
    assert_eq!(guest.within(NOTHING, |guest| guest.tcp(handle).can_recv().then_some(())), None);
    assert!(guest.tcp(handle).is_active());
    wire.set_cut(false);
    assert_eq!(read_all(&mut guest, handle), b"z");
}
