use proptest::prelude::*;
use time::macros::datetime;

use super::super::tests::{G, N, START, Z, event, in_case, partner, refused};
use super::*;
use crate::covenant::Covenant;
use crate::method::METHODS;
use crate::party::Article;

fn ask() -> Ask {
    Ask {
        cases: BTreeSet::from(["cases/x".to_owned()]),
        subjects: BTreeSet::from(["pseudonym-of-the-youth".to_owned()]),
        listed: BTreeSet::new(),
        from: START,
        until: datetime!(2026-12-01 0:00 UTC),
        as_of: datetime!(2026-12-01 0:00 UTC),
        scope: Scope::Network,
        partners: vec![partner(G, "Gemeente G"), partner(Z, "Aanbieder Z"), partner(N, "Netwerk")],
        refusals: false,
        events: false,
    }
}

fn lines(events: &[v1::Event], ask: &Ask) -> Vec<Entry> {
    overview(events, ask, Language::En).entries
}

#[test]
fn every_method_category_role_and_article_has_words() {
    for method in METHODS {
        let name = method.name.strip_prefix("sluis.v1.").unwrap();
        let (nl, en) = words::action(name).unwrap_or_else(|| panic!("{name} has no words"));
        assert!(!nl.is_empty() && !en.is_empty() && nl != en, "{name}");
    }
    assert_eq!(words::action("Records/Unheard"), None);
    let covenant = Covenant::embedded().unwrap();
    for article in (1..=u8::MAX).map_while(Article::new).filter(|article| covenant.text(*article).is_some()) {
        let (nl, en) = words::why(article.number()).unwrap_or_else(|| panic!("article {article} has no words"));
        assert!(nl.ends_with('.') && en.ends_with('.'), "article {article}");
    }
    assert_eq!((words::why(0), words::why(41)), (None, None));
    for category in Category::ALL {
        assert!(!words::category(*category).0.contains(category.code()), "{category}");
    }
    for role in Role::ALL {
        assert!(!words::role(*role).0.contains(role.code()), "{role}");
    }
}

/// Level B1: short sentences, and none of the words of professionals.
#[test]
fn words_are_plain() {
    let mut all: Vec<words::Both> =
        METHODS.iter().filter_map(|m| words::action(m.name.strip_prefix("sluis.v1.")?)).collect();
    all.extend((1..=40).filter_map(words::why));
    all.extend(Category::ALL.iter().map(|category| words::category(*category)));
    for (nl, en) in all {
        for text in [nl, en] {
            assert!(text.split(' ').count() <= 14, "{text}");
        }
        for hard in ["verstrek", "grondslag", "casus", "pseudoniem", "verwerk", "metadata", "doelbinding", "escalatie"]
        {
            assert!(!nl.to_lowercase().contains(hard), "{nl}");
        }
    }
}

#[test]
fn a_line_says_who_did_what_and_why() {
    let shared = v1::Event {
        role: Role::R02.number(),
        categories: vec![Category::C08.number(), Category::C14.number()],
        article: "21".to_owned(),
        consents: vec!["c1".to_owned()],
        user_ref: "employee-7".to_owned(),
        ..in_case(5, "Records/PublishRecord", G, &[Z])
    };
    let [line] = &lines(std::slice::from_ref(&shared), &ask())[..] else { panic!("one line") };
    assert_eq!(
        *line,
        Entry {
            day: "2026-11-01".to_owned(),
            organisation: "Gemeente G".to_owned(),
            role: "who has the lead of the case".to_owned(),
            action: "shared information".to_owned(),
            data: vec!["earlier help".to_owned(), "school".to_owned()],
            why: "To let the provider that was chosen begin.".to_owned(),
            shared_with: vec!["Aanbieder Z".to_owned()],
            consent: true,
            emergency: false,
            count: 1,
            events: Vec::new(),
        }
    );
    let named = lines(std::slice::from_ref(&shared), &Ask { events: true, ..ask() });
    assert_eq!(named[0].events, std::slice::from_ref(&shared.name));
    let dutch = overview(&[shared], &ask(), Language::Nl);
    let text = dutch.markdown();
    assert!(text.contains(
        "| 2026-11-01 | Gemeente G | wie de leiding heeft over de zaak | deelde informatie | eerdere hulp, school | \
         Om de gekozen hulpverlener te laten beginnen. | Aanbieder Z | ja | nee | 1 |\n"
    ));
    assert!(text.contains("Stand van: 2026-12-01T00:00:00Z\n"), "{text}");
    assert!(dutch.csv().starts_with("Datum,Organisatie,Rol,"));
    assert!(dutch.json().unwrap().contains("\"organisation\": \"Gemeente G\""));
}

#[test]
fn only_what_was_asked_for_is_taken() {
    let read = |seconds, case: &str| v1::Event { case: case.to_owned(), ..event(seconds, "Cases/GetCase", G) };
    let subject = |text: &str| v1::Event { subject: text.to_owned(), ..event(7, "Pseudonyms/ResolvePseudonym", G) };
    for (what, event, taken) in [
        ("the case", read(1, "cases/x"), true),
        ("another case", read(1, "cases/y"), false),
        ("no case", read(1, ""), false),
        ("the youth", subject("pseudonym-of-the-youth"), true),
        ("another youth", subject("pseudonym-of-another"), false),
        ("before", read(-1, "cases/x"), false),
        ("after", read(30 * 86_400, "cases/x"), false),
        ("failed", v1::Event { outcome: v1::Outcome::Failed as i32, ..read(1, "cases/x") }, false),
    ] {
        assert_eq!(lines(&[event], &ask()).len(), usize::from(taken), "{what}");
    }
    let nothing = Ask { cases: BTreeSet::from([String::new()]), subjects: BTreeSet::from([String::new()]), ..ask() };
    assert!(lines(&[read(1, "")], &nothing).is_empty());
    let empty = overview(&[read(1, "")], &nothing, Language::En).markdown();
    assert!(empty.contains("The log says nothing about you in this period."));
}

#[test]
fn of_a_list_only_that_the_case_stood_in_it() {
    let listed = v1::Event {
        listed: vec!["cases/x".to_owned(), "cases/secret".to_owned()],
        categories: vec![Category::C01.number(), Category::C11.number()],
        role: Role::R02.number(),
        ..event(5, "Cases/ListCases", G)
    };
    let [line] = &lines(std::slice::from_ref(&listed), &ask())[..] else { panic!("one line") };
    assert_eq!(line.action, "the case stood in a list that it was given");
    assert_eq!(line.data, ["how the case stands"]);
    assert!(!overview(&[listed], &ask(), Language::En).json().unwrap().contains("secret"));
    let other = v1::Event { listed: vec!["cases/y".to_owned()], ..event(5, "Cases/ListCases", G) };
    assert!(lines(std::slice::from_ref(&other), &ask()).is_empty());
    // Found for the youth's pseudonym: a case of theirs stood in it, and nothing else is known of that case.
    let found = Ask { cases: BTreeSet::new(), listed: BTreeSet::from([other.name.clone()]), ..ask() };
    let [line] = &lines(std::slice::from_ref(&other), &found)[..] else { panic!("one line") };
    assert_eq!(line.action, "the case stood in a list that it was given");
    let refused = v1::Event { outcome: v1::Outcome::Refused as i32, ..other };
    assert!(lines(&[refused], &found).is_empty());
}

#[test]
fn refusals_are_shown_only_when_somebody_said_so() {
    let refusal = v1::Event {
        case: "cases/x".to_owned(),
        categories: vec![Category::C11.number()],
        ..refused(5, Z, "CONSENT_WITHDRAWN")
    };
    assert!(lines(std::slice::from_ref(&refusal), &ask()).is_empty());
    let shown = overview(&[refusal], &Ask { refusals: true, ..ask() }, Language::Nl);
    let [line] = &shown.entries[..] else { panic!("one line") };
    assert_eq!((line.action.as_str(), line.data.len(), line.why.as_str()), ("verzoek geweigerd", 0, ""));
    assert!(!shown.json().unwrap().contains("CONSENT_WITHDRAWN"));
}

#[test]
fn the_same_on_one_day_is_one_line_and_days_are_in_order() {
    let read = |seconds, by| in_case(seconds, "Cases/GetCase", by, &[]);
    let day = 86_400;
    let events = [read(2 * day, G), read(3, Z), read(1, G), read(2, G), read(23 * 3600 - 1, G), read(23 * 3600, G)];
    let found = lines(&events, &ask());
    let short: Vec<(&str, &str, u64)> =
        found.iter().map(|line| (line.day.as_str(), line.organisation.as_str(), line.count)).collect();
    assert_eq!(
        short,
        [
            ("2026-11-01", "Gemeente G", 3),
            ("2026-11-01", "Aanbieder Z", 1),
            ("2026-11-02", "Gemeente G", 1),
            ("2026-11-03", "Gemeente G", 1),
        ]
    );
    let emergency = v1::Event { emergency: true, ..read(4, G) };
    assert_eq!(lines(&[read(1, G), emergency], &ask()).len(), 2);
    assert_eq!(lines(&[read(1, G), read(1, G)], &ask())[0].count, 1, "the same event given twice");
}

#[test]
fn changing_consent_is_not_resting_on_it() {
    let on = |method| v1::Event { consents: vec!["c1".to_owned()], ..in_case(5, method, G, &[]) };
    for (method, rests) in
        [("Consents/RecordConsent", false), ("Consents/WithdrawConsent", false), ("Records/FetchRecord", true)]
    {
        assert_eq!(lines(&[on(method)], &ask())[0].consent, rests, "{method}");
    }
}

#[test]
fn the_overview_says_what_it_leaves_out() {
    let count = |ask: &Ask| overview(&[], ask, Language::Nl).notes.len();
    assert_eq!(count(&ask()), 3);
    assert_eq!(count(&Ask { refusals: true, ..ask() }), 2);
    assert_eq!(count(&Ask { scope: Scope::Own(G.parse().unwrap()), ..ask() }), 4);
}

const HIDDEN: &str = "zzhidden";

/// An event whose every text that may stand for a person holds a word that must not come out.
fn telling() -> impl Strategy<Value = v1::Event> {
    let methods: Vec<&str> = METHODS.iter().map(|method| method.name).collect();
    let word = || "[a-z=|,\"<]{0,6}".prop_map(|text| format!("{HIDDEN}{text}"));
    let texts = (word(), word(), word(), word(), word(), word());
    let codes = (prop::sample::select(methods), 0_i64..90_000, 1_i32..4, 0_i32..26, 0_i32..20, "[0-9]{0,2}");
    (texts, codes, any::<bool>(), any::<bool>()).prop_map(|(texts, codes, emergency, listed)| {
        let (user_ref, subject, motivation, consent, record, other) = texts;
        let (method, seconds, outcome, category, role, article) = codes;
        v1::Event {
            method: method.to_owned(),
            user_ref,
            motivation,
            consents: vec![consent],
            record: format!("records/{record}"),
            trace_id: other.clone(),
            key_hash: other.clone(),
            node: other.clone(),
            reason: other.clone(),
            purpose: other.clone(),
            clauses: vec![other.clone()],
            listed: if listed { vec![format!("cases/{other}"), "cases/x".to_owned()] } else { Vec::new() },
            erased: vec![other],
            subject,
            outcome,
            categories: vec![category],
            role,
            article,
            emergency,
            ..in_case(seconds, "Cases/GetCase", G, &[Z])
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_stands_for_a_person_comes_out(
        given in prop::collection::vec(telling(), 1..12),
        refusals in any::<bool>(),
        dutch in any::<bool>(),
    ) {
        let subjects = given.iter().map(|event| event.subject.clone()).collect();
        let ask = Ask { refusals, subjects, ..ask() };
        let language = if dutch { Language::Nl } else { Language::En };
        let made = overview(&given, &ask, language);
        let files = [made.markdown(), made.json().unwrap(), made.csv()];
        for file in &files {
            prop_assert!(!file.contains(HIDDEN) && !file.contains("cases/") && !file.contains("events/"), "{}", file);
        }
        let mut turned = given.clone();
        turned.reverse();
        let again = overview(&turned, &ask, language);
        prop_assert_eq!(files, [again.markdown(), again.json().unwrap(), again.csv()]);
    }
}

#[test]
fn who_did_it_in_the_organisations_name_is_said_in_plain_words() {
    let read = |seconds, via: &str| v1::Event { via: via.to_owned(), ..in_case(seconds, "Cases/GetCase", G, &[]) };
    let events = [read(1, Z), read(2, ""), read(3, Z)];
    let who = |language| -> Vec<(String, u64)> {
        let entries = overview(&events, &ask(), language).entries;
        entries.into_iter().map(|entry| (entry.organisation, entry.count)).collect()
    };
    let dutch = [("Gemeente G".to_owned(), 1), ("Gemeente G (via haar leverancier: Aanbieder Z)".to_owned(), 2)];
    assert_eq!(who(Language::Nl), dutch);
    assert_eq!(who(Language::En)[1].0, "Gemeente G (through its supplier: Aanbieder Z)");
    let [entry] = &lines(&[read(1, "00000099900000000009")], &ask())[..] else { panic!("one line") };
    assert!(entry.organisation.contains("organisation 00000099900000000009"), "{}", entry.organisation);
}

#[test]
fn what_nobody_asked_for_is_told_of_somebody_all_the_same() {
    let own = |source: &str, to: &[&str]| {
        let source = source.to_owned();
        v1::Event { organisation: String::new(), source, ..in_case(1, "Registry/SucceedPartner", G, to) }
    };
    let left = format!("partners/{G}");
    for (source, to, who) in
        [(left.as_str(), &[Z][..], "Aanbieder Z"), (&left, &[], "Gemeente G"), ("", &[], "the service itself")]
    {
        let [entry] = &lines(&[own(source, to)], &ask())[..] else { panic!("one line") };
        assert_eq!(entry.organisation, who);
    }
}
