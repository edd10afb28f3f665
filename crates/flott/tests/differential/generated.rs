//! Inputs made from a seed: the same for the same seed, on any machine.
//!
//! ```text
//!   events.ndjson  id INT, k INT, s STRING, v INT, d DECIMAL(10, 2), ts TIMESTAMP(3)
//!                  600 rows; k: 12 values, a third of the rows has one of them; NULLs; ts up to 2 s
//!                  out of order, 7 minutes in all
//!   people.ndjson  id INT, k INT, name STRING, city STRING, ts TIMESTAMP(3)
//!                  90 rows over the same time; several people of a k, some k without any; NULLs
//!   rates.ndjson   k INT, rate DECIMAL(10, 2), ts TIMESTAMP(3)
//!                  130 versions of the 12 k, in order of time, the first ones at its beginning
//! ```
//! A watermark of `ts - INTERVAL '3' SECOND` finds no row late.

use std::{fmt::Write, fs, path::Path};

/// 2026-01-01 00:00:00
const START: i64 = 1_767_225_600_000;
const KEYS: u64 = 12;
const WORDS: [&str; 7] = ["red", "green", "blue", "Grün", "", "a b", "x'y"];
const CITIES: [&str; 4] = ["Oslo", "Kyoto", "Lima", "Cairo"];

/// Writes them.
pub fn write(directory: &Path, seed: u64) {
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03);
    let files = [
        ("events.ndjson", events(&mut random)),
        ("people.ndjson", people(&mut random)),
        ("rates.ndjson", rates(&mut random)),
    ];
    for (name, text) in files {
        fs::write(directory.join(name), text).unwrap();
    }
}

fn events(random: &mut Random) -> String {
    let mut out = String::new();
    for id in 0..600 {
        let k = random.key();
        let s = random.nullable(9, |it| format!("\"{}\"", WORDS[it.below(7) as usize]));
        let v = random.nullable(12, |it| (it.below(101) as i64 - 50).to_string());
        let d = random.nullable(20, Random::decimal);
        let ts = time(START + id * 700 + random.below(2000) as i64 - 1000);
        let _ = writeln!(out, r#"{{"id":{id},"k":{k},"s":{s},"v":{v},"d":{d},"ts":"{ts}"}}"#);
    }
    out
}

fn people(random: &mut Random) -> String {
    let mut out = String::new();
    for id in 0..90 {
        let k = random.key();
        let name = random.nullable(8, |it| format!("\"p{}\"", it.below(25)));
        let city = CITIES[random.below(4) as usize];
        let ts = time(START + id * 4600 + random.below(2000) as i64);
        let _ = writeln!(out, r#"{{"id":{id},"k":{k},"name":{name},"city":"{city}","ts":"{ts}"}}"#);
    }
    out
}

fn rates(random: &mut Random) -> String {
    let mut out = String::new();
    for version in 0..130 {
        let k = if version < KEYS as i64 { version as u64 } else { random.below(KEYS) };
        let rate = random.decimal();
        let ts = time(START + version * 3300 - 40_000);
        let _ = writeln!(out, r#"{{"k":{k},"rate":{rate},"ts":"{ts}"}}"#);
    }
    out
}

/// `2026-01-01 00:03:07.250`, within the day of [`START`] or the one before.
fn time(millis: i64) -> String {
    let since = millis - START;
    let day = if since < 0 { "2025-12-31" } else { "2026-01-01" };
    let within = since.rem_euclid(86_400_000);
    let (seconds, millis) = (within / 1000, within % 1000);
    format!("{day} {:02}:{:02}:{:02}.{millis:03}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// SplitMix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators", 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
    /// NULL once in `rarity` times.
    fn nullable(&mut self, rarity: u64, value: impl FnOnce(&mut Self) -> String) -> String {
        if self.below(rarity) == 0 { "null".to_string() } else { value(self) }
    }
    fn decimal(&mut self) -> String {
        format!("{}.{:02}", self.below(900), self.below(100))
    }
    /// A third of the keys is 3.
    fn key(&mut self) -> String {
        self.nullable(15, |it| if it.below(3) == 0 { "3".into() } else { it.below(KEYS).to_string() })
    }
}
