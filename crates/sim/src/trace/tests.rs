use super::{MemUsed, Trace, TraceVm};
use dormouse_model::{Mib, MilliCpu, Permille};
use expect_test::{Expect, expect};
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::civil::date;
use proptest::prelude::*;
use std::io::Write as _;

fn read(text: &str) -> Result<Trace, String> {
    Trace::read("t.csv", text.as_bytes()).map_err(|error| error.to_string())
}

/// What is said of each of these texts, a line each.
fn refused(texts: &[&str], expected: Expect) {
    let said: String = texts.iter().map(|text| read(text).expect_err("it is refused") + "\n").collect();
    expected.assert_eq(&said);
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(vec![], Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

const FIVE: &str = "vm,t0,t300\na b,100,0\nc,1,2\nd,3,4\ne,5,6\nf,50,7\n";
const SIZED: &str = "vm,cores,mhz,mem_mb,t0,t300,t600\n1,2,5852,8192,88,86,1000\n2,0,0,0,0,0,0\n";

#[test]
fn planetlab_rows_get_the_sizes_of_their_quarter() {
    let trace = Trace::read("data/planetlab-20110303.csv.gz", FIVE.as_bytes()).unwrap();
    assert_eq!((trace.name.as_str(), trace.start), ("planetlab-20110303", Some(date(2011, 3, 3))));
    let sizes: Vec<_> = trace.vms.iter().map(|vm| (vm.cpu.0, vm.mem.0)).collect();
    assert_eq!(sizes, [(2500, 870), (2500, 870), (2000, 1740), (2000, 1740), (1000, 1740)]);
    assert_eq!((trace.steps(), trace.share(1, 4)), (2, Permille(70)));
    let asked: Vec<_> = trace.demands(0).map(|cpu| cpu.0).collect();
    assert_eq!(asked, [2500, 25, 60, 100, 500]);
    assert_eq!(trace.demand(0), MilliCpu(3185));
}

#[test]
fn sized_rows_keep_theirs_and_may_be_of_vms_that_are_gone() {
    let trace = Trace::read("bitbrains-rnd-2013-08-05.csv", SIZED.as_bytes()).unwrap();
    assert_eq!(trace.start, Some(date(2013, 8, 5)));
    let vm = |name: &str, vcpus, cpu, mem| TraceVm {
        name: name.to_owned(),
        vcpus,
        cpu: MilliCpu(cpu),
        mem: Mib(mem),
        used: None,
    };
    assert_eq!(trace.vms, [vm("1", 2, 5852, 8192), vm("2", 0, 0, 0)]);
    // 5852 * 0.088 = 514.976
    assert_eq!(trace.demands(0).collect::<Vec<_>>(), [MilliCpu(515), MilliCpu(0)]);
}

#[test]
fn memory_in_use_stands_beside_the_memory_given() {
    const META: &str = "vm,cores,mem_used_mean_mb,mem_used_p95_mb,cpu_mean_pct\n1,2,356,1458,3.48\n";
    let mut trace = read(SIZED).unwrap();
    trace.read_mem_used("t.meta.csv", META.as_bytes()).unwrap();
    assert_eq!(trace.vms[0].used, Some(MemUsed { mean: Mib(356), p95: Mib(1458) }));
    assert_eq!((trace.vms[0].mem, trace.vms[1].used), (Mib(8192), None));
    let mut wrong = |meta: &str| {
        trace.read_mem_used("t.meta.csv", meta.as_bytes()).expect_err("it is refused").to_string()
    };
    let said = [
        wrong(""),
        wrong("vm,cores\n"),
        wrong("vm,mem_used_mean_mb,mem_used_p95_mb\n7,1,2\n"),
        wrong("vm,mem_used_mean_mb,mem_used_p95_mb\n1,1,-2\n"),
        wrong("vm,mem_used_mean_mb,mem_used_p95_mb\n1,1\n"),
    ];
    expect![[r#"
        t.meta.csv:1:1: there is nothing in it
        t.meta.csv:1:1: no column `mem_used_mean_mb`; the header names vm, mem_used_mean_mb, mem_used_p95_mb
        t.meta.csv:2:1: the trace has no VM `7`; it belongs to another trace: each has a file with the same name and `.meta`
        t.meta.csv:2:5: `-2` is no `mem_used_p95_mb`; a whole number of MiB from 0 to 4294967296
        t.meta.csv:2:5: no `mem_used_p95_mb` in this row"#]].assert_eq(&said.join("\n"));
}

#[test]
fn gzip_is_known_by_its_bytes_and_a_cut_off_file_is_told() {
    let whole = gzip(FIVE);
    assert_eq!(Trace::read("t.csv", &whole[..]).unwrap(), read(FIVE).unwrap());
    let said = |bytes: &[u8]| Trace::read("t.csv.gz", bytes).expect_err("it is refused").to_string();
    let mut damaged = whole.clone();
    let last = damaged.len() - 6;
    damaged[last] ^= 0xff;
    let all = [said(&whole[..whole.len() / 2]), said(&whole[..2]), said(&damaged)].join("\n");
    expect![[r#"
        t.csv.gz:2:1: the gzip data end in the middle; the file is not whole; fetch it again
        t.csv.gz:1:1: the gzip data end in the middle; the file is not whole; fetch it again
        t.csv.gz:7:1: the gzip data are damaged: corrupt gzip stream does not have a matching checksum; the file is not whole; fetch it again"#]].assert_eq(&all);
}

#[test]
fn a_small_file_cannot_unpack_into_all_memory() {
    let columns = gzip(&format!("vm,t0{}", ",t300".repeat(1 << 20)));
    assert!(columns.len() < 100_000);
    let said = Trace::read("bomb.csv.gz", &columns[..]).expect_err("it is refused").to_string();
    expect!["bomb.csv.gz:1:2097152: a line of more than 2097152 bytes; a trace has one line for each VM; cut longer ones into years"].assert_eq(&said);
    let header: String = (0..1000).map(|step| format!(",t{}", step * 300)).collect();
    let samples = ",0".repeat(1000);
    let mut rows = GzEncoder::new(vec![], Compression::fast());
    writeln!(rows, "vm{header}").unwrap();
    (0..40_000).try_for_each(|vm| writeln!(rows, "{vm}{samples}")).unwrap();
    let said = Trace::read("bomb.csv.gz", &rows.finish().unwrap()[..]).expect_err("it is refused");
    expect!["bomb.csv.gz:33556:1: more than 33554432 samples in all; cut the trace into shorter spans"]
        .assert_eq(&said.to_string());
}

#[test]
fn what_is_no_header_is_told() {
    let texts = [
        "",
        "vm",
        "name,t0\n",
        "vm,t0,t300,t900\n",
        "vm,cores,mhz,mem_mb\n",
        "vm,cores,mhz,mem_mb,mem_used_mean_mb\n",
        "<html><body>404\u{1b}[2J not found</body></html>\n",
    ];
    refused(
        &texts,
        expect![[r#"
        t.csv:1:1: there is nothing in it; a trace begins with `vm,t0,t300,…` (PlanetLab) or `vm,cores,mhz,mem_mb,t0,t300,…` (with sizes)
        t.csv:1:4: `` where the header should say `cores`; a trace begins with `vm,t0,t300,…` (PlanetLab) or `vm,cores,mhz,mem_mb,t0,t300,…` (with sizes)
        t.csv:1:1: `name` where the header should say `vm`; a trace begins with `vm,t0,t300,…` (PlanetLab) or `vm,cores,mhz,mem_mb,t0,t300,…` (with sizes)
        t.csv:1:12: `t900` where the header should say `t600`; samples lie 300 s apart, and none is left out
        t.csv:1:21: no samples; a trace begins with `vm,t0,t300,…` (PlanetLab) or `vm,cores,mhz,mem_mb,t0,t300,…` (with sizes)
        t.csv:1:21: `mem_used_mean_mb` where the header should say `t0`; this is the file with the memory in use; the trace is the one beside it
        t.csv:1:1: `<html><body>404�[2J not found</body></html>` where the header should say `vm`; a trace begins with `vm,t0,t300,…` (PlanetLab) or `vm,cores,mhz,mem_mb,t0,t300,…` (with sizes)
    "#]],
    );
}

#[test]
fn what_is_no_sample_is_told_with_its_place() {
    let texts = [
        "vm,t0,t300\na,1,NaN\n",
        "vm,t0,t300\nü,-1,2\n",
        "vm,t0,t300\na,1,101\n",
        "vm,t0,t300\na,1,99999999999999999999999999\n",
        "vm,t0,t300\na,1,\n",
        "vm,t0,t300\na,1,0.5\n",
        "vm,t0,t300\na,1\n",
        "vm,t0,t300\na,1,2,3\n",
        "vm,cores,mhz,mem_mb,t0\na,1,1e9,1,5\n",
        "vm,cores,mhz,mem_mb,t0\na,1,1,1,1001\n",
        "vm,cores,mhz,mem_mb,t0\na,1\n",
    ];
    refused(
        &texts,
        expect![[r#"
        t.csv:2:5: `NaN` is no sample (VM `a`, column t300); a whole number from 0 to 100, in percent
        t.csv:2:3: `-1` is no sample (VM `ü`, column t0); a whole number from 0 to 100, in percent
        t.csv:2:5: `101` is no sample (VM `a`, column t300); a whole number from 0 to 100, in percent
        t.csv:2:5: `99999999999999999999999999` is no sample (VM `a`, column t300); a whole number from 0 to 100, in percent
        t.csv:2:5: no sample of VM `a` in column t300; a whole number from 0 to 100, in percent; where a sample is missing, repeat the one before it
        t.csv:2:5: `0.5` is no sample (VM `a`, column t300); a whole number from 0 to 100, in percent
        t.csv:2:4: VM `a` has 1 sample, the header promises 2; was the file cut off? Where a sample is missing, repeat the one before it
        t.csv:2:7: VM `a` has more than the 2 samples that the header promises
        t.csv:2:5: `1e9` is no `mhz` of VM `a`; a whole number from 0 to 1000000000
        t.csv:2:9: `1001` is no sample (VM `a`, column t0); a whole number from 0 to 1000, in thousandths of the VM's capacity
        t.csv:2:4: `` is no `mhz` of VM `a`; a whole number from 0 to 1000000000
    "#]],
    );
}

#[test]
fn what_is_no_vm_is_told() {
    let long = format!("vm,t0\n{},1\n", "x".repeat(300));
    let texts = [
        "vm,t0\n",
        "vm,t0\n,1\n",
        "vm,t0\na,1\nb,1\na,1\n",
        "vm,t0\na,1\n\nb,1\n",
        "vm,t0\na\u{7}b,1\n",
        &long,
    ];
    refused(
        &texts,
        expect![[r#"
        t.csv:2:1: no VM in it; each line below the header is one
        t.csv:2:1: a VM without a name; a row begins with the VM's own name, as plain text without quotes
        t.csv:4:1: VM `a` stands on line 2 already; a row begins with the VM's own name, as plain text without quotes
        t.csv:3:1: an empty line; each line is one VM; drop the line
        t.csv:2:1: VM `a�b` has a quote or a control character in its name; a row begins with the VM's own name, as plain text without quotes
        t.csv:2:1: VM `xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…` has a name of more than 255 characters; a row begins with the VM's own name, as plain text without quotes
    "#]],
    );
    let said = Trace::read("t.csv", &b"vm,t0\nab\xff,1\n"[..]).expect_err("it is refused").to_string();
    expect!["t.csv:2:3: not UTF-8 text; save it as UTF-8"].assert_eq(&said);
}

#[test]
fn files_of_other_systems_are_read() {
    let windows = format!("\u{feff}{}\r\n", FIVE.trim_end().replace('\n', "\r\n"));
    assert_eq!(read(&windows).unwrap(), read(FIVE).unwrap());
    assert_eq!(read(FIVE.trim_end()).unwrap(), read(FIVE).unwrap());
    assert_eq!(read(&format!("{FIVE}\n")).unwrap(), read(FIVE).unwrap());
}

#[test]
fn a_week_is_cut_at_midnight() {
    let header: String = (0..2 * 288 + 1).map(|step| format!(",t{}", step * 300)).collect();
    let row = |vm: usize| -> String {
        let samples = (0..2 * 288 + 1).map(|step| format!(",{}", (step / 288 + vm) % 101));
        format!("{vm}{}\n", samples.collect::<String>())
    };
    let week =
        Trace::read("w-2013-08-05.csv", format!("vm{header}\n{}{}", row(0), row(1)).as_bytes()).unwrap();
    let days: Vec<Trace> = week.days().collect();
    let seen: Vec<_> =
        days.iter().map(|day| (day.name.as_str(), day.steps(), day.shares(0).to_vec())).collect();
    let expected = [
        ("w Mon 2013-08-05", 288, vec![0, 10]),
        ("w Tue 2013-08-06", 288, vec![10, 20]),
        ("w Wed 2013-08-07", 1, vec![20, 30]),
    ];
    assert_eq!(seen, expected);
    assert_eq!(read(FIVE).unwrap().days().collect::<Vec<_>>(), [read(FIVE).unwrap()]);
}

proptest! {
    /// What is written is read back the same.
    #[test]
    fn csv_round_trip(
        vms in proptest::collection::btree_map("[a-z ü.]{1,12}", (0u32..65_536, 0u64..1_000_000_001, 0u64..1 << 32), 1..6),
        samples in proptest::collection::vec(0u16..=1000, 6..60),
    ) {
        let samples = &samples[..samples.len() / vms.len() * vms.len()];
        let vms: Vec<TraceVm> = vms
            .into_iter()
            .map(|(name, (vcpus, cpu, mem))| TraceVm { name, vcpus, cpu: MilliCpu(cpu), mem: Mib(mem), used: None })
            .collect();
        let trace = Trace::new("t".to_owned(), None, vms, samples);
        prop_assert_eq!(read(&trace.to_csv()).unwrap(), trace);
    }

    /// Whatever the bytes, there is an answer.
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400), zip in any::<bool>()) {
        let head = if zip { &[0x1f, 0x8b, 8, 0][..] } else { &b"vm,t0\n"[..] };
        _ = Trace::read("t", &[head, &bytes].concat()[..]);
    }
}
