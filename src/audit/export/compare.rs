//! Whether a line says what its leaf and its disclosures say.

use super::Line;
use super::line::NotALine;
use crate::api::v1;
use crate::audit::read::{self, Case, Clear, Data, Decision, Network, Opened};

/// Where an event, as a service shows it, is not what its leaf and its disclosures say; nothing where it is.
pub fn contradiction(event: &v1::Event, leaf: &[u8], disclosures: &[String]) -> Option<&'static str> {
    let Some(clear) = read::clear(leaf) else { return Some("leaf") };
    let opened = read::opened(leaf, disclosures.iter().map(String::as_str));
    let Some(opened) = opened else { return Some("disclosure") };
    compare(&Line::from(event), &clear, &opened).err().map(|NotALine(field)| field)
}

/// Compares a line with what stands in the tree. Gives the fields that say something for which there is no proof.
///
/// A line is one reader's view. Cases have the names that the reader's organisation gave them, and the leaf knows only the hub's
/// own: a name of a case is never proven. Nor is the pseudonym of a youth when the reader is the network's officer, who alone gets
/// group `case` to open: in the leaf it is the one for the organisation that asked.
///
/// # Errors
/// The field that differs.
pub fn compare(line: &Line, clear: &Clear, opened: &Opened) -> Result<Vec<&'static str>, NotALine> {
    in_clear(line, clear)?;
    let mut comparison = Comparison { line, uncovered: Vec::new() };
    if !line.erased.is_empty() {
        comparison.uncovered.push("erased");
    }
    comparison.actor(opened)?;
    comparison.subject(opened)?;
    comparison.case(opened)?;
    comparison.data(opened.data.as_ref())?;
    comparison.decision(opened.decision.as_ref())?;
    comparison.network(opened.network.as_ref())?;
    comparison.group("listed", &[("listed", line.listed.is_empty(), None)])?;
    comparison.withheld(opened);
    Ok(comparison.uncovered)
}

fn in_clear(line: &Line, clear: &Clear) -> Result<(), NotALine> {
    let article = if clear.article == 0 { String::new() } else { clear.article.to_string() };
    // Of nobody, a hub wrote the collection's name before it wrote nothing.
    let partner = |name: &str, oin: &str| name == named("partners", oin) || (oin.is_empty() && name == "partners/");
    let fields = [
        ("name", line.name == named("events", &clear.id)),
        ("time", line.micros() == Some(clear.at)),
        ("method", line.method == clear.method),
        ("action", line.action == clear.act),
        ("outcome", line.outcome == format!("OUTCOME_{}", clear.out.to_uppercase())),
        ("organisation", partner(&line.organisation, &clear.req)),
        ("via", line.via == clear.via),
        ("source", partner(&line.source, &clear.src)),
        ("purpose", line.purpose == clear.purpose),
        ("article", line.article == article),
        ("covenantVersion", line.covenant_version == clear.covenant),
        ("clauses", line.clauses == clear.clauses),
    ];
    fields.into_iter().find(|(_, same)| !same).map_or(Ok(()), |(field, _)| Err(NotALine(field)))
}

/// A field: its name, whether it is empty, and whether it is what was opened; nothing when nothing was.
type Field = (&'static str, bool, Option<bool>);

struct Comparison<'l> {
    line: &'l Line,
    uncovered: Vec<&'static str>,
}

impl Comparison<'_> {
    /// A group that was erased has no disclosure any more, and its fields hold nothing.
    fn group(&mut self, group: &str, fields: &[Field]) -> Result<(), NotALine> {
        let erased = self.is_erased(group);
        for (field, empty, same) in fields {
            match same {
                Some(_) if erased => return Err(NotALine("erased")),
                None if erased && !empty => return Err(NotALine(field)),
                Some(false) => return Err(NotALine(field)),
                None if !empty => self.uncovered.push(field),
                Some(true) | None => {}
            }
        }
        Ok(())
    }

    /// A group that is neither opened nor erased may hold what an empty field does not say: no recipients, no emergency.
    fn withheld(&mut self, opened: &Opened) {
        let mut closed = opened.closed;
        for (name, group, is_open) in [
            ("group actor, not opened", "actor", opened.actor.is_some()),
            ("group subject, not opened", "subject", opened.subject.is_some()),
            ("group case, not opened", "case", opened.case.is_some()),
            ("group data, not opened", "data", opened.data.is_some()),
            ("group decision, not opened", "decision", opened.decision.is_some()),
            ("group network, not opened", "network", opened.network.is_some()),
        ] {
            closed -= usize::from(!is_open && closed > 0);
            if !is_open && !self.is_erased(group) {
                self.uncovered.push(name);
            }
        }
        // What is left are cases of a list, each with a digest of its own.
        if closed > 0 && !self.is_erased("listed") {
            self.uncovered.push("group listed, not opened");
        }
    }

    fn is_erased(&self, group: &str) -> bool {
        self.line.erased.iter().any(|erased| erased == group)
    }

    fn actor(&mut self, opened: &Opened) -> Result<(), NotALine> {
        let (line, actor) = (self.line, opened.actor.as_ref());
        let role = actor.map(|actor| line.role == word("ROLE", actor.role.as_deref()));
        let user = actor.map(|actor| line.user_ref == actor.user_ref);
        self.group("actor", &[("role", line.role.is_empty(), role), ("userRef", line.user_ref.is_empty(), user)])
    }

    fn subject(&mut self, opened: &Opened) -> Result<(), NotALine> {
        let shown = &self.line.subject;
        let whole = opened.case.is_some() || self.is_erased("case");
        let same = opened.subject.as_ref().and_then(|subject| match subject.pseudonym.as_str() {
            stated if stated == shown => Some(true),
            // Of another organisation; or of a youth whom the reader's organisation has come to know since.
            stated if whole || stated.is_empty() => None,
            _ => Some(false),
        });
        // A pseudonym that is not shown, of a group that was erased all the same, is no disclosure to compare with.
        let still_there = opened.subject.is_some() && self.is_erased("subject");
        self.group("subject", &[("subject", shown.is_empty(), if still_there { Some(false) } else { same })])
    }

    fn case(&mut self, opened: &Opened) -> Result<(), NotALine> {
        let shown = !self.line.case.is_empty();
        let same = match &opened.case {
            Some(Case { case: None }) => Some(!shown),
            Some(Case { case: Some(_) }) if self.is_erased("case") => Some(false),
            Some(Case { case: Some(_) }) | None => None,
        };
        self.group("case", &[("case", !shown, same)])
    }

    fn data(&mut self, data: Option<&Data>) -> Result<(), NotALine> {
        let line = self.line;
        let categories =
            |data: &Data| data.categories.iter().map(|code| word("CATEGORY", Some(code))).collect::<Vec<_>>();
        let recipients = |data: &Data| data.recipients.iter().map(|oin| named("partners", oin)).collect::<Vec<_>>();
        let fields: [Field; 4] = [
            ("categories", line.categories.is_empty(), data.map(|data| line.categories == categories(data))),
            ("form", line.form.is_empty(), data.map(|data| line.form == word("FORM", data.form.as_deref()))),
            ("recipients", line.recipients.is_empty(), data.map(|data| line.recipients == recipients(data))),
            ("record", line.record.is_empty(), data.map(|data| line.record == named("records", &data.record))),
        ];
        self.group("data", &fields)
    }

    fn decision(&mut self, decision: Option<&Decision>) -> Result<(), NotALine> {
        let line = self.line;
        let fields: [Field; 4] = [
            ("consents", line.consents.is_empty(), decision.map(|decision| line.consents == decision.consents)),
            ("emergency", !line.emergency, decision.map(|decision| line.emergency == decision.emergency)),
            ("motivation", line.motivation.is_empty(), decision.map(|decision| line.motivation == decision.motivation)),
            ("reason", line.reason.is_empty(), decision.map(|decision| line.reason == decision.reason)),
        ];
        self.group("decision", &fields)
    }

    fn network(&mut self, network: Option<&Network>) -> Result<(), NotALine> {
        let line = self.line;
        let fields: [Field; 3] = [
            ("keyHash", line.key_hash.is_empty(), network.map(|network| line.key_hash == network.key_hash)),
            ("node", line.node.is_empty(), network.map(|network| line.node == network.node)),
            ("traceId", line.trace_id.is_empty(), network.map(|network| line.trace_id == network.trace)),
        ];
        self.group("network", &fields)
    }
}

/// {collection}/{id}; nothing for no id.
fn named(collection: &str, id: &str) -> String {
    if id.is_empty() { String::new() } else { format!("{collection}/{id}") }
}

/// A code of the covenant as the API names it.
fn word(vocabulary: &str, code: Option<&str>) -> String {
    match code {
        None => String::new(),
        // No personal data: the one code that is no word.
        Some("-") => format!("{vocabulary}_OPEN"),
        Some(code) => format!("{vocabulary}_{code}"),
    }
}
