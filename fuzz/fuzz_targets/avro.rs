//! Messages of the format `avro`.

#![no_main]

flott_fuzz::target!("avro");
