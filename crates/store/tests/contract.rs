//! The rules that every store keeps, over SQLite.

mod common;

use common::Place;
use dormouse_driver::conformance_store;
use dormouse_store::FileLease;

#[test]
fn sqlite_keeps_the_rules_of_a_store() {
    let place = Place::new();
    let (one, two) = (place.open().expect("one"), place.open().expect("two"));
    let (first, second) = (FileLease::new(&one), FileLease::new(&two));
    let broken = place.run(conformance_store::store((&one, &first), (&two, &second)));
    assert_eq!(broken, Vec::<String>::new());
}
