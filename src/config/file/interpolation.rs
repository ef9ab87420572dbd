//! `${NAME}` in the values of the configuration file.
//!
//! The forms are those of a POSIX shell that treat empty as unset, since empty is unset everywhere
//! here: `${NAME}`, `${NAME:-default}`, `${NAME:+text}`, `${NAME:?message}`, nested in default and
//! text; `$$` is a dollar. Surprising to users of a shell: `${NAME}` of what is not set is an error,
//! because half a URL is worse than none. What is replaced is not looked at again, and TOML is
//! read before: no value can become a key, or another value.

/// Why a text has no value.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InterpolationError {
    /// A variable without a value.
    #[error("`{0}` is not set; set it, or write `${{{0}:-default}}`")]
    Unset(String),
    /// What `:?` says.
    #[error("`{name}` is not set: {message}")]
    Required {
        /// The variable.
        name: String,
        /// The words of the file.
        message: String,
    },
    /// A value that is not UTF-8.
    #[error("`{0}` is not UTF-8 text")]
    NotUtf8(String),
    /// A dollar that begins nothing.
    #[error("write `$$` for a dollar, and `${{NAME}}` for a variable")]
    Dollar,
    /// A brace that is never closed.
    #[error("`${{` is not closed by `}}`")]
    Open,
    /// What is in braces is none of the forms.
    #[error(
        "`${{{0}…` is not understood; accepted: `${{NAME}}`, `${{NAME:-default}}`, `${{NAME:+text}}`, \
         `${{NAME:?message}}`"
    )]
    Form(String),
}

/// What a variable is: not set (or blank), a text, or something else.
pub(super) enum Variable<'a> {
    Unset,
    Text(&'a str),
    NotUtf8,
}

/// Replaces every form. `variable` is asked for each name that occurs, whether or not its value
/// matters in the end: so whoever asks knows which ones the file speaks of.
pub(super) fn interpolate<'a>(
    text: &str,
    variable: &mut dyn FnMut(&str) -> Variable<'a>,
) -> Result<String, InterpolationError> {
    part(&mut &*text, false, variable)
}

/// Reads to the end, or `inside` of braces to the one that closes them.
fn part<'a>(
    rest: &mut &str,
    inside: bool,
    variable: &mut dyn FnMut(&str) -> Variable<'a>,
) -> Result<String, InterpolationError> {
    let mut value = String::new();
    loop {
        let stop = rest.find(|c| c == '$' || inside && c == '}').unwrap_or(rest.len());
        value.push_str(&rest[..stop]);
        *rest = &rest[stop..];
        if rest.is_empty() {
            return if inside { Err(InterpolationError::Open) } else { Ok(value) };
        }
        if let Some(behind) = rest.strip_prefix('}') {
            *rest = behind;
            return Ok(value);
        }
        if let Some(behind) = rest.strip_prefix("$$") {
            value.push('$');
            *rest = behind;
        } else if let Some(behind) = rest.strip_prefix("${") {
            *rest = behind;
            value.push_str(&braces(rest, variable)?);
        } else {
            return Err(InterpolationError::Dollar);
        }
    }
}

/// Reads what is behind `${`, its `}` included.
fn braces<'a>(
    rest: &mut &str,
    variable: &mut dyn FnMut(&str) -> Variable<'a>,
) -> Result<String, InterpolationError> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let end = rest.find(|c| !is_part(c)).ok_or(InterpolationError::Open)?;
    let (name, behind) = rest.split_at(end);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(InterpolationError::Form(name.to_owned()));
    }
    let set = match variable(name) {
        Variable::Text(text) => Some(text.to_owned()),
        Variable::Unset => None,
        Variable::NotUtf8 => return Err(InterpolationError::NotUtf8(name.to_owned())),
    };
    if let Some(behind) = behind.strip_prefix('}') {
        *rest = behind;
        return set.ok_or_else(|| InterpolationError::Unset(name.to_owned()));
    }
    let form = behind.get(..2).filter(|form| [":-", ":+", ":?"].contains(form));
    let Some(form) = form else { return Err(InterpolationError::Form(name.to_owned())) };
    *rest = &behind[2..];
    // What is not used may speak of what is not set; it must be well-formed all the same.
    let used = set.is_none() ^ (form == ":+");
    let other = if used {
        part(rest, true, variable)?
    } else {
        skipped(rest, variable)?;
        String::new()
    };
    match (form, set) {
        (":+", Some(_)) => Ok(other),
        (":+", None) => Ok(String::new()),
        (_, Some(set)) => Ok(set),
        (":?", None) => Err(InterpolationError::Required { name: name.to_owned(), message: other }),
        (_, None) => Ok(other),
    }
}

/// Reads a part that is not used.
fn skipped<'a>(
    rest: &mut &str,
    variable: &mut dyn FnMut(&str) -> Variable<'a>,
) -> Result<(), InterpolationError> {
    part(rest, true, &mut |name| {
        // Asked for its name alone.
        variable(name);
        Variable::Text("")
    })
    .map(drop)
}
