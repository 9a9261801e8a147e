//! Reads which file of a crate names an item that another of its files defines.
//!
//! A path is followed through `super`, `crate`, re-exports and imports to the file that defines the item. A re-export
//! alone is no edge: a parent that only shows what its children define depends on none of them. Calls of methods are
//! not seen: they name no path.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Ident, Item, ItemMod, ItemUse, Path, UseTree, Visibility};

use crate::repository::{Source, rust};

/// A file's items, imports and paths.
#[derive(Default)]
struct Module {
    file: String,
    parent: Option<usize>,
    children: BTreeMap<String, usize>,
    items: BTreeSet<String>,
    imports: Vec<Import>,
    /// The paths in the code, with those of imports that are not re-exports.
    paths: BTreeSet<Vec<String>>,
    /// The names of `mod name;`.
    declared: Vec<String>,
}

/// `use path as name;`
struct Import {
    name: String,
    path: Vec<String>,
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
        let texts: BTreeMap<String, String> = files.into_iter().map(|source| (source.path, source.text)).collect();
        let mut modules = Self::default();
        for file in texts.keys().filter(|path| is_root(folder, path)) {
            modules.add(None, file, &texts);
        }
        modules
    }

    fn add(&mut self, parent: Option<usize>, file: &str, texts: &BTreeMap<String, String>) -> usize {
        let parsed = syn::parse_file(&texts[file]).unwrap_or_else(|error| panic!("{file}: {error}"));
        let this = self.all.len();
        let mut module = Module { file: file.to_owned(), parent, ..Module::default() };
        module.visit_file(&parsed);
        module.items = parsed.items.iter().filter_map(defined).map(Ident::to_string).collect();
        let declared = std::mem::take(&mut module.declared);
        self.all.push(module);
        let folder = if parent.is_none() || file.ends_with("/mod.rs") {
            file.rsplit_once('/').expect("a folder").0
        } else {
            file.trim_end_matches(".rs")
        };
        for name in declared {
            let places = [format!("{folder}/{name}.rs"), format!("{folder}/{name}/mod.rs")];
            let child = places.iter().find(|place| texts.contains_key(*place));
            let child = child.unwrap_or_else(|| panic!("{file}: the file of mod {name} is not found"));
            let child = self.add(Some(this), child, texts);
            self.all[this].children.insert(name, child);
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

/// Returns the name of the item that a file defines.
fn defined(item: &Item) -> Option<&Ident> {
    match item {
        Item::Const(item) => Some(&item.ident),
        Item::Enum(item) => Some(&item.ident),
        Item::Fn(item) => Some(&item.sig.ident),
        Item::Macro(item) => item.ident.as_ref(),
        Item::Mod(item) => item.content.as_ref().map(|_| &item.ident),
        Item::Static(item) => Some(&item.ident),
        Item::Struct(item) => Some(&item.ident),
        Item::Trait(item) => Some(&item.ident),
        Item::Type(item) => Some(&item.ident),
        Item::Union(item) => Some(&item.ident),
        _ => None,
    }
}

/// Reads what the code of a file names, without what only tests have.
impl Visit<'_> for Module {
    fn visit_item_mod(&mut self, item: &ItemMod) {
        match &item.content {
            _ if for_tests(&item.attrs) => {}
            Some(_) => visit::visit_item_mod(self, item),
            None => self.declared.push(item.ident.to_string()),
        }
    }

    fn visit_item_use(&mut self, item: &ItemUse) {
        if !for_tests(&item.attrs) {
            let first = self.imports.len();
            self.import(Vec::new(), &item.tree);
            if matches!(item.vis, Visibility::Inherited) {
                self.paths.extend(self.imports[first..].iter().map(|import| import.path.clone()));
            }
        }
    }

    fn visit_path(&mut self, path: &Path) {
        self.paths.insert(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    /// Reads the paths in the arguments of macros and attributes.
    fn visit_token_stream(&mut self, tokens: &TokenStream) {
        let (mut path, mut colons) = (Vec::new(), 0);
        for token in tokens.clone() {
            let before = std::mem::take(&mut colons);
            match token {
                TokenTree::Punct(sign) if sign.as_char() == ':' => colons = before + 1,
                TokenTree::Ident(word) if before == 2 => path.push(word.to_string()),
                TokenTree::Ident(word) => {
                    self.paths.insert(std::mem::replace(&mut path, vec![word.to_string()]));
                }
                TokenTree::Group(group) => self.visit_token_stream(&group.stream()),
                _ => {}
            }
        }
        self.paths.insert(path);
    }
}

impl Module {
    /// Splits `before::a::{b, c::{d, e}}` into its paths.
    fn import(&mut self, mut before: Vec<String>, tree: &UseTree) {
        let (last, name) = match tree {
            UseTree::Path(path) => {
                before.push(path.ident.to_string());
                return self.import(before, &path.tree);
            }
            UseTree::Group(group) => {
                return group.items.iter().for_each(|tree| self.import(before.clone(), tree));
            }
            // `a::{self}` is `a`.
            UseTree::Name(name) if name.ident == "self" => (None, before[before.len() - 1].clone()),
            UseTree::Name(name) => (Some(name.ident.to_string()), name.ident.to_string()),
            UseTree::Rename(name) if name.ident == "self" => (None, name.rename.to_string()),
            UseTree::Rename(name) => (Some(name.ident.to_string()), name.rename.to_string()),
            UseTree::Glob(_) => (Some("*".to_owned()), "*".to_owned()),
        };
        before.extend(last);
        self.imports.push(Import { name, path: before });
    }
}

/// Returns whether an item has `#[cfg(test)]`.
fn for_tests(attributes: &[Attribute]) -> bool {
    let is_test = |attribute: &Attribute| attribute.parse_args::<Ident>().is_ok_and(|word| word == "test");
    attributes.iter().any(|attribute| attribute.path().is_ident("cfg") && is_test(attribute))
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
        let edges = modules(files).edges();
        let edges = edges.iter().map(|edge| format!("{} -> {}", short(&edge.from), short(&edge.to)));
        edges.collect::<BTreeSet<_>>().into_iter().collect()
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
    fn paths_in_macros_and_re_exports_in_use_are_edges() {
        let files = [
            ("lib.rs", "mod a;\nmod b;\npub use b::{Told, Used};\nfn f(_: Used) {}"),
            ("a.rs", "fn f() { println!(\"{}\", [crate::b::told(x::<u8>(1))]); }"),
            ("b.rs", "pub struct Told;\npub struct Used;\npub fn told() {}"),
        ];
        assert_eq!(edges(&files), ["a -> b", "lib -> b"]);
        assert_eq!(edges(&[("lib.rs", "mod b;\npub use b::Told;"), files[2]]), Vec::<String>::new());
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
