//! Hosts as fresh installations: no certificates, libvirt deaf to the network. `host add` makes them trust each other,
//! guests move from host to host, and whoever is not on the list is turned away by libvirt itself.

use crate::world::{POLICY, PROGRAM, Trail, Typed, World};
use dormouse_lab::{Lab, LabSpec};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

const ID: &str = "trust";
const HOSTS: [&str; 3] = ["h01", "h02", "h03"];

#[test]
#[ignore = "needs the lab"]
fn hosts_trust_each_other_by_host_add() {
    let mut world = up();
    first_contact(&world);
    added(&world);
    start(&mut world);
    peer_to_peer(&world);
    renewed(&world);
    encrypted(&mut world);
    turned_away(&world);
    removed(&world);
    fallback(&world);
    back_again(&world);
    world.assert_rest_and_unharmed();
    assert_no_key_was_told(&world);
    world.down();
}

fn up() -> World {
    dormouse_lab::down(ID).unwrap();
    let mut spec = LabSpec::new(ID, 3, 1);
    spec.pki = false;
    spec.program = Some(PROGRAM.into());
    let lab = Lab::up(spec, &mut ()).unwrap_or_else(|error| panic!("{error} ({:?})", error.hint()));
    let folder = lab.paths.state.join("manager");
    fs::create_dir(&folder).unwrap();
    let world = World::around(lab, folder);
    // The hosts' ssh keys are not known yet.
    let settings = world.settings("auto", &world.lab.paths.ssh_key(), "state");
    let pinned = world.lab.paths.known_hosts().display().to_string();
    assert!(settings.contains(&pinned));
    fs::write(world.config(), settings.replace(&pinned, "known_hosts")).unwrap();
    fs::write(world.cluster(), "cluster trust\n").unwrap();
    world
}

#[track_caller]
fn expect(typed: &Typed, code: i32, said: &[&str]) {
    assert_eq!(typed.code, code, "{typed:?}");
    let all = format!("{}{}", typed.out, typed.err);
    assert!(said.iter().all(|part| all.contains(part)), "{said:?}: {typed:?}");
}

fn first_contact(world: &World) {
    let typed = world.type_at_manager("host add 10.77.1.1");
    expect(&typed, 2, &["10.77.1.1 shows the ssh key SHA256:", "nobody is there to ask"]);
    let typed = world.type_at_manager("host add 10.77.1.1 --fingerprint SHA256:AAAA --yes");
    expect(&typed, 3, &[", not SHA256:AAAA", "someone else may answer"]);
    let typed = world.type_at_manager("host add 10.77.1.1 10.77.1.2 --dry-run");
    expect(&typed, 0, &["2 hosts not known yet", "Nothing was done."]);
    expect(&world.type_at_manager("host add 10.77.1.99 --accept-new"), 4, &["shows no ssh key"]);
    assert_eq!(fs::read_to_string(world.cluster()).unwrap(), "cluster trust\n");
    assert!(!world.folder.join("known_hosts").exists() && !world.folder.join("state/tls").exists());
}

fn added(world: &World) {
    let all = "host add 10.77.1.1 10.77.1.2 10.77.1.3";
    let key = etc(world, "h01").join("pki");
    let typed = world.type_at_manager(&format!("{all} --accept-new"));
    expect(&typed, 2, &["h01: a certificate (its first) for h01, 10.77.1.1, for 730 days; the list"]);
    assert!(!key.exists(), "nobody said yes");
    let typed = world.type_at_manager(&format!("{all} --dry-run"));
    expect(
        &typed,
        0,
        &["host h03 address=10.77.1.3 mac=", "libvirtd restarts on these hosts", "Nothing was done."],
    );
    assert!(!key.exists() && !world.folder.join("state/tls").exists());

    let typed = world.type_at_manager(&format!("{all} --yes"));
    expect(&typed, 0, &["h01, h02, h03 are in ", "libvirtd-tls.socket is open from now on"]);
    for host in HOSTS {
        let conf = fs::read_to_string(etc(world, host).join("libvirt/libvirtd.conf")).unwrap();
        assert_eq!(conf.matches("\n    \"CN=").count(), 4, "three hosts and the manager: {conf}");
        assert!(conf.starts_with("host_uuid = "), "the rest is as it was: {conf}");
    }
    let before = fs::read_to_string(world.cluster()).unwrap();
    expect(&world.type_at_manager("host add h01 h02 h03 --yes"), 0, &["There is nothing to do."]);
    let typed = world.type_at_manager("host add other --address root@10.77.1.2 --accept-new --yes");
    expect(&typed, 3, &["this machine is known as h02 already"]);
    assert_eq!(fs::read_to_string(world.cluster()).unwrap(), before);
}

fn start(world: &mut World) {
    let hosts = fs::read_to_string(world.cluster()).unwrap();
    // Small nominal sizes, as the lab wants them, and nothing that would move by itself.
    let line = |line: &str| {
        line.split(" cpus=").next().map(|head| format!("{head} cpus=2 mem=768M reserve=0M overhead=0M\n"))
    };
    let lines: String = hosts.lines().filter(|line| line.starts_with("host ")).filter_map(line).collect();
    let text = format!("cluster trust\n{lines}{POLICY}window still 00:00-00:00 goal=hold\n");
    fs::write(world.cluster(), text).unwrap();
    world.start();
    world.wait("all hosts are on and the guest is seen", |world| {
        HOSTS.iter().all(|host| world.state(host) == "on")
            && world.json("vm list").as_array().unwrap().len() == 1
    });
}

fn way(world: &World, host: &str) -> String {
    world.host(host)["moves"]["way"].as_str().unwrap_or("not known").to_owned()
}

/// The guest is asked to another host, and gets there.
#[track_caller]
fn move_to(world: &World, host: &str) {
    // Where libvirt was restarted a moment ago, a look may have failed.
    world.wait("all hosts are on", |world| {
        world.json("host list").as_array().unwrap().iter().all(|host| host["state"] == "on")
    });
    let typed = world.type_in(&format!("vm move pc01 {host}"));
    assert_eq!(typed.code, 0, "{typed:?}");
    world.wait("the guest is there and nothing is under way", |world| {
        world.guests_at(host) == ["pc01"] && world.is_at_rest()
    });
}

fn managed(world: &World, after: u64) -> Vec<String> {
    let events = world.events(after);
    let told = events.iter().filter(|event| event.is("move.managed"));
    told.map(|event| format!("{}; {}", event.field("why").unwrap(), event.field("hint").unwrap())).collect()
}

fn peer_to_peer(world: &World) {
    for host in HOSTS {
        world.wait("its certificate is seen", |world| way(world, host) == "peer-to-peer-listed");
    }
    assert!(world.type_in("status").out.contains("moves  3 hosts peer to peer, TLS, our CA"));
    assert!(world.type_in("host show h01").out.contains("peer to peer, TLS, our CA"));
    let after = world.now();
    move_to(world, "h02");
    move_to(world, "h01");
    assert_eq!(managed(world, after), [""; 0]);
}

/// A certificate in its last months is told of, and made anew by the verb that is named; the host stays who it is on every
/// list.
fn renewed(world: &World) {
    let pki = etc(world, "h01").join("pki/libvirt");
    let read = |name: &str| fs::read_to_string(pki.join(name)).unwrap();
    let (before, note) = (read("servercert.pem"), read("dormouse.note"));
    let lists =
        || HOSTS.map(|host| fs::read_to_string(etc(world, host).join("libvirt/libvirtd.conf")).unwrap());
    let (listed, after) = (lists(), world.now());
    // When it ends stands in our note beside it.
    let mut words: Vec<String> = note.split_whitespace().map(str::to_owned).collect();
    let month = words[3].parse::<u64>().unwrap() - 700 * 86_400;
    words[3] = month.to_string();
    fs::write(pki.join("dormouse.note"), words.join(" ") + "\n").unwrap();
    world.wait("somebody is told", |world| {
        let told = |event: &Trail| {
            event.is("certificate.ends")
                && event.has("host", "h01")
                && event.has("hint", "dormouse host add h01")
        };
        world.events(after).iter().any(told)
    });
    assert!(world.type_in("host show h01").out.contains("its certificate ends in "));
    let typed = world.type_at_manager("host add h01 --dry-run");
    expect(&typed, 0, &["h01: a certificate (the old one ends soon) for h01", "Nothing was done."]);
    assert_eq!(read("servercert.pem"), before);
    expect(&world.type_at_manager("host add h01 --yes"), 0, &["h01: certificate h01-"]);
    assert_ne!(read("servercert.pem"), before);
    assert_eq!(lists(), listed, "it is called as before");
    expect(&world.type_at_manager("host add h01 h02 h03 --yes"), 0, &["There is nothing to do."]);
    let after = world.now();
    move_to(world, "h02");
    move_to(world, "h01");
    assert_eq!(managed(world, after), [""; 0]);
}

/// The memory of guests goes over QEMU's own TLS, by the same certificates; and nowhere in the clear when one is missing.
fn encrypted(world: &mut World) {
    world.stop();
    let settings = fs::read_to_string(world.config()).unwrap();
    fs::write(world.config(), format!("{settings}\n[moves]\nencrypt = true\n")).unwrap();
    world.start();
    world.wait("the guest is seen", |world| world.json("vm list").as_array().unwrap().len() == 1);
    move_to(world, "h02");
    move_to(world, "h01");

    let certificate = etc(world, "h02").join("pki/qemu/server-cert.pem");
    let away = certificate.with_extension("away");
    fs::rename(&certificate, &away).unwrap();
    let after = world.now();
    assert_eq!(world.type_in("vm move pc01 h02").code, 0);
    world.wait("the move has failed", |world| {
        let ended =
            |event: &Trail| event.is("step.end") && event.has("vm", "pc01") && !event.has("outcome", "done");
        world.events(after).iter().any(ended) && world.is_at_rest()
    });
    assert_eq!(world.guests_at("h01"), ["pc01"]);
    fs::rename(&away, &certificate).unwrap();

    world.stop();
    fs::write(world.config(), settings).unwrap();
    world.start();
    world.wait("the guest is seen", |world| world.json("vm list").as_array().unwrap().len() == 1);
    move_to(world, "h02");
    move_to(world, "h01");
}

fn etc(world: &World, host: &str) -> PathBuf {
    world.lab.paths.host(&world.lab.spec.host(host).unwrap()).etc()
}

/// Whether a host's libvirt lets in whoever has the files in this folder; and what it was that it said.
fn lets_in(world: &World, host: &str, pki: &Path) -> (bool, String) {
    let address = world.lab.spec.host(host).unwrap().address;
    let uri = format!("qemu+tls://{address}/system?pkipath={}", pki.display());
    let out = world.lab.command_in_manager_netns("virsh").args(["-q", "-c", &uri, "list"]).output().unwrap();
    (out.status.success(), String::from_utf8_lossy(&out.stderr).into_owned())
}

/// A copy of what a host has, as libvirt's `pkipath` wants it.
fn stolen(world: &World, host: &str, name: &str) -> PathBuf {
    let (from, to) = (etc(world, host).join("pki"), world.folder.join(name));
    fs::create_dir(&to).unwrap();
    for (file, at) in [
        ("CA/cacert.pem", "cacert.pem"),
        ("libvirt/clientcert.pem", "clientcert.pem"),
        ("libvirt/private/clientkey.pem", "clientkey.pem"),
    ] {
        fs::copy(from.join(file), to.join(at)).unwrap();
    }
    to
}

fn turned_away(world: &World) {
    let (good, said) = lets_in(world, "h02", &world.folder.join("state/tls/manager"));
    assert!(good, "the manager's own certificate: {said}");
    // Another CA: that which the lab makes for labs that begin with certificates.
    let foreign = world.folder.join("foreign");
    fs::create_dir(&foreign).unwrap();
    for file in ["clientcert.pem", "clientkey.pem"] {
        fs::copy(world.lab.paths.pki().join(file), foreign.join(file)).unwrap();
    }
    fs::copy(etc(world, "h02").join("pki/CA/cacert.pem"), foreign.join("cacert.pem")).unwrap();
    let (good, said) = lets_in(world, "h02", &foreign);
    assert!(!good, "{said}");
}

/// Leaves h01 and h02.
fn removed(world: &World) {
    let copy = stolen(world, "h03", "h03-before");
    assert!(lets_in(world, "h02", &copy).0, "on the list it is let in");
    let typed = world.type_at_manager("host remove h03 --yes");
    expect(&typed, 0, &["h03: its certificate and list are gone", "h03 has left "]);
    let (good, said) = lets_in(world, "h02", &copy);
    assert!(!good, "its certificate is good for years, and it is not on the list: {said}");
    assert!(!etc(world, "h03").join("pki/libvirt/servercert.pem").exists());
    let conf = fs::read_to_string(etc(world, "h03").join("libvirt/libvirtd.conf")).unwrap();
    assert!(!conf.contains("dormouse") && !conf.contains("CN="), "as it was: {conf}");
    let typed = world.type_at_manager("host remove h03 --yes");
    expect(&typed, 2, &["there is no host `h03`"]);
}

/// A host without certificates: the manager leads the move, and says so once. Leaves the guest on h03.
fn fallback(world: &World) {
    let typed = world.type_at_manager("host add 10.77.1.3 --no-certificates --yes");
    expect(&typed, 0, &["h03 is in "]);
    let text = fs::read_to_string(world.cluster()).unwrap();
    let small = |line: &str| match line.split_once(" cpus=") {
        Some((head, _)) if line.starts_with("host h03 ") => {
            format!("{head} cpus=2 mem=768M reserve=0M overhead=0M\n")
        }
        _ => format!("{line}\n"),
    };
    fs::write(world.cluster(), text.lines().map(small).collect::<String>()).unwrap();
    world.hang_up();
    world.wait("h03 is on again", |world| {
        world.type_in("host show h03").code == 0 && world.state("h03") == "on" && world.state("h01") == "on"
    });
    world.wait("it is seen to have nothing", |world| way(world, "h03") == "managed");
    let after = world.now();
    move_to(world, "h03");
    move_to(world, "h01");
    move_to(world, "h03");
    let told = managed(world, after);
    assert_eq!(
        told,
        [
            "managed by us (weaker: h03 has no certificate); dormouse host add h03",
            "managed by us (weaker: h03 has no certificate); dormouse host add h03"
        ],
        "once for each way"
    );
    assert!(world.type_in("host show h03").out.contains("managed by us (weaker: h03 has no certificate)"));
}

fn back_again(world: &World) {
    let typed = world.type_at_manager("host add h03 --yes");
    expect(&typed, 0, &["h03: certificate h03-"]);
    let added = Instant::now();
    // The others' lists, too, by looks asked for since: a host whose list is older than another's has a note of it.
    world.wait("its new certificate and all lists are seen", |world| {
        HOSTS.iter().all(|host| {
            let host = world.host(host);
            let since =
                u128::from(host["seen_ms"].as_u64().unwrap_or(u64::MAX)) < added.elapsed().as_millis();
            let moves = &host["moves"];
            since
                && moves["way"] == "peer-to-peer-listed"
                && moves["notes"].as_array().is_none_or(Vec::is_empty)
        })
    });
    let after = world.now();
    move_to(world, "h02");
    assert_eq!(managed(world, after), [""; 0]);
    // The certificate that it had before is not the one that is on the list now.
    assert!(!lets_in(world, "h02", &world.folder.join("h03-before")).0);
    assert!(lets_in(world, "h02", &stolen(world, "h03", "h03-after")).0);
    let typed = world.type_in("audit list");
    assert_eq!(
        typed.out.matches("certificate-issue").count(),
        2,
        "h01's second and h03's; of before the first start there is none: {typed:?}"
    );
    assert_eq!(typed.out.matches("certificate-strike").count(), 1, "{typed:?}");
}

fn assert_no_key_was_told(world: &World) {
    let key = fs::read_to_string(etc(world, "h01").join("pki/libvirt/private/clientkey.pem")).unwrap();
    let line = key.lines().nth(3).unwrap();
    let told = format!("{}{}{}", world.log(), world.type_in("audit list").out, world.type_in("events").out);
    assert!(!told.contains(line) && !told.contains("PRIVATE KEY"));
}
