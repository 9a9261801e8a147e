//! Judges links: whether the gateways of one site would be let in at another, and would take its gateway for what it is.

use edgetrust_core::identity::{Issuers, PeerPolicy, Rule, RuleName, ServerName, ServerPolicy};
use edgetrust_core::mesh::Unreachable;
use edgetrust_core::time::Utc;
use edgetrust_core::x509::KeyHash;
use pki_types::UnixTime;
use serde::Serialize;

use super::index::{Index, Service, Site};
use super::paths::Judged;
use super::reasons;

/// A site that reaches another, or does not.
#[derive(Debug, Serialize)]
pub(crate) struct Link {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) service: String,
    /// True if a link of the mesh asks for it.
    pub(crate) wanted: bool,
    /// `None` if it cannot be judged.
    pub(crate) holds: Option<bool>,
    /// The rule that lets the client in.
    pub(crate) rule: Option<Matched>,
    /// The earliest end of a CA on the way, in both directions.
    pub(crate) until: Option<String>,
    pub(crate) reason: Option<String>,
}

/// A rule that matched, in the form of `allowed_clients`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Matched {
    pub(crate) dns: String,
    issuers: Vec<String>,
}

/// The verdict on one side of a link.
#[derive(Clone)]
enum Verdict {
    Holds(UnixTime, Option<Matched>),
    NotJudged(String),
    Fails(String),
}

/// The facts about a mesh that links are judged by.
pub(super) struct Known<'j> {
    pub(super) index: &'j Index<'j>,
    pub(super) judged: &'j [Vec<Judged<'j>>],
    pub(super) now: UnixTime,
}

impl Known<'_> {
    /// Judges every link of the mesh; and every ordered pair of sites, if these are at most so many.
    pub(super) fn links(&self, most_pairs: usize) -> Vec<Link> {
        let all_pairs = self.index.pairs() <= most_pairs;
        // A site is the same server whoever dials it.
        let servers: Vec<Verdict> = self.sites().map(|(site, judged)| self.server(site, judged)).collect();
        let mut links = Vec::new();
        for service in &self.index.services {
            for ((to, site), server) in self.index.sites.iter().enumerate().zip(&servers) {
                links.extend(self.links_to(service, (to, site), server, all_pairs));
            }
        }
        links.sort_by(|one, other| (&one.from, &one.to, &one.service).cmp(&(&other.from, &other.to, &other.service)));
        links
    }

    fn sites(&self) -> impl Iterator<Item = (&Site<'_>, &[Judged<'_>])> {
        self.index.sites.iter().zip(self.judged.iter().map(Vec::as_slice))
    }

    /// Judges the links of a service to one site, with the rules that the gateway there takes from the mesh.
    fn links_to(
        &self,
        service: &Service<'_>,
        (to, site): (usize, &Site<'_>),
        server: &Verdict,
        all: bool,
    ) -> Vec<Link> {
        let wanted: Vec<usize> = service.linked(to).collect();
        let rules: Vec<Rule<'_>> =
            wanted.iter().filter_map(|from| self.index.sites.get(*from)).flat_map(rules).collect();
        let others: Vec<usize> = match all {
            true => (0..self.index.sites.len()).filter(|from| *from != to).collect(),
            false => wanted.clone(),
        };
        let mut links = Vec::new();
        for number in others {
            let (Some(from), Some(judged)) = (self.index.sites.get(number), self.judged.get(number)) else { continue };
            let client = self.client(from, judged, &rules, site.name);
            let link = Link {
                from: from.name.to_owned(),
                to: site.name.to_owned(),
                service: service.name.to_owned(),
                wanted: wanted.binary_search(&number).is_ok(),
                holds: None,
                rule: None,
                until: None,
                reason: None,
            };
            links.push(if link.wanted { link.judged(&client, server) } else { link.unwanted(&client) });
        }
        links
    }

    /// Judges the gateways of a site as clients: all of them have to be let in.
    fn client(&self, site: &Site<'_>, judged: &[Judged<'_>], rules: &[Rule<'_>], to: &str) -> Verdict {
        let of_host = |host: &&str| {
            let leafs = judged.iter().filter(|leaf| leaf.host == *host);
            best(leafs.map(|leaf| {
                self.verdict(site, leaf, &leaf.client, |path| {
                    let peer = PeerPolicy::OneOf(rules).authorize(path.clone());
                    let peer = peer.map_err(|denied| reasons::of_rule(denied, leaf.host, to))?;
                    let rule = peer.rule().and_then(|rule| rules.get(usize::from(rule)));
                    Ok(rule.map(|rule| matched(rule, &leaf.issuer.key)))
                })
            }))
        };
        let none = || Verdict::Fails(format!("site {0} has no gateway; mesh.json has to name one of {0}", site.name));
        site.hosts.iter().map(of_host).reduce(worse).unwrap_or_else(none)
    }

    /// Judges the gateway of a site that others dial.
    fn server(&self, site: &Site<'_>, judged: &[Judged<'_>]) -> Verdict {
        let Some(host) = site.hosts.first() else {
            let error = Unreachable::Gateway(site.name);
            return Verdict::Fails(format!("{error}; mesh.json has to name one of {}", site.name));
        };
        let policy = ServerPolicy { name: ServerName::Dns(host), issuers: Issuers::OneOf(&site.keys) };
        let leafs = judged.iter().filter(|leaf| leaf.host == *host);
        best(leafs.map(|leaf| {
            self.verdict(site, leaf, &leaf.server, |path| match policy.authorize(path.clone()) {
                Ok(_) => Ok(None),
                Err(denied) => Err(format!("gateway {host} of site {} would not be believed: {denied}", site.name)),
            })
        }))
    }

    fn verdict<'p>(
        &self,
        site: &Site<'_>,
        leaf: &Judged<'_>,
        path: &Option<Result<edgetrust_core::path::VerifiedPath<'p>, edgetrust_core::path::PathError>>,
        authorize: impl FnOnce(&edgetrust_core::path::VerifiedPath<'p>) -> Result<Option<Matched>, String>,
    ) -> Verdict {
        match path {
            Some(Ok(path)) => match authorize(path) {
                Ok(rule) => Verdict::Holds(path.valid_until(), rule),
                Err(reason) => Verdict::Fails(reason),
            },
            Some(Err(error)) => Verdict::Fails(reasons::of_path(error, site, leaf.issuer, self.index, self.now)),
            // A denied key is good for nothing, whatever its certificate says.
            None if self.index.denial(&leaf.issuer.key, self.now).is_some() => {
                let what = format!("the CA of site {}", site.name);
                Verdict::Fails(reasons::denied(&what, &leaf.issuer.key, self.index, self.now))
            }
            None => Verdict::NotJudged(reasons::not_judged(site, leaf.issuer)),
        }
    }
}

/// Returns the rules that a gateway has for a site, one for each gateway of it.
fn rules<'a>(site: &'a Site<'_>) -> impl Iterator<Item = Rule<'a>> {
    site.hosts.iter().map(|host| Rule { name: RuleName::Dns(host), issuers: Issuers::OneOf(&site.keys) })
}

fn matched(rule: &Rule<'_>, issuer: &KeyHash) -> Matched {
    let dns = match rule.name {
        RuleName::Dns(name) | RuleName::CommonName(name) | RuleName::Uri(name) => name.to_owned(),
        RuleName::Ip(address) => address.to_string(),
    };
    Matched { dns, issuers: vec![issuer.to_string()] }
}

/// Returns the verdict on a gateway from those on its site's CAs: one CA that is good is enough.
fn best(verdicts: impl Iterator<Item = Verdict>) -> Verdict {
    let better = |one, other| match (&one, &other) {
        (Verdict::Holds(until, _), Verdict::Holds(later, _)) if until < later => other,
        (Verdict::Holds(..), _) => one,
        (_, Verdict::Holds(..)) => other,
        (Verdict::NotJudged(_), _) => one,
        (_, Verdict::NotJudged(_)) => other,
        (Verdict::Fails(_), Verdict::Fails(_)) => one,
    };
    // Every site has an issuer: the mesh was checked.
    verdicts.reduce(better).unwrap_or_else(|| Verdict::Fails("the site has no issuer".to_owned()))
}

/// Returns the verdict on two things of which both are needed.
fn worse(one: Verdict, other: Verdict) -> Verdict {
    match (&one, &other) {
        (Verdict::Fails(reason), Verdict::Fails(another)) if reason != another => {
            Verdict::Fails(format!("{reason}; and {another}"))
        }
        (Verdict::Fails(_), _) => one,
        (_, Verdict::Fails(_)) => other,
        (Verdict::NotJudged(_), _) => one,
        (_, Verdict::NotJudged(_)) => other,
        (Verdict::Holds(until, _), Verdict::Holds(later, _)) if until > later => other,
        (Verdict::Holds(..), Verdict::Holds(..)) => one,
    }
}

impl Link {
    /// Takes the verdicts on both sides of a link that is wanted.
    fn judged(self, client: &Verdict, server: &Verdict) -> Self {
        let rule = match client {
            Verdict::Holds(_, rule) => rule.clone(),
            Verdict::NotJudged(_) | Verdict::Fails(_) => None,
        };
        match worse(client.clone(), server.clone()) {
            Verdict::Holds(until, _) => Self { holds: Some(true), rule, until: Some(Utc(until).to_string()), ..self },
            Verdict::NotJudged(reason) => Self { reason: Some(reason), ..self },
            Verdict::Fails(reason) => Self { holds: Some(false), reason: Some(reason), ..self },
        }
    }

    /// Takes the verdict on a client that no link lets in. Its own gateway has no tunnel that leads there either.
    fn unwanted(self, client: &Verdict) -> Self {
        if let Verdict::Holds(until, rule) = client {
            let reason = Some("no link of the mesh asks for it, and a rule lets it in".to_owned());
            let until = Some(Utc(*until).to_string());
            return Self { holds: Some(true), rule: rule.clone(), until, reason, ..self };
        }
        let error = Unreachable::Link { service: &self.service, from: &self.from, to: &self.to };
        let reason = format!("{error}; whoever signs the mesh can add one with `federation link`");
        Self { holds: Some(false), reason: Some(reason), ..self }
    }
}
