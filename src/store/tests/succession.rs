//! What of a partner is open still, counted alike by every engine.

use super::super::succession::{OpenCases, closed_cases, in_cases, open_cases};
use super::{Engine, OIN, on_every_engine};

on_every_engine!(
    open_and_closed_cases_are_counted_apart,
    of_who_left_what_is_not_put_down_yet_and_what_nobody_holds_is_counted
);

const OTHER: &str = "00000099100001420000";
const NOW: i64 = 1_000;

/// A case, closed or not, and the roles in it: whose, which, agreed end, end.
type Held<'a> = (&'a str, bool, &'a [(&'a str, &'a str, Option<i64>, Option<i64>)]);

async fn put(engine: &Engine, (case, closed, roles): Held<'_>) {
    let bytes = engine.bytes_of("tag");
    let sql = |at: Option<i64>| at.map_or_else(|| "NULL".to_owned(), |at| at.to_string());
    let closed = sql(closed.then_some(5));
    let mut all = format!(
        "INSERT INTO case_file (case_id, rev, subject_tag, tag_epoch, phase, phase_at, created_at, closed_at, escalated, \
         restricted, objection, regime) VALUES ('{case}', 1, {bytes}, 0, 'F2', 1, 1, {closed}, 0, 0, 0, '{{}}');"
    );
    for oin in [OIN, OTHER] {
        all += &format!("INSERT INTO case_name (name, case_id, oin) VALUES ('{case}-{oin}', '{case}', '{oin}');");
    }
    for (nth, (oin, role, ends, ended)) in roles.iter().enumerate() {
        let (ends, ended) = (sql(*ends), sql(*ended));
        all += &format!(
            "INSERT INTO assignment (assignment_id, case_id, role, oin, involved, starts_at, ends_at, ended_at) \
             VALUES ('{case}-{nth}', '{case}', '{role}', '{oin}', 0, 1, {ends}, {ended});"
        );
    }
    engine.any(all).await;
}

async fn open_and_closed_cases_are_counted_apart(engine: Engine) {
    let store = engine.open().await.unwrap();
    let cases: [Held<'_>; 11] = [
        ("held", false, &[(OIN, "R02", None, None), (OIN, "R01", None, None)]),
        ("part", false, &[(OIN, "R07", Some(NOW + 1), None), (OTHER, "R02", None, None)]),
        ("over", false, &[(OIN, "R02", Some(NOW), None)]),
        ("ended", false, &[(OIN, "R02", None, Some(7)), (OTHER, "R02", None, None)]),
        ("closed", true, &[(OIN, "R02", None, None), (OIN, "R01", None, None)]),
        ("closed too", true, &[(OIN, "R02", None, None), (OIN, "R02", None, None)]),
        ("closed, until later", true, &[(OIN, "R02", Some(NOW + 1), None)]),
        ("closed, of another", true, &[(OTHER, "R02", None, None), (OIN, "R07", None, None)]),
        ("closed, over", true, &[(OIN, "R02", Some(NOW), None)]),
        ("closed, ended", true, &[(OIN, "R02", None, Some(7))]),
        ("of nobody", true, &[]),
    ];
    for case in cases {
        put(&engine, case).await;
    }
    let mut reader = store.read().await.unwrap();
    for (oin, counted) in [
        (OIN, OpenCases { any: 2, held: 1, closed: 3, nobodys: 0 }),
        (OTHER, OpenCases { any: 2, held: 2, closed: 1, nobodys: 0 }),
        ("00000099100001430000", OpenCases::default()),
    ] {
        assert_eq!(open_cases(&mut reader, oin, None, NOW).await.unwrap(), counted, "{oin}");
        let (open, closed) =
            (in_cases(&mut reader, oin, NOW).await.unwrap(), closed_cases(&mut reader, oin, NOW).await);
        let listed = (u32::try_from(open.len()).unwrap(), u32::try_from(closed.unwrap().len()).unwrap());
        assert_eq!(listed, (counted.any, counted.closed), "{oin}: as many as are done");
    }
}

async fn of_who_left_what_is_not_put_down_yet_and_what_nobody_holds_is_counted(engine: Engine) {
    const LEFT: i64 = 500;
    let store = engine.open().await.unwrap();
    engine
        .any(format!(
            "INSERT INTO partner (oin, display_name, kind, status, standing_roles, effective_at, withdrawn_at, accepted_covenant) \
             VALUES ('{OIN}', 'Weg', 'gemeente', 'withdrawn', '', 1, {LEFT}, 1);"
        ))
        .await;
    let (agreed, ended) = (Some(LEFT + 1), Some(LEFT));
    let cases: [Held<'_>; 7] = [
        ("agreed end since", false, &[(OIN, "R07", agreed, None)]),
        ("put down", false, &[(OIN, "R07", None, ended)]),
        ("of nobody", false, &[(OIN, "R02", None, ended)]),
        ("of another since", false, &[(OIN, "R02", None, ended), (OTHER, "R02", None, None)]),
        ("of another until a while ago", false, &[(OIN, "R02", None, ended), (OTHER, "R02", agreed, None)]),
        ("given over before", false, &[(OIN, "R02", None, Some(LEFT - 1))]),
        ("closed since", true, &[(OIN, "R02", None, ended)]),
    ];
    for case in cases {
        put(&engine, case).await;
    }
    let mut reader = store.read().await.unwrap();
    let counted = open_cases(&mut reader, OIN, Some(LEFT), NOW).await.unwrap();
    assert_eq!(counted, OpenCases { any: 1, held: 0, closed: 0, nobodys: 2 });
}
