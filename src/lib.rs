//! prelaunch: what a container does before its server starts.

pub mod apply;
pub mod child;
pub mod cli;
pub mod config;
pub mod db;
pub mod engine;
pub mod error;
pub mod exec;
pub mod files;
pub mod graph;
pub mod lock;
pub mod look;
mod pause;
pub mod plan;
pub mod reindex;
pub mod report;
pub mod run;
pub mod script;
pub mod signals;
pub mod stage;
pub mod values;
pub mod wait;
