//! What a `%` in the URL of the database does to an environment that is not prepared for it.
//!
//! `set_main_option("sqlalchemy.url", …)` sets a value of `alembic.ini`, where `%` begins a reference. A
//! URL with a percent-encoded password is none of that: `ValueError: invalid interpolation syntax in`,
//! and then the URL, password included, on our stderr. It is told in advance where `env.py` shows it,
//! and with the failure where it does not: applications set that option in other files, too.

use tracing::warn;

use crate::{config::DatabaseUrl, files::Delegated, graph::revision::Place, stage::Stage};

/// Warns where `env.py` would fail, and print the password.
pub fn warn(alembic: Option<&Delegated>, url: &DatabaseUrl) {
    if let Some(place) = alembic.and_then(|alembic| alembic.sets_url.as_ref())
        && has_percent(url)
    {
        warn!(
            stage = %Stage::Configure, event = "percent", at = place.to_string(),
            "the database URL contains `%`, which `set_main_option` takes for a reference: write \
             `%%` for it there, or Alembic fails and prints the URL"
        );
    }
}

/// What to add to the failure of a command, if it may be this.
#[must_use]
pub fn hint(alembic: &Delegated, url: &DatabaseUrl) -> Option<Hint> {
    has_percent(url).then(|| Hint { place: alembic.sets_url.clone() })
}

fn has_percent(url: &DatabaseUrl) -> bool {
    url.as_written().contains('%')
}

/// That it may be the `%`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Hint {
    place: Option<Place>,
}

impl std::fmt::Display for Hint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(
            "if it says `invalid interpolation syntax`: the database URL contains `%`, for which \
             `%%` has to be written ",
        )?;
        match &self.place {
            Some(place) => write!(f, "at {place}"),
            None => f.write_str("where it is given to `set_main_option`"),
        }
    }
}
