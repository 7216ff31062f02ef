//! The list of those whom a host lets in over TLS, as a marked block in its libvirtd.conf (or virtproxyd.conf).
//!
//! Decides what the new text is; writes nothing. Everything outside of the block stays byte by byte; an admin's own list
//! is kept inside the block as comments and comes back when the block goes.

use std::fmt::Write as _;

/// Exactly these are let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowList {
    /// Grows with each change, so that hosts can be compared.
    pub number: u32,
    /// Names for the lists, of the cluster's hosts and of the manager.
    pub names: Vec<String>,
}

/// Why a configuration is left as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfError {
    #[error("line {0} is not understood")]
    Odd(usize),
    #[error("our block in it does not end")]
    Open,
}

const KEY: &str = "tls_allowed_dn_list";
const BEGIN: &str = "# >>> dormouse: who may connect over TLS; `dormouse host add` writes this. List ";
const END: &str = "# <<< dormouse";
const WAS: &str = "# was: ";

/// The text with this list in force, and no other.
pub fn with_list(conf: &str, list: &AllowList) -> Result<String, ConfError> {
    let base = without_list(conf)?;
    let (mut before, mut was, mut after) = (base.clone(), String::new(), String::new());
    if let Some(set) = settings(&base)?.into_iter().find(|set| set.key == KEY) {
        before = base[..set.start].to_owned();
        was = base[set.start..set.end].to_owned();
        after = base[set.end..].to_owned();
    }
    if !before.is_empty() && !before.ends_with('\n') {
        before.push('\n');
    }
    let mut block = format!("{BEGIN}{}\n", list.number);
    for line in was.lines() {
        block += WAS;
        block += line;
        block.push('\n');
    }
    block += KEY;
    block += " = [\n";
    for name in &list.names {
        // Writing into a string does not fail.
        _ = writeln!(block, "    \"CN={name}\",");
    }
    block += "]\n";
    block += END;
    block.push('\n');
    let new = before + &block + &after;
    // A second list outside of the block would be in force together with ours, or in its place.
    match settings(&new)?.iter().filter(|set| set.key == KEY).nth(1) {
        None => Ok(new),
        Some(second) => Err(ConfError::Odd(line_of(&new, second.start))),
    }
}

/// The text as it was before the first list of ours.
pub fn without_list(conf: &str) -> Result<String, ConfError> {
    let mut out = String::with_capacity(conf.len());
    let mut lines = conf.split_inclusive('\n');
    while let Some(line) = lines.next() {
        if !line.starts_with(BEGIN) {
            out += line;
            continue;
        }
        loop {
            let line = lines.next().ok_or(ConfError::Open)?;
            if line.trim_end() == END {
                break;
            }
            if let Some(was) = line.strip_prefix(WAS) {
                out += was;
            }
        }
    }
    Ok(out)
}

/// What in a host's own configuration stands against a list of ours, in words.
pub fn obstacle(conf: &str) -> Result<Option<String>, ConfError> {
    let own_place = |set: &Setting<'_>| match set.key {
        "ca_file" => set.text() != "/etc/pki/CA/cacert.pem",
        "cert_file" => set.text() != "/etc/pki/libvirt/servercert.pem",
        "key_file" => set.text() != "/etc/pki/libvirt/private/serverkey.pem",
        _ => false,
    };
    Ok(settings(conf)?.iter().find_map(|set| match set.key {
        "tls_no_verify_certificate" if set.text() != "0" => Some(
            "it sets `tls_no_verify_certificate`, which lets everybody in whatever a list says".to_owned(),
        ),
        "auth_tls" if set.text() != "none" => Some(format!(
            "it sets `auth_tls` to `{}`, which asks hosts for more than certificates",
            shown(set.text())
        )),
        "tls_port" if set.text() != "16514" => Some("it sets `tls_port`: moves go to port 16514".to_owned()),
        _ if own_place(set) => Some(format!("it keeps its certificates elsewhere (`{}`)", set.key)),
        _ => None,
    }))
}

fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(40).collect()
}

fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// One `key = value` of the file: whole lines from `start` to `end`.
#[derive(Debug)]
struct Setting<'a> {
    key: &'a str,
    value: &'a str,
    start: usize,
    end: usize,
}

impl Setting<'_> {
    fn text(&self) -> &str {
        self.value.trim_matches(['"', '\''])
    }
}

/// Every setting that is in force, as libvirt reads the file: comments, numbers, strings in three kinds of quotes, lists
/// over several lines.
fn settings(conf: &str) -> Result<Vec<Setting<'_>>, ConfError> {
    let mut all = vec![];
    let mut at = 0;
    while at < conf.len() {
        let line_end = |from: usize| conf[from..].find('\n').map_or(conf.len(), |n| from + n + 1);
        let start = at;
        let line = &conf[at..line_end(at)];
        let text = line.trim_start();
        if text.is_empty() || text.starts_with('#') {
            at += line.len();
            continue;
        }
        let odd = || ConfError::Odd(line_of(conf, start));
        let indent = line.len() - text.len();
        let key_len =
            text.find(|c: char| !(c.is_ascii_alphanumeric() || "_-.".contains(c))).ok_or_else(odd)?;
        let rest = text[key_len..].trim_start_matches([' ', '\t']);
        let value = rest.strip_prefix('=').filter(|_| key_len > 0).ok_or_else(odd)?;
        let value = value.trim_start_matches([' ', '\t']);
        let from = start + indent + (text.len() - value.len());
        let until = value_end(conf, from).ok_or_else(odd)?;
        let end = line_end(until);
        let tail = conf[until..end].trim();
        if !tail.is_empty() && !tail.starts_with('#') {
            return Err(odd());
        }
        all.push(Setting { key: &text[..key_len], value: &conf[from..until], start, end });
        at = end;
    }
    Ok(all)
}

/// Where the value that begins at `from` ends.
fn value_end(conf: &str, from: usize) -> Option<usize> {
    let rest = &conf[from..];
    match rest.as_bytes().first()? {
        b'"' | b'\'' => string_end(conf, from),
        b'[' => {
            let mut at = from + 1;
            loop {
                let here = conf[at..].trim_start();
                at = conf.len() - here.len();
                match here.as_bytes().first()? {
                    b']' => return Some(at + 1),
                    b',' => at += 1,
                    b'#' => at += here.find('\n')?,
                    b'"' | b'\'' => at = string_end(conf, at)?,
                    _ => return None,
                }
            }
        }
        byte if byte.is_ascii_digit() || *byte == b'-' || *byte == b'+' => {
            let digits = rest[1..].find(|c: char| !c.is_ascii_digit()).map_or(rest.len(), |n| n + 1);
            Some(from + digits)
        }
        _ => None,
    }
}

fn string_end(conf: &str, from: usize) -> Option<usize> {
    let rest = &conf[from..];
    if let Some(long) = rest.strip_prefix("\"\"\"") {
        return long.find("\"\"\"").map(|n| from + n + 6);
    }
    let quote = rest.chars().next()?;
    let end = rest[1..].find([quote, '\n'])?;
    rest[1 + end..].starts_with(quote).then_some(from + end + 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn list(number: u32, names: &[&str]) -> AllowList {
        AllowList { number, names: names.iter().map(|name| (*name).to_owned()).collect() }
    }

    const CONF: &str = "# Master configuration\n#tls_allowed_dn_list = [\"DN1\", \"DN2\"]\n\nhost_uuid = \"1111\" # ours\n\tmax_clients = 5000\nunix_sock_rw_perms = '0700'\n";

    #[test]
    fn the_list_goes_below_and_nothing_else_changes() {
        let new =
            with_list(CONF, &list(7, &["h01-00000000000000aa", "manager-00000000000000bb"])).expect("edits");
        let rest = new.strip_prefix(CONF).expect("the rest is as it was");
        expect![[r#"
            # >>> dormouse: who may connect over TLS; `dormouse host add` writes this. List 7
            tls_allowed_dn_list = [
                "CN=h01-00000000000000aa",
                "CN=manager-00000000000000bb",
            ]
            # <<< dormouse
        "#]]
        .assert_eq(rest);
        assert_eq!(without_list(&new).as_deref(), Ok(CONF));
        let again = with_list(&new, &list(8, &["h02-00000000000000cc"])).expect("edits");
        assert_eq!(without_list(&again).as_deref(), Ok(CONF));
        assert_eq!(again.matches("tls_allowed_dn_list = [").count() - 1, 1, "{again}");
        assert!(!again.contains("h01-"));
        assert_eq!(with_list(&new, &list(7, &["h01-00000000000000aa", "manager-00000000000000bb"])), Ok(new));
    }

    #[test]
    fn an_admins_list_is_kept_as_comments_and_comes_back() {
        let conf =
            format!("{CONF}tls_allowed_dn_list = [ # friends\n  \"C=DE,O=a ] b,CN=*\", # all\n  '''x\n");
        assert_eq!(with_list(&conf, &list(1, &["a"])), Err(ConfError::Odd(7)), "a list that does not end");
        let conf = format!(
            "{CONF}tls_allowed_dn_list = [ # friends\n  \"C=DE,O=a ] b,CN=*\",\n  'x' ]\nauth_tls = \"none\"\n"
        );
        let new = with_list(&conf, &list(1, &["a"])).expect("edits");
        assert!(
            new.contains(
                "# was:   \"C=DE,O=a ] b,CN=*\",\n# was:   'x' ]\ntls_allowed_dn_list = [\n    \"CN=a\",\n]\n"
            ),
            "{new}"
        );
        let in_force: Vec<_> =
            settings(&new).expect("reads").into_iter().filter(|set| set.key == KEY).collect();
        assert!(
            in_force.len() == 1 && in_force[0].value.contains("CN=a") && !in_force[0].value.contains("CN=*")
        );
        assert_eq!(without_list(&new), Ok(conf));
    }

    #[test]
    fn what_is_not_understood_is_left_alone() {
        for (conf, why) in [
            ("a = 1\nnonsense\n", ConfError::Odd(2)),
            ("a = \"open\n", ConfError::Odd(1)),
            ("= 1\n", ConfError::Odd(1)),
            ("a = 1 b = 2\n", ConfError::Odd(1)),
            ("tls_allowed_dn_list = [\"a\"]\ntls_allowed_dn_list = [\"b\"]\n", ConfError::Odd(7)),
        ] {
            assert_eq!(with_list(conf, &list(1, &["a"])), Err(why), "{conf}");
        }
        let open = format!("{BEGIN}3\ntls_allowed_dn_list = [\n");
        assert_eq!(without_list(&open), Err(ConfError::Open));
        assert_eq!(with_list("", &list(1, &["a"])).expect("edits").lines().count(), 5);
        assert!(with_list("a = 1", &list(1, &["a"])).expect("edits").starts_with("a = 1\n# >>>"));
    }

    #[test]
    fn settings_that_would_make_the_list_worthless_are_named() {
        for (conf, said) in [
            ("tls_no_verify_certificate = 1\n", Some("tls_no_verify_certificate")),
            ("tls_no_verify_certificate = 0\n#tls_no_verify_certificate = 1\n", None),
            ("auth_tls = \"sasl\"\n", Some("auth_tls")),
            ("auth_tls = \"none\"\n", None),
            ("key_file = \"/root/key.pem\"\n", Some("key_file")),
            ("ca_file = \"/etc/pki/CA/cacert.pem\"\n", None),
            ("tls_port = \"16515\"\n", Some("tls_port")),
        ] {
            let found = obstacle(conf).expect("reads");
            assert_eq!(found.is_some(), said.is_some(), "{conf}: {found:?}");
            assert!(said.is_none_or(|said| found.expect("something").contains(said)), "{conf}");
        }
    }
}
