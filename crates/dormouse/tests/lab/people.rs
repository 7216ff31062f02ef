//! What people get wrong at the keyboard.

use crate::world::{Goal, HOSTS, World};
use std::fs;

/// Leaves everything as it was.
pub(crate) fn mistakes(world: &mut World) {
    // Settings with a slip: the daemon does not start, and says where.
    let slip = world.folder.join("slip.toml");
    let settings = fs::read_to_string(world.config()).unwrap();
    fs::write(&slip, settings.replace("[hosts]\nshared", "[hosts]\nsharde")).unwrap();
    for line in ["run", "config check"] {
        let typed = world.type_with(&slip, line);
        assert_eq!(typed.code, 2, "{typed:?}");
        assert!(typed.err.contains("slip.toml:12:1: unknown setting `hosts.sharde`"), "{}", typed.err);
        assert!(typed.err.contains("Hint: did you mean `hosts.shared`?"), "{}", typed.err);
    }
    // A second daemon on the same socket, and one on the same store.
    let second = world.type_in("run");
    assert_eq!(second.code, 1, "{second:?}");
    assert!(second.err.contains("another daemon answers there"), "{}", second.err);
    let aside = world.folder.join("aside.toml");
    fs::write(&aside, settings.replace("state.sock", "aside.sock")).unwrap();
    let second = world.type_with(&aside, "run");
    assert_eq!(second.code, 3, "{second:?}");
    assert!(second.err.contains("another manager leads: "), "{}", second.err);

    // The running one reads a broken text: what it had stays in use.
    let before = world.json("config explain")["windows"].clone();
    let text = fs::read_to_string(world.cluster()).unwrap();
    fs::write(world.cluster(), text.replace("goal=hold", "gaol=compact")).unwrap();
    let line = 1 + text.lines().position(|line| line.starts_with("window")).unwrap();
    let place = format!("cluster:{line}:");
    world.hang_up();
    world.wait("the mistake is told", |world| world.log().contains("the settings stay as they were"));
    let log = world.log();
    let told = log.lines().find(|line| line.contains("the settings stay as they were")).unwrap();
    assert!(
        told.contains(&place) && told.contains("unknown key `gaol`") && told.contains("did you mean `goal`"),
        "{told}"
    );
    let typed = world.type_in("config check");
    assert_eq!(typed.code, 2, "{typed:?}");
    assert!(typed.err.contains(&place) && typed.err.contains("did you mean `goal`"), "{}", typed.err);
    let status = world.json("status");
    assert_eq!((status["goal"].as_str(), status["hosts_on"].as_u64()), (Some("hold"), Some(4)), "{status}");

    world.change(Goal::Hold, "");
    assert_eq!(world.json("config explain")["windows"], before);
    world.wait("all is as before", |world| HOSTS.iter().all(|host| world.state(host) == "on"));

    // Misspelt verbs and names.
    let typed = world.type_in("host drain h05");
    assert_eq!(typed.code, 2, "{typed:?}");
    assert!(
        typed.err.contains("there is no host `h05`") && typed.err.contains("did you mean `h01`"),
        "{}",
        typed.err
    );
}
