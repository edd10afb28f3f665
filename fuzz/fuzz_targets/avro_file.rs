//! Avro files: header, schema, blocks.

#![no_main]

flott_fuzz::target!("avro-file");
