//! The revision graph: nouns and decisions over them, without any I/O.
pub mod revision;
