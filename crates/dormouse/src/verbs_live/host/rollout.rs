//! Certificates and allow-lists onto the hosts: what each needs, in words, and then done.
//!
//! Decides who gets what; the CA and the conversation with a host are `dormouse_libvirt::trust`. The CA's register and the
//! audit log know of a certificate before any host does. A host that cannot be reached is told, and keeps its old list.

use crate::cli::{Ctx, Exit, Failure, counted, safe};
use crate::config::Config;
use crate::verbs_live::kept::{Kept, NotOpened};
use crate::verbs_live::run::libvirt;
use dormouse_driver::{AuditEntry, Clock as _, Hypervisor as _, SystemClock};
use dormouse_libvirt::Libvirt;
use dormouse_libvirt::trust::{
    AllowList, Applied, Authority, DAY, Facts, HOST_DAYS, Identity, Listed, Member, Named, RENEW_DAYS, Tls,
    TrustError, Visit, VisitError, Whose, named, obstacle, with_list, without_list,
};
use dormouse_model::{Cluster, HostFacts, HostSpec, Millis};
use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use uuid::Uuid;

const DEADLINE: Millis = Millis::from_secs(30);
/// A look at libvirt after its restart.
const CHECK: Millis = Millis::from_secs(20);
/// Hosts at once: each costs a connection and a restart of libvirt.
const AT_ONCE: usize = 8;

/// A host, and what lies there.
pub(super) struct Target {
    spec: HostSpec,
    machine: Uuid,
    facts: Facts,
}

impl Target {
    /// Untrusted text.
    pub(super) fn hostname(&self) -> &str {
        &self.facts.hostname
    }

    pub(super) fn rename(&mut self, name: &str) {
        name.clone_into(&mut self.spec.name);
    }

    fn speaks_for(&self) -> Vec<Named> {
        let address = self.spec.address.as_deref().unwrap_or(&self.spec.name);
        named([self.spec.name.as_str(), address, &self.facts.hostname])
    }
}

/// What one host needs.
enum Need {
    Certificate { why: &'static str, machine: Uuid, speaks_for: Vec<Named> },
    List,
}

/// What is to be done, in the order told.
#[derive(Default)]
pub(super) struct Plan {
    needs: Vec<(HostSpec, Need)>,
    /// Hosts that are left as they are, and why.
    left: Vec<(String, String)>,
    daemon: String,
}

impl Plan {
    pub(super) const fn is_nothing(&self) -> bool {
        self.needs.is_empty()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (host, need) in &self.needs {
            let name = safe(&host.name);
            match need {
                Need::Certificate { why, speaks_for, .. } => {
                    let all: Vec<String> = speaks_for.iter().map(ToString::to_string).collect();
                    writeln!(
                        f,
                        "{name}: a certificate ({why}) for {}, for {HOST_DAYS} days; the list",
                        all.join(", ")
                    )?;
                }
                Need::List => writeln!(f, "{name}: the list")?,
            }
        }
        for (host, why) in &self.left {
            writeln!(f, "{}: its certificates are left as they are: {}", safe(host), safe(why))?;
        }
        if !self.needs.is_empty() {
            writeln!(
                f,
                "The list says whom libvirt lets in over TLS: the hosts of this cluster and its manager, and nobody else."
            )?;
            writeln!(
                f,
                "It is read when libvirt starts: {} restarts on these hosts. VMs do not notice.",
                self.daemon
            )?;
        }
        Ok(())
    }
}

pub(super) struct Rollout {
    config: Config,
    libvirt: Arc<Libvirt>,
    dir: PathBuf,
    now_s: i64,
}

/// How it went at one host.
enum Done {
    Current,
    Changed(Applied),
    /// It has lost what `host add` once put there.
    NotOurs,
}

impl Rollout {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            libvirt: Arc::new(libvirt(config)),
            dir: config.state.join("tls"),
            now_s: SystemClock::new().wall().as_second(),
            config: config.clone(),
        }
    }

    /// The CA, if there is one yet.
    fn authority(&self) -> Result<Option<Authority>, Failure> {
        if !Authority::exists(&self.dir) {
            return Ok(None);
        }
        self.open().map(Some)
    }

    fn open(&self) -> Result<Authority, Failure> {
        Authority::open(&self.dir, self.now_s).map_err(|error| self.no_ca(&error))
    }

    fn no_ca(&self, error: &TrustError) -> Failure {
        let failure = Failure::new(format!("the CA in {} cannot be used", self.dir.display())).because(error);
        match error {
            TrustError::Busy => failure.hint("wait for its end"),
            TrustError::Half(_) | TrustError::Register(..) => failure.hint(
                "bring the folder back from a copy; without one, move it away: hosts are then to be added anew with \
                 --replace-certificates",
            ),
            TrustError::Key(_) => failure.hint("it belongs to Debian's openssh-client"),
            _ => failure,
        }
    }

    /// Machines that have certificates, by name.
    pub(super) fn machines(&self) -> Result<Vec<(Uuid, String)>, Failure> {
        let Some(authority) = self.authority()? else { return Ok(vec![]) };
        let hosts = authority.register().hosts.iter();
        Ok(hosts.filter_map(|member| Some((member.machine?, member.name.clone()))).collect())
    }

    /// What lies on each of these hosts.
    pub(super) async fn visit(&self, hosts: &[(&HostSpec, &HostFacts)]) -> Result<Vec<Target>, Failure> {
        let mut visits = JoinSet::new();
        for (at, (spec, _)) in hosts.iter().enumerate() {
            let (libvirt, spec) = (Arc::clone(&self.libvirt), (*spec).clone());
            visits.spawn(async move { (at, look(&libvirt, &spec).await) });
        }
        let mut answers = visits.join_all().await;
        answers.sort_by_key(|(at, _)| *at);
        answers
            .into_iter()
            .map(|(at, answer)| {
                let (spec, facts) = hosts[at];
                match answer {
                    Ok(found) => Ok(Target { spec: spec.clone(), machine: facts.machine, facts: found }),
                    Err(error) => Err(Failure::with_exit(
                        Exit::Unreachable,
                        format!("{} does not say what certificates it has", safe(&spec.name)),
                    )
                    .because(&error)
                    .hint("--no-certificates adds it without them")),
                }
            })
            .collect()
    }

    /// What these hosts need, and the others because of them.
    pub(super) fn plan(&self, targets: &[Target], cluster: &Cluster, replace: bool) -> Result<Plan, Failure> {
        let authority = self.authority()?;
        let authority = authority.as_ref();
        let mut plan = Plan { daemon: "libvirtd".to_owned(), ..Plan::default() };
        let mut grows = authority.is_none_or(|ca| ca.register().manager.is_none());
        for target in targets {
            let member = authority.and_then(|ca| ca.host(&target.spec.name));
            match need(target, authority, replace, self.now_s) {
                Ok(Some(need)) => {
                    if matches!(need, Need::Certificate { .. }) {
                        grows |= member.is_none_or(|member| member.machine != Some(target.machine));
                    }
                    plan.daemon.clone_from(&target.facts.daemon);
                    plan.needs.push((target.spec.clone(), need));
                }
                Ok(None) => {}
                Err(why) => plan.left.push((target.spec.name.clone(), why)),
            }
        }
        if plan.needs.is_empty() || !grows {
            return Ok(plan);
        }
        plan.needs.extend(
            self.others(authority, cluster, |name| targets.iter().any(|target| target.spec.name == name)),
        );
        Ok(plan)
    }

    /// Every other host of the cluster that has a certificate: each has to learn whom to let in.
    fn others(
        &self,
        authority: Option<&Authority>,
        cluster: &Cluster,
        but: impl Fn(&str) -> bool,
    ) -> Vec<(HostSpec, Need)> {
        let Some(authority) = authority else { return vec![] };
        let hosts = cluster.hosts.iter().filter(|host| !but(&host.name));
        hosts
            .filter(|host| authority.host(&host.name).is_some())
            .map(|host| (host.clone(), Need::List))
            .collect()
    }

    /// Certificates first, all of them, so that one list holds everybody.
    pub(super) async fn carry_out(&self, plan: Plan, ctx: &Ctx) -> Result<(), Failure> {
        if plan.is_nothing() {
            return Ok(());
        }
        let mut authority = self.open()?;
        let cannot = |error: TrustError| self.no_ca(&error);
        let mut words = vec![];
        if let Some(member) = authority.issue_manager(self.now_s).map_err(cannot)? {
            words.push(word("issue", &member));
        }
        let mut work = vec![];
        for (spec, need) in plan.needs {
            let identity = match need {
                Need::Certificate { machine, speaks_for, .. } => {
                    let identity =
                        authority.issue(&spec.name, machine, &speaks_for, self.now_s).map_err(cannot)?;
                    words.push(word("issue", &identity.member));
                    Some(identity)
                }
                Need::List => None,
            };
            work.push((spec, identity));
        }
        self.note(words, ctx).await?;
        let failed = self.everywhere(work, &authority.list(), authority.certificate(), ctx).await?;
        if failed.is_empty() {
            return Ok(());
        }
        let (exit, what) = if failed.iter().any(|(_, certificate)| *certificate) {
            let what = "not every host has its certificate: moves from and to it are led by the manager";
            (Exit::Failed, what)
        } else {
            (Exit::Unreachable, "not every host has the new list: it does not let the new hosts in yet")
        };
        Err(Failure::with_exit(exit, what).hint(again(&failed)))
    }

    /// Does it on all hosts, some at once, and tells how each went. Gives back those where it failed, and whether they were
    /// to have a certificate.
    async fn everywhere(
        &self,
        work: Vec<(HostSpec, Option<Identity>)>,
        list: &AllowList,
        ca: &str,
        ctx: &Ctx,
    ) -> Result<Vec<(String, bool)>, Failure> {
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        let mut tasks = JoinSet::new();
        for (at, (spec, identity)) in work.into_iter().enumerate() {
            let (config, libvirt, turns) =
                (self.config.clone(), Arc::clone(&self.libvirt), Arc::clone(&turns));
            let (list, ca) = (list.clone(), ca.to_owned());
            tasks.spawn(async move {
                let _turn = turns.acquire().await;
                let answer =
                    equip(&config, &libvirt, &spec, identity.as_ref().map(|one| (one, ca.as_str())), &list)
                        .await;
                (at, spec.name, identity.map(|one| one.member), answer)
            });
        }
        let mut answers = tasks.join_all().await;
        answers.sort_by_key(|(at, ..)| *at);
        let mut failed = vec![];
        for (_, name, member, answer) in answers {
            let shown = safe(&name).into_owned();
            let has = member.as_ref().map_or_else(String::new, |member| {
                format!("certificate {} (serial {}); ", member.cn, member.serial)
            });
            let text = match answer {
                Ok(Done::Current) => format!("{shown}: has list {} already\n", list.number),
                Ok(Done::Changed(applied)) => {
                    format!("{shown}: {has}list {}\n{}", list.number, also(&applied))
                }
                Ok(Done::NotOurs) => {
                    format!(
                        "{shown}: has lost its certificate; `dormouse host add {shown}` gives it a new one\n"
                    )
                }
                Err(why) => {
                    failed.push((name, member.is_some()));
                    format!("{shown}: as it was: {}\n", safe(&why))
                }
            };
            ctx.print(&text)?;
        }
        Ok(failed)
    }

    /// Strikes a host off everywhere. It is asked last for its own files.
    pub(super) async fn strike(
        &self,
        name: &str,
        spec: Option<&HostSpec>,
        cluster: &Cluster,
        ctx: &Ctx,
    ) -> Result<(), Failure> {
        let Some(mut authority) = self.authority()? else { return Ok(()) };
        let Some(member) = authority.strike(name).map_err(|error| self.no_ca(&error))? else { return Ok(()) };
        self.note(vec![word("strike", &member)], ctx).await?;
        let others = self.others(Some(&authority), cluster, |other| other == name);
        let work = others.into_iter().map(|(spec, _)| (spec, None)).collect();
        let failed = self.everywhere(work, &authority.list(), authority.certificate(), ctx).await?;
        if let Some(spec) = spec {
            let text = match withdraw(&self.config, &self.libvirt, spec).await {
                Ok(Some(applied)) => {
                    format!("{}: its certificate and list are gone\n{}", safe(name), also(&applied))
                }
                Ok(None) => String::new(),
                Err(why) => format!(
                    "{}: its files stay, and are worth nothing on the other hosts: {}\n",
                    safe(name),
                    safe(&why)
                ),
            };
            ctx.print(&text)?;
        }
        if failed.is_empty() {
            return Ok(());
        }
        let what = format!("{} still let {} in", counted(failed.len(), "host"), safe(name));
        Err(Failure::with_exit(Exit::Unreachable, what).hint(again(&failed)))
    }

    /// Into the audit log, where there is one yet; the CA's own register has it in any case.
    async fn note(&self, words: Vec<serde_json::Value>, ctx: &Ctx) -> Result<(), Failure> {
        if self.config.store_kind == crate::config::StoreKind::Sqlite && !self.config.store().exists() {
            return ctx.print("note: there is no audit log before the daemon's first start; the CA's register has the serials\n");
        }
        let kept = match Kept::open(&self.config).await {
            Ok(kept) => kept,
            Err(NotOpened::Failed(failure)) => return Err(failure),
            #[cfg(feature = "etcd")]
            Err(NotOpened::Silent(error)) => {
                return Err(
                    Failure::with_exit(Exit::Unreachable, "the store does not answer").because(&error)
                );
            }
        };
        let by = std::fs::metadata("/proc/self")
            .map_or_else(|_| "unknown".to_owned(), |me| crate::daemon::name_of(me.uid()));
        let store = kept.store();
        for order in words {
            let entry = AuditEntry::Word { by: by.clone(), order, answer: "done".to_owned() };
            store.note(&entry).await.map_err(|error| {
                Failure::new("the audit log takes nothing, so no certificate was handed out").because(&error)
            })?;
        }
        Ok(())
    }
}

fn again(failed: &[(String, bool)]) -> String {
    let all: Vec<&str> = failed.iter().map(|(name, _)| name.as_str()).collect();
    format!("when they answer: dormouse host add {}", all.join(" "))
}

fn word(what: &str, member: &Member) -> serde_json::Value {
    serde_json::json!({
        "order": format!("certificate-{what}"), "host": member.name, "cn": member.cn, "serial": member.serial,
        "ends_s": member.ends_s,
    })
}

/// What a host needs; `Err`: it is left as it is, because of this.
fn need(
    target: &Target,
    authority: Option<&Authority>,
    replace: bool,
    now_s: i64,
) -> Result<Option<Need>, String> {
    let facts = &target.facts;
    match obstacle(&facts.conf) {
        Ok(None) => {}
        Ok(Some(why)) => return Err(format!("{}.conf: {why}", facts.daemon)),
        Err(error) => return Err(format!("{}.conf: {error}", facts.daemon)),
    }
    let speaks_for = target.speaks_for();
    if speaks_for.is_empty() {
        return Err("no name or address of it fits into a certificate".to_owned());
    }
    let tls = facts.tls.as_ref().ok_or("they cannot be read")?;
    let certificate =
        |why| Ok(Some(Need::Certificate { why, machine: target.machine, speaks_for: speaks_for.clone() }));
    let of_ours =
        facts.ca.as_deref().is_some_and(|ca| authority.is_some_and(|ours| ours.certificate() == ca));
    if facts.ca.is_some() && !of_ours && !replace {
        return Err("they are of another CA; --replace-certificates puts ours in their place".to_owned());
    }
    let member = authority
        .and_then(|ca| ca.host(&target.spec.name))
        .filter(|member| member.machine == Some(target.machine));
    let Some(member) = member.filter(|_| of_ours && matches!(tls.whose, Whose::Ours { .. })) else {
        return certificate(if facts.ca.is_some() && !of_ours {
            "in place of another CA's"
        } else {
            "its first"
        });
    };
    let says: Vec<String> = speaks_for.iter().map(ToString::to_string).collect();
    if tls.days_left(now_s).is_none_or(|days| days <= RENEW_DAYS) || member.ends_s - now_s <= RENEW_DAYS * DAY
    {
        return certificate("the old one ends soon");
    }
    if says != member.speaks_for {
        return certificate("it is called otherwise now");
    }
    let current = authority.is_some_and(|ca| tls.listed == Listed::Ours(ca.register().list)) && tls.listens;
    Ok((!current).then_some(Need::List))
}

/// For people: what was done besides.
fn also(applied: &Applied) -> String {
    let kept = applied.kept.iter().map(|path| format!("    what was there is kept as {}\n", safe(path)));
    let restored = applied.restored.iter().map(|path| format!("    {} is back as it was\n", safe(path)));
    let opened =
        applied.opened.iter().map(|unit| format!("    {} is open from now on (port 16514)\n", safe(unit)));
    kept.chain(restored).chain(opened).collect()
}

async fn look(libvirt: &Libvirt, spec: &HostSpec) -> Result<Facts, VisitError> {
    Visit::open(&*libvirt.links(), spec, DEADLINE).await?.facts().await
}

/// One host, from a fresh look to the proof that its libvirt still answers. Whatever fails leaves it as it was.
async fn equip(
    config: &Config,
    libvirt: &Libvirt,
    spec: &HostSpec,
    identity: Option<(&Identity, &str)>,
    list: &AllowList,
) -> Result<Done, String> {
    let mut visit =
        Visit::open(&*libvirt.links(), spec, DEADLINE).await.map_err(|error| error.to_string())?;
    let facts = visit.facts().await.map_err(|error| error.to_string())?;
    if identity.is_none() {
        match &facts.tls {
            Some(Tls { whose: Whose::Ours { .. }, listed, listens: true, .. })
                if *listed == Listed::Ours(list.number) =>
            {
                return Ok(Done::Current);
            }
            Some(Tls { whose: Whose::Ours { .. }, .. }) => {}
            _ => return Ok(Done::NotOurs),
        }
    }
    let conf = with_list(&facts.conf, list).map_err(|error| format!("{}.conf: {error}", facts.daemon))?;
    let applied =
        visit.apply(&facts, identity, (&conf, list.number)).await.map_err(|error| error.to_string())?;
    still_answers(config, spec).await?;
    visit.keep().await.map_err(|error| error.to_string())?;
    Ok(Done::Changed(applied))
}

async fn withdraw(config: &Config, libvirt: &Libvirt, spec: &HostSpec) -> Result<Option<Applied>, String> {
    let mut visit =
        Visit::open(&*libvirt.links(), spec, DEADLINE).await.map_err(|error| error.to_string())?;
    let facts = visit.facts().await.map_err(|error| error.to_string())?;
    if !matches!(facts.tls, Some(Tls { whose: Whose::Ours { .. }, .. })) {
        return Ok(None);
    }
    let conf = without_list(&facts.conf).map_err(|error| format!("{}.conf: {error}", facts.daemon))?;
    let applied = visit.withdraw(&facts, &conf).await.map_err(|error| error.to_string())?;
    still_answers(config, spec).await?;
    visit.keep().await.map_err(|error| error.to_string())?;
    Ok(Some(applied))
}

/// By a connection of its own: the one before ended with the restart.
async fn still_answers(config: &Config, spec: &HostSpec) -> Result<(), String> {
    let asked = libvirt(config).definitions(spec, CHECK).await;
    asked.map(drop).map_err(|error| format!("libvirt does not answer with it: {error}"))
}
