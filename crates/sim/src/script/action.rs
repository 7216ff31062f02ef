//! What a script can make happen.

use dormouse_control::{Automation, Order};
use dormouse_model::schedule::Schedule;
use dormouse_model::text::decimal_thousandths;
use dormouse_model::{HostId, Lack, MilliCpu, Millis, Mono, VmSpec};
use uuid::Uuid;

use super::words::{Names, Words, Wrong, offset, span};
use crate::world::{Control, Fault, Lie};

#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    Load {
        vms: Option<Vec<Uuid>>,
        cpu: MilliCpu,
    },
    Fault(Fault),
    /// Ends the faults of one host, or all.
    Heal(Option<HostId>),
    Crash(Crash),
    Operator(Operator),
    Login {
        host: HostId,
        idle: Option<Millis>,
    },
    Logout {
        host: HostId,
    },
    Block {
        host: HostId,
        what: String,
    },
    Unblock {
        host: HostId,
    },
    Define(Box<VmSpec>),
    User(ByHand),
    Switch {
        host: HostId,
        on: bool,
    },
    /// The calendar is another one from now on: this window alone. The settings are read again.
    Window(Box<Schedule>),
    /// The house closes or opens, whatever the calendar says.
    Close,
    Open,
}

/// The manager dies when it gets to this point for the n-th time from now on, and one begins anew after a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crash {
    pub point: CrashPoint,
    pub nth: u32,
    pub down: Millis,
    /// It does not die: it stands still for so long, and goes on when another leads.
    pub back: Option<Millis>,
    /// Who begins anew is of a newer version: the records are as the first version wrote them.
    pub upgrade: bool,
}

/// When the manager dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashPoint {
    Now,
    /// The next intent was asked for and is not durable.
    BeforeIntent,
    /// The next intent is durable, its effect has not begun.
    AfterIntent,
    /// The next effect was let through and not begun: the manager stands still there, another takes over, and the call
    /// goes out so much later, in the name of the old one.
    Late(Millis),
    /// The next effect is on its way, its outcome is not known.
    AfterEffect,
    /// The next outcome is known and not durable.
    BeforeOutcome,
    AfterOutcome,
    /// The next record (a host's, a VM's, the manager's own, history) was asked for and is not durable.
    BeforeRecord,
    AfterRecord,
}

/// What users do to VMs behind our back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByHand {
    Migrate {
        vm: Uuid,
        to: HostId,
    },
    Start(Uuid),
    Stop(Uuid),
    Pause(Uuid),
    Resume(Uuid),
    /// It crashes, and its host says so.
    Crash(Uuid),
}

/// An order of an operator, with VMs by UUID: the controller's own numbers are not the script's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operator {
    Pause {
        span: Option<Millis>,
    },
    Move {
        vm: Uuid,
        to: HostId,
    },
    /// A person goes and looks, and gives their word only if it is really off.
    FenceIfOff {
        host: HostId,
    },
    Plain(Order),
}

impl Operator {
    /// The order as the controller takes it.
    pub(crate) fn order(
        &self,
        now: Mono,
        vm_id: impl Fn(Uuid) -> Option<dormouse_model::VmId>,
    ) -> Option<Order> {
        Some(match self {
            Self::Pause { span } => Order::Pause { until: span.map(|span| now + span) },
            Self::Move { vm, to } => Order::Move { vm: vm_id(*vm)?, to: *to },
            Self::FenceIfOff { host } => Order::Fence { host: *host },
            Self::Plain(order) => order.clone(),
        })
    }

    /// The host an order gives leave for.
    pub(crate) fn host(&self) -> Option<HostId> {
        match self {
            Self::Plain(
                Order::Drain { host }
                | Order::Clear { host }
                | Order::Wake { host }
                | Order::Sleep { host }
                | Order::SayOff { host }
                | Order::Fence { host }
                | Order::Maintenance { host, .. },
            ) => Some(*host),
            Self::FenceIfOff { host } => Some(*host),
            _ => None,
        }
    }
}

impl Action {
    /// Without a crash or a fault nothing is broken by it.
    #[must_use]
    pub fn is_fault(&self) -> bool {
        matches!(self, Self::Fault(_) | Self::Crash { .. })
    }

    pub(crate) fn parse(words: &mut Words, names: &mut Names<'_>) -> Result<Self, Wrong> {
        const KINDS: [&str; 15] = [
            "load", "fault", "heal", "crash", "operator", "login", "logout", "block", "unblock", "define",
            "user", "switch", "window", "close", "open",
        ];
        let known: Vec<(&str, &str)> = KINDS.iter().map(|kind| (*kind, *kind)).collect();
        Ok(match words.one_of("action", &known)? {
            "load" => {
                let vms = names.vms(&words.take("the VMs")?)?;
                let cpu = words.take("the load in cores")?;
                let cpu = decimal_thousandths(&cpu).ok_or("a load is cores, like 0.40")?;
                Self::Load { vms, cpu: MilliCpu(cpu) }
            }
            "fault" => Self::Fault(fault(words, names)?),
            "heal" => {
                Self::Heal(if words.is_empty() { None } else { Some(names.host(&words.take("a host")?)?) })
            }
            "crash" => crash(words)?,
            "operator" => Self::Operator(operator(words, names)?),
            "login" => Self::Login { host: names.host(&words.take("a host")?)?, idle: words.span("idle")? },
            "logout" => Self::Logout { host: names.host(&words.take("a host")?)? },
            "block" => Self::Block { host: names.host(&words.take("a host")?)?, what: words.take("a text")? },
            "unblock" => Self::Unblock { host: names.host(&words.take("a host")?)? },
            "define" => {
                let goes_by = words.option("as");
                let mut spec = names.spec(&words.rest())?;
                if names.vm(&spec.name).is_ok() {
                    return Err(format!("`{}` exists already", spec.name));
                }
                names.defined.insert(spec.name.clone(), spec.uuid);
                spec.name = goes_by.unwrap_or(spec.name);
                Self::Define(Box::new(spec))
            }
            "user" => Self::User(by_hand(words, names)?),
            "switch" => {
                let host = names.host(&words.take("a host")?)?;
                Self::Switch { host, on: words.one_of("switch", &[("on", true), ("off", false)])? }
            }
            "window" => {
                let zone = &names.cluster.schedule.zone;
                let text =
                    format!("cluster script zone={zone}\nhost h cpus=1 mem=1G\nwindow {}\n", words.rest());
                let cluster = dormouse_model::text::parse(&text).map_err(|error| error.message)?;
                Self::Window(Box::new(cluster.schedule))
            }
            "close" => Self::Close,
            _ => Self::Open,
        })
    }
}

/// How long a manager's lease lasts that renews it no more.
const LEASE: Millis = Millis::from_secs(6);

fn crash(words: &mut Words) -> Result<Action, Wrong> {
    words.one_of("victim", &[("manager", ())])?;
    let down = words.span("down")?.unwrap_or(Millis::from_secs(5));
    let nth = words.option("nth").map_or(Ok(1), |nth| super::words::number(&nth))?;
    let (after, before) = (words.option("after"), words.option("before"));
    let back = words.span("back")?;
    let upgrade = words.flag("upgrade");
    if back.is_some_and(|back| down < LEASE || back <= down) {
        return Err(
            "who comes back meets another: down=6 or more, when the lease has ended, and back= after that"
                .to_owned(),
        );
    }
    let late = words.span("late")?.or(back);
    let point = match (after.as_deref(), before.as_deref()) {
        (None, Some("effect")) => CrashPoint::Late(late.ok_or("a call that goes out late needs late=SPAN")?),
        _ if late.is_some() && back.is_none() => return Err("late= belongs to before=effect".to_owned()),
        (None, None) => CrashPoint::Now,
        (Some("intent"), None) => CrashPoint::AfterIntent,
        (Some("effect"), None) => CrashPoint::AfterEffect,
        (Some("outcome"), None) => CrashPoint::AfterOutcome,
        (Some("record"), None) => CrashPoint::AfterRecord,
        (None, Some("record")) => CrashPoint::BeforeRecord,
        (None, Some("intent")) => CrashPoint::BeforeIntent,
        (None, Some("outcome")) => CrashPoint::BeforeOutcome,
        _ => {
            return Err(
                "a crash is after=intent, effect, outcome or record, or before=intent, effect, outcome or record"
                    .to_owned(),
            );
        }
    };
    Ok(Action::Crash(Crash { point, nth, down, back, upgrade }))
}

fn by_hand(words: &mut Words, names: &Names<'_>) -> Result<ByHand, Wrong> {
    type Make = fn(Uuid) -> ByHand;
    let kinds: [(&str, Option<Make>); 6] = [
        ("migrate", None),
        ("start", Some(ByHand::Start)),
        ("stop", Some(ByHand::Stop)),
        ("pause", Some(ByHand::Pause)),
        ("resume", Some(ByHand::Resume)),
        ("crash", Some(ByHand::Crash)),
    ];
    let kind = words.one_of("deed", &kinds)?;
    let vm = names.vm(&words.take("a VM")?)?;
    Ok(match kind {
        Some(make) => make(vm),
        None => ByHand::Migrate { vm, to: names.host(&words.take("a host")?)? },
    })
}

fn operator(words: &mut Words, names: &Names<'_>) -> Result<Operator, Wrong> {
    type OnHost = fn(HostId) -> Order;
    if let Some(verb) = words.peek() {
        let on_host: Option<OnHost> = match verb {
            "drain" => Some(|host| Order::Drain { host }),
            "clear" => Some(|host| Order::Clear { host }),
            "wake" => Some(|host| Order::Wake { host }),
            "sleep" => Some(|host| Order::Sleep { host }),
            "say-off" => Some(|host| Order::SayOff { host }),
            "fence" => Some(|host| Order::Fence { host }),
            _ => None,
        };
        if let Some(order) = on_host {
            let fences = words.take("the verb")? == "fence";
            let host = names.host(&words.take("a host")?)?;
            if fences && words.flag("if-off") {
                return Ok(Operator::FenceIfOff { host });
            }
            return Ok(Operator::Plain(order(host)));
        }
    }
    let verbs = [
        "pause",
        "resume",
        "normalise",
        "apply",
        "refresh",
        "maintenance",
        "move",
        "automation",
        "drain",
        "clear",
        "wake",
        "sleep",
        "say-off",
        "fence",
    ];
    let known: Vec<(&str, &str)> = verbs.iter().map(|verb| (*verb, *verb)).collect();
    Ok(match words.one_of("verb", &known)? {
        "pause" => Operator::Pause { span: words.span("for")? },
        "resume" => Operator::Plain(Order::Resume),
        "normalise" => Operator::Plain(Order::Normalise),
        "apply" => Operator::Plain(Order::Apply),
        "refresh" => {
            let hosts = if words.is_empty() { vec![] } else { names.hosts(&words.take("hosts")?)? };
            Operator::Plain(Order::Refresh { hosts })
        }
        "maintenance" => {
            let host = names.host(&words.take("a host")?)?;
            let on = words.one_of("maintenance", &[("on", true), ("off", false)])?;
            Operator::Plain(Order::Maintenance { host, on })
        }
        "move" => {
            Operator::Move { vm: names.vm(&words.take("a VM")?)?, to: names.host(&words.take("a host")?)? }
        }
        _ => Operator::Plain(Order::Automation(words.one_of(
            "automation",
            &[("observe", Automation::Observe), ("advise", Automation::Advise), ("auto", Automation::Auto)],
        )?)),
    })
}

fn fault(words: &mut Words, names: &Names<'_>) -> Result<Fault, Wrong> {
    const KINDS: [&str; 17] = [
        "wake",
        "boot",
        "lies",
        "power",
        "control",
        "lease",
        "manager",
        "off",
        "host",
        "link",
        "move",
        "share",
        "libvirt",
        "clock",
        "store",
        "reply",
        "last-second",
    ];
    let known: Vec<(&str, &str)> = KINDS.iter().map(|kind| (*kind, *kind)).collect();
    let kind = words.one_of("fault", &known)?;
    let host = |words: &mut Words| words.take("a host").and_then(|name| names.host(&name));
    Ok(match kind {
        "wake" => {
            let host = host(words)?;
            if let Some(by) = words.option("slow") {
                Fault::BootSlow { host, by: span(&by)? }
            } else if let Some(lost) = words.option("lost") {
                Fault::WakeLost { host, times: Some(super::words::number(&lost)?) }
            } else {
                words.one_of("wake fault", &[("never", ()), ("lost=N", ()), ("slow=SECONDS", ())])?;
                Fault::WakeLost { host, times: None }
            }
        }
        "boot" => {
            let (host, span) = (host(words)?, words.span("for")?);
            words.one_of("boot fault", &[("hang", ())])?;
            Fault::BootHangs { host, span }
        }
        "control" => {
            let host = host(words)?;
            let kinds = [
                ("lies", Control::Lies),
                ("password", Control::Password),
                ("certificate", Control::Certificate),
            ];
            Fault::Control { host, how: words.one_of("control fault", &kinds)? }
        }
        "off" => {
            let host = host(words)?;
            words.one_of("off fault", &[("ignored", ())])?;
            Fault::OffIgnored { host }
        }
        "host" => {
            let host = host(words)?;
            let kinds = ["dies", "drops", "reboots", "lacks"].map(|kind| (kind, kind));
            match words.one_of("host fault", &kinds)? {
                "dies" => Fault::Dies { host },
                "drops" => Fault::Drops { host },
                "reboots" => Fault::Reboots { host },
                _ => {
                    let lacks = [Lack::Cpu, Lack::Machine, Lack::Network].map(|lack| (lack.code(), lack));
                    Fault::Lacks { host, lack: words.one_of("thing to lack", &lacks)? }
                }
            }
        }
        "link" => {
            if !words.one_of("link", &[("ctl", true), ("between", false)])? {
                let (span, ends) = (words.span("for")?, [host(words)?, host(words)?]);
                return Ok(Fault::Apart { ends, span });
            }
            let (span, oneway) = (words.span("for")?, words.flag("oneway"));
            Fault::Silent { hosts: names.hosts(&words.take("hosts")?)?, span, oneway }
        }
        "move" => {
            let vms = names.vms(&words.take("a VM or *")?)?;
            let (times, early) = (words.times()?, words.flag("early"));
            let one = vms.and_then(|vms| vms.first().copied());
            let kinds = ["fails", "stuck", "cut", "abort-hangs"].map(|kind| (kind, kind));
            match (words.one_of("move fault", &kinds)?, one) {
                ("fails", vm) => Fault::MoveFails { vm, times },
                ("cut", vm) => Fault::MoveCut { vm, early, times },
                ("stuck", Some(vm)) => Fault::MoveStuck { vm },
                (_, Some(vm)) => Fault::AbortHangs { vm },
                (_, None) => return Err("name the VM that gets stuck".to_owned()),
            }
        }
        "lies" => {
            let host = host(words)?;
            let lie =
                words.one_of("lie", &[("idle", Lie::Idle), ("busy", Lie::Busy), ("absurd", Lie::Absurd)])?;
            Fault::Lies { host, lie }
        }
        "power" => {
            let (host, times) = (host(words)?, words.times()?);
            words.one_of("power fault", &[("refused", ())])?;
            Fault::PowerRefused { host, times }
        }
        "share" => {
            let host = host(words)?;
            words.one_of("share fault", &[("missing", ())])?;
            Fault::ShareMissing { host }
        }
        "libvirt" => {
            let (host, span) = (host(words)?, words.span("for")?);
            words.one_of("libvirt fault", &[("frozen", ())])?;
            Fault::LibvirtFrozen { host, span }
        }
        "clock" => {
            let whose = words.take("a host or `manager`")?;
            let by_ms = offset(&words.take("an offset")?)?;
            if whose == "manager" {
                Fault::ManagerClock { by_ms }
            } else {
                Fault::Clock { host: names.host(&whose)?, by_ms }
            }
        }
        "lease" => {
            let span = words.span("for")?.ok_or("say for how long: for=SPAN")?;
            words.one_of("lease fault", &[("lost", ())])?;
            Fault::LeaseLost { span }
        }
        "manager" => {
            let span = words.span("for")?.ok_or("say for how long: for=SPAN")?;
            words.one_of("manager fault", &[("frozen", ())])?;
            Fault::ManagerFrozen { span }
        }
        "store" => {
            let span = words.span("for")?;
            words.one_of("store fault", &[("full", ())])?;
            Fault::StoreFull { span }
        }
        "reply" => {
            let (host, times) = (host(words)?, words.times()?);
            words.one_of("reply fault", &[("lost", ())])?;
            Fault::ReplyLost { host, times }
        }
        _ => {
            let host = host(words)?;
            if words.one_of("last second", &[("login", true), ("start", false)])? {
                Fault::LastSecondLogin { host }
            } else {
                Fault::LastSecondStart { host, vm: names.vm(&words.take("a VM")?)? }
            }
        }
    })
}
