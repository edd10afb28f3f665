//! What is fuzzed, and from where it starts.

#![allow(clippy::unwrap_used, reason = "samples are made for tests")]

use std::sync::Arc;

use flott_formats::{
    avro::Avro,
    conformance::{
        Random,
        fuzzing::{Input, Target},
    },
};

use super::{Sample, all, of_files, registered};

/// The names of all targets.
pub const NAMES: [&str; 14] = [
    "json",
    "csv",
    "raw",
    "avro",
    "avro-confluent",
    "protobuf",
    "protobuf-confluent",
    "debezium-json",
    "debezium-avro-confluent",
    "canal-json",
    "maxwell-json",
    "ogg-json",
    "changelog-json",
    "avro-file",
];

/// A target, and inputs to start from.
pub struct Seeded {
    pub target: Target,
    pub seeds: Vec<Vec<u8>>,
}

impl Seeded {
    /// One of the inputs, or a mixture, changed at random.
    pub fn changed(&self, random: &mut Random) -> Vec<u8> {
        let mut others = flott_connector::Slices::default();
        self.seeds.iter().for_each(|seed| assert!(others.push(Some(seed))));
        let start = random.below(self.seeds.len());
        let mut input = self.seeds.get(start).cloned().unwrap_or_default();
        for _ in 0..=random.below(3) {
            input = random.change(&input, &others);
        }
        input
    }
}

/// The target of this name: one of [`NAMES`].
pub fn target(name: &str) -> Option<Seeded> {
    let name = NAMES.into_iter().find(|it| *it == name)?;
    let (samples, input) = match name {
        "avro-file" => (vec![of_files()], Input::File),
        _ if name.ends_with("-confluent") => (registered(), Input::MessagesWithIds),
        _ => (all(), Input::Messages),
    };
    let samples: Vec<Sample> = samples.into_iter().filter(|sample| sample.case.name == name).collect();
    let mut target = Target { name, cases: Vec::new(), input };
    let seeds = if input == Input::File { files(&samples) } else { messages(&target, &samples) };
    target.cases = samples.into_iter().map(|sample| sample.case).collect();
    Some(Seeded { target, seeds })
}

/// Some rows of each table, as messages of their own format.
fn messages(target: &Target, samples: &[Sample]) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    for (number, sample) in (0u8..).zip(samples) {
        let (batch, kinds) = (sample.batch(1), sample.written());
        for from in [0, 2] {
            let kinds = kinds.as_ref().map(|kinds| kinds.slice(from, 2));
            let messages = sample.case.encode(&batch.slice(from, 2), kinds.as_ref()).unwrap();
            out.push(target.input_of(number, &messages));
        }
        // Of every other schema that a registry has, the start of a message.
        if target.input == Input::MessagesWithIds {
            for id in 0..3 {
                let mut bytes = [0, 0, 0, 0, id].to_vec();
                bytes.extend([2; 40]);
                let mut one = flott_connector::Slices::default();
                assert!(one.push(Some(&bytes)));
                out.push(target.input_of(number, &one));
            }
        }
    }
    out
}

/// Some rows as a file, in each codec.
fn files(samples: &[Sample]) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    for sample in samples {
        for codec in ["null", "deflate", "snappy", "zstandard"] {
            let mut table = sample.case.table.clone();
            table.options.set("avro.codec", codec);
            let (name, context) = (sample.case.name.clone(), sample.case.context.clone());
            let case = flott_formats::conformance::Case {
                name,
                format: Arc::new(Avro),
                table,
                context,
                rewritable: true,
            };
            out.push(case.write_file(&sample.batch(1).slice(0, 3)).unwrap());
        }
    }
    out
}
