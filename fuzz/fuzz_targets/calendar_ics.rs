#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dormouse_hostile::run("calendar_ics", bytes));
