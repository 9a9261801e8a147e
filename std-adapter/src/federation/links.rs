//! The links of a mesh as pairs of sites, added and taken away one by one.

use std::collections::BTreeSet;

use super::mesh::{EVERY, Link, Mesh};

/// One site that may reach another for a service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pair {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) service: String,
}

impl Pair {
    /// Reads `FROM:TO:SERVICE`, the form of `--link`.
    ///
    /// # Errors
    /// Names what was found and what was expected.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text.split(':').collect::<Vec<_>>().as_slice() {
            [from, to, service] => Ok(Self::new(from, to, service)),
            _ => Err(format!("found {text:?}, expected FROM:TO:SERVICE as a:b:feed")),
        }
    }

    pub(crate) fn new(from: &str, to: &str, service: &str) -> Self {
        Self { from: from.to_owned(), to: to.to_owned(), service: service.to_owned() }
    }

    /// Checks that both sites and the service exist, and that the sites are two.
    pub(super) fn check(&self, what: &str, mesh: &Mesh) -> Result<(), String> {
        mesh.known_site(what, &self.from)?;
        mesh.known_site(what, &self.to)?;
        mesh.known_service(what, &self.service)?;
        if self.from == self.to {
            return Err(format!("{what}: found {0} to {0}, expected two sites", self.from));
        }
        Ok(())
    }
}

/// Returns all pairs of sites that are linked, in order.
pub(super) fn pairs(mesh: &Mesh) -> BTreeSet<Pair> {
    mesh.links.iter().flat_map(|link| of_link(mesh, link)).collect()
}

/// Returns the pairs of one entry. `*` is every site, and no site is linked with itself.
fn of_link(mesh: &Mesh, link: &Link) -> Vec<Pair> {
    let sites = |names: &[String]| -> Vec<String> {
        let all = names.iter().any(|name| name == EVERY);
        mesh.site_names().filter(|site| all || names.iter().any(|name| name == site)).map(str::to_owned).collect()
    };
    let (from, to) = (sites(&link.from), sites(&link.to));
    let pairs = from.iter().flat_map(|from| to.iter().map(|to| Pair::new(from, to, &link.service)));
    pairs.filter(|pair| pair.from != pair.to).collect()
}

/// Returns the entries that link every ordered pair of sites for one service: one for each target.
pub(super) fn every_pair(sites: &[&str], service: &str) -> Vec<Link> {
    let others = |to: &str| sites.iter().filter(|from| **from != to).map(|from| (*from).to_owned()).collect();
    let links =
        sites.iter().map(|to| Link { service: service.to_owned(), from: others(to), to: vec![(*to).to_owned()] });
    links.filter(|link: &Link| !link.from.is_empty()).collect()
}

/// Returns whether a pair is one of [`pairs`], without making them all.
fn is_linked(mesh: &Mesh, pair: &Pair) -> bool {
    let has = |names: &[String], site: &str| names.iter().any(|name| name == EVERY || name == site);
    let links = |link: &Link| link.service == pair.service && has(&link.to, &pair.to) && has(&link.from, &pair.from);
    pair.from != pair.to && mesh.links.iter().any(links)
}

/// Adds a pair to the entry of its service and target, if nothing links it yet.
pub(super) fn add(mesh: &mut Mesh, pair: &Pair) {
    if is_linked(mesh, pair) {
        return;
    }
    let of_target = |link: &&mut Link| link.service == pair.service && link.to == [pair.to.clone()];
    match mesh.links.iter_mut().find(of_target) {
        Some(link) => {
            link.from.push(pair.from.clone());
            link.from.sort();
        }
        None => mesh.links.push(Link {
            service: pair.service.clone(),
            from: vec![pair.from.clone()],
            to: vec![pair.to.clone()],
        }),
    }
}

/// Takes a pair away. Entries that hold it are written anew, pair by pair, and no longer contain `*`; all other entries
/// stay as they are.
pub(super) fn take(mesh: &mut Mesh, pair: &Pair) {
    let holds = |mesh: &Mesh, link: &Link| of_link(mesh, link).contains(pair);
    let (held, kept): (Vec<_>, Vec<_>) = mesh.links.clone().into_iter().partition(|link| holds(mesh, link));
    let mut rest: Vec<Pair> = held.iter().flat_map(|link| of_link(mesh, link)).collect();
    rest.retain(|other| other != pair);
    mesh.links = kept;
    rest.iter().for_each(|other| add(mesh, other));
}

/// Returns whether taking the pair away also means that sites to come are no longer linked by a `*`.
pub(super) fn loses_every(mesh: &Mesh, pair: &Pair) -> bool {
    let every = |names: &[String]| names.iter().any(|name| name == EVERY);
    mesh.links.iter().any(|link| (every(&link.from) || every(&link.to)) && of_link(mesh, link).contains(pair))
}

/// Takes a site out of all entries, and the entries away that then link nobody.
pub(super) fn drop_site(mesh: &mut Mesh, site: &str) {
    for link in &mut mesh.links {
        link.from.retain(|name| name != site);
        link.to.retain(|name| name != site);
    }
    mesh.links.retain(|link| !link.from.is_empty() && !link.to.is_empty());
}

#[cfg(test)]
mod tests {
    use super::super::mesh::{Service, Site};
    use super::*;

    fn mesh(links: &[(&[&str], &[&str])]) -> Mesh {
        let site =
            |name: &str| Site { name: name.to_owned(), domains: Vec::new(), issuers: Vec::new(), gateways: Vec::new() };
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let link =
            |(from, to): &(&[&str], &[&str])| Link { service: "feed".to_owned(), from: names(from), to: names(to) };
        Mesh {
            mesh: "m".to_owned(),
            sequence: 1,
            previous: None,
            not_after: String::new(),
            roots: Vec::new(),
            sites: ["a", "b", "c"].map(site).into(),
            services: vec![Service { name: "feed".to_owned(), port: 1 }],
            links: links.iter().map(link).collect(),
            denied_keys: Vec::new(),
        }
    }

    fn shown(mesh: &Mesh) -> String {
        pairs(mesh).iter().map(|pair| format!("{}{} ", pair.from, pair.to)).collect()
    }

    #[test]
    fn every_site_is_all_but_oneself() {
        assert_eq!(shown(&mesh(&[(&["*"], &["*"])])), "ab ac ba bc ca cb ");
        assert_eq!(shown(&mesh(&[(&["*"], &["c"]), (&["a"], &["a", "b"])])), "ab ac bc ");
    }

    #[test]
    fn pairs_come_and_go() {
        let mut mesh = mesh(&[(&["*"], &["*"])]);
        assert!(loses_every(&mesh, &Pair::new("a", "b", "feed")));
        take(&mut mesh, &Pair::new("a", "b", "feed"));
        assert_eq!(shown(&mesh), "ac ba bc ca cb ");
        assert!(mesh.links.iter().all(|link| link.to.len() == 1 && !link.from.contains(&"*".to_owned())));
        add(&mut mesh, &Pair::new("a", "b", "feed"));
        add(&mut mesh, &Pair::new("a", "b", "feed"));
        assert_eq!((shown(&mesh).as_str(), mesh.links.len()), ("ab ac ba bc ca cb ", 3));
        drop_site(&mut mesh, "b");
        assert_eq!(shown(&mesh), "ac ca ");
    }

    #[test]
    fn thousands_of_pairs_are_added_one_by_one() {
        let mut mesh = mesh(&[]);
        let site = |number: usize| Site { name: format!("s{number}"), ..mesh.sites[0].clone() };
        mesh.sites = (0..200).map(site).collect();
        let pairs: Vec<Pair> = (0..200)
            .flat_map(|from| (1..=20).map(move |step| (from, (from + step) % 200)))
            .map(|(from, to)| Pair::new(&format!("s{from}"), &format!("s{to}"), "feed"))
            .collect();
        pairs.iter().chain(&pairs).for_each(|pair| add(&mut mesh, pair));
        assert_eq!((super::pairs(&mesh).len(), mesh.links.len()), (4_000, 200));
    }

    #[test]
    fn a_pair_is_linked_if_it_is_one_of_the_pairs() {
        let shapes: [(&[&str], &[&str]); 6] = [
            (&["*"], &["*"]),
            (&["*"], &["c"]),
            (&["a"], &["a", "b"]),
            (&["b", "c"], &["*"]),
            (&["a", "*"], &["b"]),
            (&["c"], &["a"]),
        ];
        for (number, shape) in shapes.iter().enumerate() {
            let mesh = mesh(&[*shape, shapes[(number + 3) % shapes.len()]]);
            let names = ["a", "b", "c"];
            for (from, to) in names.iter().flat_map(|from| names.iter().map(move |to| (from, to))) {
                for service in ["feed", "other"] {
                    let pair = Pair::new(from, to, service);
                    assert_eq!(is_linked(&mesh, &pair), pairs(&mesh).contains(&pair), "{shape:?} {pair:?}");
                }
            }
        }
    }

    #[test]
    fn forms() {
        assert_eq!(Pair::parse("a:b:feed"), Ok(Pair::new("a", "b", "feed")));
        for text in ["", "a", "a:b", "a:b:feed:x"] {
            assert!(Pair::parse(text).is_err(), "{text}");
        }
        let mesh = mesh(&[]);
        for (pair, expected) in [
            (Pair::new("a", "a", "feed"), "--link: found a to a, expected two sites"),
            (Pair::new("a", "x", "feed"), "--link: found site \"x\", expected one of a, b, c"),
            (Pair::new("a", "b", "x"), "--link: found service \"x\", expected one of feed"),
        ] {
            assert_eq!(pair.check("--link", &mesh).unwrap_err(), expected);
        }
    }
}
