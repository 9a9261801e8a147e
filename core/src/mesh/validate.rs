//! Checks the values of a mesh against each other. Their syntax was checked where they were read.

use super::bounds::{MAX_CERTIFICATE, MAX_DENIED_KEYS, MAX_GATEWAYS, MAX_OF_ALL_SITES, MAX_ROOTS, MAX_SERVICES};
use super::certificate::{EncodedCertificate, SiteIssuer};
use super::error::{Detail, MeshError};
use super::index::{Index, Sites};
use super::mesh::Mesh;
use super::model::{Gateway, Site, SiteName, read_ports};
use super::names::{by_labels, is_within};
use super::read::{Element, Elements, List, MORE, Reader};
use crate::json::{Found, Segment};
use crate::path::{Anchor, Role};
use crate::x509::{Certificate, KeyHash};

/// The names of the services.
type Services<'a> = heapless::Vec<&'a str, { MAX_SERVICES as usize }>;

/// Checks a mesh whose values were all read.
pub(super) fn validate<'a>(mesh: &Mesh<'a>) -> Result<(), MeshError<'a>> {
    let services = services(mesh)?;
    roots(mesh)?;
    let index = index(mesh)?;
    links(mesh, &services, &index)?;
    let mut sites = mesh.sites.at(&[Segment::Key("sites")]);
    while let Some(site) = sites.try_next()? {
        gateways(&site, &sites.reader, &services)?;
    }
    domains(mesh)?;
    issuers(mesh)?;
    denied_keys(mesh)
}

fn services<'a>(mesh: &Mesh<'a>) -> Result<Services<'a>, MeshError<'a>> {
    let mut services = Services::new();
    let mut list = mesh.services.at(&[Segment::Key("services")]);
    while let Some(service) = list.try_next()? {
        if services.contains(&service.name()) {
            let found = Found::Text(service.name());
            return Err(list.reader.refuse_member("name", service.name_offset, found, "a name of no other service"));
        }
        let pushed = services.push(service.name()).is_ok();
        debug_assert!(pushed, "the list has at most MAX_SERVICES");
    }
    Ok(services)
}

fn roots<'a>(mesh: &Mesh<'a>) -> Result<(), MeshError<'a>> {
    let mut seen = heapless::Vec::<EncodedCertificate<'_>, { MAX_ROOTS as usize }>::new();
    let mut list = mesh.roots.at(&[Segment::Key("roots")]);
    while let Some(root) = list.try_next()? {
        ca(&root, &list.reader)?;
        if seen.contains(&root) {
            return Err(list.reader.refuse(Found::Text(root.as_str()), "each root once"));
        }
        let pushed = seen.push(root).is_ok();
        debug_assert!(pushed, "the list has at most MAX_ROOTS");
    }
    if seen.is_empty() {
        return Err(list.reader.refuse(Found::Nothing, "at least one root"));
    }
    Ok(())
}

/// Checks the certificate of a CA, and returns the hash of its key.
fn ca<'a>(encoded: &EncodedCertificate<'a>, reader: &Reader<'a>) -> Result<KeyHash, MeshError<'a>> {
    let refuse = |expected| reader.refuse(Found::Text(encoded.as_str()), expected);
    if encoded.length() > MAX_CERTIFICATE {
        return Err(refuse("a certificate of at most 8192 octets"));
    }
    let mut out = [0; MAX_CERTIFICATE];
    let der = encoded.decode(&mut out).ok_or_else(|| refuse("base64 with padding (RFC 4648 section 4)"))?;
    let certificate = Certificate::from_der(der).map_err(|error| {
        let detail = Some(Detail::Certificate(error));
        MeshError { detail, ..refuse("a certificate in DER") }
    })?;
    if Anchor::new(certificate).role() != Role::Ca {
        return Err(refuse("a certificate of a CA: cA and keyCertSign (RFC 5280 section 4.2.1.3)"));
    }
    Ok(KeyHash::of(&certificate.subject_public_key_info()))
}

fn index<'a>(mesh: &Mesh<'a>) -> Result<Index<'a>, MeshError<'a>> {
    let twice = match Index::new(&mesh.sites) {
        Ok(index) => return Ok(index),
        Err(twice) => twice,
    };
    let mut list = mesh.sites.at(&[Segment::Key("sites")]);
    let mut last = 0;
    while let Some(site) = list.try_next()? {
        if site.name() == twice && core::mem::replace(&mut last, site.name_offset) > 0 {
            break;
        }
    }
    Err(list.reader.refuse_member("name", last, Found::Text(twice), "a name of no other site"))
}

fn links<'a>(mesh: &Mesh<'a>, services: &Services<'a>, index: &Index<'a>) -> Result<(), MeshError<'a>> {
    let mut list = mesh.links.at(&[Segment::Key("links")]);
    while let Some(link) = list.try_next()? {
        if !services.contains(&link.service()) {
            let found = Found::Text(link.service());
            return Err(list.reader.refuse_member("service", link.service_offset, found, SERVICE));
        }
        sites_of_link(link.from.at(&list.reader.path_to("from")), index)?;
        sites_of_link(link.to.at(&list.reader.path_to("to")), index)?;
    }
    Ok(())
}

/// Checks one side of a link: `*` alone, or names of sites, each once.
fn sites_of_link<'a>(mut list: Elements<'a, SiteName<'a>>, index: &Index<'a>) -> Result<(), MeshError<'a>> {
    let mut seen = Sites::new();
    let mut is_empty = true;
    let mut every_other = false;
    while let Some(name) = list.try_next()? {
        let refuse = |expected| Err(list.reader.refuse(Found::Text(name.0), expected));
        if every_other || name == SiteName::EVERY_OTHER && !is_empty {
            return refuse("\"*\" alone, or names of sites alone");
        }
        every_other = name == SiteName::EVERY_OTHER;
        if !every_other {
            let Some(number) = index.number(name.0) else { return refuse("the name of a site") };
            if !seen.insert(number) {
                return refuse("each site once");
            }
        }
        is_empty = false;
    }
    if is_empty { Err(list.reader.refuse(Found::Nothing, "at least one site, or \"*\"")) } else { Ok(()) }
}

fn gateways<'a>(site: &Site<'a>, reader: &Reader<'a>, services: &Services<'a>) -> Result<(), MeshError<'a>> {
    let mut seen = heapless::Vec::<&str, { MAX_GATEWAYS as usize }>::new();
    if site.domains().next().is_none() {
        return Err(reader.refuse_member("domains", site.name_offset, Found::Nothing, "at least one domain"));
    }
    if site.issuers.iter().next().is_none() {
        return Err(reader.refuse_member("issuers", site.name_offset, Found::Nothing, "at least one issuer"));
    }
    let mut list = site.gateways.at(&reader.path_to("gateways"));
    while let Some(gateway) = list.try_next()? {
        let host = gateway.host();
        let refuse = |expected| list.reader.refuse_member("host", gateway.host_offset, Found::Text(host), expected);
        if !site.domains().any(|domain| is_within(host, domain)) {
            let detail = site.domains().next().map(Detail::Other);
            return Err(MeshError { detail, ..refuse("a name equal to a domain of the site or below one") });
        }
        if seen.contains(&host) {
            return Err(refuse("a name of no other gateway"));
        }
        let pushed = seen.push(host).is_ok();
        debug_assert!(pushed, "the list has at most MAX_GATEWAYS");
        ports(&gateway, &list.reader, services)?;
    }
    Ok(())
}

fn ports<'a>(gateway: &Gateway<'a>, reader: &Reader<'a>, services: &Services<'a>) -> Result<(), MeshError<'a>> {
    if !gateway.ports.is_written() {
        return Ok(());
    }
    read_ports(&mut gateway.ports.reader(&reader.path_to("ports")), |reader, service, _| {
        if services.contains(&service) { Ok(()) } else { Err(reader.refuse(Found::Text(service), SERVICE)) }
    })
}

const SERVICE: &str = "the name of a service";

/// Checks that no domain is equal to another or below it: names below would belong to two sites.
#[inline(never)]
fn domains<'a>(mesh: &Mesh<'a>) -> Result<(), MeshError<'a>> {
    let mut all = heapless::Vec::<&str, MAX_OF_ALL_SITES>::new();
    each_of_sites(
        mesh,
        |site| (site.domains, "domains"),
        |reader, domain| all.push(domain.0).map_err(|_| reader.refuse(MORE, "at most 2048 domains of all sites")),
    )?;
    all.sort_unstable_by(|a, b| by_labels(a, b));
    let mut pairs = all.iter().zip(all.iter().skip(1));
    let Some((above, below)) = pairs.find(|(above, below)| is_within(below, above)) else { return Ok(()) };
    let mut first = None;
    each_of_sites(
        mesh,
        |site| (site.domains, "domains"),
        |reader, domain| {
            if domain.0 != *above && domain.0 != *below {
                return Ok(());
            }
            match first.replace(domain.0) {
                None => Ok(()),
                Some(other) => {
                    let expected = "a domain that is not another one, nor below or above another";
                    let error = reader.refuse(Found::Text(domain.0), expected);
                    Err(MeshError { detail: Some(Detail::Other(other)), ..error })
                }
            }
        },
    )
}

/// Checks that issuers are CAs, and that no two sites have one key.
#[inline(never)]
fn issuers<'a>(mesh: &Mesh<'a>) -> Result<(), MeshError<'a>> {
    let mut all = heapless::Vec::<Key, MAX_OF_ALL_SITES>::new();
    each_of_sites(
        mesh,
        |site| (site.issuers, "issuers"),
        |reader, at| {
            let hash = match at.issuer {
                SiteIssuer::Certificate(certificate) => ca(&certificate, reader)?,
                SiteIssuer::Key(hash) => hash,
            };
            let full = |_| reader.refuse(MORE, "at most 2048 issuers of all sites");
            all.push(Key::new(&hash, at.offset)).map_err(full)
        },
    )?;
    let hashes = || mesh.sites.iter().flat_map(|site| site.issuers.iter()).map(|at| at.issuer.key_hash());
    let Some(twice) = second_of_equals(&mut all, hashes) else { return Ok(()) };
    each_of_sites(
        mesh,
        |site| (site.issuers, "issuers"),
        |reader, at| {
            if at.offset == twice { Err(reader.refuse(found(&at.issuer), "a key of no other issuer")) } else { Ok(()) }
        },
    )
}

fn found<'a>(issuer: &SiteIssuer<'a>) -> Found<'a> {
    match issuer {
        SiteIssuer::Certificate(certificate) => Found::Text(certificate.as_str()),
        SiteIssuer::Key(_) => Found::Literal("a hash"),
    }
}

#[inline(never)]
fn denied_keys<'a>(mesh: &Mesh<'a>) -> Result<(), MeshError<'a>> {
    let mut all = heapless::Vec::<Key, { MAX_DENIED_KEYS as usize }>::new();
    for denied in mesh.denied_keys.iter() {
        let pushed = all.push(Key::new(&denied.key(), denied.key_offset)).is_ok();
        debug_assert!(pushed, "the list has at most MAX_DENIED_KEYS");
    }
    let hashes = || mesh.denied_keys.iter().map(|denied| Some(denied.key()));
    let Some(twice) = second_of_equals(&mut all, hashes) else { return Ok(()) };
    let mut list = mesh.denied_keys.at(&[Segment::Key("denied_keys")]);
    while let Some(denied) = list.try_next()? {
        if denied.key_offset == twice {
            return Err(list.reader.refuse_member("key", twice, Found::Literal("a hash"), "each key once"));
        }
    }
    Ok(())
}

/// A key while keys are compared. A whole hash would take twice the stack.
struct Key {
    /// 64 bits of the hash.
    bits: u64,
    /// The place of the key in the text.
    offset: u32,
    /// Equal for keys whose hashes have the same bits before these.
    group: u32,
}

/// The parts of 64 bits that a hash has.
const PARTS: usize = 4;

impl Key {
    fn new(hash: &KeyHash, offset: usize) -> Self {
        Self { bits: bits(hash, 0), offset: u32::try_from(offset).unwrap_or(u32::MAX), group: 0 }
    }
}

/// Returns one part of a hash.
fn bits(hash: &KeyHash, part: usize) -> u64 {
    let (parts, _) = hash.octets().as_chunks();
    parts.get(part).map_or(0, |octets| u64::from_be_bytes(*octets))
}

/// Returns the offset of a key that another one before it equals. `keys` are in the order of the text, and so are the
/// hashes that `hashes` returns.
///
/// Hashes are compared part by part. Most meshes need the first part alone. Whoever makes keys with equal first parts,
/// which takes about 2^32 attempts, makes this read the list three times more, and sort it four times more.
#[inline(never)]
fn second_of_equals<I>(keys: &mut [Key], hashes: impl Fn() -> I) -> Option<usize>
where
    I: Iterator<Item = Option<KeyHash>>,
{
    for part in 1..=PARTS {
        if !form_groups(keys) {
            return None;
        }
        if part < PARTS {
            keys.sort_unstable_by_key(|key| key.offset);
            for (key, hash) in keys.iter_mut().zip(hashes()) {
                // Every certificate was looked at.
                key.bits = hash.map_or(0, |hash| bits(&hash, part));
            }
        }
    }
    let pairs = keys.iter().zip(keys.iter().skip(1));
    let seconds = pairs.filter(|(one, other)| one.group == other.group).map(|(_, second)| second.offset);
    seconds.min().and_then(|offset| usize::try_from(offset).ok())
}

/// Sorts keys, and makes a group of those that were of one group and have equal bits. Returns whether a group has two.
fn form_groups(keys: &mut [Key]) -> bool {
    keys.sort_unstable_by_key(|key| (key.group, key.bits, key.offset));
    let (mut last, mut group, mut equal) = (None, 0_u32, false);
    for key in keys {
        let this = Some((key.group, key.bits));
        if this == last {
            equal = true;
        } else {
            group = group.saturating_add(1);
        }
        last = this;
        key.group = group;
    }
    equal
}

/// Calls `each` for the elements of one list of each site.
fn each_of_sites<'a, T: Element<'a>>(
    mesh: &Mesh<'a>,
    list: impl Fn(&Site<'a>) -> (List<'a, T>, &'static str),
    mut each: impl FnMut(&Reader<'a>, T) -> Result<(), MeshError<'a>>,
) -> Result<(), MeshError<'a>> {
    let mut sites = mesh.sites.at(&[Segment::Key("sites")]);
    while let Some(site) = sites.try_next()? {
        let (list, key) = list(&site);
        let mut elements = list.at(&sites.reader.path_to(key));
        while let Some(element) = elements.try_next()? {
            each(&elements.reader, element)?;
        }
    }
    Ok(())
}
