//! Items that tell an organisation that something about a case changed.

use prost::Message as _;

use crate::api::v1::{CaseChanged, InboxItem, case_changed, inbox_item};
use crate::case::{Assignment, CaseFile};
use crate::clock::micros;
use crate::party::{Oin, Role};
use crate::store::inbox::{NewItem, push};
use crate::store::{StoreError, Tx};
use crate::wire::Numbered as _;

use super::super::facts::Scene;

pub(super) use case_changed::Kind;

/// Tells one organisation. `case` is the case after the change.
pub(super) fn tell(tx: &mut Tx<'_>, scene: &Scene, case: &CaseFile, oin: &Oin, kind: Kind, role: Option<Role>) {
    let changed =
        CaseChanged { kind: kind as i32, role: role.map_or(0, |role| role.number()), phase: case.phase.number() };
    let item = InboxItem { item: Some(inbox_item::Item::Changed(changed)), ..InboxItem::default() };
    push(
        tx,
        NewItem {
            oin: oin.to_string(),
            case_id: Some(case.id.clone()),
            record_id: None,
            role: role.map_or("", Role::code).to_owned(),
            message: item.encode_to_vec(),
            at: micros(scene.now),
        },
    );
}

/// What an item says of a record, beyond the record: by which event it came.
pub(super) fn record(tx: &Tx<'_>) -> Vec<u8> {
    InboxItem { event: format!("events/{}", tx.event_id()), ..InboxItem::default() }.encode_to_vec()
}

/// Tells every organisation that holds a role now which the change concerns, each once.
pub(super) fn tell_all(tx: &mut Tx<'_>, hub: &super::super::Exchange, scene: &Scene, case: &CaseFile, kind: Kind) {
    let mut told = std::collections::BTreeSet::new();
    for assignment in case.active(scene.now, hub.terms()) {
        if let Some(oin) = assignment.partner()
            && concerns(kind, assignment.role, case.chosen.as_ref() == Some(oin))
            && told.insert(oin.clone())
        {
            tell(tx, scene, case, oin, kind, None);
        }
    }
}

/// The end of a role: nobody seals for its holder in that role any more, and the holder hears of it.
pub(super) async fn tell_end(
    tx: &mut Tx<'_>,
    scene: &Scene,
    case: &CaseFile,
    ended: &Assignment,
) -> Result<(), StoreError> {
    let Some(oin) = ended.partner() else { return Ok(()) };
    crate::store::record::drop_requests(tx, &case.id, oin.as_str(), ended.role.code()).await?;
    tell(tx, scene, case, oin, Kind::RoleEnded, Some(ended.role));
    Ok(())
}

/// Whether a change of this kind may be told to somebody in this role: a notice gives nothing that no article gives. The
/// state of a case (C01) and who takes part in it (C05) go to those whom some article gives them, a provider that was asked (R09)
/// once it is `chosen`;
/// what happens to consents and restrictions (C23) to those whom article 35 gives C23; a role to its holder.
pub(in crate::exchange) const fn concerns(kind: Kind, role: Role, chosen: bool) -> bool {
    match kind {
        Kind::Unspecified => false,
        Kind::RoleAssigned | Kind::RoleEnded => true,
        Kind::Phase | Kind::Closed | Kind::EscalationStarted | Kind::EscalationEnded | Kind::Participants => match role
        {
            Role::R01 | Role::R02 | Role::R03 | Role::R04 | Role::R05 | Role::R06 => true,
            Role::R07 | Role::R08 | Role::R10 | Role::R12 => true,
            Role::R09 => chosen,
            _ => false,
        },
        Kind::ConsentWithdrawn | Kind::Restricted => {
            matches!(role, Role::R02 | Role::R03 | Role::R06 | Role::R07 | Role::R08 | Role::R09)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::party::Category;

    /// The roles to which the covenant gives the category in some article, by the table that its matrix is held to.
    fn given(category: Category) -> Vec<Role> {
        let rows: Vec<serde_json::Value> =
            serde_json::from_str(&crate::covenant::file::embedded_files()["grants.json"]).unwrap();
        let to =
            |role: &Role| rows.iter().any(|row| row["recipient"] == role.code() && row["category"] == category.code());
        Role::ALL.iter().copied().filter(to).collect()
    }

    #[test]
    fn notices_go_where_the_category_goes() {
        let told = |kind, chosen| -> Vec<Role> {
            Role::ALL.iter().copied().filter(|role| concerns(kind, *role, chosen)).collect()
        };
        // Third parties (R16) have no inbox; youth and parents (R18) ask through a partner.
        let state: Vec<Role> = given(Category::C01).into_iter().filter(|role| *role != Role::R16).collect();
        let parties: Vec<Role> = given(Category::C05);
        assert_eq!(told(Kind::Participants, true), parties);
        let consent: Vec<Role> = given(Category::C23).into_iter().filter(|role| *role != Role::R18).collect();
        for kind in [Kind::Phase, Kind::Closed, Kind::EscalationStarted, Kind::EscalationEnded, Kind::Participants] {
            assert_eq!(told(kind, true), state, "{kind:?}");
            let others: Vec<Role> = state.iter().copied().filter(|role| *role != Role::R09).collect();
            assert_eq!(told(kind, false), others, "{kind:?}");
        }
        for kind in [Kind::ConsentWithdrawn, Kind::Restricted] {
            assert_eq!(told(kind, false), consent, "{kind:?}");
        }
        for kind in [Kind::RoleAssigned, Kind::RoleEnded] {
            assert_eq!(told(kind, false), Role::ALL, "{kind:?}");
        }
        assert!(told(Kind::Unspecified, true).is_empty());
    }
}
