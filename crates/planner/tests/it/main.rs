//! Scenarios an operator would recognise, laws that hold on any cluster, and planted mistakes for the checker.

mod balanced;
mod checker;
mod laws;
mod seed;
mod show;
mod spread;
