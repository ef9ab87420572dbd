//! prelaunch: what a container does before its server starts.

pub mod engine;
pub mod graph;
