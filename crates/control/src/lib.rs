//! The cycle as a state machine: an event goes in, effects come out. Pure: time arrives as an argument.
#![forbid(unsafe_code)]
