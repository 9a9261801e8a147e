//! Draws which sites reach which.

use std::collections::BTreeSet;

use crate::random::Random;

/// The sites that a site reaches where links are drawn at random.
const OF_EACH: usize = 10;

/// The shape of a mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// Each site reaches ten others, drawn at random.
    Random,
    /// All sites reach the first one.
    Star,
    /// Each site reaches the next one.
    Ring,
    /// All sites reach each other: a gateway has room for 32 tunnels.
    Full,
}

impl Links {
    /// Returns the shape of this name.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "random" => Self::Random,
            "star" => Self::Star,
            "ring" => Self::Ring,
            "full" => Self::Full,
            _ => return None,
        })
    }

    /// Returns for each site, in order, those that it reaches.
    pub fn draw(self, sites: usize, random: &mut Random) -> Vec<Vec<usize>> {
        let of = |from: usize, random: &mut Random| match self {
            Self::Random => others(from, sites, random),
            Self::Star => {
                if from == 0 {
                    Vec::new()
                } else {
                    vec![0]
                }
            }
            Self::Ring => {
                if sites > 1 {
                    vec![(from + 1) % sites]
                } else {
                    Vec::new()
                }
            }
            Self::Full => (0..sites).filter(|to| *to != from).collect(),
        };
        (0..sites).map(|from| of(from, random)).collect()
    }
}

fn others(from: usize, sites: usize, random: &mut Random) -> Vec<usize> {
    let mut drawn = BTreeSet::new();
    while drawn.len() < OF_EACH.min(sites.saturating_sub(1)) {
        let to = random.below(sites as u64) as usize;
        if to != from {
            drawn.insert(to);
        }
    }
    drawn.into_iter().collect()
}

/// Returns for each site that is reached, those that reach it.
pub fn reached(links: &[Vec<usize>]) -> Vec<(usize, Vec<usize>)> {
    let from = |to: usize| (0..links.len()).filter(|from| links[*from].contains(&to)).collect::<Vec<_>>();
    (0..links.len()).map(|to| (to, from(to))).filter(|(_, from)| !from.is_empty()).collect()
}

/// Returns for each site the number of the part that it is in, where news goes both ways along links, and not through sites
/// whose keys are denied; none for those.
pub fn parts(links: &[Vec<usize>], denied: &BTreeSet<usize>) -> Vec<Option<usize>> {
    let mut neighbours = links.to_vec();
    links.iter().enumerate().for_each(|(from, to)| to.iter().for_each(|to| neighbours[*to].push(from)));
    let mut parts = vec![None; links.len()];
    for first in 0..links.len() {
        let mut next = vec![first];
        while let Some(site) = next.pop() {
            if parts[site].is_none() && !denied.contains(&site) {
                parts[site] = Some(first);
                next.extend(&neighbours[site]);
            }
        }
    }
    parts
}
