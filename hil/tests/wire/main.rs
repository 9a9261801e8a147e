//! Tests the simulated network from the guest's side.

mod guest;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use edgetrust_hil::wire::{Dhcp, Dns, Fault, Modes, Ntp, Settings, Wire};
use guest::Guest;
use smoltcp::socket::tcp::State;
use smoltcp::wire::{IpAddress, Ipv4Address};

/// Starts a server for one connection.
fn server<T: Send + 'static>(serve: impl FnOnce(TcpStream) -> T + Send + 'static) -> (SocketAddr, JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (address, std::thread::spawn(move || serve(listener.accept().unwrap().0)))
}

fn wire(forwards: &[(u16, SocketAddr)], modes: Modes) -> Wire {
    let forwards: BTreeMap<_, _> = forwards.iter().copied().collect();
    let names = BTreeSet::from(["gateway.mesh.test".to_owned()]);
    Wire::start(Settings { forwards, names, modes, capture: None }).unwrap()
}

/// Returns octets that differ from every shifted copy of themselves.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|place| (place.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

#[test]
fn an_address_a_name_the_time() {
    let wire = wire(&[], Modes::default());
    let mut guest = Guest::new(&wire);
    let (address, router, servers) = guest.lease();
    assert_eq!(address.to_string(), "10.0.2.15/24");
    assert_eq!((router, servers), (Some(Ipv4Address::new(10, 0, 2, 2)), vec![Ipv4Address::new(10, 0, 2, 2)]));
    assert_eq!(guest.resolve("gateway.mesh.test"), Ok(vec![IpAddress::v4(10, 0, 2, 2)]));
    assert!(guest.resolve("other.mesh.test").is_err());
    let mut request = [0; 48];
    request[0] = 0x23;
    let answer = guest.udp(123, &request);
    let seconds = u64::from(u32::from_be_bytes(answer[40..44].try_into().unwrap())) - 2_208_988_800;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!(now.abs_diff(seconds) < 60, "{now} {seconds}");
    let seen = wire.seen();
    assert_eq!((seen.leases, seen.time_requests), (1, 1));
    assert_eq!(seen.names, ["gateway.mesh.test", "other.mesh.test"]);
}

#[test]
fn services_fail_when_they_are_told_to() {
    let modes = Modes { dhcp: Dhcp::Silent, dns: Dns::ServerFailure, ntp: Ntp::Silent };
    let wire = wire(&[], modes);
    let mut guest = Guest::new(&wire);
    guest.until("a request that is not answered", |guest| {
        assert!(guest.configured().is_none());
        (wire.seen().dhcp_requests > 0).then_some(())
    });
    wire.set_dhcp(Dhcp::Right);
    guest.lease();
    assert!(guest.resolve("gateway.mesh.test").is_err());
    wire.set_dns(Dns::Right);
    assert!(guest.resolve("gateway.mesh.test").is_ok());
    let mut request = [0; 48];
    request[0] = 0x23;
    guest.send_udp(123, &request);
    guest.until("a request for the time", |_| (wire.seen().time_requests == 1).then_some(()));
    wire.set_ntp(Ntp::Malformed);
    assert_eq!(guest.udp(123, &request).len(), 5);
}

#[test]
fn a_mebibyte_each_way_intact() {
    let length = 1024 * 1024;
    let (address, echo) = server(move |mut stream| {
        stream.write_all(&pattern(length)).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        // Half-closed: the other direction goes on.
        let mut received = Vec::new();
        stream.read_to_end(&mut received).unwrap();
        received
    });
    let wire = wire(&[(8443, address)], Modes::default());
    let mut guest = Guest::new(&wire);
    guest.lease();
    let connection = guest.connect(8443);
    assert!(guest.opens(connection));
    assert!(guest.read_all(connection) == pattern(length));
    let mut rest = pattern(length);
    guest.until("all is sent", |guest| {
        let sent = guest.tcp(connection).send_slice(&rest).unwrap();
        rest.drain(..sent);
        rest.is_empty().then(|| guest.tcp(connection).close())
    });
    guest.until("both ends", |_| echo.is_finished().then_some(()));
    assert!(echo.join().unwrap() == pattern(length));
    assert_eq!(wire.seen().connections, BTreeMap::from([(8443, 1)]));
}

#[test]
fn a_slow_reader_holds_the_server_back() {
    let (address, writer) = server(|mut stream| {
        stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
        let mut sent = 0;
        // Sends until nothing more is accepted.
        while let Ok(count) = stream.write(&[7; 64 * 1024]) {
            sent += count;
            assert!(sent < 64 * 1024 * 1024, "nothing holds it back");
        }
        sent
    });
    let wire = wire(&[(80, address)], Modes::default());
    let mut guest = Guest::new(&wire);
    guest.lease();
    let connection = guest.connect(80);
    assert!(guest.opens(connection));
    guest.until("the server is held back", |_| writer.is_finished().then_some(()));
    let sent = writer.join().unwrap();
    assert_eq!(guest.read_all(connection).len(), sent);
}

#[test]
fn resets_go_both_ways() {
    let (address, reset) = server(|stream| {
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    });
    let (patient, sees) = server(|mut stream| {
        stream.write_all(b"?").unwrap();
        stream.read(&mut [0; 16]).unwrap_err().kind()
    });
    // A port that is bound without a listener.
    let deaf = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    deaf.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let nobody = deaf.local_addr().unwrap().as_socket().unwrap();
    let wire = wire(&[(1, address), (2, patient), (3, nobody)], Modes::default());
    let mut guest = Guest::new(&wire);
    guest.lease();
    // No such port.
    let connection = guest.connect(9);
    assert!(!guest.opens(connection));
    for port in [1, 3] {
        let connection = guest.connect(port);
        guest.opens(connection);
        guest.until("a reset", |guest| (guest.tcp(connection).state() == State::Closed).then_some(()));
    }
    reset.join().unwrap();
    let connection = guest.connect(2);
    guest.until("a question", |guest| guest.tcp(connection).can_recv().then_some(()));
    guest.tcp(connection).abort();
    guest.until("it sees", |_| sees.is_finished().then_some(()));
    assert_eq!(sees.join().unwrap(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn ports_are_led_elsewhere_while_it_runs() {
    let (first, one) = server(|mut stream| {
        stream.write_all(b"one").unwrap();
        stream.read(&mut [0]).map_err(|error| error.kind())
    });
    let (second, _) = server(|mut stream| stream.write_all(b"two").unwrap());
    let wire = wire(&[(443, first)], Modes::default());
    let mut guest = Guest::new(&wire);
    guest.lease();
    let connection = guest.connect(443);
    guest.until("the first", |guest| guest.tcp(connection).can_recv().then_some(()));
    wire.set_forward(443, None);
    let refused = guest.connect(443);
    assert!(!guest.opens(refused));
    wire.set_forward(443, Some(second));
    let other = guest.connect(443);
    assert!(guest.opens(other));
    assert_eq!(guest.read_all(other), b"two");
    // The first is still there, until it is reset.
    assert_eq!(guest.tcp(connection).state(), State::Established);
    wire.reset(Some(443));
    guest.until("a reset", |guest| (guest.tcp(connection).state() == State::Closed).then_some(()));
    assert_eq!(one.join().unwrap(), Err(std::io::ErrorKind::ConnectionReset));
}

#[test]
fn a_cable_is_cut_and_mended_and_bad() {
    let length = 64 * 1024;
    let (address, _) = server(move |mut stream| stream.write_all(&pattern(length)).unwrap());
    let wire = wire(&[(443, address)], Modes::default());
    let mut guest = Guest::new(&wire);
    guest.lease();
    wire.set_cable(Fault::Cut);
    let asked = wire.seen().names.len();
    guest.send_udp(53, b"\0\0\x01\0\0\x01\0\0\0\0\0\0\0\0\x01\0\x01");
    let until = Instant::now() + Duration::from_millis(300);
    guest.until("a while", |_| (Instant::now() > until).then_some(()));
    assert_eq!(wire.seen().names.len(), asked);
    wire.set_cable(Fault::LoseOneIn(20));
    let connection = guest.connect(443);
    assert!(guest.opens(connection));
    assert!(guest.read_all(connection) == pattern(length));
}
