//! What a scheduler does: scripts, submissions, and the state of jobs. Rules that need no server stand in files of their own.

pub mod info;
pub mod nodes;
pub mod once;
pub mod poll;
pub mod resource;
pub mod script;
pub mod service;
pub mod state;
pub mod template;
