//! Runs a mesh through an hour without news, a denied key, outages, and two administrators who do not know of each other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use edgetrust::program::mesh::{Fleet, Listed};
use edgetrust_core::mesh::Edition;
use pki_types::UnixTime;

use super::editions::{Editions, TextNumber};
use super::links::{Links, parts, reached};
use super::network::Network;
use super::report::{News, Report};
use super::world::World;
use super::{Failure, HOUR, MINUTE, Millis, SECOND};
use crate::random::Random;

/// The parameters of a run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub sites: usize,
    pub links: Links,
    pub listed: Listed,
    /// The bandwidth from each site, in megabits a second.
    pub mbit: u64,
    /// The seed that replays the run. Keys and certificates are new in each run: on them depend which of two meshes of one
    /// sequence wins, and a few octets of the file's size.
    pub seed: u64,
}

/// Runs a simulation, with files in a folder that is still to be made.
///
/// # Errors
/// Fails if there are too few sites, or a mesh of so many cannot be made.
pub fn simulate(options: &Options, folder: &Path) -> Result<Report, Failure> {
    let Options { sites, links, listed, mbit, seed } = *options;
    if sites < 5 {
        return Err(format!("--sites: found {sites}, expected 5 or more").into());
    }
    let mut random = Random(seed);
    let links = links.draw(sites, &mut random);
    fs::create_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let (made, own) = (folder.join("mesh"), folder.join("gateway"));
    let fleet = Fleet::make(&made, sites, &reached(&links), listed, UnixTime::now())?;
    let since = Instant::now();
    let checked = fleet.check()?;
    let check = since.elapsed();
    fs::create_dir(&own).map_err(|error| format!("{}: {error}", own.display()))?;
    let editions = Editions::new(&fleet, &made, &own, sites)?;
    let network = Network { seed: random.draw(), mbit };
    let mut run = Run::new(&made, folder, editions, &links, network, random)?;
    let other = match listed {
        Listed::Keys => Listed::Certificates,
        Listed::Certificates => Listed::Keys,
    };
    let other_form = octets(&folder.join("other"), sites, &links, other)?;
    let signed = run.world.editions.octets(0);

    let world = &mut run.world;
    world.run_until(10 * MINUTE);
    let before: Vec<_> = world.gateways.iter().map(|gateway| gateway.sent).collect();
    world.run_until(10 * MINUTE + HOUR);
    let sent = world.gateways.iter().zip(&before);
    let mut messages: Vec<_> = sent.clone().map(|(gateway, before)| gateway.sent.messages - before.messages).collect();
    let mut octets: Vec<_> = sent.map(|(gateway, before)| gateway.sent.octets - before.octets).collect();
    messages.sort_unstable();
    octets.sort_unstable();

    let calm = run.deny(1, 20 * MINUTE)?;
    run.world.set_outages(true);
    run.pass(30 * MINUTE);
    let outages = run.deny(1, HOUR)?;
    let conflict = run.deny(2, HOUR)?;
    run.world.set_outages(false);
    run.pass(40 * MINUTE);
    let (editions, refused) = run.end();
    let [judging, loading] = run.world.editions.longest;
    Ok(Report {
        wanted: checked.wanted,
        hold: checked.hold,
        signed,
        other_form,
        check,
        deny: run.denying,
        judging,
        loading,
        messages,
        octets,
        calm,
        outages,
        conflict,
        editions,
        refused,
        events: run.world.events,
    })
}

/// Returns the size of the signed file of the same mesh, with the CAs named in another form.
fn octets(folder: &Path, sites: usize, links: &[Vec<usize>], listed: Listed) -> Result<u64, Failure> {
    Fleet::make(folder, sites, &reached(links), listed, UnixTime::now())?;
    let (_, signed) = Fleet::files(folder);
    Ok(fs::metadata(&signed).map_err(|error| format!("{}: {error}", signed.display()))?.len())
}

/// A run with the administrators' folders.
struct Run<'a> {
    world: World,
    random: Random,
    links: &'a [Vec<usize>],
    admins: [PathBuf; 2],
    /// The sites whose gateways have denied keys.
    denied: BTreeSet<usize>,
    /// The longest time that the command took.
    denying: Duration,
}

impl<'a> Run<'a> {
    fn new(
        made: &Path,
        folder: &Path,
        editions: Editions,
        links: &'a [Vec<usize>],
        network: Network,
        mut random: Random,
    ) -> Result<Self, Failure> {
        let admins = ["admin", "other-admin"].map(|name| folder.join(name));
        Fleet::copy(made, &admins[0])?;
        let world = World::new(editions, links, network, Random(random.draw()));
        Ok(Self { world, random, links, admins, denied: BTreeSet::new(), denying: Duration::ZERO })
    }

    fn pass(&mut self, time: Millis) {
        self.world.run_until(self.world.now + time);
    }

    /// Draws a site whose key counts, and which is up. The first is the centre of a star, and none is denied there.
    fn draw(&mut self, from: usize) -> usize {
        loop {
            let site = from + self.random.below((self.world.gateways.len() - from) as u64) as usize;
            if !self.denied.contains(&site) && self.world.gateways[site].is_up() {
                return site;
            }
        }
    }

    /// Denies the key of one gateway, or of two by two administrators at once, each at a gateway of another site.
    fn deny(&mut self, admins: usize, time: Millis) -> Result<News, Failure> {
        if admins == 2 {
            Fleet::copy(&self.admins[0], &self.admins[1])?;
        }
        let mut texts: Vec<TextNumber> = Vec::new();
        let mut keys = Vec::new();
        for admin in 0..admins {
            let victim = self.draw(1);
            self.denied.insert(victim);
            let key = self.world.editions.key(victim)?;
            let since = Instant::now();
            Fleet::deny(&self.admins[admin], key, UnixTime::now())?;
            self.denying = self.denying.max(since.elapsed());
            keys.push(key);
            texts.push(self.world.editions.add(&Fleet::files(&self.admins[admin]).1)?);
        }
        let begun = self.world.now;
        self.world.expect(keys);
        let mut origins = Vec::new();
        for text in texts {
            let site = self.draw(0);
            self.world.install(site, text);
            origins.push(site);
        }
        let down = self.world.gateways.iter().filter(|gateway| !gateway.is_up()).count();
        self.pass(time);
        Ok(self.news(begun, down, &origins))
    }

    fn news(&self, begun: Millis, down: usize, origins: &[usize]) -> News {
        let mut news = News { down, ..News::default() };
        let (parts, mut missing) = (parts(self.links, &self.denied), Vec::new());
        let heard_of = |part: Option<usize>| origins.iter().all(|origin| parts[*origin] == part);
        for (site, gateway) in self.world.gateways.iter().enumerate() {
            if self.denied.contains(&site) {
                continue;
            }
            if !heard_of(parts[site]) {
                news.apart += 1;
                continue;
            }
            let waits = gateway.waits;
            news.up += usize::from(waits.was_up);
            let within = |time| waits.was_up && waits.heard.is_some_and(|heard| heard - begun <= time);
            news.in_ten_seconds += usize::from(within(10 * SECOND));
            news.in_three_minutes += usize::from(within(3 * MINUTE));
            match waits.heard {
                None if gateway.is_up() => missing.push(waits.without + self.world.now - waits.since.unwrap_or(begun)),
                // It was down, and is yet.
                _ => news.without.push(waits.without),
            }
        }
        news.missing = missing.len();
        news.without.sort_unstable();
        news.without.extend(missing);
        news
    }

    /// Returns the most editions that are in force at gateways that are connected, and the connections that those have whose
    /// keys are denied.
    fn end(&mut self) -> (usize, usize) {
        let world = &self.world;
        let mut editions: BTreeMap<usize, BTreeSet<Edition>> = BTreeMap::new();
        for (part, gateway) in parts(self.links, &self.denied).into_iter().zip(&world.gateways) {
            if let Some(part) = part {
                editions.entry(part).or_default().insert(world.editions.held(gateway.in_force).edition());
            }
        }
        let most = editions.values().map(BTreeSet::len).max().unwrap_or(0);
        let denied: Vec<usize> = self.denied.iter().copied().collect();
        let refused = denied.into_iter().map(|site| self.world.connections_of(site)[1]).sum();
        (most, refused)
    }
}
