//! SQL of consents.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sqlx::AnyConnection;
use sqlx::Row as _;

use super::case::{regime_from_text, regime_to_text};
use super::session::query;
use super::{StoreError, Tx};
use crate::case::ConsentOnFile;
use crate::clock::{from_micros, micros};
use crate::covenant::consent::{Given, Giver, Scope};
use crate::party::{Article, Category, Oin, Role};
use crate::wire::Numbered as _;

const BAD: StoreError = StoreError::Inconsistent("consent");

/// Consents of a case, oldest first.
pub(super) async fn load(conn: &mut AnyConnection, case_id: &str) -> Result<Vec<ConsentOnFile>, StoreError> {
    let rows = sqlx::query("SELECT * FROM consent WHERE case_id = $1 ORDER BY given_at, consent_id")
        .bind(case_id)
        .fetch_all(conn)
        .await?;
    rows.iter()
        .map(|row| {
            let (scope, explicit) = scope_from_text(&row.try_get::<String, _>("scope")?)?;
            let giver: i32 = row.try_get::<String, _>("giver")?.parse().map_err(|_| BAD)?;
            Ok(ConsentOnFile {
                id: row.try_get("consent_id")?,
                text_version: row.try_get("text_version")?,
                given: Given {
                    giver: Giver::from_number(giver).ok_or(BAD)?,
                    regime: regime_from_text(&row.try_get::<String, _>("regime")?)?,
                    scope,
                    explicit,
                    given_at: from_micros(row.try_get("given_at")?),
                    valid_until: from_micros(row.try_get("expires_at")?),
                    withdrawn_at: row.try_get::<Option<i64>, _>("withdrawn_at")?.map(from_micros),
                },
            })
        })
        .collect()
}

/// Adds a consent.
pub async fn insert(tx: &mut Tx<'_>, case_id: &str, consent: &ConsentOnFile) -> Result<(), StoreError> {
    let given = &consent.given;
    query(
        "INSERT INTO consent (consent_id, case_id, giver, regime, scope, text_version, given_at, expires_at, withdrawn_at) \
         VALUES ($1,$2,$3,$4,$5,$6,$7,$8,NULL)",
    )
    .bind(&consent.id)
    .bind(case_id)
    .bind(given.giver.number().to_string())
    .bind(regime_to_text(&given.regime))
    .bind(scope_to_text(&given.scope, given.explicit))
    .bind(&consent.text_version)
    .bind(micros(given.given_at))
    .bind(micros(given.valid_until))
    .execute(tx.conn().await?)
    .await?;
    Ok(())
}

/// Withdraws a consent; a second time changes nothing.
pub async fn withdraw(tx: &mut Tx<'_>, consent_id: &str, at: i64) -> Result<(), StoreError> {
    query("UPDATE consent SET withdrawn_at = COALESCE(withdrawn_at, $2) WHERE consent_id = $1")
        .bind(consent_id)
        .bind(at)
        .execute(tx.conn().await?)
        .await?;
    Ok(())
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScopeText {
    articles: Vec<u8>,
    categories: Vec<String>,
    recipients: Vec<String>,
    recipient_roles: Vec<String>,
    sources: Vec<String>,
    explicit: bool,
}

fn scope_to_text(scope: &Scope, explicit: bool) -> String {
    let text = ScopeText {
        articles: scope.articles.iter().map(|article| article.number()).collect(),
        categories: scope.categories.iter().map(ToString::to_string).collect(),
        recipients: scope.recipients.iter().map(ToString::to_string).collect(),
        recipient_roles: scope.recipient_roles.iter().map(ToString::to_string).collect(),
        sources: scope.sources.iter().map(ToString::to_string).collect(),
        explicit,
    };
    serde_json::to_string(&text).unwrap_or_default()
}

fn scope_from_text(text: &str) -> Result<(Scope, bool), StoreError> {
    let text: ScopeText = serde_json::from_str(text).map_err(|_| BAD)?;
    let parse = |codes: &[String]| -> Result<BTreeSet<Oin>, StoreError> {
        codes.iter().map(|code| code.parse().map_err(|_| BAD)).collect()
    };
    let scope = Scope {
        articles: text.articles.iter().map(|n| Article::new(*n).ok_or(BAD)).collect::<Result<_, _>>()?,
        categories: text.categories.iter().map(|c| c.parse::<Category>().map_err(|_| BAD)).collect::<Result<_, _>>()?,
        recipients: parse(&text.recipients)?,
        recipient_roles: text
            .recipient_roles
            .iter()
            .map(|r| r.parse::<Role>().map_err(|_| BAD))
            .collect::<Result<_, _>>()?,
        sources: parse(&text.sources)?,
    };
    Ok((scope, text.explicit))
}
