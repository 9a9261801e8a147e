//! Draws who reaches whom: a table for each service, sites that reach in rows, sites that are reached in columns.

use std::collections::BTreeMap;

use crate::federation::Link;

/// The most columns of a terminal that a table takes.
const WIDTH: usize = 120;

/// Stands for a site and itself.
const ITSELF: &str = ".";

/// Returns the lines of the tables, of services that a link is for. Too many sites for a line have no table.
pub(super) fn matrices(sites: &[String], links: &[Link]) -> Vec<String> {
    let mut services: Vec<&str> =
        links.iter().filter(|link| link.wanted || link.holds == Some(true)).map(|link| link.service.as_str()).collect();
    services.sort_unstable();
    services.dedup();
    let mut lines = Vec::new();
    let mut drawn = false;
    for service in services {
        let first = sites.iter().map(String::len).chain([service.len()]).max().unwrap_or_default();
        let widths: Vec<usize> = sites.iter().map(|site| site.len().max("yes".len())).collect();
        let width = widths.iter().fold(first, |sum, width| sum.saturating_add(*width).saturating_add(2));
        if width > WIDTH {
            lines.push(format!("{service}: a table of {} sites is too wide; --json has every link", sites.len()));
            continue;
        }
        let row = |name: &str, cells: &mut dyn Iterator<Item = &str>| {
            let cells: String = cells.zip(&widths).map(|(cell, width)| format!("  {cell:<width$}")).collect();
            format!("{name:<first$}{cells}").trim_end().to_owned()
        };
        let of_service = links.iter().filter(|link| link.service == service);
        let cells: BTreeMap<(&str, &str), &str> =
            of_service.map(|link| ((link.from.as_str(), link.to.as_str()), cell(link))).collect();
        drawn = true;
        lines.push(row(service, &mut sites.iter().map(String::as_str)));
        for from in sites {
            let cells = sites.iter().map(|to| if from == to { ITSELF } else { of_pair(&cells, from, to) });
            lines.push(row(from, &mut cells.collect::<Vec<_>>().into_iter()));
        }
    }
    if drawn {
        lines.push(
            "rows reach columns: yes, NO where it is wanted and does not hold, ? not judged, - not wanted".to_owned(),
        );
    }
    lines
}

fn of_pair<'c>(cells: &BTreeMap<(&str, &str), &'c str>, from: &str, to: &str) -> &'c str {
    cells.get(&(from, to)).copied().unwrap_or("-")
}

fn cell(link: &Link) -> &'static str {
    match (link.wanted, link.holds) {
        (true, Some(true)) => "yes",
        (true, Some(false)) => "NO",
        (false, Some(false)) => "-",
        // Nobody asks for it, and it is let in all the same.
        (false, Some(true)) => "YES!",
        (_, None) => "?",
    }
}
