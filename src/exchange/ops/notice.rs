//! Items that tell an organisation that something about a case changed.

use prost::Message as _;

use crate::api::v1::{CaseChanged, InboxItem, case_changed, inbox_item};
use crate::case::CaseFile;
use crate::clock::micros;
use crate::party::{Oin, Role};
use crate::store::inbox::{NewItem, push};
use crate::store::{StoreError, Tx};
use crate::wire::Numbered as _;

use super::super::Facts;

pub(super) use case_changed::Kind;

/// Tells one organisation. `case` is the case after the change.
pub(super) async fn tell(
    tx: &mut Tx<'_>,
    facts: &Facts,
    case: &CaseFile,
    oin: &Oin,
    kind: Kind,
    role: Option<Role>,
) -> Result<(), StoreError> {
    let changed =
        CaseChanged { kind: kind as i32, role: role.map_or(0, |role| role.number()), phase: case.phase.number() };
    let item = InboxItem { item: Some(inbox_item::Item::Changed(changed)), ..InboxItem::default() };
    push(
        tx,
        NewItem {
            oin: oin.as_str(),
            case_id: Some(&case.id),
            record_id: None,
            role: role.map_or("", Role::code),
            message: item.encode_to_vec(),
            at: micros(facts.now),
        },
    )
    .await
}

/// Tells every organisation that holds a role now, each once.
pub(super) async fn tell_all(
    tx: &mut Tx<'_>,
    hub: &super::super::Exchange,
    facts: &Facts,
    case: &CaseFile,
    kind: Kind,
) -> Result<(), StoreError> {
    let mut told = std::collections::BTreeSet::new();
    for assignment in case.active(facts.now, hub.terms()) {
        if let Some(oin) = assignment.partner()
            && told.insert(oin.clone())
        {
            tell(tx, facts, case, oin, kind, None).await?;
        }
    }
    Ok(())
}
