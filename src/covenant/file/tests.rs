use super::*;

fn files_with(path: &str, change: impl Fn(&str) -> String) -> BTreeMap<String, String> {
    let mut files = embedded_files();
    let text = files.remove(path).unwrap_or_default();
    files.insert(path.to_owned(), change(&text));
    files
}

fn complaint(files: BTreeMap<String, String>) -> String {
    Covenant::load(files).map(|_| ()).unwrap_err().to_string()
}

const FINANCE: &str = "articles/22-financiering.cedar";

#[test]
fn embedded_covenant_loads_with_a_stable_hash() {
    let covenant = Covenant::embedded().unwrap();
    let again = Covenant::load(embedded_files()).unwrap();
    assert_eq!(covenant.version(), again.version());
    assert_eq!(covenant.version().content_hash.len(), 64);
    assert!(covenant.in_force(time::macros::date!(2026 - 11 - 21)));
    assert!(!covenant.in_force(covenant.version().valid_until));
    for number in 1..=40 {
        assert!(covenant.text(Article::new(number).unwrap()).unwrap().starts_with("# Artikel"));
    }
}

#[test]
fn hash_follows_the_binding_files_only() {
    let hash = |files| Covenant::load(files).unwrap().version().content_hash.clone();
    let plain = hash(embedded_files());
    assert_eq!(plain, hash(files_with("golden/articles.toml", |_| "changed".to_owned())));
    assert_ne!(plain, hash(files_with("articles/02-doelbinding.md", |text| format!("{text}\n"))));
    assert_ne!(plain, hash(files_with("algemeen.cedar", |text| format!("{text}\n// -\n"))));
}

#[test]
fn faulty_files_are_refused_with_file_clause_and_fix() {
    let swap = |path, from: &'static str, to: &'static str| {
        files_with(path, move |text| {
            assert!(text.contains(from), "{path} has no {from}");
            text.replacen(from, to, 1)
        })
    };
    for (files, expected) in [
        (swap(FINANCE, "@title(\"Financier", "@name(\"Financier"), "clause 22.a: annotation @title is missing"),
        (swap(FINANCE, "@title(", "@remark(\"x\")\n@title("), "clause 22.a: annotation @remark is not known"),
        (swap(FINANCE, "@basis(\"L7\")", "@basis(\"L77\")"), "clause 22.a: annotation @basis has a value"),
        (swap(FINANCE, "@purpose(\"bekostiging\")", "@purpose(\"hulp\")"), "clause 22.a: conditions must name"),
        (swap(FINANCE, "@form(\"I\")", "@form(\"L\")"), "clause 22.a: conditions must name"),
        (swap(FINANCE, "@form(\"I\")\n", ""), "clause 22.a: annotation @form is missing"),
        (swap(FINANCE, "@article(\"22\")", "@article(\"23\")"), "clause 22.a: @article must be the number"),
        (swap(FINANCE, "@clause(\"22.b\")", "@clause(\"22.a\")"), "22-financiering.cedar"),
        (swap(FINANCE, "@clause(\"22.a\")", "@clause(\"23.a\")"), "clause 23.a: @article must be the number"),
        (swap(FINANCE, "@retention(\"B2\")", "@retention(\"B9\")"), "names retention class B9"),
        (swap(FINANCE, "Article::\"22\"", "Article::\"41\""), "clause 22.a: conditions must name"),
        (swap(FINANCE, "Role::\"R10\"", "Role::\"R19\""), "do not fit the vocabulary"),
        (swap(FINANCE, "permit (principal", "forbid (principal"), "move the clause"),
        (swap(FINANCE, "action == Sluis::Action::\"receive\"", "action"), "must name exactly one known action"),
        (swap(FINANCE, "when {", "unless {"), "clause 22.a: condition 1 must be a plain choice"),
        (swap("algemeen.cedar", "@reason(\"CASE_CLOSED\")", "@reason(\"CLOSED\")"), "@reason has a value"),
        (swap("algemeen.cedar", "@order(\"2\")", "@order(\"1\")"), "@order has a value"),
        (swap("invariants.cedar", "@kind(\"never\")", "@kind(\"soms\")"), "@kind has a value"),
        (swap("parameters.toml", "consent_months = 6", "consent_months = 7"), "1 to 6"),
        (swap("parameters.toml", "[log]", "[log]\nextra = 1"), "unknown field"),
        (swap("parameters.toml", "[review]", "[review]\nextra = 1"), "unknown field"),
        (swap("parameters.toml", "sample_minimum = 25", "sample_least = 25"), "unknown field"),
        (swap("parameters.toml", "sample_percent = 5", "sample_percent = 0"), "1 to 100"),
        (swap("parameters.toml", "denial_share_percent = 5", "denial_share_percent = 101"), "1 to 100"),
        (swap("parameters.toml", "not_involved_per_day = 3", "not_involved_per_day = 0"), "at least 1"),
        (swap("parameters.toml", "withdrawal_stop_seconds = 60", "withdrawal_stop_seconds = 61"), "at most 60"),
        (
            swap("parameters.toml", "certificate_red_days = 30", "certificate_red_days = 61"),
            "at most certificate_amber",
        ),
        (swap("consent.toml", "says = ", "sais = "), "unknown field"),
        (swap("articles/02-doelbinding.md", "# Artikel 2 ", "# Artikel 3 "), "first line must be"),
        (files_with("articles/41-nieuw.cedar", |_| String::new()), "has no place in a covenant"),
        (files_with("notes.txt", |_| String::new()), "has no place in a covenant"),
    ] {
        let complaint = complaint(files);
        assert!(complaint.contains(expected), "expected {expected:?} in {complaint:?}");
    }
}

#[test]
fn missing_files_are_named() {
    for path in [SCHEMA, GENERAL, INVARIANTS, PARAMETERS, CONSENT] {
        let mut files = embedded_files();
        files.remove(path);
        assert_eq!(complaint(files), format!("{path}: this file is missing: add it"));
    }
    let mut files = embedded_files();
    files.remove("articles/06-geheimhouding.md");
    assert!(complaint(files).starts_with("article 6 has no text"));
}

#[test]
fn conditions_keep_their_order_and_their_subject() {
    let clause = |conditions: &str| {
        format!(
            "@clause(\"2.a\") @article(\"2\") @title(\"Proef\") @purpose(\"beheer\") @basis(\"L11\") @retention(\"B2\")\n\
             permit (principal, action == Sluis::Action::\"endRole\", resource)\n{conditions};"
        )
    };
    let who = "when { principal.role == Sluis::Role::\"R02\" }";
    let article = "when { context.article == Sluis::Article::\"2\" }";
    let purpose = "when { context.purpose == Sluis::Purpose::\"beheer\" }";
    let mixed = "when { principal.role == Sluis::Role::\"R02\" && context.case.escalated }";
    let file = |conditions: [&str; 3]| files_with("articles/02-doelbinding.cedar", |_| clause(&conditions.join("\n")));
    assert!(Covenant::load(file([who, article, purpose])).is_ok());
    assert!(complaint(file([article, who, purpose])).contains("condition 2 is out of order"));
    assert!(complaint(file([mixed, article, purpose])).contains("condition 1 mixes subjects"));
    assert!(complaint(file([who, article, article])).contains("condition 3 is out of order"));
    let negated = "when { context.article != Sluis::Article::\"2\" }";
    assert!(complaint(file([who, negated, purpose])).contains("condition 2 must be a plain choice"));
}

#[test]
fn self_test_notices_a_prohibition_that_lost_its_bite() {
    let files =
        files_with(GENERAL, |text| text.replace("when { context.case.restricted }", "when { context.case.objection }"));
    assert!(complaint(files).contains("self-test"));
}
