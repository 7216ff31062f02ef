//! Nouns and units of dormouse, the cluster text and the calendar. Pure: no clock, no chance, no I/O.
#![forbid(unsafe_code)]
