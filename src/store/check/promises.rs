//! Whether callers were told the truth: what they were answered, against the rows. Changes nothing.

use sqlx::{AnyConnection, Row as _};

use crate::store::engine::{Access, connect};
use crate::store::{StoreError, open};

/// What one user of an organisation brought about, by the rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Effects {
    /// Cases that it referred.
    pub cases: i64,
    /// Consents in these cases.
    pub consents: i64,
    /// Roles in these cases, also those that come with the referral.
    pub roles: i64,
    /// Records that it published.
    pub records: i64,
}

macro_rules! in_cases_of {
    ($table:literal) => {
        concat!(
            "SELECT COUNT(*) FROM ",
            $table,
            " x WHERE x.case_id IN (SELECT e.case_id FROM audit_event e WHERE e.req_oin = $1 AND e.user_ref = $2 ",
            "AND e.outcome = 'allowed' AND e.method = 'sluis.v1.Cases/ReferCase')"
        )
    };
}

const CASES: &str = in_cases_of!("case_file");
const CONSENTS: &str = in_cases_of!("consent");
const ROLES: &str = in_cases_of!("assignment");
const RECORDS: &str = "SELECT COUNT(*) FROM record x WHERE x.record_id IN (SELECT e.record_id FROM audit_event e \
                       WHERE e.req_oin = $1 AND e.user_ref = $2 AND e.outcome = 'allowed' \
                       AND e.method = 'sluis.v1.Records/PublishRecord')";

/// A look at a store.
pub struct Promises(AnyConnection);

impl Promises {
    /// Opens a database for looking.
    ///
    /// # Errors
    /// It can't be reached, or is no hub's.
    pub async fn open(access: &Access) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        let mut conn = connect(&access.options()?).await.map_err(open::not_a_database)?;
        open::verify(&mut conn, access.engine()).await?;
        Ok(Self(conn))
    }

    /// Whether a call was allowed under this event.
    ///
    /// # Errors
    /// The database can't be read.
    pub async fn is_stored(&mut self, event: &str) -> Result<bool, StoreError> {
        let query = "SELECT COUNT(*) FROM audit_event WHERE event_id = $1 AND outcome = 'allowed'";
        self.number(query, &[event]).await.map(|count| count == 1)
    }

    /// Whether the reply to a request id is remembered, once.
    ///
    /// # Errors
    /// The database can't be read.
    pub async fn is_remembered(&mut self, oin: &str, method: &str, request_id: &str) -> Result<bool, StoreError> {
        let query = "SELECT COUNT(*) FROM request r JOIN audit_event e ON e.event_id = r.event_id WHERE r.oin = $1 \
                     AND r.method = $2 AND r.request_id = $3 AND e.outcome = 'allowed' AND e.method = r.method";
        self.number(query, &[oin, method, request_id]).await.map(|count| count == 1)
    }

    /// How many replies are remembered for a user of an organisation.
    ///
    /// # Errors
    /// The database can't be read.
    pub async fn replies(&mut self, oin: &str, user_ref: &str) -> Result<i64, StoreError> {
        let query = "SELECT COUNT(*) FROM request r JOIN audit_event e ON e.event_id = r.event_id \
                     WHERE r.oin = $1 AND e.user_ref = $2";
        self.number(query, &[oin, user_ref]).await
    }

    /// What a user brought about.
    ///
    /// # Errors
    /// The database can't be read.
    pub async fn effects(&mut self, oin: &str, user_ref: &str) -> Result<Effects, StoreError> {
        let who = [oin, user_ref];
        Ok(Effects {
            cases: self.number(CASES, &who).await?,
            consents: self.number(CONSENTS, &who).await?,
            roles: self.number(ROLES, &who).await?,
            records: self.number(RECORDS, &who).await?,
        })
    }

    /// The places of an organisation's inbox, in order.
    ///
    /// # Errors
    /// The database can't be read.
    pub async fn inbox(&mut self, oin: &str) -> Result<Vec<i64>, StoreError> {
        let query = "SELECT seq FROM inbox_item WHERE oin = $1 ORDER BY seq";
        let rows = sqlx::query(query).bind(oin.to_owned()).fetch_all(&mut self.0).await?;
        Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
    }

    async fn number(&mut self, query: &'static str, values: &[&str]) -> Result<i64, StoreError> {
        let mut query = sqlx::query(query);
        for value in values {
            query = query.bind((*value).to_owned());
        }
        Ok(query.fetch_one(&mut self.0).await?.try_get(0)?)
    }
}
