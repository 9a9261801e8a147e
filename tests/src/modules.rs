//! Reads which file of a crate names an item that another of its files defines.
//!
//! A path is followed through `super`, `crate`, re-exports and imports to the file that defines the item. A re-export
//! alone is no edge: a parent that only shows what its children define depends on none of them. Calls of methods are
//! not seen: they name no path.

use std::collections::{BTreeMap, BTreeSet};

use crate::repository::{Source, rust};

/// The words before the name of an item.
const ITEMS: &[&str] = &["fn", "struct", "enum", "trait", "type", "const", "static", "union", "macro_rules!", "mod"];

/// A file's items, imports and paths.
#[derive(Default)]
struct Module {
    file: String,
    parent: Option<usize>,
    children: BTreeMap<String, usize>,
    items: BTreeSet<String>,
    imports: Vec<Import>,
    /// The paths in the text, with those of imports.
    paths: BTreeSet<Vec<String>>,
}

/// `use path as name;`
struct Import {
    name: String,
    path: Vec<String>,
    /// True for a `pub use`.
    shown: bool,
}

/// The target of a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Found {
    Module(usize),
    /// An item that this module defines.
    Item(usize),
}

/// The files of one or more crates, and what each names.
#[derive(Default)]
pub struct Modules {
    all: Vec<Module>,
}

/// One file names an item of another.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Edge {
    /// The file that names the item.
    pub from: String,
    /// The file that defines it.
    pub to: String,
    /// The path, as it is written.
    pub path: String,
}

impl Modules {
    /// Reads all crates below `folder`: those of `lib.rs`, `main.rs` and the programs in `bin`.
    pub fn read(folder: &str) -> Self {
        Self::of(folder, rust(folder))
    }

    /// Reads crates from their files.
    fn of(folder: &str, files: Vec<Source>) -> Self {
        let texts: BTreeMap<String, String> =
            files.into_iter().map(|source| (source.path.clone(), code(&source))).collect();
        let mut modules = Self::default();
        for file in texts.keys().filter(|path| is_root(folder, path)) {
            modules.add(None, file, &texts);
        }
        modules
    }

    fn add(&mut self, parent: Option<usize>, file: &str, texts: &BTreeMap<String, String>) -> usize {
        let text = &texts[file];
        let this = self.all.len();
        let (imports, rest) = imports(text);
        let own = rest.lines().filter(|line| declared(line).is_none());
        let words: BTreeSet<&str> = own.flat_map(|line| line.split(|c| !is_word(c))).collect();
        let mut paths = paths_in(&rest);
        let used = imports.iter().filter(|import| !import.shown || words.contains(import.name.as_str()));
        paths.extend(used.map(|import| import.path.clone()));
        self.all.push(Module {
            file: file.to_owned(),
            parent,
            items: text.lines().filter_map(defined).map(str::to_owned).collect(),
            imports,
            paths,
            ..Module::default()
        });
        let folder = if parent.is_none() || file.ends_with("/mod.rs") {
            file.rsplit_once('/').expect("a folder").0
        } else {
            file.trim_end_matches(".rs")
        };
        for name in text.lines().filter_map(declared) {
            let places = [format!("{folder}/{name}.rs"), format!("{folder}/{name}/mod.rs")];
            let child = places.iter().find(|place| texts.contains_key(*place));
            let child = child.unwrap_or_else(|| panic!("{file}: the file of mod {name} is not found"));
            let child = self.add(Some(this), child, texts);
            self.all[this].children.insert(name.to_owned(), child);
        }
        this
    }

    /// Returns every edge between two files.
    ///
    /// # Panics
    /// Panics at a path that begins with `super`, `self` or `crate` and leads nowhere: the reader has missed something.
    pub fn edges(&self) -> BTreeSet<Edge> {
        let mut edges = BTreeSet::new();
        for (number, module) in self.all.iter().enumerate() {
            for path in &module.paths {
                let written = path.join("::");
                match self.follow(number, path, 0) {
                    Some(Found::Item(home)) if home != number => {
                        let to = self.all[home].file.clone();
                        edges.insert(Edge { from: module.file.clone(), to, path: written });
                    }
                    Some(_) => {}
                    None => {
                        let inside = matches!(path[0].as_str(), "super" | "self" | "crate");
                        assert!(
                            !inside || self.leads_outside(number, path),
                            "{}: {written} leads nowhere",
                            module.file
                        );
                    }
                }
            }
        }
        edges
    }

    /// Follows a path from a module. Imports that lead to each other end at a depth.
    fn follow(&self, from: usize, path: &[String], depth: usize) -> Option<Found> {
        let mut at = Found::Module(from);
        for (place, segment) in path.iter().enumerate() {
            let Found::Module(module) = at else { return Some(at) };
            at = match segment.as_str() {
                "self" => at,
                "super" => Found::Module(self.all[module].parent?),
                "crate" => Found::Module(self.root(module)),
                name => self.lookup(module, name, place + 1 < path.len(), depth)?,
            };
        }
        Some(at)
    }

    /// Finds a name in a module. `module_first`: the path goes on after it.
    fn lookup(&self, module: usize, name: &str, module_first: bool, depth: usize) -> Option<Found> {
        let here = &self.all[module];
        let child = here.children.get(name).map(|child| Found::Module(*child));
        let item = here.items.contains(name).then_some(Found::Item(module));
        let own = if module_first { child.or(item) } else { item.or(child) };
        own.or_else(|| {
            let mut imports = here.imports.iter().filter(|import| import.name == name && depth < 16);
            imports.find_map(|import| self.follow(module, &import.path, depth + 1))
        })
    }

    /// Returns whether a path ends at an import from another crate: `super::Duration`, which the parent imports.
    fn leads_outside(&self, from: usize, path: &[String]) -> bool {
        (1..path.len()).any(|length| match self.follow(from, &path[..length], 0) {
            Some(Found::Module(module)) => self.all[module].imports.iter().any(|import| import.name == path[length]),
            _ => false,
        })
    }

    fn root(&self, mut module: usize) -> usize {
        while let Some(parent) = self.all[module].parent {
            module = parent;
        }
        module
    }
}

/// Returns the groups of files that all name each other, directly or by way of others in the group.
pub fn circles(edges: &BTreeSet<Edge>) -> Vec<BTreeSet<String>> {
    let mut next: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for edge in edges {
        next.entry(&edge.from).or_default().insert(&edge.to);
    }
    let reach = |from: &str| {
        let mut seen = BTreeSet::new();
        let mut open: Vec<&str> = next.get(from).into_iter().flatten().copied().collect();
        while let Some(file) = open.pop() {
            if seen.insert(file) {
                open.extend(next.get(file).into_iter().flatten());
            }
        }
        seen
    };
    let reached: BTreeMap<&str, BTreeSet<&str>> = next.keys().map(|file| (*file, reach(file))).collect();
    let circle = |file: &str, others: &BTreeSet<&str>| {
        let back = |other: &&&str| reached.get(**other).is_some_and(|back| back.contains(file));
        others.iter().filter(back).map(|other| (*other).to_owned()).collect::<BTreeSet<String>>()
    };
    let circles: BTreeSet<_> = reached.iter().map(|(file, others)| circle(file, others)).collect();
    circles.into_iter().filter(|circle| circle.len() > 1).collect()
}

fn is_root(folder: &str, path: &str) -> bool {
    let inside = path.strip_prefix(folder).unwrap_or(path).trim_start_matches('/');
    match inside.split('/').collect::<Vec<_>>()[..] {
        ["lib.rs" | "main.rs"] | ["bin", _, "main.rs"] => true,
        ["bin", file] => file.ends_with(".rs"),
        _ => false,
    }
}

/// Returns the shipped code without modules that only tests have.
fn code(source: &Source) -> String {
    let mut kept = Vec::new();
    let mut for_tests = false;
    let mut inside = false;
    for line in source.code().lines() {
        if inside {
            inside = line != "}";
            continue;
        }
        let module = line.split("mod ").nth(1).filter(|_| !line.starts_with(' '));
        if for_tests && module.is_some() {
            inside = line.ends_with('{');
        } else {
            kept.push(line.to_owned());
        }
        for_tests = line == "#[cfg(test)]";
    }
    kept.join("\n")
}

/// Removes `pub`, `pub(crate)` and the like.
fn unqualified(line: &str) -> &str {
    let Some(rest) = line.strip_prefix("pub") else { return line };
    match rest.strip_prefix('(') {
        Some(rest) => rest.split_once(") ").map_or(rest, |(_, rest)| rest),
        None => rest.trim_start(),
    }
}

/// Returns the name in `mod name;`.
fn declared(line: &str) -> Option<&str> {
    unqualified(line).strip_prefix("mod ")?.strip_suffix(';')
}

/// Returns the name of the item that a line at the left margin defines.
fn defined(line: &str) -> Option<&str> {
    let mut rest = unqualified(line);
    let mut found = false;
    while let Some((word, after)) = rest.split_once(' ') {
        match word {
            _ if ITEMS.contains(&word) => found = true,
            "async" | "unsafe" | "extern" => {}
            _ if word.starts_with('"') => {}
            _ => break,
        }
        rest = after;
    }
    let name = rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()?;
    (found && !name.is_empty() && declared(line).is_none()).then_some(name)
}

/// Splits a text into its imports and the rest.
fn imports(text: &str) -> (Vec<Import>, String) {
    let mut found = Vec::new();
    let mut rest = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let line_here = line.trim_start();
        let Some(tree) = unqualified(line_here).strip_prefix("use ") else {
            rest.push_str(line);
            rest.push('\n');
            continue;
        };
        let mut tree = tree.to_owned();
        while !tree.contains(';') {
            tree.push(' ');
            tree.push_str(lines.next().expect("an import ends").trim());
        }
        let from = found.len();
        flatten(&[], tree.split(';').next().unwrap_or_default().trim(), &mut found);
        found[from..].iter_mut().for_each(|import| import.shown = line_here.starts_with("pub"));
    }
    (found, rest)
}

/// Splits `a::{b, c::{d, e}}` into its paths.
fn flatten(before: &[String], tree: &str, found: &mut Vec<Import>) {
    let (head, group) = tree.split_once('{').map_or((tree, None), |(head, group)| (head, Some(group)));
    let mut path = before.to_vec();
    let (head, alias) = head.split_once(" as ").map_or((head, None), |(head, alias)| (head, Some(alias.trim())));
    path.extend(head.split("::").map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned));
    let Some(group) = group else {
        if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        let name = alias.map(str::to_owned).or_else(|| path.last().cloned());
        found.extend(name.map(|name| Import { name, path, shown: false }));
        return;
    };
    let group = group.trim_end().strip_suffix('}').expect("a group ends");
    let (mut depth, mut from) = (0_usize, 0);
    for (place, c) in group.char_indices().chain([(group.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let part = group[from..place].trim();
                if !part.is_empty() {
                    flatten(&path, part, found);
                }
                from = place + 1;
            }
            _ => {}
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Returns the paths of two and more segments.
fn paths_in(text: &str) -> BTreeSet<Vec<String>> {
    let mut paths = BTreeSet::new();
    let mut path: Vec<String> = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(is_word) {
        // Only `::` right between two words makes them one path.
        if &rest[..start] != "::" {
            paths.extend((path.len() > 1).then(|| std::mem::take(&mut path)));
            path.clear();
        }
        rest = &rest[start..];
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        path.push(rest[..end].to_owned());
        rest = &rest[end..];
    }
    paths.extend((path.len() > 1).then_some(path));
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modules(files: &[(&str, &str)]) -> Modules {
        let source = |(path, text): &(&str, &str)| Source { path: format!("src/{path}"), text: (*text).to_owned() };
        Modules::of("src", files.iter().map(source).collect())
    }

    fn edges(files: &[(&str, &str)]) -> Vec<String> {
        let short = |path: &str| path.trim_start_matches("src/").trim_end_matches(".rs").to_owned();
        modules(files).edges().iter().map(|edge| format!("{} -> {}", short(&edge.from), short(&edge.to))).collect()
    }

    #[test]
    fn a_re_export_is_followed_to_the_file_that_defines_the_item() {
        let files = [
            ("lib.rs", "pub mod a;\npub mod b;"),
            ("a/mod.rs", "mod one;\nmod two;\npub use one::{One, self};\npub use two::Two;"),
            ("a/one.rs", "use super::Two;\npub struct One(Two);"),
            ("a/two.rs", "pub struct Two;"),
            ("b.rs", "use crate::a;\nfn f(_: a::One, _: crate::a::Two) {}"),
        ];
        assert_eq!(edges(&files), ["a/one -> a/two", "b -> a/one", "b -> a/two"]);
    }

    #[test]
    fn an_item_of_the_parent_makes_a_circle_with_a_child_that_the_parent_uses() {
        let files = [
            ("lib.rs", "mod a;"),
            ("a.rs", "mod b;\npub struct Own;\nfn f() -> b::Child {}"),
            ("a/b.rs", "use super::Own;\npub struct Child(Own);"),
        ];
        assert_eq!(edges(&files), ["a -> a/b", "a/b -> a"]);
        let circles = circles(&modules(&files).edges());
        assert_eq!(circles.len(), 1);
        assert_eq!(circles[0].iter().collect::<Vec<_>>(), ["src/a.rs", "src/a/b.rs"]);
    }

    #[test]
    fn tests_and_other_crates_are_no_edges() {
        let files = [
            ("lib.rs", "#[cfg(test)]\nmod only;\nmod a;\nuse std::fmt;\npub struct Top;"),
            ("a.rs", "fn f(_: super::fmt::Error) {}\n#[cfg(test)]\nmod tests {\n    use super::super::Top;\n}"),
        ];
        assert!(edges(&files).is_empty());
    }

    #[test]
    #[should_panic(expected = "src/a.rs: super::Missing leads nowhere")]
    fn what_is_not_understood_is_not_passed_over() {
        modules(&[("lib.rs", "mod a;"), ("a.rs", "use super::Missing;")]).edges();
    }
}
