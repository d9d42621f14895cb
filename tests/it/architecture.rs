//! The allowed direction of the modules, read from the table in ARCHITECTURE.md, and the budget of files and functions.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};

/// Lines of a file, and of a function.
const FILE: usize = 500;
const FUNCTION: usize = 70;

/// Modules without input, output, clock or chance, and what none of them may touch.
const PURE: [&str; 15] = [
    "audit",
    "case",
    "ending",
    "fleet",
    "form",
    "ground",
    "identity",
    "method",
    "party",
    "reason",
    "reconcile",
    "report",
    "status",
    "version",
    "wire",
];
const IMPURE: [&str; 8] =
    ["std::env", "std::fs", "std::net", "std::process", "std::thread", "rand_core", "sqlx", "tokio"];

/// What may be longer, and why. Edited by hand, and only to make it shorter.
const LONGER: &[(&str, &str)] = &[];

/// One row of the table.
struct Row {
    modules: BTreeSet<String>,
    crates: BTreeSet<String>,
}

fn words(cell: &str) -> BTreeSet<String> {
    cell.split(',')
        .map(|word| word.trim().trim_matches('`').to_owned())
        .filter(|word| !matches!(word.as_str(), "" | "-"))
        .collect()
}

/// The rows of the table under "Allowed direction".
fn table(text: &str) -> BTreeMap<String, Row> {
    let section = text.split("## Allowed direction").nth(1).expect("ARCHITECTURE.md has the section");
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with('|')).skip(2);
    let read = |line: &str| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 3, "three cells: {line}");
        let row = Row { modules: words(cells[1]), crates: words(cells[2]) };
        (cells[0].trim_matches('`').to_owned(), row)
    };
    let rows: Vec<(String, Row)> = rows.map(read).collect();
    let count = rows.len();
    let rows: BTreeMap<String, Row> = rows.into_iter().collect();
    assert_eq!(rows.len(), count, "no row twice");
    rows
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Every source file that is not a test.
fn all() -> Vec<PathBuf> {
    let mut found = Vec::new();
    sources(Path::new("src"), &mut found);
    let test = |path: &PathBuf| {
        path.components().any(|part| {
            matches!(part.as_os_str().to_str(), Some("tests" | "tests.rs" | "testing.rs" | "attack_test.rs"))
        })
    };
    found.retain(|path| !test(path));
    found.sort();
    assert!(found.len() > 100, "run in the package's directory");
    found
}

/// The top-level module of a file, and how deep the file stands below it.
fn module(path: &Path) -> (String, usize) {
    let inner = path.strip_prefix("src").unwrap().with_extension("");
    let parts: Vec<String> = inner.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
    (parts[0].clone(), parts.len() - 1)
}

/// Names that a file uses: modules of this crate, and other crates.
struct Uses<'a> {
    depth: usize,
    outside: &'a BTreeSet<String>,
    modules: BTreeSet<String>,
    crates: BTreeSet<String>,
}

impl Uses<'_> {
    fn path(&mut self, segments: &[String]) {
        let supers = segments.iter().take_while(|segment| *segment == "super").count();
        match segments {
            [first, module, ..] if first == "crate" || first == "sluis" => {
                self.modules.insert(module.clone());
            }
            _ if supers > self.depth => {
                self.modules.extend(segments.get(supers).cloned());
            }
            [first, area, ..] if first == "std" => {
                self.crates.insert(format!("std::{area}"));
            }
            [first, _, ..] if self.outside.contains(first) => {
                self.crates.insert(first.clone());
            }
            _ => {}
        }
    }

    fn tree(&mut self, before: &[String], tree: &syn::UseTree) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            syn::UseTree::Path(path) => self.tree(&with(&path.ident), &path.tree),
            syn::UseTree::Name(name) => self.path(&with(&name.ident)),
            syn::UseTree::Rename(name) => self.path(&with(&name.ident)),
            syn::UseTree::Glob(_) => self.path(&[before, &["*".to_owned()]].concat()),
            syn::UseTree::Group(group) => group.items.iter().for_each(|item| self.tree(before, item)),
        }
    }
}

fn for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let syn::Meta::List(list) = &attribute.meta else { return false };
        list.path.is_ident("cfg") && list.tokens.to_string() == "test"
    })
}

impl<'ast> Visit<'ast> for Uses<'_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let attributes: &[syn::Attribute] = match item {
            syn::Item::Mod(item) => &item.attrs,
            syn::Item::Fn(item) => &item.attrs,
            syn::Item::Use(item) => &item.attrs,
            syn::Item::Impl(item) => &item.attrs,
            _ => &[],
        };
        if !for_tests(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.tree(&[], &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.path(&segments);
        visit::visit_path(self, path);
    }

    /// Inside macros and attributes there are only tokens: paths are found by their colons.
    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        self.tokens(&item.tokens.to_string());
        visit::visit_macro(self, item);
    }

    fn visit_meta_list(&mut self, list: &'ast syn::MetaList) {
        self.tokens(&list.tokens.to_string());
        visit::visit_meta_list(self, list);
    }
}

impl Uses<'_> {
    fn tokens(&mut self, text: &str) {
        let text = text.replace("$ crate", "crate").replace(" :: ", "::");
        for word in text.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')) {
            let segments: Vec<String> = word.split("::").map(ToOwned::to_owned).collect();
            self.path(&segments);
        }
    }
}

/// Names of the crates in `[dependencies]`, as they stand in code.
fn dependencies() -> BTreeSet<String> {
    let manifest: toml::Table = std::fs::read_to_string("Cargo.toml").unwrap().parse().unwrap();
    manifest["dependencies"].as_table().unwrap().keys().map(|name| name.replace('-', "_")).collect()
}

/// What every module uses, over all of its files.
fn used() -> BTreeMap<String, Row> {
    let outside = dependencies();
    let mut used: BTreeMap<String, Row> = BTreeMap::new();
    for path in all().iter().filter(|path| !path.ends_with("lib.rs")) {
        let (module, depth) = module(path);
        let mut uses = Uses { depth, outside: &outside, modules: BTreeSet::new(), crates: BTreeSet::new() };
        uses.visit_file(&syn::parse_file(&std::fs::read_to_string(path).unwrap()).unwrap());
        uses.modules.remove(&module);
        let row = used.entry(module).or_insert(Row { modules: BTreeSet::new(), crates: BTreeSet::new() });
        row.modules.extend(uses.modules);
        row.crates.extend(uses.crates);
    }
    used
}

#[test]
fn modules_use_what_the_table_allows() {
    let rows = table(&std::fs::read_to_string("ARCHITECTURE.md").unwrap());
    let mut used = used();
    let mut wrong = Vec::new();
    for module in PURE {
        for other in IMPURE.iter().filter(|other| used[module].crates.contains(**other)) {
            wrong.push(format!("`{module}` is pure and uses `{other}`"));
        }
    }
    used.values_mut().for_each(|row| row.crates.retain(|name| !name.starts_with("std::")));
    for module in rows.keys().filter(|module| !used.contains_key(*module)) {
        wrong.push(format!("the table has a row for `{module}`, which is no module"));
    }
    for (module, uses) in &used {
        let Some(row) = rows.get(module) else {
            wrong.push(format!("`{module}` has no row: it uses {:?} and {:?}", uses.modules, uses.crates));
            continue;
        };
        // A macro of the crate root and the modules themselves; anything else is a name of the root.
        for other in uses.modules.iter().filter(|other| used.contains_key(*other)) {
            if !row.modules.contains(other) {
                wrong.push(format!("`{module}` uses `{other}`"));
            }
        }
        for other in uses.crates.difference(&row.crates) {
            wrong.push(format!("`{module}` uses the crate `{other}`"));
        }
        for other in row.modules.difference(&uses.modules).chain(row.crates.difference(&uses.crates)) {
            wrong.push(format!("`{module}` may use `{other}` and does not: take it out of the table"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_and_functions_stay_within_their_budget() {
    let mut wrong = Vec::new();
    let mut excused = BTreeSet::new();
    let mut judge = |name: String, lines: usize, most: usize| {
        if lines <= most {
            return;
        }
        match LONGER.iter().find(|(longer, _)| *longer == name) {
            Some((longer, _)) => {
                excused.insert(*longer);
            }
            None => wrong.push(format!("{name}: {lines} lines, at most {most}")),
        }
    };
    for path in all() {
        let text = std::fs::read_to_string(&path).unwrap();
        judge(path.display().to_string(), text.lines().count(), FILE);
        for (function, lines) in functions(&text) {
            judge(format!("{} {function}", path.display()), lines, FUNCTION);
        }
    }
    for (name, reason) in LONGER {
        assert!(reason.len() > 10, "{name}: say why");
        assert!(excused.contains(name), "{name} is within the budget: take it off the list");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Functions and their lengths, by the layout that rustfmt gives: the closing brace stands under the first letter.
fn functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let starts = |word: &str| code.starts_with(word);
        let head = ["fn ", "pub ", "pub(", "async ", "const ", "unsafe "].iter().any(|word| starts(word));
        let Some((before, after)) = code.split_once("fn ").filter(|_| head) else { continue };
        if before.contains(['=', '(']) && !before.starts_with("pub(") {
            continue;
        }
        let indent = " ".repeat(line.len() - code.len());
        let (end, declared) = (format!("{indent}}}"), format!("{indent})"));
        let ends = |line: &&str| **line == end || (line.starts_with(&declared) && line.ends_with(';'));
        let length = lines[start..].iter().position(ends).map_or(1, |position| position + 1);
        let one_line = code.ends_with('}') || code.ends_with(';');
        let name: String = after.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        found.push((name, if one_line { 1 } else { length }));
    }
    found
}

/// Columns without a comment on their line or the line above.
fn uncommented(sql: &str) -> Vec<&str> {
    let lines: Vec<&str> = sql.lines().collect();
    let is_column = |line: &str| {
        let kind = line.split_whitespace().nth(1).unwrap_or_default().trim_end_matches(',');
        line.starts_with("    ") && ["TEXT", "BLOB", "BIGINT", "INTEGER", "BYTEA", "BOOLEAN"].contains(&kind)
    };
    let explained = |nth: usize| lines[nth].contains("-- ") || nth > 0 && lines[nth - 1].trim().starts_with("-- ");
    (0..lines.len()).filter(|nth| is_column(lines[*nth]) && !explained(*nth)).map(|nth| lines[nth]).collect()
}

#[test]
fn every_column_says_what_it_holds() {
    let mut folders: Vec<_> = std::fs::read_dir("migrations").unwrap().map(|entry| entry.unwrap().path()).collect();
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for file in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let sql = std::fs::read_to_string(&file).unwrap();
            assert!(uncommented(&sql).is_empty(), "{}: {:?}", file.display(), uncommented(&sql));
            files += 1;
        }
    }
    assert!(files >= 2);
    let sql = "CREATE TABLE t (\n    a TEXT NOT NULL, -- why\n    b BIGINT,\n    -- for c\n    c BLOB\n);";
    assert_eq!(uncommented(sql), ["    b BIGINT,"]);
}

#[test]
fn the_test_itself_sees_what_it_must() {
    let outside = BTreeSet::from(["sqlx".to_owned()]);
    let mut uses = Uses { depth: 1, outside: &outside, modules: BTreeSet::new(), crates: BTreeSet::new() };
    let text = "use crate::store::{Tx, Work}; use super::super::party::Oin; use super::near; \
                fn f() { crate::seal::open(); sqlx::query(\"\"); vec![crate::form::x()]; } \
                #[cfg(test)] mod tests { use crate::hub::run; }";
    uses.visit_file(&syn::parse_str(text).unwrap());
    let expected = ["form", "party", "seal", "store"].map(ToOwned::to_owned);
    assert_eq!(uses.modules, BTreeSet::from(expected));
    assert_eq!(uses.crates, outside);
    let text = "impl X {\n    pub fn a(&self) {\n        1;\n    }\n    fn b() {}\n}\n";
    assert_eq!(functions(text), [("a".to_owned(), 3), ("b".to_owned(), 1)]);
    let rows = table(
        "## Allowed direction\n\n| module | may use | outside crates |\n| --- | --- | --- |\n| `a` | b, c | - |\n\n## Next\n",
    );
    assert_eq!(rows["a"].modules.len(), 2);
    assert!(rows["a"].crates.is_empty());
}

/// Nobody is woken by a line that no page explains.
#[test]
fn every_alarm_has_a_row_in_the_runbook() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let runbook = std::fs::read_to_string(root.join("docs/alarms.md")).unwrap();
    let rows: BTreeSet<&str> =
        runbook.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next()).collect();
    let mut alarms = BTreeSet::new();
    for file in all() {
        let text = std::fs::read_to_string(file).unwrap();
        alarms.extend(text.split("\"ALARM: ").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()));
    }
    assert!(alarms.len() > 15, "{alarms:?}");
    let unknown: Vec<&String> = alarms.iter().filter(|alarm| !rows.contains(alarm.as_str())).collect();
    assert!(unknown.is_empty(), "without a row: {unknown:?}");
    let gone: Vec<&&str> =
        rows.iter().filter(|row| !alarms.contains(**row) && !["---", "ALARM: …"].contains(*row)).collect();
    assert!(gone.is_empty(), "nobody says: {gone:?}");
}
