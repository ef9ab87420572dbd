//! What else must answer before the server may start: an entry of `WAIT_FOR`.
//!
//! Entries are separated by commas, so an address that holds one writes it as `%2C`. Credentials
//! and queries are never shown, neither by `Display` nor by `Debug` nor in an error.

use std::fmt;

use url::Url;

#[cfg(test)]
mod tests;

/// Something that must answer.
#[derive(Clone, Eq, PartialEq)]
pub enum Dependency {
    /// `tcp://host:port`: a connection is accepted.
    Tcp {
        /// A name or an address; IPv6 without brackets.
        host: String,
        /// Never 0.
        port: u16,
    },
    /// `http://…` or `https://…`: a GET is answered with 2xx or 3xx.
    Http {
        /// The address, credentials included.
        url: Url,
    },
}

impl Dependency {
    /// What an entry may be, for messages.
    pub(super) const ACCEPTED: &'static str = "`tcp://host:port`, `http://…` and `https://…`";

    /// Reads one entry; `None` if it is none.
    #[must_use]
    pub fn parse(entry: &str) -> Option<Self> {
        let url = Url::parse(entry).ok()?;
        match url.scheme() {
            "tcp" => {
                let only_host_and_port = url.username().is_empty()
                    && url.password().is_none()
                    && matches!(url.path(), "" | "/")
                    && url.query().is_none()
                    && url.fragment().is_none();
                let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']');
                let port = url.port().filter(|port| *port != 0)?;
                let sound = only_host_and_port && !host.is_empty();
                sound.then(|| Self::Tcp { host: host.to_owned(), port })
            }
            "http" | "https" => Some(Self::Http { url }),
            _ => None,
        }
    }

    /// An entry that could not be read, as far as it may be shown: what stands before an `@` may
    /// be a password, what stands behind a `?` a token.
    pub(super) fn redacted(entry: &str) -> String {
        let shown = match entry.rsplit_once('@') {
            Some((_, rest)) => format!("…@{rest}"),
            None => entry.to_owned(),
        };
        match shown.split_once('?') {
            Some((address, _)) => format!("{address}?…"),
            None => shown,
        }
    }
}

impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "tcp://[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "tcp://{host}:{port}"),
            Self::Http { url } => {
                write!(f, "{}://{}", url.scheme(), url.host_str().unwrap_or_default())?;
                if let Some(port) = url.port() {
                    write!(f, ":{port}")?;
                }
                f.write_str(url.path())
            }
        }
    }
}

impl fmt::Debug for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dependency({self})")
    }
}
