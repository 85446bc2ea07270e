//! Scripts of both generations, run as the jail runs them: one process a stage.

mod first;
mod limits;
mod network;
mod parquet;
mod second;
mod trial;
