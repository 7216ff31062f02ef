//! Scenarios an operator would recognise, laws that hold on any cluster, and planted mistakes for the checker.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod balanced;
mod checker;
mod hostile;
mod laws;
mod least_relief;
mod mistakes;
mod oracle;
mod order;
mod place;
mod relief;
mod seed;
mod show;
mod spread;
mod thrift;
mod world;
