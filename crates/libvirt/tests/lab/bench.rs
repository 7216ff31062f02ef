//! The lab, the drivers on it, and what a scenario asks again and again.

use dormouse_driver::{Hypervisor, MoveRequest, Probe};
use dormouse_lab::{Fault, Lab, LabSpec, Load, Power};
use dormouse_libvirt::{Libvirt, MoveSettings, Settings, SshSettings};
use dormouse_model::{Cluster, HostFacts, HostSpec, Job, Millis, Outcome, ProbeError};
use std::future::Future;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use uuid::Uuid;

pub(crate) const SHARED: &str = "/var/lib/libvirt/shared";
pub(crate) const LOOK: Millis = Millis(6000);
pub(crate) const MOVE: Millis = Millis(60_000);

pub(crate) struct Bench {
    pub(crate) lab: Lab,
    pub(crate) cluster: Cluster,
    pub(crate) libvirt: Libvirt,
    runtime: Runtime,
}

impl Bench {
    pub(crate) fn up() -> Result<Self, dormouse_lab::LabError> {
        // Two of these at once need two names.
        let id = std::env::var("DORMOUSE_LAB_ID").unwrap_or_else(|_| "drvtest".into());
        dormouse_lab::down(&id)?;
        let mut spec = LabSpec::new(id, 3, 3);
        spec.boot_s = 1;
        let lab = Lab::up(spec, &mut ())?;
        // Threads and ssh processes that come from here are where the manager is.
        lab.enter_manager_netns()?;
        let cluster = dormouse_model::text::parse(&lab.spec.cluster_text(false)).expect("the lab's own text");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let libvirt = {
            let _inside = runtime.enter();
            Libvirt::new(settings(&lab))
        };
        Ok(Self { lab, cluster, libvirt, runtime })
    }

    pub(crate) fn down(self) {
        let Self { lab, libvirt, runtime, .. } = self;
        runtime.block_on(async { drop(libvirt) });
        runtime.shutdown_timeout(Duration::from_secs(2));
        lab.down().expect("the lab goes down");
    }

    pub(crate) fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Drivers with other settings on the same lab.
    pub(crate) fn with(&self, change: impl FnOnce(&mut Settings)) -> Libvirt {
        let mut settings = settings(&self.lab);
        change(&mut settings);
        Libvirt::new(settings)
    }

    pub(crate) fn host(&self, name: &str) -> &HostSpec {
        &self.cluster.hosts[self.cluster.host_named(name).expect("a host of the lab").index()]
    }

    pub(crate) fn guest(&self, name: &str) -> Uuid {
        self.lab.spec.guest(name).expect("a guest of the lab").uuid
    }

    pub(crate) fn look(&self, host: &str) -> Result<HostFacts, ProbeError> {
        self.run(self.libvirt.look(self.host(host), LOOK))
    }

    #[track_caller]
    pub(crate) fn healthy(&self, host: &str) -> HostFacts {
        let facts = self.look(host).unwrap_or_else(|error| panic!("{host}: {error}"));
        assert_eq!(facts.failures, [], "{host}");
        facts
    }

    pub(crate) fn migrate(
        &self,
        by: &Libvirt,
        guest: Uuid,
        from: &str,
        to: &str,
        deadline: Millis,
    ) -> Outcome {
        let request =
            MoveRequest { vm: guest, from: self.host(from), to: self.host(to), deadline, progress: None };
        self.run(by.migrate(request))
    }

    #[track_caller]
    pub(crate) fn moves(&self, by: &Libvirt, guest: Uuid, from: &str, to: &str) -> Millis {
        match self.migrate(by, guest, from, to, MOVE) {
            Outcome::Done { downtime: Some(downtime) } => downtime,
            other => panic!("{guest} {from} to {to}: {other:?}"),
        }
    }

    /// A slow move, into which `act` breaks once `when` is true of its job.
    #[track_caller]
    pub(crate) fn in_the_middle(
        &self,
        guest: &str,
        from: &str,
        to: &str,
        deadline: Millis,
        when: impl Fn(&Job) -> bool,
        act: impl FnOnce(),
    ) -> Outcome {
        let (tell, mut told) = watch::channel(None);
        let request = MoveRequest {
            vm: self.guest(guest),
            from: self.host(from),
            to: self.host(to),
            deadline,
            progress: Some(tell),
        };
        self.in_host(from, "virsh", &["migrate-setspeed", guest, "4"]);
        let outcome = std::thread::scope(|scope| {
            let moving = scope.spawn(|| self.run(self.libvirt.migrate(request)));
            let reached =
                self.run(told.wait_for(|job: &Option<Job>| job.as_ref().is_some_and(&when))).is_ok();
            if reached {
                act();
            }
            let outcome = moving.join().expect("a move does not panic");
            assert!(reached, "it never came so far: {outcome:?}");
            outcome
        });
        // A host that is off, or whose guest is gone, has forgotten the speed by itself.
        if let Ok(mut virsh) = self.lab.command_in_host(from, "virsh") {
            let _ = virsh.args(["migrate-setspeed", guest, "1000"]).output();
        }
        outcome
    }

    /// Where QEMU processes of a guest are.
    pub(crate) fn processes(&self, guest: &str) -> Vec<String> {
        let guests = self.lab.status().expect("a status").guests;
        guests.into_iter().find(|found| found.name == guest).expect("a guest").processes
    }

    /// Starts a guest that is defined there, and waits until it is heard.
    #[track_caller]
    pub(crate) fn starts(&self, guest: &str, host: &str) {
        self.in_host(host, "virsh", &["start", guest]);
        self.assert_runs_at(guest, host);
    }

    /// The guest has this disk while `work` runs; it is started anew for it, and once more without.
    #[track_caller]
    pub(crate) fn with_disk(&self, guest: &str, host: &str, disk: &str, work: impl FnOnce()) {
        let plain = self.definition(guest, guest, self.guest(guest));
        let define = |xml: &str| {
            self.in_host(host, "virsh", &["destroy", guest]);
            let defined = self.run(self.libvirt.define(self.host(host), xml, LOOK));
            assert_eq!(defined, Ok(self.guest(guest)));
            self.starts(guest, host);
        };
        define(&plain.replace("</devices>", &format!("{disk}</devices>")));
        work();
        define(&plain);
    }

    /// Where the wire says that a guest's processors run; QEMU processes of it are exactly there.
    #[track_caller]
    pub(crate) fn assert_runs_at(&self, guest: &str, host: &str) {
        self.wait(&format!("{guest} is heard from {host} alone"), || {
            let status = self.lab.status().expect("a status");
            assert_eq!(status.double_runs, 0, "a guest ran twice");
            let guest = status.guests.into_iter().find(|found| found.name == guest).expect("a guest");
            guest.heard_on.as_deref() == Some(host)
                && guest.heard_ms_ago.is_some_and(|ms| ms < 1000)
                && guest.processes == [host]
        });
    }

    /// Polls the world until it is so; the lab has no bell to wait for.
    #[track_caller]
    pub(crate) fn wait(&self, what: &str, so: impl Fn() -> bool) {
        let until = Instant::now() + Duration::from_secs(90);
        while !so() {
            assert!(Instant::now() < until, "it never came to be that {what}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub(crate) fn fault(&self, host: &str, fault: &Fault) {
        self.lab.fault(host, fault).unwrap_or_else(|error| panic!("{fault:?} at {host}: {error}"));
    }

    pub(crate) fn heal(&self, host: &str) {
        self.lab.heal(host).unwrap_or_else(|error| panic!("healing {host}: {error}"));
    }

    pub(crate) fn load(&self, guest: &str, load: Option<Load>) {
        self.lab.load(guest, load, 60).unwrap_or_else(|error| panic!("loading {guest}: {error}"));
    }

    /// Moves of this guest from there take many seconds while `work` runs.
    #[track_caller]
    pub(crate) fn slowly<T>(&self, guest: &str, host: &str, work: impl FnOnce() -> T) -> T {
        self.in_host(host, "virsh", &["migrate-setspeed", guest, "2"]);
        let done = work();
        self.in_host(host, "virsh", &["migrate-setspeed", guest, "1000"]);
        done
    }

    /// Runs a program inside a host; it must succeed.
    #[track_caller]
    pub(crate) fn in_host(&self, host: &str, program: &str, args: &[&str]) {
        let ran =
            self.lab.command_in_host(host, program).expect("a command").args(args).output().expect("runs");
        assert!(
            ran.status.success(),
            "{program} {args:?} at {host}: {}",
            String::from_utf8_lossy(&ran.stderr)
        );
    }

    pub(crate) fn power(&self, host: &str) -> Power {
        self.lab
            .status()
            .expect("a status")
            .hosts
            .into_iter()
            .find(|found| found.name == host)
            .expect("a host")
            .power
    }

    /// A definition like a guest's, under another name and UUID.
    pub(crate) fn definition(&self, guest: &str, name: &str, uuid: Uuid) -> String {
        let xml = std::fs::read_to_string(self.lab.paths.domains().join(format!("{guest}.xml")))
            .expect("the lab's definition");
        let escaped = name.replace('&', "&amp;").replace('<', "&lt;");
        xml.replace(&format!("<name>{guest}</name>"), &format!("<name>{escaped}</name>"))
            .replace(&self.guest(guest).to_string(), &uuid.to_string())
    }
}

pub(crate) fn settings(lab: &Lab) -> Settings {
    Settings {
        ssh: SshSettings {
            config: None,
            key: Some(lab.paths.ssh_key()),
            known_hosts: Some(lab.paths.known_hosts()),
            user: Some("root".into()),
        },
        shared: vec![SHARED.into()],
        moves: MoveSettings { no_progress: Millis::from_secs(20), ..MoveSettings::default() },
        ..Settings::default()
    }
}
