//! Whom a certificate is asked for, as people write it down: in arguments and in proposals. Pure.

use serde::{Deserialize, Serialize};

use super::CaError;
use super::profile::{Profile, alternative};
use crate::party::Oin;

/// What a certificate is to say, not looked at yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    /// Kind of holder: organisation, server, person or local.
    pub profile: String,
    /// Name of the organisation, the server or the local system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// OIN, 20 digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oin: Option<String>,
    /// Opaque reference of a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// DNS names and IP addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alternatives: Vec<String>,
    /// Validity in days.
    pub days: u16,
}

impl Wish {
    /// The holder, if everything is there that the profile needs, and nothing else.
    ///
    /// # Errors
    /// What is missing, superfluous or malformed.
    pub fn holder(&self) -> Result<Profile, CaError> {
        let refuse = |given: bool, option| if given { Err(CaError::Superfluous(option)) } else { Ok(()) };
        let oin = self.oin.as_ref().map(|oin| oin.parse::<Oin>().map_err(|_| CaError::BadOin)).transpose()?;
        let name = self.name.as_ref().map(|name| name.parse()).transpose()?;
        let person = self.person.as_ref().map(|one| one.parse().map_err(|_| CaError::BadPerson)).transpose()?;
        let alternatives = self.alternatives.iter().map(|text| alternative(text)).collect::<Result<Vec<_>, _>>()?;
        let missing = CaError::Missing;
        match self.profile.as_str() {
            "organisation" => {
                refuse(person.is_some(), "person")?;
                let (name, oin) = (name.ok_or(missing("name"))?, oin.ok_or(missing("oin"))?);
                Ok(Profile::Organisation { name, oin, alternatives })
            }
            "server" => {
                refuse(person.is_some(), "person")?;
                if alternatives.is_empty() {
                    return Err(missing("san"));
                }
                Ok(Profile::Server { name: name.ok_or(missing("name"))?, oin, alternatives })
            }
            "person" => {
                refuse(name.is_some(), "name")?;
                refuse(!alternatives.is_empty(), "san")?;
                Ok(Profile::Person { person: person.ok_or(missing("person"))?, oin: oin.ok_or(missing("oin"))? })
            }
            "local" => {
                refuse(person.is_some(), "person")?;
                refuse(oin.is_some(), "oin")?;
                refuse(!alternatives.is_empty(), "san")?;
                Ok(Profile::Local { system: name.ok_or(missing("name"))? })
            }
            _ => Err(CaError::BadProfile),
        }
    }
}
