//! Decides which hosts may sleep and how to get there. Pure: a snapshot goes in, a plan and a report come out.
#![forbid(unsafe_code)]
