//! Deterministic Nexmark event generator (std only, one file).
//!
//!   nexgen EVENTS OUTDIR [PARTITIONS=2]
//!
//! Writes OUTDIR/{persons,auctions,bids}/part-K.ndjson, K in 0..PARTITIONS, and OUTDIR/meta.txt.
//!
//! Event n (0-based): n % 50 == 0 person, 1..=3 auction, 4..=49 bid (the 1:3:46 of Nexmark).
//! Event time: BASE + n / 10 ms (10,000 events per second of event time). One event in ten is
//! late: its time is moved back by 0..1999 ms (not below BASE). So with a watermark delay of
//! 4 s no event is ever late for its window. Events go to partition (n / 50) % PARTITIONS in
//! order of n, so each partition is time-ordered up to 2 s of disorder, like a Kafka partition.
//! Key choice (hot auctions / bidders / sellers, in-flight ranges, id leads), prices, strings,
//! channels and average record sizes follow the public description of the Nexmark generator;
//! the random numbers are our own, so rows differ from those of other generators.
use std::fs::{create_dir_all, File};
use std::io::{BufWriter, Write};

struct Rng(u64);
impl Rng {
    fn seed(n: u64) -> Rng {
        // splitmix64 on the event number: each event's content depends on n only
        let mut z = n.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(0x1234_5678_9ABC_DEF1);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        Rng((z ^ (z >> 31)) | 1)
    }
    fn next(&mut self) -> u64 {
        let mut x = self.0;
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.0 = x;
        x.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
    fn below(&mut self, n: u64) -> u64 {
        (((self.next() >> 32) as u128 * n as u128) >> 32) as u64
    }
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
    fn price(&mut self) -> u64 {
        (10f64.powf(self.unit() * 6.0) * 100.0).round() as u64
    }
    fn letters(&mut self, out: &mut Vec<u8>, len: usize, spaces: bool) {
        for i in 0..len {
            let c = self.below(if spaces { 30 } else { 26 });
            let edge = i == 0 || i + 1 == len;
            out.push(if c < 26 { b'a' + c as u8 } else if edge { b'x' } else { b' ' });
        }
    }
}

const BASE_MS: u64 = 1_767_225_600_000; // 2026-01-01T00:00:00Z
const STATES: [&str; 6] = ["az", "ca", "id", "or", "wa", "wy"];
const CITIES: [&str; 10] = [
    "phoenix", "los angeles", "san francisco", "boise", "portland", "bend", "redmond", "seattle",
    "kent", "cheyenne",
];
const FIRST: [&str; 11] =
    ["peter", "paul", "luke", "john", "saul", "vicky", "kate", "julie", "sarah", "deiter", "walter"];
const LAST: [&str; 9] =
    ["shultz", "abrams", "spencer", "white", "bartels", "walton", "smith", "jones", "noris"];
const HOT: [&str; 4] = ["Google", "Facebook", "Baidu", "Apple"];

fn last_auction(n: u64) -> u64 {
    let (e, o) = ((n / 50) as i64, (n % 50) as i64);
    let (e, o) = if o < 1 { (e - 1, 2) } else if o >= 4 { (e, 2) } else { (e, o - 1) };
    (e * 3 + o).max(0) as u64
}
fn last_person(n: u64) -> u64 {
    n / 50
}
fn pick_auction(r: &mut Rng, n: u64) -> u64 {
    let max = last_auction(n);
    let min = max.saturating_sub(100);
    min + r.below(max - min + 1 + 10)
}
fn pick_person(r: &mut Rng, n: u64) -> u64 {
    let people = last_person(n) + 1;
    let active = people.min(1000);
    people - active + r.below(active + 10)
}
fn num(out: &mut Vec<u8>, mut v: u64) {
    let mut b = [0u8; 20];
    let mut i = 20;
    loop {
        i -= 1;
        b[i] = b'0' + (v % 10) as u8;
        v /= 10;
        if v == 0 { break; }
    }
    out.extend_from_slice(&b[i..]);
}
fn pad(out: &mut Vec<u8>, v: u64, w: usize) {
    let s = out.len();
    num(out, v);
    let l = out.len() - s;
    for _ in l..w { out.insert(s, b'0'); }
}
fn time(out: &mut Vec<u8>, ms: u64) {
    // SQL timestamp text, UTC, always three digits of milliseconds
    let days = (ms / 86_400_000) as i64;
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let d = doy - (153 * mp + 2) / 5 + 1;
    let m = if mp < 10 { mp + 3 } else { mp - 9 };
    let y = yoe + era * 400 + if m <= 2 { 1 } else { 0 };
    let t = ms % 86_400_000;
    pad(out, y as u64, 4); out.push(b'-');
    pad(out, m as u64, 2); out.push(b'-');
    pad(out, d as u64, 2); out.push(b' ');
    pad(out, t / 3_600_000, 2); out.push(b':');
    pad(out, t / 60_000 % 60, 2); out.push(b':');
    pad(out, t / 1000 % 60, 2); out.push(b'.');
    pad(out, t % 1000, 3);
}
fn s(out: &mut Vec<u8>, t: &str) {
    out.extend_from_slice(t.as_bytes());
}
fn extra(r: &mut Rng, out: &mut Vec<u8>, have: usize, want: usize) {
    // random text that brings the record's payload to about `want` bytes (+-20 %)
    if have >= want { return; }
    let gap = want - have;
    let delta = gap / 5;
    let len = gap - delta + r.below(2 * delta as u64 + 1) as usize;
    r.letters(out, len, false);
}

fn main() -> std::io::Result<()> {
    let a: Vec<String> = std::env::args().collect();
    if a.len() < 3 {
        eprintln!("usage: nexgen EVENTS OUTDIR [PARTITIONS=2]");
        std::process::exit(2);
    }
    let total: u64 = a[1].replace('_', "").parse().expect("EVENTS");
    let parts: u64 = a.get(3).map_or(2, |p| p.parse().expect("PARTITIONS"));
    let mut w: Vec<Vec<BufWriter<File>>> = Vec::new();
    for kind in ["persons", "auctions", "bids"] {
        create_dir_all(format!("{}/{}", a[2], kind))?;
        let mut v = Vec::new();
        for k in 0..parts {
            v.push(BufWriter::with_capacity(1 << 20, File::create(format!("{}/{}/part-{}.ndjson", a[2], kind, k))?));
        }
        w.push(v);
    }
    let (mut o, mut counts, mut max_ms) = (Vec::with_capacity(1024), [0u64; 3], BASE_MS);
    for n in 0..total {
        let mut r = Rng::seed(n);
        let mut ms = BASE_MS + n / 10;
        if r.below(10) == 0 {
            ms = ms.saturating_sub(r.below(2000)).max(BASE_MS);
        }
        max_ms = max_ms.max(ms);
        o.clear();
        let kind = match n % 50 {
            0 => {
                s(&mut o, "{\"id\":"); num(&mut o, 1000 + last_person(n));
                let (f, l) = (FIRST[r.below(11) as usize], LAST[r.below(9) as usize]);
                s(&mut o, ",\"name\":\""); s(&mut o, f); o.push(b' '); s(&mut o, l);
                s(&mut o, "\",\"emailAddress\":\"");
                r.letters(&mut o, 7, false); o.push(b'@'); r.letters(&mut o, 5, false); s(&mut o, ".com");
                s(&mut o, "\",\"creditCard\":\"");
                for i in 0..4 { if i > 0 { o.push(b' '); } let v = r.below(10_000); pad(&mut o, v, 4); }
                s(&mut o, "\",\"city\":\""); s(&mut o, CITIES[r.below(10) as usize]);
                s(&mut o, "\",\"state\":\""); s(&mut o, STATES[r.below(6) as usize]);
                s(&mut o, "\",\"dateTime\":\""); time(&mut o, ms);
                s(&mut o, "\",\"extra\":\""); extra(&mut r, &mut o, 8 + f.len() + l.len() + 17 + 19 + 12 + 2, 200);
                s(&mut o, "\"}\n");
                0
            }
            1..=3 => {
                s(&mut o, "{\"id\":"); num(&mut o, 1000 + last_auction(n));
                s(&mut o, ",\"itemName\":\""); let l = 3 + r.below(18) as usize; r.letters(&mut o, l, true);
                s(&mut o, "\",\"description\":\""); let d = 3 + r.below(98) as usize; r.letters(&mut o, d, true);
                let first = r.price();
                s(&mut o, "\",\"initialBid\":"); num(&mut o, first);
                s(&mut o, ",\"reserve\":"); let p = r.price(); num(&mut o, first + p);
                s(&mut o, ",\"dateTime\":\""); time(&mut o, ms);
                // length: about the time in which 100 further auctions start (0.167 s), times two, random
                s(&mut o, "\",\"expires\":\""); let e = 1 + r.below(333); time(&mut o, ms + e);
                let seller = if r.below(4) > 0 { last_person(n) / 100 * 100 } else { pick_person(&mut r, n) };
                s(&mut o, "\",\"seller\":"); num(&mut o, 1000 + seller);
                s(&mut o, ",\"category\":"); let c = r.below(5); num(&mut o, 10 + c);
                s(&mut o, ",\"extra\":\""); extra(&mut r, &mut o, 56 + l + d, 500);
                s(&mut o, "\"}\n");
                1
            }
            _ => {
                let auction = if r.below(2) > 0 { last_auction(n) / 100 * 100 } else { pick_auction(&mut r, n) };
                let bidder = if r.below(4) > 0 { last_person(n) / 100 * 100 + 1 } else { pick_person(&mut r, n) };
                s(&mut o, "{\"auction\":"); num(&mut o, 1000 + auction);
                s(&mut o, ",\"bidder\":"); num(&mut o, 1000 + bidder);
                let p = r.price();
                s(&mut o, ",\"price\":"); num(&mut o, p);
                let start = o.len();
                let hot = r.below(2) > 0;
                let ch = if hot { r.below(4) } else { r.below(10_000) };
                s(&mut o, ",\"channel\":\"");
                if hot { s(&mut o, HOT[ch as usize]); } else { s(&mut o, "channel-"); num(&mut o, ch); }
                s(&mut o, "\",\"url\":\"https://www.nexmark.com/");
                let mut u = Rng::seed(if hot { ch } else { 10 + ch } ^ 0xABCD_0000); // one URL per channel
                u.letters(&mut o, 5, false); o.push(b'/'); u.letters(&mut o, 5, false); o.push(b'/'); u.letters(&mut o, 5, false);
                s(&mut o, "/item.htm?query=1");
                if !hot { s(&mut o, "&channel_id="); num(&mut o, (ch as u32).reverse_bits() as u64); }
                let text = o.len() - start - 20;
                s(&mut o, "\",\"dateTime\":\""); time(&mut o, ms);
                s(&mut o, "\",\"extra\":\""); extra(&mut r, &mut o, 32 + text, 150);
                s(&mut o, "\"}\n");
                2
            }
        };
        counts[kind] += 1;
        w[kind][(n / 50 % parts) as usize].write_all(&o)?;
    }
    for v in w.iter_mut() { for f in v.iter_mut() { f.flush()?; } }
    let mut t = Vec::new();
    time(&mut t, max_ms);
    std::fs::write(
        format!("{}/meta.txt", a[2]),
        format!("events={}\npersons={}\nauctions={}\nbids={}\npartitions={}\nmax_time={}\n",
            total, counts[0], counts[1], counts[2], parts, String::from_utf8(t).unwrap()),
    )
}
