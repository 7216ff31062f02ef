//! Hosts that are not as they should be, as `doctor` names them: each on its own line, and nothing else.

use crate::world::{HOSTS, World};
use dormouse_lab::Fault;
use serde_json::Value;
use std::fs;

/// A host's verdict on one check, with the reason.
fn verdict(findings: &Value, host: &str, check: &str) -> (String, String) {
    let of = |finding: &&Value| finding["host"] == host && finding["check"] == check;
    let found: Vec<&Value> = findings.as_array().unwrap().iter().filter(of).collect();
    let [finding] = found[..] else { panic!("{host} {check}: {found:?}") };
    let text = |key: &str| finding[key].as_str().unwrap().to_owned();
    (text("verdict"), text("reason"))
}

/// Leaves everything as it was.
pub(crate) fn names_what_is_broken(world: &mut World) {
    let look = |world: &World, code: i32| -> Value {
        // Unlike the verbs that ask the daemon it looks by itself: from where the manager is.
        let mut command = world.lab.command_in_manager_netns(env!("CARGO_BIN_EXE_dormouse"));
        let out = command
            .arg("--config")
            .arg(world.config())
            .args(["doctor", "--format", "json"])
            .output()
            .unwrap();
        let told = String::from_utf8(out.stdout).unwrap();
        assert_eq!(out.status.code(), Some(code), "{told} {}", String::from_utf8_lossy(&out.stderr));
        serde_json::from_str(&told).unwrap()
    };
    let whole = look(world, 0);
    for host in HOSTS {
        for check in ["ssh", "rights", "doors", "libvirt", "moves", "shared folder", "same folder"] {
            assert_eq!(verdict(&whole, host, check).0, "ok", "{host} {check} {whole}");
        }
        for check in ["clock", "networks", "CPU group", "autostart", "not now"] {
            assert_eq!(verdict(&whole, host, check).0, "ok", "{host} {check} {whole}");
        }
        assert_eq!(
            verdict(&whole, host, "disk locks").0,
            "warn",
            "the lab has none: a warning fails nothing"
        );
    }
    assert_eq!(verdict(&whole, "cluster", "VMs").0, "ok");

    // Two VMs with one address and one disk, one of them marked; a silent host; no certificate; libvirtd frozen.
    let etc = |host: &str| world.lab.paths.host(&world.lab.spec.host(host).unwrap()).etc();
    let definition = fs::read_to_string(world.lab.paths.domains().join("pc01.xml")).unwrap();
    let uuid = world.lab.spec.guest("pc01").unwrap().uuid.to_string();
    let disk = "<disk type='file'><source file='/var/lib/libvirt/shared/one.img'/><target dev='vda'/></disk></devices>";
    for (host, name, other) in [
        ("h01", "one", "7e110000-0000-4000-8000-000000000001"),
        ("h04", "two", "7e110000-0000-4000-8000-000000000002"),
    ] {
        let xml = definition.replace("<name>pc01", &format!("<name>{name}")).replace(&uuid, other);
        let file = world.lab.paths.shared().join(format!("{name}.xml"));
        fs::write(&file, xml.replace("</devices>", disk)).unwrap();
        run(world, host, "virsh", &["define", &format!("/var/lib/libvirt/shared/{name}.xml")]);
        fs::remove_file(file).unwrap();
    }
    run(world, "h04", "virsh", &["autostart", "two"]);
    let certificate = etc("h02").join("pki/CA/cacert.pem");
    let away = certificate.with_extension("away");
    fs::rename(&certificate, &away).unwrap();
    // Whoever listens to a guest there hears nothing meanwhile.
    world.hang_up_on_guests();
    world.fault("h03", &Fault::Silence);
    let broken = look(world, 1);
    let (told, why) = verdict(&broken, "h02", "moves");
    assert!(told == "warn" && why.contains("missing (ca); this manager leads its moves"), "{why}");
    assert_eq!(verdict(&broken, "h03", "ssh").0, "fail");
    let of_silent = broken.as_array().unwrap().iter().filter(|finding| finding["host"] == "h03").count();
    assert_eq!(of_silent, 1, "nothing is made up about it");
    let (told, why) = verdict(&broken, "h04", "autostart");
    assert!(told == "warn" && why.contains("1 stopped VM (two)"), "{why}");
    let (told, why) = verdict(&broken, "cluster", "one disk");
    assert!(
        told == "fail" && why.contains("one, two write one disk, /var/lib/libvirt/shared/one.img"),
        "{why}"
    );
    let (_, why) = verdict(&broken, "cluster", "one MAC");
    let (names, rest) = why.split_once(" have one MAC address").unwrap_or_else(|| panic!("{why}"));
    let mut names: Vec<&str> = names.split(", ").collect();
    names.sort_unstable();
    assert_eq!(names, ["one", "pc01", "two"], "{rest}");
    assert_eq!(verdict(&broken, "h01", "moves").0, "ok");

    // The daemon has seen the same.
    world.wait("the doubled disk is an alarm", |world| {
        let status = world.json("status");
        let has = |kind: &str| status["doubles"].as_array().unwrap().iter().any(|one| one["kind"] == kind);
        has("mac") && has("disk")
    });
    assert!(world.type_in("vm list").out.contains("disk /var/lib/libvirt/shared/one.img as two"));
    world.wait("the marked VM keeps its host on", |world| {
        world.type_in("host show h04").out.contains("autostart")
    });

    fs::rename(&away, &certificate).unwrap();
    world.heal("h03");
    run(world, "h01", "virsh", &["undefine", "one"]);
    run(world, "h04", "virsh", &["undefine", "two"]);
    world.wait("h03 is on again, and nothing is doubled", |world| {
        world.state("h03") == "on" && world.json("status")["doubles"] == Value::Array(vec![])
    });
    world.lab.streams_start().unwrap();
    look(world, 0);
}

fn run(world: &World, host: &str, program: &str, args: &[&str]) {
    let ran = world.lab.command_in_host(host, program).unwrap().args(args).output().unwrap();
    assert!(ran.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&ran.stderr));
}
