//! Three sites whose certificates live for seconds: all goes on over many renewals, and comes back by itself from a CA that
//! is away for three lifetimes, and from a cable that is out.

use super::namespaces::wait_until;
use super::sites::{Mesh, Site, shorten};
use super::traffic::{OpenPost, SERVICES, Traffic, WAYS, Way, lead_to_components};

/// The renewals of each gateway while sessions are open.
const RENEWALS: u64 = 40;

/// Starts three sites with certificates that live for so many seconds, and traffic between them.
fn start(seconds: u32) -> (Mesh, [Site; 3], Traffic) {
    let mesh = Mesh::new(SERVICES);
    let sites = ["a", "b", "c"].map(|site| {
        mesh.start_with(site, |folder| {
            shorten(folder, seconds);
            lead_to_components(folder);
        })
    });
    let [a, b, c] = &sites;
    let traffic = Traffic::start(&mesh, a, b, c);
    (mesh, sites, traffic)
}

#[test]
#[ignore = "needs step-ca: tests/run"]
fn sessions_outlive_forty_renewals_and_a_cut() {
    let (mesh, sites, traffic) = start(20);
    let a = &sites[0];
    let mut idle = OpenPost::open(&a.machine, a.port("post-to-b"));
    traffic.goes_on(&WAYS);
    for _ in 0..RENEWALS {
        // Both ends of each tunnel at once.
        std::thread::scope(|scope| sites.iter().for_each(|site| drop(scope.spawn(|| site.renew()))));
        traffic.goes_on(&[Way::Feed]);
    }
    assert!(idle.answers());
    for site in &sites {
        assert!(site.issued() > RENEWALS);
        assert_eq!(site.metric("edgetrust_sessions_ended_total"), 0);
        assert!(site.metric("edgetrust_sessions_continued_total") >= RENEWALS);
    }
    traffic.goes_on(&WAYS);
    traffic.is_whole(&WAYS);

    // What is sent while a cable is out waits, and arrives when it is in again, before any certificate has ended.
    mesh.network.plug(&a.machine, "down");
    traffic.sends(40);
    mesh.network.plug(&a.machine, "up");
    traffic.goes_on(&WAYS);
    traffic.finish(&[Way::Feed, Way::NatsToA, Way::NatsToC]);
}

#[test]
#[ignore = "needs step-ca: tests/run"]
fn all_comes_back_from_outages() {
    let (mesh, [a, mut b, c], traffic) = start(15);
    // Each renewal comes by itself.
    let first = [&a, &b, &c].map(Site::issued);
    wait_until("three renewals", || [&a, &b, &c].iter().zip(first).all(|(site, first)| site.issued() >= first + 3));
    for site in [&a, &b, &c] {
        assert_eq!(site.metric("edgetrust_sessions_ended_total"), 0);
    }

    // The CA of b is away for three lifetimes: a and c go on, and b comes back by itself.
    b.stop_ca();
    let first = [&a, &c].map(Site::issued);
    wait_until("the last certificate of b ends", || a.metric("edgetrust_sessions_ended_total") > 0);
    for (site, first) in [&a, &c].into_iter().zip(first) {
        // Each comes after two thirds of the lifetime of the one before.
        wait_until("its own CA is there", || site.issued() >= first + 5);
    }
    b.start_ca();
    traffic.goes_on(&WAYS);

    // A cable is out for longer than a certificate lives, and in again.
    let ended = a.metric("edgetrust_sessions_ended_total");
    mesh.network.plug(&a.machine, "down");
    wait_until("sessions end with their certificates", || a.metric("edgetrust_sessions_ended_total") > ended);
    mesh.network.plug(&a.machine, "up");
    traffic.goes_on(&WAYS);
    traffic.finish(&[]);
}
